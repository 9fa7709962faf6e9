import ArgumentParser
import Foundation
import LockstepFiles
import LockstepMPIBackend
import LockstepPrediction
import LockstepReports

/// `lockstep report`.
struct ReportCommand: ParsableCommand, LocalCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Write one HTML page about what runs cost and reached.",
    discussion: """
      The page refers to nothing outside itself. It shows the table of norms, where a step's time goes, loss \
      and accuracy, and for each run the cost by layer and the median step on all ranks. A folder of \
      several runs, as written by compare --run-dir, stands for the runs in it.
      """)

  @Argument(help: "Run directories, or folders of them.")
  var runs: [String]

  @Option(
    help: ArgumentHelp("The file (default: report.html in the first folder).", valueName: "file"))
  var output: String?

  @Option(
    help: ArgumentHelp(
      FabricOption.help + " Step times on more ranks are predicted for it; may be repeated.",
      valueName: "name|file"))
  var fabric: [FabricOption] = ["10gbe", "ib-100"].compactMap(FabricOption.init)

  @Flag(
    help: """
      Print the figures as one JSON document on standard output and nothing else there; the page is \
      written where --output names a file.
      """)
  var json = false

  func run(_ console: Console) throws -> Int32 {
    try console.print(try write(), about: output ?? "")
    return ExitStatus.done
  }

  /// Writes the page, and returns what is to be printed.
  private func write() throws -> String {
    let report = try RunReport(
      paths: runs,
      predictingOn: fabric.map { NetworkModel(try $0.read(), library: MPIRuntime.library) })
    var lines = report.notes.map { "note: \($0)" }
    if output != nil || !json {
      let path = output ?? "\(runs[0])/report.html"
      let page = Data(try ReportPage(report).html.utf8)
      let file = try OutputFile.named(path)
      try file.write(page)
      try file.finish()
      lines.append(
        "\(path): \(report.runs.map(\.label).joined(separator: ", ")), "
          + "\(fixed(Double(page.count) / 1e3, 0)) kB")
    }
    return json ? try jsonDocument(report) : lines.joined(separator: "\n")
  }
}
