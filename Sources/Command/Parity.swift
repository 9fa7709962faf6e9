import ArgumentParser
import Foundation
import LockstepDataParallel
import LockstepFiles
import LockstepParity
import LockstepSafetensors

/// `lockstep parity`.
struct Parity: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Replay cases or trajectories of another framework and report every tensor's error.",
    discussion: "Exit status 1 if any case failed.")

  @Argument(help: "safetensors files of cases or of a trajectory.")
  var files: [String]

  @OptionGroup var output: OutputOptions

  func run(_ session: Session) throws -> Int32 {
    let files = try session.agreeing { try self.files.map { try SafetensorsFile(path: $0) } }
    let report = try ParityReport.replay(files, context: session.context)
    if output.json {
      try session.print(try jsonDocument(report))
    } else {
      var table = Table(["case", "layer", "", "tolerance", "errors"])
      for result in report.cases {
        let errors = result.errors.sorted { $0.key < $1.key }.map {
          "\($0.key) \($0.value.formatted(.number.notation(.scientific).precision(.significantDigits(2))))"
        }
        table.append([
          result.name, result.layer, result.passed ? "passed" : "FAILED", "\(result.tolerance)",
          errors.joined(separator: ", "),
        ])
      }
      try session.print(
        "\(table.text)\n\n\(report.cases.count - report.failed) passed, \(report.failed) failed, on \(report.ranks) rank(s)"
      )
    }
    return report.failed == 0 ? ExitStatus.done : ExitStatus.mismatch
  }
}
