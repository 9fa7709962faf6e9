import LockstepCollectives
import LockstepDataParallel
import LockstepFiles
import LockstepParity
import LockstepSafetensors
import LockstepTensors
import Spawning
import Testing

/// Replaying cases from files made here.
@Suite struct ParityCaseTests {
  /// A sync-batch norm by running statistics, of two and three samples on two ranks.
  private static let evaluation = #"[{"name": "own", "layer": "sync-batch", "training": false}]"#
  private static let x: [Float] = [1, 2, -3, 4, 5, -6, 0.5, 8, 9, 1]
  private static let dy: [Float] = [0.5, -1, 2, 3, -2, 1, 1, 4, -1, 2]
  private static let (means, variances): ([Float], [Float]) = ([1, -1], [4, 9])

  private func report(
    expecting expected: [String: SafetensorsFile.Value], ranks: Int
  ) throws -> ParityReport {
    func tensor(_ elements: [Float], _ shape: Shape) -> SafetensorsFile.Value {
      .float32(Tensor(elements, shape: shape))
    }
    let inputs: [String: SafetensorsFile.Value] = [
      "x": tensor(Self.x, [5, 2]), "dy": tensor(Self.dy, [5, 2]),
      "running_mean": tensor(Self.means, [2]), "running_var": tensor(Self.variances, [2]),
      "counts": .int64([2, 3], shape: [2]),
    ]
    let tensors = inputs.merging(expected) { $1 }
    return try withTemporaryFolder { folder in
      let path = "\(folder)/own.safetensors"
      try SafetensorsWriter(
        Dictionary(uniqueKeysWithValues: tensors.map { ("own.\($0.key)", $0.value) }),
        metadata: ["cases": Self.evaluation]
      ).write(to: path)
      return try withThreadRanks(ranks) {
        try ParityReport.replay([SafetensorsFile(path: path)], context: RankContext($0))
      }[0]
    }
  }

  @Test(arguments: [1, 2])
  func gradientsByRunningStatisticsAreOfAllRanksRows(ranks: Int) throws {
    var (gain, bias) = ([0.0, 0.0], [0.0, 0.0])
    for i in Self.x.indices {
      let variance = Double(Self.variances[i % 2]) + 1e-5
      gain[i % 2] +=
        Double(Self.dy[i]) * Double(Self.x[i] - Self.means[i % 2]) / variance.squareRoot()
      bias[i % 2] += Double(Self.dy[i])
    }
    let report = try report(
      expecting: [
        "dweight": .float32(Tensor(gain.map(Float.init), shape: [2])),
        "dbias": .float32(Tensor(bias.map(Float.init), shape: [2])),
      ], ranks: ranks)
    #expect(report.cases.count == 1 && report.failed == 0, "\(report)")
    #expect(report.cases[0].errors.keys.sorted() == ["dbias", "dweight"])
  }

  @Test func anExpectedTensorThatCannotBeComparedIsRefused() throws {
    let error = #expect(throws: StateError.self) {
      _ = try report(expecting: ["num_batches_tracked_out": .int64([1], shape: [1])], ranks: 1)
    }
    #expect(
      error?.description.contains("expects \"num_batches_tracked_out\", which is not float32")
        == true)
  }
}
