import Collectives

/// What ranks sum once a step besides gradients, by name.
struct StepSums {
  private enum Slot {
    static let loss = 0
    static let correct = 1
    static let fingerprint = 2..<2 + FingerprintDigits.width
    static let count = fingerprint.upperBound
  }

  /// The numbers, in the order in which they travel.
  private(set) var values = [Double](repeating: 0, count: Slot.count)

  /// This rank's part of the sums, all zero.
  init() {}

  /// The sums over all ranks.
  init(_ values: [Double]) {
    precondition(values.count == Slot.count)
    self.values = values
  }

  /// The sum of the losses.
  var loss: Double {
    get { values[Slot.loss] }
    set { values[Slot.loss] = newValue }
  }

  /// How many labels were classified right.
  var correct: Double {
    get { values[Slot.correct] }
    set { values[Slot.correct] = newValue }
  }

  /// Adds what tells whether ranks have issued the same collectives.
  mutating func add(_ fingerprint: Fingerprint) {
    values.replaceSubrange(Slot.fingerprint, with: FingerprintDigits.addends(of: fingerprint))
  }

  /// Whether all of `ranks` ranks have issued the same collectives.
  func fingerprintsAgree(ranks: Int) -> Bool {
    FingerprintDigits.agree(values[Slot.fingerprint], ranks: ranks)
  }
}
