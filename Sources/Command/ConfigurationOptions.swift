import ArgumentParser

/// The configuration that a command works on.
struct ConfigurationOptions: ParsableArguments {
  @Argument(help: "The run configuration, a YAML file.")
  var configuration: String

  @Option(
    name: .long, parsing: .singleValue,
    help: ArgumentHelp(
      "Replace a value of the configuration; may be repeated.", valueName: "key.path=value"))
  var set: [String] = []
}

/// What is checked while a network is trained.
struct CheckOptions: ParsableArguments {
  /// What can be checked.
  enum Check: String, CaseIterable, ExpressibleByArgument {
    case collectives
  }

  @Option(
    help: ArgumentHelp(
      "With `collectives`, ranks agree on every collective before it starts. A mismatch ends the run before "
        + "it can hang or corrupt anything, with a message that names the layer and the ranks. Nothing "
        + "overlaps then, so a step takes longer; its results are the same bits.",
      valueName: "what"))
  var check: Check?

  /// Whether every collective is checked.
  var checksCollectives: Bool { check == .collectives }
}

/// How results are printed.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print one JSON document on standard output and nothing else there.")
  var json = false
}

/// Throws unless the number given with `option` is from `least` to `most`.
func limit(_ option: String, _ number: Int, from least: Int = 1, to most: Int = 1_000_000) throws {
  guard number < least || number > most else { return }
  throw ValidationError("\(option) is \(number), expected \(least) to \(most).")
}
