import Foundation
import LockstepAutograd
import LockstepCheckpoints
import LockstepConfiguration
import LockstepDatasets
import LockstepFiles
import LockstepModels
import LockstepNorms
import LockstepTensors

/// A trained transformer or LSTM from a run directory, which writes text.
public struct TextSampler {
  private let model: Model
  private let vocabulary: Vocabulary
  private let context: Int
  /// What is wrong with newer checkpoints.
  public let problems: [String]

  /// Opens the newest good checkpoint of a run.
  ///
  /// - Throws: ``ConfigurationError`` if `path` is not a run directory, or the run's model does not write
  ///   text; ``StateError`` if the checkpoint does not fit the model.
  public init(run path: String) throws {
    let configuration = try RunConfiguration(path: "\(path)/config.yaml")
    guard let length = configuration.model.context else {
      throw ConfigurationError(path, "the run's model takes images; only one of tokens writes text")
    }
    guard let data = FileManager.default.contents(atPath: "\(path)/vocabulary.json") else {
      throw ConfigurationError(
        path, "the run has no vocabulary.json: its data are token shards of unknown characters")
    }
    guard let vocabulary = try? JSONDecoder().decode(Vocabulary.self, from: data),
      (1...65_536).contains(vocabulary.characters.count)
    else {
      throw ConfigurationError("\(path)/vocabulary.json", "is damaged: it holds no vocabulary")
    }
    self.vocabulary = vocabulary
    let found = try CheckpointFolder(run: path).newest()
    problems = found.problems
    guard let checkpoint = found.checkpoint else {
      throw ConfigurationError(path, "the run has no checkpoint yet")
    }
    context = length
    model = configuration.model.make(
      input: [length], classes: vocabulary.characters.count, seed: 0, synchronized: .thisRank)
    try StateDictionary(checkpoint).load(into: model)
  }

  /// Returns `prompt` followed by `count` tokens from the model.
  ///
  /// Each token is drawn from the model's probabilities to the power of 1 / temperature. At a temperature of
  /// 0 it is the likeliest one. A transformer sees as much of the text as fits into its context; an LSTM goes on
  /// from its state, one token at a time, and has no such limit.
  ///
  /// - Throws: ``ConfigurationError`` if the prompt is empty, has an unknown character, or is longer
  ///   than a transformer's context; ``StateError`` if the model's output is not finite.
  public func text(prompt: String, count: Int, temperature: Double, seed: UInt64) throws -> String {
    var tokens: [Int]
    switch vocabulary.encode(prompt) {
    case .success(let codes): tokens = codes.map { Int($0) }
    case .failure(let unknown):
      throw ConfigurationError(
        "--prompt",
        "\"\(unknown.character)\" is not among the run's "
          + "\(vocabulary.characters.count) characters")
    }
    guard !tokens.isEmpty else {
      throw ConfigurationError("--prompt", "is empty, expected at least one character")
    }
    let state = model.initialState
    guard state != nil || tokens.count <= context else {
      throw ConfigurationError(
        "--prompt", "has \(tokens.count) tokens, but the model's context is only \(context)")
    }
    for position in 0..<count {
      let window = tokens.suffix(state.map { tokens.count - $0.steps } ?? context)
      let tape = Tape(.evaluation)
      let x = tape.input(Tensor(window.map { Float($0) }, shape: [1, window.count]))
      let logits = try state.map { try model(x, carrying: $0, on: tape) } ?? model(x, on: tape)
      let row = logits.value.elements.suffix(vocabulary.characters.count)
      guard row.allSatisfy(\.isFinite) else {
        throw StateError(
          description:
            "the model's output is not finite, so no character is likelier than another; "
            + "its run has diverged")
      }
      var random = RandomStream(seed: seed, site: .sampling, step: position)
      tokens.append(Self.draw(Array(row), temperature: temperature, using: &random))
    }
    return vocabulary.decode(tokens)
  }

  private static func draw(
    _ logits: [Float], temperature: Double, using random: inout RandomStream
  ) -> Int {
    let top = logits.indices.max { logits[$0] < logits[$1] } ?? 0
    guard temperature > 0 else { return top }
    let weights = logits.map { exp((Double($0) - Double(logits[top])) / temperature) }
    var left = Double(random.uniform()) * weights.reduce(0, +)
    for (token, weight) in weights.enumerated() {
      left -= weight
      if left < 0 { return token }
    }
    return top
  }
}
