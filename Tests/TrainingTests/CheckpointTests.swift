import Foundation
import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepFiles
import LockstepNorms
import LockstepRuns
import LockstepSafetensors
import LockstepTensors
import LockstepTraining
import Spawning
import Testing

/// What a checkpoint file holds, and what is not taken for one.
@Suite struct CheckpointTests {
  /// A run after two steps, and its checkpoint.
  private func checkpoint(_ norm: NormKind = .syncBatch) throws -> (Checkpoint, StateDictionary) {
    let configuration = try smallRun(norm, steps: 4)
    let run = try TrainingRun(
      configuration, data: try configuration.loadData(), context: RankContext(Solo()))
    for _ in 0..<2 { _ = try run.step() }
    return (try #require(try run.checkpoint()), try run.state())
  }

  private func bytes(_ tensors: [String: SafetensorsFile.Value]) throws -> Data {
    try SafetensorsFile.encode(tensors, metadata: [:])
  }

  @Test func whatIsWrittenIsReadBack() throws {
    let (checkpoint, _) = try checkpoint()
    let again = try Checkpoint(try checkpoint.encoded(), path: "memory")
    #expect(again.step == 2 && again.optimizerSteps == 2 && again.ranks == 1 && again.seed == 3)
    #expect(again.configuration == checkpoint.configuration)
    #expect(try bytes(again.tensors) == bytes(checkpoint.tensors))
  }

  @Test func itsModelIsAPlainStateDictionary() throws {
    try withTemporaryFolder { folder in
      let (checkpoint, state) = try checkpoint()
      try checkpoint.encoded().write(to: URL(fileURLWithPath: folder + "/checkpoint"))
      let read = try StateDictionary(path: folder + "/checkpoint")
      #expect(try bytes(read.tensors) == bytes(state.tensors))
      try StateDictionary(checkpoint).write(to: folder + "/plain")
      let plain = try SafetensorsFile(path: folder + "/plain")
      #expect(plain.metadata == ["format": "pt"])
      #expect(try bytes(plain.tensors) == bytes(state.tensors))
    }
  }

  /// A checkpoint that says something else, with the digest of that.
  private func forged(_ good: Data, _ key: String, _ value: String) throws -> Data {
    let file = try SafetensorsFile(good, path: "good")
    let zeros = String(repeating: "0", count: 64)
    var metadata = file.metadata
    metadata["lockstep.\(key)"] = value
    metadata["lockstep.sha256"] = zeros
    var forged = try SafetensorsFile.encode(file.tensors, metadata: metadata)
    try withTemporaryFolder { folder in
      try forged.write(to: URL(fileURLWithPath: folder + "/forged"))
      let digest = try spawn(["sha256sum", folder + "/forged"]).output.prefix(64)
      let place = try #require(forged.range(of: Data(zeros.utf8)))
      forged.replaceSubrange(place, with: Data(digest.utf8))
    }
    return forged
  }

  @Test(arguments: ["step", "optimizer_steps", "ranks"])
  func numbersThatNoRunReachesAreRefused(key: String) throws {
    let good = try checkpoint(.layer).0.encoded()
    #expect(try Checkpoint(forged(good, key, "7"), path: "forged").seed == 3)
    for value in ["9223372036854775807", "2147483648", "-1", "99999999999999999999"] {
      #expect {
        _ = try Checkpoint(forged(good, key, value), path: "forged")
      } throws: {
        "\($0)" == "forged: lockstep.\(key) is \"\(value)\", expected 0 to 2147483647"
      }
    }
  }

  @Test func everyFlippedBitOfTheHeaderIsNoticed() throws {
    let good = try checkpoint(.layer).0.encoded()
    let length = good.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    var wrong = good
    for bit in 0..<(8 + length) * 8 {
      wrong[bit / 8] ^= 1 << (bit % 8)
      #expect(throws: StateError.self, "bit \(bit)") { try Checkpoint(wrong, path: "flipped") }
      wrong[bit / 8] ^= 1 << (bit % 8)
    }
    #expect(wrong == good)
    #expect(try Checkpoint(wrong, path: "good").step == 2)
  }

  @Test func flippedBitsOfTheDataAndMissingOrAdditionalBytesAreNoticed() throws {
    let good = try checkpoint(.layer).0.encoded()
    var random = RandomStream(seed: 5, site: .synthetic)
    for _ in 0..<2000 {
      var wrong = good
      let bit = random.below(good.count * 8)
      wrong[bit / 8] ^= 1 << (bit % 8)
      #expect(throws: StateError.self, "bit \(bit)") { try Checkpoint(wrong, path: "flipped") }
    }
    for count in Array(0..<min(4096, good.count)) + (0..<200).map({ _ in random.below(good.count) })
    {
      #expect(throws: StateError.self) { try Checkpoint(good.prefix(count), path: "cut") }
    }
    #expect(throws: StateError.self) { try Checkpoint(good + [0], path: "longer") }
  }

  @Test func anotherLetterCaseOfTheDigestIsAnotherDigest() throws {
    let good = try checkpoint(.layer).0.encoded()
    let mark = try #require(good.range(of: Data("lockstep.sha256\":\"".utf8)))
    let digits = mark.upperBound..<mark.upperBound + 64
    var wrong = good
    let letter = try #require(digits.first { good[$0] >= UInt8(ascii: "a") })
    wrong[letter] ^= 0x20
    #expect(throws: StateError.self) { try Checkpoint(wrong, path: "capital") }
  }

  @Test func aFileWithoutDigestIsAStateButNoCheckpoint() throws {
    try withTemporaryFolder { folder in
      let (checkpoint, state) = try checkpoint()
      let plain = try SafetensorsFile.encode(
        checkpoint.tensors, metadata: ["lockstep.step": "2", "lockstep.version": "1"])
      #expect {
        _ = try Checkpoint(plain, path: "plain.safetensors")
      } throws: {
        "\($0)".hasPrefix("plain.safetensors: has no digest")
      }
      for length in [0, 7, 8, 20] {
        #expect {
          _ = try Checkpoint(Data(plain.prefix(length)), path: "cut")
        } throws: {
          "\($0)" == "cut: is damaged: it ends within its header"
        }
      }
      try state.write(to: folder + "/state")
      #expect(try bytes(StateDictionary(path: folder + "/state").tensors) == bytes(state.tensors))
    }
  }

  @Test func tensorsBeginAtMultiplesOfTheirElementsSize() throws {
    let data = try SafetensorsFile.encode(
      [
        "a": .uint8([1, 2, 3], shape: [3]), "b": .float32(Tensor([1], shape: [1])),
        "c": .int64([5], shape: []),
      ], metadata: [:])
    let text = String(decoding: data.dropFirst(8), as: UTF8.self)
    #expect(text.contains(#""c":{"data_offsets":[0,8]"#))
    #expect(text.contains(#""b":{"data_offsets":[8,12]"#))
    #expect(text.contains(#""a":{"data_offsets":[12,15]"#))
  }
}
