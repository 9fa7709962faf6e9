import ArgumentParser
import Foundation
import LockstepCollectives
import LockstepDataParallel
import LockstepFiles
import LockstepFloatLoops
import LockstepKernels
import LockstepMPIBackend
import LockstepMachine

/// `lockstep doctor`.
struct Doctor: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Say what lockstep runs on: libraries, launcher, instruction sets, cores, binding, noise.")

  @OptionGroup var output: OutputOptions

  @Option(
    help: ArgumentHelp(
      "Write the noise of rank 0's processor (what takes it away) to a file, for `predict --noise FILE`.",
      valueName: "file"))
  var noise: String?

  /// How long each rank's processor is watched, in seconds.
  private static let watch = 1.5

  private struct Report: Codable {
    let lockstep: String
    let mpi: String
    let mpiStandard: String
    let mpiHeaders: String
    let launcher: String
    let onednn: String
    let onednnInstructionSet: String
    let bfloat16: String
    let kernels: String
    let kernelsAvailable: [String]
    package let ranks: [RankPlace]
    let oversubscribedHosts: [String]
    let neighbours: [MachineLoad]
    let steadiness: [MachineSteadiness]
    let notes: [String]

    private enum CodingKeys: String, CodingKey {
      case lockstep, mpi, launcher, onednn, bfloat16, kernels, ranks, neighbours, steadiness, notes
      case mpiStandard = "mpi_standard"
      case mpiHeaders = "mpi_headers"
      case onednnInstructionSet = "onednn_instruction_set"
      case kernelsAvailable = "kernels_available"
      case oversubscribedHosts = "oversubscribed_hosts"
    }
  }

  func run(_ session: Session) throws -> Int32 {
    let output = try noise.map { path in
      try session.agreeing { session.isFirst ? try OutputFile.named(path) : nil }
    }
    let ranks = try session.notePlaces()
    let loads = try session.machineLoads()
    let steadiness = try session.steadiness(seconds: Self.watch)
    if let output {
      try session.agreeing {
        guard let output, let noise = steadiness.first?.noise else { return }
        try output.write(Data(try jsonDocument(noise).utf8 + [10]))
        try output.finish()
      }
    }
    var notes: [String] = []
    if !OneDNN.isBuiltIn {
      notes.append(
        "built without oneDNN: matrix products and convolutions are several times slower")
    } else if !OneDNN.isUsed {
      notes.append("LOCKSTEP_ONEDNN=off: matrix products and convolutions are several times slower")
    }
    if Kernel.table.name == "baseline" || Kernel.table.name == "reference" {
      notes.append("the \(Kernel.table.name) kernels are in use: norms are several times slower")
    }
    notes += RankPlace.notes(ranks)
    let report = Report(
      lockstep: LockstepCommand.configuration.version, mpi: MPIRuntime.version,
      mpiStandard: MPIRuntime.standardVersion, mpiHeaders: MPIRuntime.headerVersion,
      launcher: LaunchEnvironment.current.launcher(of: MPIRuntime.library),
      onednn: OneDNN.version ?? "not built in",
      onednnInstructionSet: OneDNN.instructionSet ?? "–", bfloat16: OneDNN.bfloat16.text,
      kernels: Kernel.table.name,
      kernelsAvailable: Kernel.available.map(\.name), ranks: ranks,
      oversubscribedHosts: RankPlace.crowdedHosts(ranks), neighbours: loads,
      steadiness: steadiness, notes: notes)
    try session.print(
      self.output.json ? try jsonDocument(report) : text(report), about: noise ?? "")
    return ExitStatus.done
  }

  private func text(_ report: Report) -> String {
    let ranks = zip(report.ranks, report.steadiness).flatMap { place, steadiness in
      ["  \(place.text)", "    \(steadiness.text)"]
    }
    let notes = report.notes.map { "note: \($0)" }
    return
      ([
        report.lockstep,
        "MPI       \(report.mpi) (standard \(report.mpiStandard)), built with \(report.mpiHeaders)",
        "launcher  \(report.launcher)",
        "oneDNN    \(report.onednn), \(report.onednnInstructionSet)",
        "bfloat16  \(report.bfloat16)",
        "kernels   \(report.kernels) of \(report.kernelsAvailable.joined(separator: ", "))",
        "ranks     \(report.ranks.count)",
      ] + ranks + report.neighbours.compactMap(\.text) + notes).joined(separator: "\n")
  }
}
