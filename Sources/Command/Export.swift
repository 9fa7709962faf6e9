import ArgumentParser
import Foundation
import LockstepCheckpoints
import LockstepConfiguration
import LockstepFiles
import LockstepRuns
import Logging

/// `lockstep export`.
struct Export: ParsableCommand, LocalCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the model of a run as a plain state_dict.",
    discussion: """
      The file has the parameters and running statistics of a checkpoint under PyTorch's names, as \
      safetensors. safetensors.torch.load_file and train --init-from read it.
      """)

  @Argument(help: "The run directory.")
  var run: String

  @Option(
    help: ArgumentHelp(
      "The file; an existing one is replaced (default: model.safetensors in the run directory).",
      valueName: "file"))
  var output: String?

  @Option(help: "The step whose checkpoint is taken (default: the newest good one).")
  var step: Int?

  func run(_ console: Console) throws -> Int32 {
    let path = output ?? "\(run)/model.safetensors"
    let (text, problems) = try write(to: path)
    for problem in problems { console.log.warning("\(problem)") }
    try console.print(text, about: path)
    return ExitStatus.done
  }

  /// Writes the file, and returns the messages to print.
  private func write(to path: String) throws -> (text: String, problems: [String]) {
    let (checkpoint, problems) = try read()
    let model = try RunConfiguration(
      yaml: checkpoint.configuration, name: "lockstep.configuration"
    ).model
    let state = StateDictionary(checkpoint).spellingOut(model.tiedParameters)
    try state.write(to: path)
    return ("\(path): \(state.tensors.count) tensors of step \(checkpoint.step)", problems)
  }

  private func read() throws -> (Checkpoint, problems: [String]) {
    guard FileManager.default.fileExists(atPath: "\(run)/config.yaml") else {
      let isRecorded = FileManager.default.fileExists(atPath: "\(run)/\(RunDescription.file)")
      throw ConfigurationError(
        run,
        isRecorded
          ? "was recorded by a custom program: it has no model to export"
          : "is not a run directory: it has no config.yaml")
    }
    let folder = CheckpointFolder(run: run)
    if let step {
      guard folder.steps.contains(step) else {
        let steps = folder.steps.map(String.init).joined(separator: ", ")
        throw ConfigurationError(
          "--step",
          "is \(step); the run has checkpoints of \(steps.isEmpty ? "no step" : steps); name one of them"
        )
      }
      return (try folder.read(step: step), [])
    }
    let (newest, problems) = try folder.newest()
    guard let newest else { throw ConfigurationError(run, "the run has no checkpoint yet") }
    return (newest, problems)
  }
}
