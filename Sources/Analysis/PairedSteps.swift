public import LockstepRecording

/// The counted steps of several variants, in rounds in each of which every variant took one turn.
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

  /// No steps yet of `variants` variants.
  public init(variants: Int) { turns = Array(repeating: [], count: variants) }

  /// Adds a variant's next turn: the steps that are to be counted, which may be none.
  ///
  /// Stolen time is seen late and by the hundredth of a second: it counts against the whole turn.
  public mutating func append(_ turn: [Step], of variant: Int) {
    let stolen = turn.map(\.disturbance).filter { $0.causes.contains(.stolen) }
    turns[variant].append(
      turn.map { step in
        guard let theft = stolen.first, step.disturbance.isNone else { return step }
        return Step(milliseconds: step.milliseconds, disturbance: theft)
      })
  }

  /// The steps that count for the figures of `variant`, in milliseconds: the undisturbed ones, or all where
  /// there is no such.
  public func milliseconds(of variant: Int) -> [Double] {
    let all = turns[variant].flatMap { $0 }
    let clean = all.filter(\.disturbance.isNone)
    return (clean.isEmpty ? all : clean).map(\.milliseconds)
  }

  /// The median of each round's undisturbed steps of `variant`; nil where it has not enough of them.
  ///
  /// Half of a turn has to be left: those between two disturbances still feel them.
  public func rounds(of variant: Int) -> [Double?] {
    turns[variant].map { turn in
      let clean = turn.filter(\.disturbance.isNone)
      guard !clean.isEmpty, 2 * clean.count >= turn.count else { return nil }
      return MedianInterval(clean.map(\.milliseconds)).median
    }
  }

  /// The time of `variant` over the time of `base`, as one of several comparisons; nil where they have no
  /// round in common.
  ///
  /// Where no round is undisturbed, the ratio is that of all, and nothing is decided.
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

  /// The quotient of two times; nil where one is missing.
  private static func quotient(_ a: Double, _ b: Double) -> Double? {
    let quotient = a / b
    return quotient.isFinite && quotient > 0 ? quotient : nil
  }

  /// The rounds' differences of `variant` to `base`, in milliseconds, with the interval of one of several
  /// comparisons; nil where there is no undisturbed round.
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
  /// The disturbed ones.
  public let disturbed: Int
  /// All.
  public let steps: Int
  /// In how many another process took a core.
  public let preempted: Int
  /// In how many the hypervisor stole time.
  public let stolen: Int
  /// In how many pages were faulted in.
  public let faulted: Int
  /// The rank that was disturbed, where it was the same every time and no other.
  public let rank: Int?

  /// Counts.
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

  /// The disturbed ones of all, from 0 to 1.
  public var share: Double { steps == 0 ? 0 : Double(disturbed) / Double(steps) }

  /// "12 of 144 steps left out: another process took a core (rank 1)"; nil where there were none.
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
