import LockstepCollectives
public import LockstepRecording

/// How much of the ranks' time goes into computing, and where the rest is lost.
///
/// parallel = load balance × serialization × transfer, as the POP project defines them (Performance
/// Optimisation and Productivity, "POP Standard Metrics for Parallel Performance Analysis",
/// https://pop-coe.eu/node/69).
///
/// On a network that takes no time, each stretch of a step between two collectives would take as long as
/// the slowest rank computes in it. The sum of these stretches may be longer than any single rank's
/// computing. This loss is serialization, and synchronized statistics add to it.
public struct Efficiency: Codable, Hashable, Sendable {
  /// The mean rank's computing, divided by the step.
  public let parallel: Double
  /// The mean rank's computing, divided by that of the rank that computes most.
  public let loadBalance: Double
  /// The computing of the rank that computes most, divided by the step on a network that takes no time.
  public let serialization: Double
  /// The step on a network that takes no time, divided by the real step.
  public let transfer: Double

  /// How long ranks would wait for statistics and buckets on a network that takes no time.
  public let sites: [Site]

  private enum CodingKeys: String, CodingKey {
    case parallel, serialization, transfer, sites
    case loadBalance = "load_balance"
  }

  /// The waiting that one kind of collective causes.
  public struct Site: Codable, Hashable, Sendable {
    /// The layer, or the bucket.
    public let name: String
    /// "forward" or "backward".
    public let pass: String
    /// The wait for the slowest rank of a step, the mean over ranks and steps, in milliseconds.
    public let waitingMilliseconds: Double

    private enum CodingKeys: String, CodingKey {
      case name, pass
      case waitingMilliseconds = "waiting_ms"
    }
  }

  /// The efficiencies of recorded steps, each as a ratio of means over steps.
  ///
  /// Nil if statistics are over groups of ranks, or if there is no step in which all ranks did the same.
  public init?(_ recorded: RecordedSteps) {
    var (mean, most, ideal, whole, count) = (0.0, 0.0, 0.0, 0.0, 0.0)
    var waits: [Purpose: Double] = [:]
    var order: [Purpose] = []
    for parts in recorded.parts {
      let programs = parts.map { StepProgram($0.step, $0.entries) }
      // With statistics over groups of ranks, not all ranks wait for each other.
      let groups = parts.flatMap { $0.entries.filter { $0.purpose.kind == "statistics" } }
        .filter { $0.kind == .collective }.map(\.key.group)
      guard Set(groups).count <= 1 else { return nil }
      guard let shape = programs.first?.shape, programs.allSatisfy({ $0.shape == shape }) else {
        continue
      }
      let sums = programs.map { $0.computing.reduce(0, +) }
      mean += sums.reduce(0, +) / Double(sums.count)
      most += sums.max() ?? 0
      ideal += Self.ideal(shape, programs.map(\.computing)) { purpose, wait in
        if waits[purpose] == nil { order.append(purpose) }
        waits[purpose, default: 0] += wait
      }
      whole += (parts.map { $0.step.end - $0.step.issue }.max() ?? 0)
      count += 1
    }
    guard count > 0, mean > 0, ideal > 0, whole > 0 else { return nil }
    parallel = mean / whole
    loadBalance = mean / most
    serialization = most / ideal
    transfer = ideal / whole
    sites = order.filter { $0 != .control }.map {
      Site(
        name: $0.site, pass: "\($0.pass)", waitingMilliseconds: (waits[$0] ?? 0) / count / 1e6)
    }
  }

  /// How long a step takes if every collective ends as soon as the last rank has started it.
  private static func ideal(
    _ shape: StepProgram.Shape, _ computing: [[Double]], waited: (Purpose, Double) -> Void
  ) -> Double {
    var clocks = [Double](repeating: 0, count: computing.count)
    var begun = [Double](repeating: 0, count: shape.collectives.count)
    for (place, action) in shape.actions.enumerated() {
      for rank in clocks.indices { clocks[rank] += computing[rank][place] }
      guard action.isWait else {
        begun[action.collective] = clocks.max() ?? 0
        continue
      }
      var waiting = 0.0
      for rank in clocks.indices where begun[action.collective] > clocks[rank] {
        waiting += begun[action.collective] - clocks[rank]
        clocks[rank] = begun[action.collective]
      }
      waited(shape.collectives[action.collective].purpose, waiting / Double(clocks.count))
    }
    for rank in clocks.indices { clocks[rank] += computing[rank][shape.actions.count] }
    return clocks.max() ?? 0
  }
}
