import Foundation
import LockstepFiles
import LockstepRuns
import Spawning
import Testing

/// Rows of metrics that a run did not write.
@Suite struct RunMetricsTests {
  private static func row(
    bytes: String = "8", step: String = "1", time: String = "1", samples: Int = 4, round: Int? = nil
  ) -> String {
    let traffic = #"{"collectives": 1, "bytes": \#(bytes), "blocked_ms": 0}"#
    return #"{"step": \#(step), "epoch": 1, "loss": 1, "accuracy": 0, "learningRate": 1, "#
      + (round.map { "\"round\": \($0), " } ?? "")
      + #""samples": \#(samples), "step_ms": \#(time), "blocked_ms": 0, "statistics": \#(traffic), "#
      + #""gradients": \#(traffic)}"# + "\n"
  }

  private func read(_ rows: String) throws -> RunMetrics {
    try withTemporaryFolder { folder in
      try Data(rows.utf8).write(to: URL(fileURLWithPath: folder + "/metrics.jsonl"))
      return try RunMetrics(run: folder)
    }
  }

  @Test func ofARunThatTookTurnsTheStepsThatAreTimedAreUsual() throws {
    let alone = (1...4).map { Self.row(step: "\($0)", samples: $0 == 4 ? 2 : 4) }
    #expect(try read(alone.joined()).usualSteps() == [1, 2, 3])
    let longer = (1...9).map { Self.row(step: "\($0)") }
    #expect(
      try read(longer.joined()).usualSteps() == [4, 5, 6, 7, 8, 9], "the first three are cold")
    let turns = (1...9).map {
      Self.row(step: "\($0)", samples: $0 == 9 ? 2 : 4, round: $0 % 4 == 1 ? nil : $0 / 4)
    }
    #expect(try read(turns.joined()).usualSteps() == [2, 3, 4, 6, 7, 8])
    let after = (10...20).map { Self.row(step: "\($0)") }
    #expect(
      try read((turns + after).joined()).usualSteps() == Set(13...20), "the run went on alone")
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
