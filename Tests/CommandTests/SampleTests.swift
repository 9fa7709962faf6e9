import Foundation
import Spawning
import Testing

/// `lockstep sample` on a run of an LSTM.
@Suite struct SampleTests {
  @Test func anLSTMWritesTextsLongerThanItsContext() throws {
    try withTemporaryFolder { folder in
      let text = (0..<400).map { "line \($0 % 7) of a text\n" }.joined()
      try text.write(toFile: "\(folder)/text", atomically: true, encoding: .utf8)
      let trained = try spawn([
        executable("lockstep"), "train", "\(packageRoot)/Configs/shakespeare-lstm.yaml", "--set",
        "data.path=\(folder)/text", "--set", "model.context=8", "--set", "model.width=16",
        "--set", "steps=3", "--run-dir", "\(folder)/run",
      ])
      #expect(trained.status == 0, "\(trained.errors)")
      func sample(_ prompt: String, _ tokens: Int) throws -> String {
        let sampled = try spawn([
          executable("lockstep"), "sample", "\(folder)/run", "--prompt", prompt, "--tokens",
          "\(tokens)", "--temperature", "0",
        ])
        #expect(sampled.status == 0, "\(sampled.errors)")
        return String(sampled.output.dropLast())
      }
      let prompt = "line 1 of a text"
      let whole = try sample(prompt, 40)
      #expect(whole.hasPrefix(prompt) && whole.count == prompt.count + 40)
      // What the state says after many tokens is what it says of the same text as a prompt.
      #expect(try sample(try sample(prompt, 25), 15) == whole)
    }
  }
}
