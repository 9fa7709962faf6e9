public import ArgumentParser
import Foundation
import LockstepCollectives
import LockstepDataParallel
import LockstepFiles
import LockstepFloatLoops
import LockstepKernels
import LockstepMPIBackend
public import LockstepNorms

/// The command line of `lockstep`.
public struct LockstepCommand: ParsableCommand {
  /// The subcommands, and the help text about all of them.
  public static let configuration = CommandConfiguration(
    commandName: "lockstep",
    abstract: "Data-parallel training over MPI that measures what normalization costs.",
    discussion: """
      Every subcommand works alone and under `mpirun -n P lockstep …`; `Launch/run -n P -- \
      lockstep …` chooses the binding. Only rank 0 prints.

      Norms, by what they communicate: \(NormRegistry.namesByTraffic). sync-batch with every: k does so in every \
      k-th step; batch-renorm with synchronized: true as sync-batch does.

      Exit status: 0 done; 1 a parity case or a check failed; 2 bad usage, configuration or input; 3 a run \
      failed, or a result cannot be written; 75 training was interrupted by SIGTERM, SIGINT or SIGUSR1 and \
      wrote a checkpoint: start it again with --resume. After SIGTERM and SIGINT, launchers turn 75 into 0 or 1; \
      Launch/run keeps it.
      """,
    version: "lockstep 0.1.0",
    subcommands: [
      Train.self, Export.self, Sample.self, Compare.self, ReportCommand.self, TraceCommand.self,
      Predict.self,
      ClaimsCommand.self, Parity.self, Bench.self, Doctor.self,
    ])

  /// A command without parsed arguments.
  public init() {}

  /// Runs the same command line with your own `norms` beside the built-in ones.
  ///
  /// Their names are accepted wherever a norm's name is. It does not return.
  public static func main(norms: [any Norm.Type]) -> Never {
    let builtIn = NormRegistry.builtIn.map(ObjectIdentifier.init)
    do {
      for norm in norms where !builtIn.contains(ObjectIdentifier(norm)) {
        try NormRegistry.register(norm)
      }
    } catch {
      if LaunchEnvironment.current.rankHint == 0 { printError("Error: \(error)") }
      Foundation.exit(ExitStatus.badInput)
    }
    main()
    Foundation.exit(ExitStatus.done)
  }

  /// Parses, runs, and turns every error into one message and the exit status of its kind.
  public static func main() {
    StandardStreams.prepare()
    let isFirst = LaunchEnvironment.current.rankHint == 0
    do {
      let words = CommandLine.arguments.dropFirst()
      try checkSubcommand(words.first, of: configuration, others: ["help"])
      if words.first == Bench._commandName {
        try checkSubcommand(words.dropFirst().first, of: Bench.configuration)
      }
      var command = try parseAsRoot()
      if let local = command as? any LocalCommand, local.needsNoRanks {
        Foundation.exit(isFirst ? run(local) : ExitStatus.done)
      } else if let ranked = command as? any RankedCommand {
        run(ranked)
      } else {
        try command.run()
      }
    } catch {
      let isHelp = exitCode(for: error) == .success
      if isHelp { Foundation.exit(isFirst ? show(fullMessage(for: error)) : ExitStatus.done) }
      if isFirst { printError(fullMessage(for: error)) }
      Foundation.exit(ExitStatus.badInput)
    }
    Foundation.exit(ExitStatus.done)
  }

  /// Writes what --help and --version ask for, and returns the exit status.
  private static func show(_ text: String) -> Int32 {
    do {
      try StandardStreams.write(text + "\n")
      return ExitStatus.done
    } catch {
      printError("Error: \(error)")
      return ExitStatus.of(error)
    }
  }

  /// Runs a command without MPI, and returns the exit status.
  private static func run(_ command: any LocalCommand) -> Int32 {
    do {
      try checkEnvironment()
      return try command.run(Console(isFirst: true))
    } catch {
      printError("Error: \(error)")
      return ExitStatus.of(error)
    }
  }

  /// Names the subcommand nearest to a misspelt one.
  private static func checkSubcommand(
    _ word: String?, of command: CommandConfiguration, others: [String] = []
  ) throws {
    let names = command.subcommands.map { $0._commandName } + others
    guard let word, !word.hasPrefix("-"), !names.contains(word) else { return }
    throw ValidationError("unknown subcommand \"\(word)\"" + suggestion(word, names))
  }

  /// Runs a command on every rank, and ends all ranks alike.
  private static func run(_ command: any RankedCommand) -> Never {
    RankedProgram.run { world in
      let session = try Session(world, checksCollectives: command.checksCollectives)
      try session.agreeing { try checkEnvironment() }
      return try command.run(session)
    }
  }

  private static func checkEnvironment() throws(ConfigurationError) {
    guard let name = Kernel.requestedInstructionSet else { return }
    let names = Kernel.available.map(\.name)
    guard names.contains(name) else {
      throw ConfigurationError(
        "LOCKSTEP_INSTRUCTION_SET",
        "is \"\(name)\", but this processor has \(names.joined(separator: ", "))")
    }
  }
}
