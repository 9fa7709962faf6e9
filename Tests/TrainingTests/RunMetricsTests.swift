import Foundation
import LockstepFiles
import LockstepRuns
import Spawning
import Testing

/// Rows of metrics that a run did not write.
@Suite struct RunMetricsTests {
  private static func row(bytes: String = "8", step: String = "1", time: String = "1") -> String {
    let traffic = #"{"collectives": 1, "bytes": \#(bytes), "blocked_ms": 0}"#
    return #"{"step": \#(step), "epoch": 1, "loss": 1, "accuracy": 0, "learningRate": 1, "#
      + #""samples": 4, "step_ms": \#(time), "blocked_ms": 0, "statistics": \#(traffic), "#
      + #""gradients": \#(traffic)}"# + "\n"
  }

  private func read(_ rows: String) throws -> RunMetrics {
    try withTemporaryFolder { folder in
      try Data(rows.utf8).write(to: URL(fileURLWithPath: folder + "/metrics.jsonl"))
      return try RunMetrics(run: folder)
    }
  }

  @Test(arguments: [
    row(bytes: "9223372036854775807"), row(bytes: "-1"), row(step: "9223372036854775807"),
    row(time: "1e300"), row(time: "-1"), row(time: "\"nan\""),
    #"{"split": "test", "step": -5, "loss": 1, "accuracy": 1}"# + "\n",
  ])
  func figuresThatNoRunHasAreDamage(bad: String) throws {
    #expect(try read(Self.row()).steps.count == 1)
    let error = #expect(throws: ConfigurationError.self) { _ = try read(Self.row() + bad) }
    #expect(error?.description.contains("metrics.jsonl:2: is damaged") ?? false)
  }
}
