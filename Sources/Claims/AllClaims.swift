extension Claim {
  /// Every claim: first those about batch norm and layer norm, then those about transformers.
  public static let all: [Claim] = [
    .syncOverhead, .batchSize, .trainEval, .padding, .causality, .invariance, .rmsCost, .rmsQuality,
    .earlyStopping, .faster, .contrast, .whitening, .online, .recurrent, .ghost, .sparseSync,
    .standardization, .warmUp,
    .queryKeyNorms, .learningRate, .hybrid, .qkv, .nGPT, .dynamicTanh, .peri, .output, .depth,
  ]

  /// The claim with that name; nil if there is none.
  public static func named(_ id: String) -> Claim? { all.first { $0.id == id } }
}
