import Foundation
import LockstepFiles
import LockstepTraining

/// A run directory's `metrics.jsonl`, open for writing.
final class MetricsFile {
  private let file: FileHandle
  private let path: String

  /// Opens the file at `path` for appending.
  init(path: String) throws {
    self.path = path
    file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    try file.seekToEnd()
  }

  /// The open file.
  var descriptor: CInt { file.fileDescriptor }

  /// Adds a row.
  func append(_ row: some Encodable) throws {
    let line = Data((try jsonLine(row) + "\n").utf8)
    do {
      try file.write(contentsOf: line)
    } catch {
      throw OutputError(path: path, reason: reason(error), hasBegun: true)
    }
  }

  /// Cuts the file at `path` back to the state after `step` steps and the evaluation that followed them.
  ///
  /// The file is replaced once the new one is complete.
  ///
  /// - Returns: The steps and evaluations that are left, and how many damaged lines were left out.
  static func cutBack(path: String, to step: Int) throws(OutputError) -> (
    RunTally, [EvaluationMetrics], damaged: Int
  ) {
    var tally = RunTally()
    var evaluations: [EvaluationMetrics] = []
    var damaged = 0
    let output = try OutputFile(path: path)
    var data = Data()
    if FileManager.default.fileExists(atPath: path) {
      guard let contents = FileManager.default.contents(atPath: path) else {
        throw OutputError(path: path, reason: "its contents cannot be read")
      }
      data = contents
    }
    var kept = Data()
    let lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for line in lines.dropLast() {
      switch try? RunMetrics.Row(line) {
      case .step(let row):
        guard row.step <= step else { continue }
        tally.append(row)
      case .evaluation(let row):
        guard row.step <= step else { continue }
        evaluations.append(row)
      case nil:
        damaged += 1
        continue
      }
      kept += line + [UInt8(ascii: "\n")]
    }
    try output.write(kept)
    try output.finish()
    return (tally, evaluations, damaged)
  }
}
