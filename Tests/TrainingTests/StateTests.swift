import Foundation
import LockstepAutograd
import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepFiles
import LockstepModels
import LockstepNorms
import LockstepRuns
import LockstepSafetensors
import LockstepTensors
import LockstepTraining
import Spawning
import Testing

@Suite struct StateTests {
  private func replica(_ norm: NormKind, from state: StateDictionary? = nil) throws -> TrainingRun {
    let run = try smallRun(norm, steps: 4)
    return try TrainingRun(
      run, data: try run.loadData(), context: RankContext(Solo()), initialState: state)
  }

  @Test(arguments: [
    (NormKind.batch, NormKind.syncBatch), (.syncBatch, .batch), (.batch, .batchRenorm),
  ])
  func aStateOfOneBatchNormOpensUnderTheOther(from: NormKind, to: NormKind) throws {
    try withTemporaryFolder { folder in
      let first = try replica(from)
      for _ in 0..<3 { _ = try first.step() }
      try first.state().write(to: folder + "/state.safetensors")
      let second = try replica(
        to, from: StateDictionary(path: folder + "/state.safetensors"))
      #expect(try second.evaluate() == first.evaluate())
      #expect(second.model.counters.allSatisfy { $0.value == 3 })
    }
  }

  @Test func aStateOfAnotherModelIsRefusedByName() throws {
    let state = try replica(.layer).state()
    #expect {
      _ = try replica(.syncBatch, from: state)
    } throws: {
      "\($0)".contains("running_mean")
    }
    let more = try replica(.syncBatch).state()
    #expect {
      _ = try replica(.layer, from: more)
    } throws: {
      "\($0)".contains("the model has no")
    }
  }

  @Test(arguments: [Int64.max, -1])
  func aCounterThatNoRunReachesIsRefused(value: Int64) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/state.safetensors"
      var tensors = try replica(.batch).state().tensors
      let counter = try #require(tensors.keys.first { $0.hasSuffix("num_batches_tracked") })
      tensors[counter] = .int64([value], shape: [])
      try SafetensorsFile.encode(tensors, metadata: [:]).write(to: URL(fileURLWithPath: path))
      #expect {
        _ = try replica(.batch, from: StateDictionary(path: path))
      } throws: {
        "\($0)".contains("\"\(counter)\" is \(value), expected 0 to")
      }
    }
  }

  /// The bytes of a file with one tensor of another type of floats.
  private func file(_ type: String, _ values: [[UInt8]]) -> Data {
    let body = values.flatMap(\.self)
    let header = Data(
      #"{"x":{"dtype":"\#(type)","shape":[\#(values.count)],"data_offsets":[0,\#(body.count)]}}"#
        .utf8)
    return Data((0..<8).map { UInt8(header.count >> (8 * $0) & 255) }) + header + Data(body)
  }

  private func little(_ word: some FixedWidthInteger) -> [UInt8] {
    (0..<word.bitWidth / 8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
  }

  @Test func otherTypesOfFloatsAreReadAsTheirValues() throws {
    func read(_ type: String, _ values: [[UInt8]]) throws -> [Float] {
      guard
        case .float32(let tensor)? = try SafetensorsFile(file(type, values), path: "x").tensors["x"]
      else { return [] }
      return tensor.elements
    }
    let doubles = [1.0, -2.5, 1e300, 0.1]
    #expect(
      try read("F64", doubles.map { little($0.bitPattern) }) == doubles.map { Float($0) })
    #expect(
      try read("BF16", [0x3f80, 0xc020, 0x7f80, 0x0001].map { little(UInt16($0)) }) == [
        1, -2.5, .infinity, Float(bitPattern: 0x1_0000),
      ])
    // 1, −2.5, the largest, the least normal, the least and the largest subnormal, zeros, an infinity.
    let halves: [UInt16] = [
      0x3c00, 0xc100, 0x7bff, 0x0400, 0x0001, 0x83ff, 0x0000, 0x8000, 0xfc00,
    ]
    let expected: [Float] = [
      1, -2.5, 65504, 0x1p-14, 0x1p-24, -0x1.ff8p-15, 0, -0.0, -.infinity,
    ]
    let found = try read("F16", halves.map { little($0) })
    #expect(found.map(\.bitPattern) == expected.map(\.bitPattern), "\(found)")
    #expect(try read("F16", [little(UInt16(0x7e00))])[0].isNaN)
  }

  @Test(arguments: ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
  func whatWrappersPutBeforeNamesIsLeftOut(prefix: String) throws {
    try withTemporaryFolder { folder in
      let state = try replica(.layer).state()
      let tensors = Dictionary(
        uniqueKeysWithValues: state.tensors.map { ("\(prefix)\($0.key)", $0.value) })
      let path = "\(folder)/wrapped"
      try SafetensorsFile.encode(tensors, metadata: [:]).write(to: URL(fileURLWithPath: path))
      let read = try StateDictionary(path: path)
      #expect(Set(read.tensors.keys) == Set(state.tensors.keys))
      _ = try replica(.layer, from: read)
    }
  }

  @Test func whatTorchCompilePutsIntoNamesIsLeftOut() throws {
    try withTemporaryFolder { folder in
      let state = try replica(.layer).state()
      // A part of the model alone was compiled.
      let tensors = Dictionary(
        uniqueKeysWithValues: state.tensors.map {
          ($0.key.replacingOccurrences(of: "fc.", with: "fc._orig_mod."), $0.value)
        })
      try #require(Set(tensors.keys) != Set(state.tensors.keys))
      let path = "\(folder)/compiled"
      try SafetensorsFile.encode(tensors, metadata: [:]).write(to: URL(fileURLWithPath: path))
      #expect(Set(try StateDictionary(path: path).tensors.keys) == Set(state.tensors.keys))
    }
  }

  @Test func aRunningVarianceBelowZeroIsRefused() throws {
    try withTemporaryFolder { folder in
      var tensors = try replica(.batch).state().tensors
      let name = try #require(tensors.keys.sorted().first { $0.hasSuffix(".running_var") })
      guard case .float32(let variance)? = tensors[name] else { return }
      var values = variance.elements
      values[0] = -1e-3
      tensors[name] = .float32(Tensor(values, shape: variance.shape))
      let path = "\(folder)/state"
      try SafetensorsFile.encode(tensors, metadata: [:]).write(to: URL(fileURLWithPath: path))
      let error = #expect(throws: (any Error).self) {
        _ = try replica(.batch, from: StateDictionary(path: path))
      }
      #expect("\(error!)".contains("\"\(name)\" has a value below 0, which is no variance"))
    }
  }

  @Test func aStateThatIsNotFiniteIsRefused() throws {
    try withTemporaryFolder { folder in
      var tensors = try replica(.layer).state().tensors
      tensors["fc.bias"] = .float32(Tensor([0, .nan, 0, 0, 0], shape: [5]))
      let path = "\(folder)/state"
      try SafetensorsFile.encode(tensors, metadata: [:]).write(to: URL(fileURLWithPath: path))
      let error = #expect(throws: (any Error).self) {
        _ = try replica(.layer, from: StateDictionary(path: path))
      }
      #expect("\(error!)".contains("\"fc.bias\" has a value that is not finite"))
    }
  }

  private func transformer(
    tied: Bool, weightNorm: Bool = false, _ state: StateDictionary? = nil
  ) throws -> TrainingRun {
    let run = try RunConfiguration(
      yaml: """
        model: {kind: transformer, context: 4, width: 8, heads: 2, layers: 1, norm: {kind: rms}}
        data: {kind: synthetic, vocabulary: 5, samples: 20}
        batch: 4
        steps: 1
        optimizer: {kind: sgd, learningRate: 0.1}
        """, name: "run.yaml",
      set: ["model.tiedEmbedding=\(tied)", "model.weightNorm=\(weightNorm)"])
    return try TrainingRun(
      run, data: try run.loadData(), context: RankContext(Solo()), initialState: state)
  }

  @Test func aTiedHeadIsSpeltOutUnderWeightNormToo() throws {
    let tied = try transformer(tied: true, weightNorm: true)
    let whole = try tied.state().spellingOut(tied.configuration.model.tiedParameters)
    #expect(whole.tensors["lm_head.weight"] != nil)
    let again = try transformer(tied: true, weightNorm: true, whole)
    #expect(try again.evaluate() == tied.evaluate())
    // A head of its own is stored as two tensors.
    let untied = try transformer(tied: false, weightNorm: true)
    #expect(untied.configuration.model.ties.isEmpty)
  }

  @Test func aTiedHeadMayBeThereOrNot() throws {
    let (head, words) = ("lm_head.weight", "transformer.wte.weight")
    let tied = try transformer(tied: true)
    let state = try tied.state()
    #expect(state.tensors[head] == nil)
    let ties = tied.configuration.model.tiedParameters
    let whole = state.spellingOut(ties)
    #expect(Set(whole.tensors.keys) == Set(state.tensors.keys).union([head]))
    let evaluation = try tied.evaluate()
    #expect(try transformer(tied: true, whole).evaluate() == evaluation)
    // Without a tie both layers begin with it.
    for state in [state, whole] {
      let untied = try transformer(tied: false, state)
      #expect(untied.model.parameters.contains { $0.name == head })
      #expect(try untied.evaluate().loss == evaluation.loss)
    }
    // Two that are not one cannot be tied.
    let other = try transformer(tied: false).state()
    let error = #expect(throws: (any Error).self) { try transformer(tied: true, other) }
    #expect("\(error!)".contains("\"\(head)\" differs from \"\(words)\", but the model shares"))
    #expect(try transformer(tied: false).configuration.model.tiedParameters.isEmpty)
  }

  @Test func theHeaderIsCheckedBeforeTheRestIsRead() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/state.safetensors"
      // More than there is memory, of which the file system holds next to nothing.
      let header = Data(#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.utf8)
      let length = Data((0..<8).map { UInt8(header.count >> (8 * $0) & 255) })
      try (length + header).write(to: URL(fileURLWithPath: path))
      let file = try #require(FileHandle(forWritingAtPath: path))
      try file.truncate(atOffset: 1 << 42)
      try file.close()
      #expect {
        _ = try StateDictionary(path: path)
      } throws: {
        "\($0)".contains("\((1 << 42) - 12 - header.count) bytes belong to no tensor")
      }
    }
  }

  @Test func allScaleNormsOfAModelHaveOneParameter() throws {
    let model = try replica(.scale).model
    let gains = model.parameters.filter { $0.name.contains("norm") }
    #expect(gains.map(\.name) == ["scale_norm.weight"])
    #expect(gains[0].value.elements == [Float(8).squareRoot()] && model.normSites.count == 6)
  }

  @Test func writtenTensorsAreReadBackBitByBit() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/x.safetensors"
      let values: [Float] = [0, -0, 1.5, .nan, .infinity, .leastNonzeroMagnitude]
      try SafetensorsFile.encode(
        [
          "a": .float32(Tensor(values, shape: [2, 3])), "b": .int64([.min, .max], shape: [2]),
          "c": .uint8([7], shape: []),
        ], metadata: ["k": "v"]
      ).write(to: URL(fileURLWithPath: path))
      let file = try SafetensorsFile(path: path)
      #expect(file.metadata == ["k": "v"])
      guard case .float32(let a)? = file.tensors["a"], case .int64(let b, _)? = file.tensors["b"],
        case .uint8(let c, let shape)? = file.tensors["c"]
      else {
        Issue.record("types changed")
        return
      }
      #expect(a.elements.map(\.bitPattern) == values.map(\.bitPattern))
      #expect(b == [.min, .max] && c == [7] && shape == [])
    }
  }

  @Test func damagedFilesAreRefused() throws {
    let good = try SafetensorsFile.encode(
      ["a": .float32(Tensor([1, 2], shape: [2]))], metadata: [:])
    for cut in 0..<good.count {
      #expect(throws: StateError.self) { try SafetensorsFile(good.prefix(cut), path: "cut") }
    }
    #expect(throws: StateError.self) { try SafetensorsFile(good + [0], path: "longer") }
    let length = Data([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])
    #expect(throws: StateError.self) { try SafetensorsFile(length + good.dropFirst(8), path: "x") }
  }
}
