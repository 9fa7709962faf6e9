import ArgumentParser
import LockstepFiles
import LockstepModels
import LockstepRuns
import Logging

/// `lockstep sample`.
struct Sample: ParsableCommand, LocalCommand {
  static let configuration = CommandConfiguration(
    abstract: "Continue a text with the language model of a run directory.")

  @Argument(help: "The run directory.")
  var run: String

  @Option(help: "How the text begins.")
  var prompt: String

  @Option(help: "How many tokens to add.")
  var tokens = 200

  @Option(help: "Below 1 favours likely tokens, above 1 unlikely ones; 0 takes the likeliest.")
  var temperature = 1.0

  @Option(help: "The seed of the random draws.")
  var seed: UInt64 = 1

  func validate() throws {
    try limit("--tokens", tokens)
    guard temperature >= 0, temperature.isFinite else {
      throw ValidationError("--temperature is \(temperature), expected 0 or more.")
    }
  }

  func run(_ console: Console) throws -> Int32 {
    let sampler = try TextSampler(run: run)
    for problem in sampler.problems { console.log.warning("\(problem)") }
    try console.print(
      try sampler.text(prompt: prompt, count: tokens, temperature: temperature, seed: seed))
    return ExitStatus.done
  }
}
