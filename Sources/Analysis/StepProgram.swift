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
    // Tests lie between a collective's start and its end, or its wait, in pieces that nothing tells apart: they
    // are taken off the latest.
    for (wait, boundary) in boundaries.enumerated() where boundary.action.isWait {
      let entry = own[boundary.action.collective]
      let start = Action(collective: boundary.action.collective, isWait: false)
      var tested = entry.tested
      var place = wait
      while boundaries[place - 1].action != start, boundaries[place - 1].time >= entry.end {
        place -= 1
      }
      while tested > 0, place > 0, boundaries[place].action != start {
        let part = min(computing[place], tested)
        computing[place] -= part
        tested -= part
        place -= 1
      }
    }
    self.computing = computing
  }
}

/// The steady steps of a recorded run that have one common shape.
package struct StepSamples {
  package let shape: StepProgram.Shape
  /// The computing of each step, in nanoseconds, by recorded rank.
  package let ranks: [[[Double]]]
  /// Which share of the run's steps is of this kind, from 0 to 1.
  package let share: Double
  /// Whether the steps are undisturbed ones; not if there was none of this kind, or if it is not known.
  package let isUndisturbed: Bool

  /// The number of steps, summed over the ranks.
  package var count: Int { ranks.reduce(0) { $0 + $1.count } }

  /// How many first steps are left out, because they are not steady.
  private static let warmup = 3

  /// The steps in `records` by kind.
  ///
  /// Kinds differ in how many collectives of statistics a step has, as steps of sync-batch with `every` above 1
  /// do. Of each kind the steps of its most frequent shape are taken. The kinds' shares are those of all steps.
  ///
  /// - Parameters:
  ///   - records: What the ranks recorded.
  ///   - whole: The numbers of the steps that count; nil for all.
  ///   - clean: The numbers of those to take; a kind without a steady one takes its other steady steps, and
  ///     without those all.
  /// - Returns: the kinds, the most frequent first; none if there is no step.
  package static func kinds(
    of records: [RankRecord], steps whole: Set<Int>? = nil, preferring clean: Set<Int>? = nil
  ) -> [StepSamples] {
    typealias Found = (number: Int, isSteady: Bool, program: StepProgram)
    let found = records.map { record -> [Found] in
      let steps = steps(of: record)
      let first = steps.count - steady(record).count
      return zip(steps, programs(steps, record.entries)).enumerated().map { place, step in
        (step.0.key.number, place >= first, step.1)
      }.filter { step in whole?.contains(step.number) ?? true }
    }
    func kind(_ step: Found) -> Int {
      step.program.shape.collectives.count {
        if case .statistics = $0.purpose { true } else { false }
      }
    }
    let counts = Dictionary(grouping: found.joined(), by: kind).mapValues(\.count)
    let total = counts.values.reduce(0, +)
    return counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.compactMap { number, count in
      let ofKind = found.map { $0.filter { kind($0) == number } }
      func taken(_ isTaken: (Found) -> Bool) -> [[StepProgram]]? {
        let programs = ofKind.map { $0.filter(isTaken).map(\.program) }
        return programs.allSatisfy(\.isEmpty) ? nil : programs
      }
      func isClean(_ step: Found) -> Bool { clean?.contains(step.number) ?? true }
      let best = taken { $0.isSteady && isClean($0) }
      let programs = best ?? taken(\.isSteady) ?? taken(isClean) ?? taken { _ in true } ?? []
      return StepSamples(
        programs, share: Double(count) / Double(total),
        isUndisturbed: clean != nil && best != nil)
    }
  }

  private static func steps(of record: RankRecord) -> [RankRecord.Entry] {
    record.entries.filter { $0.kind == .step }.sorted { $0.issue < $1.issue }
  }

  /// A rank's steps in the order of time, without the first few if there are enough others.
  package static func steady(_ record: RankRecord) -> [RankRecord.Entry] {
    let steps = steps(of: record)
    return Array(steps.dropFirst(steps.count > 2 * warmup ? warmup : 0))
  }

  /// Takes the programs of the most frequent shape; nil if there is none.
  private init?(_ programs: [[StepProgram]], share: Double, isUndisturbed: Bool) {
    let shapes = Dictionary(grouping: programs.joined(), by: \.shape)
    guard let (shape, _) = shapes.max(by: { $0.value.count < $1.value.count }) else { return nil }
    self.shape = shape
    (self.share, self.isUndisturbed) = (share, isUndisturbed)
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
