import Autograd
import Collectives
import Foundation
import Models
import Norms
import Spawning
import Tensors
import Testing
import Training

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
