extension Claim {
  /// Every claim, in the order in which the documents make them.
  public static let all: [Claim] = [
    .causality, .rmsCost, .queryKeyNorms, .warmUp, .learningRate, .hybrid,
  ]

  /// The claim with that name.
  public static func named(_ id: String) -> Claim? { all.first { $0.id == id } }
}
