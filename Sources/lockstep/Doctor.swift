import ArgumentParser
import Collectives
import Foundation
import KernelLoops
import Kernels
import MPIBackend
import Training

/// `lockstep doctor`.
struct Doctor: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Say what lockstep runs on: libraries, launcher, instruction sets, cores, binding.")

  @OptionGroup var output: OutputOptions

  /// Where one rank runs.
  private struct Rank: Codable {
    let rank: Int
    let host: String
    let cores: String
    let core_count: Int
    let online_cores: Int
  }

  private struct Report: Codable {
    let lockstep: String
    let mpi: String
    let mpi_standard: String
    let launcher: String
    let onednn: String
    let onednn_instruction_set: String
    let kernels: String
    let kernels_available: [String]
    let ranks: [Rank]
    let oversubscribed_hosts: [String]
    let notes: [String]
  }

  func run(_ session: Session) throws -> Int32 {
    let mine = Rank(
      rank: session.context.rank, host: ProcessInfo.processInfo.hostName,
      cores: Self.allowedCores, core_count: Self.count(Self.allowedCores),
      online_cores: ProcessInfo.processInfo.processorCount)
    let texts = try session.context.control.allGather(try jsonDocument(mine))
    let ranks = try texts.map { try JSONDecoder().decode(Rank.self, from: Data($0.utf8)) }
    let hosts = Dictionary(grouping: ranks, by: \.host)
    let crowded = hosts.filter { _, ranks in Self.oversubscribes(ranks) }.keys.sorted()
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
    if !crowded.isEmpty {
      notes.append(
        "ranks share cores on \(crowded.joined(separator: ", ")): they wait for each other's time "
          + "slices, and no time measured so means anything")
    }
    if let unbound = ranks.first(where: { $0.core_count > 1 && ranks.count > 1 }), crowded.isEmpty {
      notes.append(
        "rank \(unbound.rank) may run on \(unbound.core_count) cores: bind ranks to cores "
          + "(`Launch/run`, or `mpirun --bind-to core`) before measuring")
    }
    let report = Report(
      lockstep: Lockstep.configuration.version, mpi: MPIRuntime.version,
      mpi_standard: MPIRuntime.standardVersion,
      launcher: LaunchEnvironment.current.launcherName ?? "none (started alone)",
      onednn: OneDNN.version ?? "not built in",
      onednn_instruction_set: OneDNN.instructionSet ?? "–", kernels: Kernel.table.name,
      kernels_available: Kernel.available.map(\.name), ranks: ranks,
      oversubscribed_hosts: crowded, notes: notes)
    session.print(output.json ? try jsonDocument(report) : text(report))
    return ExitStatus.done
  }

  private func text(_ report: Report) -> String {
    let ranks = report.ranks.map {
      "  rank \($0.rank) on \($0.host), core(s) \($0.cores) of \($0.online_cores)"
    }
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

  /// Whether the ranks of one host are more than the cores that they may use.
  private static func oversubscribes(_ ranks: [Rank]) -> Bool {
    let cores = Set(ranks.flatMap { coreNumbers($0.cores) })
    let pinned = ranks.filter { $0.core_count == 1 }.map(\.cores)
    return ranks.count > cores.count || Set(pinned).count < pinned.count
  }

  /// The cores that this process may run on, as the system writes them: "0-3,8".
  private static var allowedCores: String {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
    return line?.split(whereSeparator: \.isWhitespace).last.map(String.init) ?? "unknown"
  }

  private static func count(_ list: String) -> Int { coreNumbers(list).count }

  private static func coreNumbers(_ list: String) -> [Int] {
    list.split(separator: ",").flatMap { part -> [Int] in
      let ends = part.split(separator: "-").compactMap { Int($0) }
      guard let first = ends.first, let last = ends.last, first <= last else { return [] }
      return Array(first...last)
    }
  }
}
