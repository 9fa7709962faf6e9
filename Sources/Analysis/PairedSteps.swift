public import LockstepRecording

/// The counted steps of several variants, in rounds in which every variant took one turn.
public struct PairedSteps: Sendable {
  /// One step.
  public struct Step: Hashable, Sendable {
    /// How long it took, in milliseconds.
    public let milliseconds: Double
    /// What disturbed it, on any rank.
    public let disturbance: StepDisturbance

    /// A step of a given duration.
    public init(milliseconds: Double, disturbance: StepDisturbance = .none) {
      (self.milliseconds, self.disturbance) = (milliseconds, disturbance)
    }
  }

  /// The counted steps of each turn, by variant and round.
  private var turns: [[[Step]]]

  /// Creates an empty record for `variants` variants.
  public init(variants: Int) { turns = Array(repeating: [], count: variants) }

  /// Adds the counted steps of a variant's next turn, of which there may be none.
  ///
  /// The system reports stolen time late and in hundredths of a second. So if it disturbs one step, it
  /// counts against the whole turn.
  public mutating func append(_ turn: [Step], of variant: Int) {
    let stolen = turn.map(\.disturbance).filter { $0.causes.contains(.stolen) }
    turns[variant].append(
      turn.map { step in
        guard let theft = stolen.first, step.disturbance.isNone else { return step }
        return Step(milliseconds: step.milliseconds, disturbance: theft)
      })
  }

  /// The times of the undisturbed steps of `variant`, in milliseconds; those of all steps if none is
  /// undisturbed.
  public func milliseconds(of variant: Int) -> [Double] {
    let all = turns[variant].flatMap { $0 }
    let clean = all.filter(\.disturbance.isNone)
    return (clean.isEmpty ? all : clean).map(\.milliseconds)
  }

  /// The median of each round's undisturbed steps of `variant`; nil for rounds with too few of them.
  ///
  /// At least half of a turn has to be undisturbed, because steps between two disturbances are still
  /// affected by them.
  public func rounds(of variant: Int) -> [Double?] {
    turns[variant].map { turn in
      let clean = turn.filter(\.disturbance.isNone)
      guard !clean.isEmpty, 2 * clean.count >= turn.count else { return nil }
      return MedianInterval(clean.map(\.milliseconds)).median
    }
  }

  /// The time of `variant` divided by that of `base`, as one of several comparisons; nil if they have no
  /// round in common.
  ///
  /// If no round is undisturbed, the ratio is taken from all rounds, and nothing is decided.
  public func ratio(of variant: Int, to base: Int, comparisons: Int) -> PairedRatio? {
    let clean = zip(rounds(of: base), rounds(of: variant)).compactMap { base, own in
      base.flatMap { base in own.flatMap { Self.quotient($0, base) } }
    }
    if !clean.isEmpty { return PairedRatio(clean, comparisons: comparisons) }
    let all = zip(turns[base], turns[variant]).compactMap { base, own -> Double? in
      guard !base.isEmpty, !own.isEmpty else { return nil }
      return Self.quotient(
        MedianInterval(own.map(\.milliseconds)).median,
        MedianInterval(base.map(\.milliseconds)).median)
    }
    return all.isEmpty ? nil : PairedRatio(all, comparisons: comparisons, trusted: false)
  }

  /// The quotient of two times; nil if it is not a finite number above 0.
  private static func quotient(_ a: Double, _ b: Double) -> Double? {
    let quotient = a / b
    return quotient.isFinite && quotient > 0 ? quotient : nil
  }

  /// The time of `variant` minus that of `base` over the rounds, in milliseconds; nil if no round is
  /// undisturbed.
  ///
  /// The interval is that of one of several comparisons.
  public func difference(of variant: Int, to base: Int, comparisons: Int) -> MedianInterval? {
    let clean = zip(rounds(of: base), rounds(of: variant)).compactMap { base, own in
      base.flatMap { base in own.map { $0 - base } }
    }
    return clean.isEmpty
      ? nil : MedianInterval(clean, level: PairedRatio.level(comparisons: comparisons))
  }

  /// How many steps were left out of how many, and why.
  public var leftOut: DisturbedSteps {
    DisturbedSteps(turns.joined().joined().map(\.disturbance))
  }
}

/// How many of some steps were disturbed.
public struct DisturbedSteps: Codable, Hashable, Sendable {
  /// The number of disturbed steps.
  public let disturbed: Int
  /// The number of all steps.
  public let steps: Int
  /// The number of steps in which another process took a core.
  public let preempted: Int
  /// The number of steps in which the hypervisor stole time.
  public let stolen: Int
  /// The number of steps in which pages were faulted in.
  public let faulted: Int
  /// The disturbed rank, if it was the same single rank every time.
  public let rank: Int?

  /// Counts the disturbed steps and their causes.
  public init(_ all: some Collection<StepDisturbance>) {
    let disturbed = all.filter { !$0.isNone }
    func count(_ cause: StepDisturbance.Causes) -> Int {
      disturbed.count { $0.causes.contains(cause) }
    }
    self.disturbed = disturbed.count
    steps = all.count
    (preempted, stolen, faulted) = (count(.preempted), count(.stolen), count(.faulted))
    let ranks = Set(disturbed.map(\.rank))
    rank = ranks.count == 1 ? ranks.first.flatMap(\.self) : nil
  }

  /// The share of disturbed steps, from 0 to 1.
  public var share: Double { steps == 0 ? 0 : Double(disturbed) / Double(steps) }

  /// "12 of 144 steps left out: another process took a core (rank 1)"; nil if there were none.
  public var text: String? {
    guard disturbed > 0 else { return nil }
    let causes = [
      preempted > 0 ? "another process took a core" : nil,
      stolen > 0 ? "the hypervisor took a core" : nil,
      faulted > 0 ? "pages were faulted in" : nil,
    ].compactMap(\.self)
    let place = rank.map { " (rank \($0))" } ?? ""
    let what =
      disturbed == steps
      ? "all \(steps) steps were disturbed" : "\(disturbed) of \(steps) steps left out"
    return "\(what): \(causes.joined(separator: ", "))\(place)"
  }
}
