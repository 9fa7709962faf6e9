extension Claim {
  /// Every claim: what is said of batch norm and layer norm first, then of transformers.
  public static let all: [Claim] = [
    .syncOverhead, .batchSize, .trainEval, .padding, .causality, .invariance, .rmsCost, .rmsQuality,
    .earlyStopping, .faster, .contrast, .warmUp, .queryKeyNorms, .learningRate, .hybrid, .qkv,
    .nGPT,
  ]

  /// The claim with that name.
  public static func named(_ id: String) -> Claim? { all.first { $0.id == id } }
}
