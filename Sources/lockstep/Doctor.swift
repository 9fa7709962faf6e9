import ArgumentParser
import Collectives
import KernelLoops
import Kernels
import MPIBackend
import Training

/// `lockstep doctor`.
struct Doctor: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Say what lockstep runs on: libraries, launcher, instruction sets, cores, binding.")

  @OptionGroup var output: OutputOptions

  private struct Report: Codable {
    let lockstep: String
    let mpi: String
    let mpi_standard: String
    let launcher: String
    let onednn: String
    let onednn_instruction_set: String
    let kernels: String
    let kernels_available: [String]
    let ranks: [RankPlace]
    let oversubscribed_hosts: [String]
    let notes: [String]
  }

  func run(_ session: Session) throws -> Int32 {
    let ranks = try RankPlace.gather(session)
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
      lockstep: Lockstep.configuration.version, mpi: MPIRuntime.version,
      mpi_standard: MPIRuntime.standardVersion,
      launcher: LaunchEnvironment.current.launcherName ?? "none (started alone)",
      onednn: OneDNN.version ?? "not built in",
      onednn_instruction_set: OneDNN.instructionSet ?? "–", kernels: Kernel.table.name,
      kernels_available: Kernel.available.map(\.name), ranks: ranks,
      oversubscribed_hosts: RankPlace.crowdedHosts(ranks), notes: notes)
    try session.print(output.json ? try jsonDocument(report) : text(report))
    return ExitStatus.done
  }

  private func text(_ report: Report) -> String {
    let ranks = report.ranks.map { "  \($0.text)" }
    let notes = report.notes.map { "note: \($0)" }
    return
      ([
        report.lockstep, "MPI       \(report.mpi) (standard \(report.mpi_standard))",
        "launcher  \(report.launcher)",
        "oneDNN    \(report.onednn), \(report.onednn_instruction_set)",
        "kernels   \(report.kernels) of \(report.kernels_available.joined(separator: ", "))",
        "ranks     \(report.ranks.count)",
      ] + ranks + notes).joined(separator: "\n")
  }
}
