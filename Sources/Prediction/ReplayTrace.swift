import Foundation
import LockstepAnalysis
import LockstepCollectives
import LockstepFiles
import LockstepRecording
import LockstepTensors

/// A run's steps as time-independent traces for SimGrid's `smpirun -replay`.
///
/// A trace has what each rank computes, at a billion operations per second, and the all-reduces in between.
/// Such traces have no nonblocking collectives. A nonblocking all-reduce is written as a blocking one at
/// the point where its rank waited for it.
public struct ReplayTrace: Codable, Sendable {
  /// The folder.
  public let trace: String
  /// The file that lists the ranks' trace files, in rank order.
  public let index: String
  /// The number of ranks.
  public let ranks: Int
  /// The number of steps of each rank.
  public let steps: Int
  /// The number of all-reduces of each rank.
  public let collectives: Int

  /// How many operations stand for a second of computing.
  public static let operationsPerSecond = 1e9

  /// Writes the traces of `ranks` ranks; nil for as many as were recorded.
  ///
  /// In every step, each rank computes what a recorded rank computed in some undisturbed step. These steps
  /// are drawn at random as for predictions. The folder is created if it does not exist.
  ///
  /// - Throws: ``RecordingError`` if no step was recorded; ``OutputError`` if the folder cannot be written.
  public init(
    _ source: Prediction.Source, ranks: Int?, steps count: Int, to folder: String, seed: UInt64 = 1
  ) throws {
    let kinds = StepSamples.kinds(
      of: source.records, steps: source.steps, preferring: source.clean.steps)
    guard let first = kinds.first else {
      throw RecordingError(folder, "no step was recorded; train for some steps first")
    }
    guard !source.records.hasStatisticsGroups else {
      throw RecordingError(
        folder,
        "statistics were taken over groups of ranks, which these traces cannot express; record "
          + "a run with norm.statisticsGroup all")
    }
    let ranks = ranks ?? first.ranks.count
    var lines = (0..<ranks).map { ["\($0) init"] }
    var random = RandomStream(seed: seed, site: .simulation)
    var written = [Double](repeating: 0, count: kinds.count)
    for step in 1...max(count, 1) where count > 0 {
      // The kind of step that is furthest behind its share.
      let owed = kinds.indices.map { kinds[$0].share * Double(step) - written[$0] }
      let kind = kinds.indices.max { owed[$0] < owed[$1] } ?? 0
      written[kind] += 1
      let (shape, recorded) = (kinds[kind].shape, kinds[kind].ranks)
      for rank in 0..<ranks {
        let own = recorded[rank % recorded.count]
        let computing = own[random.below(own.count)]
        var operations = 0.0
        func compute() {
          let whole = (operations * Self.operationsPerSecond / 1e9).rounded()
          // A file may hold any times. No computer computes more than this in a step, and it fits an Int.
          if whole > 0 { lines[rank].append("\(rank) compute \(Int(min(whole, 1e18)))") }
          operations = 0
        }
        for (place, action) in shape.actions.enumerated() {
          operations += computing[place]
          guard action.isWait else { continue }
          let collective = shape.collectives[action.collective]
          if case .statistics = collective.purpose, !source.synchronizes { continue }
          compute()
          // The sum itself takes no computing here; 6 is SimGrid's number for MPI_BYTE.
          lines[rank].append("\(rank) allreduce \(collective.bytes) 0 6")
        }
        operations += computing[shape.actions.count]
        compute()
      }
    }
    try Self.make(folder)
    for rank in 0..<ranks {
      lines[rank].append("\(rank) finalize")
      try Self.write(lines[rank], to: "\(folder)/rank-\(rank).txt")
    }
    let index = "\(folder)/index.txt"
    try Self.write(
      (0..<ranks).map { "\(URL(fileURLWithPath: folder).path)/rank-\($0).txt" }, to: index)
    trace = folder
    self.index = index
    (self.ranks, self.steps) = (ranks, count)
    collectives = lines[0].count { $0.contains("allreduce") }
  }

  private static func make(_ folder: String) throws(OutputError) {
    do {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw OutputError(path: folder, reason: "the folder cannot be created")
    }
  }

  private static func write(_ lines: [String], to path: String) throws {
    let file = try OutputFile(path: path)
    try file.write(Data((lines.joined(separator: "\n") + "\n").utf8))
    try file.finish()
  }
}
