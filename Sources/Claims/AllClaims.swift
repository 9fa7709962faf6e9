extension Claim {
  /// Every claim: first those about batch norm and layer norm, then those about transformers.
  public static let all: [Claim] = [
    .syncOverhead, .batchSize, .trainEval, .padding, .causality, .invariance, .rmsCost, .rmsQuality,
    .earlyStopping, .faster, .contrast, .warmUp, .queryKeyNorms, .learningRate, .hybrid, .qkv,
    .nGPT,
  ]

  /// The claim with that name; nil if there is none.
  public static func named(_ id: String) -> Claim? { all.first { $0.id == id } }
}
