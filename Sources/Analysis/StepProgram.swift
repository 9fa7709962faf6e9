package import LockstepCollectives
package import LockstepRecording

/// One rank's step as other ranks see it.
///
/// It is computing, cut where the rank starts collectives and where it waits for them.
package struct StepProgram {
  /// A collective of the step.
  package struct Collective: Hashable {
    package let purpose: Purpose
    package let bytes: Int
    /// Whether the call that started it also waited for it.
    package let isBlocking: Bool
  }

  /// The start of a collective, or the wait for it.
  package struct Action: Hashable {
    /// The collective's index among those of the step.
    package let collective: Int
    package let isWait: Bool
  }

  /// The collectives of a step and the order of its actions.
  ///
  /// Steps of equal shape are interchangeable samples.
  package struct Shape: Hashable {
    package let collectives: [Collective]
    package let actions: [Action]
  }

  package let shape: Shape
  /// Computing before each action, then after the last, in nanoseconds.
  package let computing: [Double]

  /// The program of `step`, where `entries` are the rank's events in the order of time.
  package init(_ step: RankRecord.Entry, _ entries: [RankRecord.Entry]) {
    let own = entries.filter {
      $0.kind == .collective && $0.issue >= step.issue && $0.issue < step.end
    }.sorted { $0.issue < $1.issue }
    var boundaries: [(time: Double, action: Action)] = []
    var blocked: [(begin: Double, end: Double)] = []
    for (index, entry) in own.enumerated() {
      let isBlocking = entry.returned >= entry.waitBegin
      boundaries.append((entry.issue, Action(collective: index, isWait: false)))
      boundaries.append(
        (
          isBlocking ? entry.issue : entry.waitBegin, Action(collective: index, isWait: true)
        ))
      blocked.append((entry.issue, entry.returned))
      if entry.end > entry.waitBegin { blocked.append((entry.waitBegin, entry.end)) }
    }
    // At equal times the order of insertion decides, so that a start comes before its wait.
    boundaries = boundaries.enumerated().sorted {
      ($0.element.time, $0.offset) < ($1.element.time, $1.offset)
    }.map(\.element)
    shape = Shape(
      collectives: own.map {
        Collective(
          purpose: $0.purpose, bytes: $0.bytes, isBlocking: $0.returned >= $0.waitBegin)
      }, actions: boundaries.map(\.action))
    var computing: [Double] = []
    var from = step.issue
    for to in boundaries.map(\.time) + [step.end] {
      let inside = blocked.reduce(0) {
        $0 + max(0, min($1.end, to) - max($1.begin, from))
      }
      computing.append(max(0, to - from - inside))
      from = to
    }
    for (place, boundary) in boundaries.enumerated() where boundary.action.isWait {
      computing[place] = max(0, computing[place] - own[boundary.action.collective].tested)
    }
    self.computing = computing
  }
}

/// The steady steps of a recorded run that have one common shape.
package struct StepSamples {
  package let shape: StepProgram.Shape
  /// The computing of each step, in nanoseconds, by recorded rank.
  package let ranks: [[[Double]]]

  /// The number of steps, summed over the ranks.
  package var count: Int { ranks.reduce(0) { $0 + $1.count } }

  /// How many first steps are left out, because they are not steady.
  private static let warmup = 3

  /// Takes the steps in `records` of the most frequent shape; nil if there is no step.
  ///
  /// If `steps` is given, only steps with these numbers count.
  package init?(_ records: [RankRecord], steps wanted: Set<Int>? = nil) {
    let programs = records.map { record in
      let steps = record.entries.filter { $0.kind == .step }
      func isWanted(_ step: RankRecord.Entry) -> Bool {
        wanted?.contains(step.key.number) ?? true
      }
      let steady =
        steps.count > 2 * Self.warmup ? steps.dropFirst(Self.warmup).filter(isWanted) : []
      // If no steady step is left, the first ones have to do.
      return Self.programs(steady.isEmpty ? steps.filter(isWanted) : steady, record.entries)
    }
    let shapes = Dictionary(grouping: programs.joined(), by: \.shape)
    guard let (shape, _) = shapes.max(by: { $0.value.count < $1.value.count }) else { return nil }
    self.shape = shape
    ranks = programs.map { $0.filter { $0.shape == shape }.map(\.computing) }
      .filter { !$0.isEmpty }
  }

  /// The programs of `steps`, which find their collectives among `entries` by time.
  ///
  /// Events are recorded when they end, so those of a step lie before the step itself.
  package static func programs(_ steps: [RankRecord.Entry], _ entries: [RankRecord.Entry])
    -> [StepProgram]
  {
    let collectives = entries.filter { $0.kind == .collective }.sorted { $0.issue < $1.issue }
    var next = 0
    return steps.sorted { $0.issue < $1.issue }.map { step in
      while next < collectives.count, collectives[next].issue < step.issue { next += 1 }
      let first = next
      while next < collectives.count, collectives[next].issue < step.end { next += 1 }
      return StepProgram(step, Array(collectives[first..<next]))
    }
  }
}
