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

/// How results are printed.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print one JSON document on standard output and nothing else there.")
  var json = false
}
