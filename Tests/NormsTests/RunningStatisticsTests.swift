import LockstepAutograd
import LockstepCollectives
import LockstepNorms
import LockstepTensors
import Testing

@Suite struct RunningStatisticsTests {
  private static let rows = 7

  private func norm(momentum: Double?) -> any Layer {
    var settings = NormSettings(.batch)
    settings.momentum = momentum
    return makeNorm(
      NormSite("norm", channels: 1), settings, NormScope(synchronized: StatisticsScope.thisRank))
  }

  private func batch(_ i: Int) -> Tensor { random([Self.rows, 1], mean: 3, seed: UInt64(i)) }

  /// The mean and the unbiased variance of a batch.
  private func moments(_ i: Int) -> (mean: Double, variance: Double) {
    let x = batch(i).elements.map(Double.init)
    let mean = x.reduce(0, +) / Double(x.count)
    return (mean, x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count - 1))
  }

  private func remembered(momentum: Double?, batches: Int) throws -> [Double] {
    let norm = norm(momentum: momentum)
    for i in 0..<batches { _ = try Pass(norm, batch(i), batch(i)) }
    #expect(norm.counters.map(\.value) == [Int64(batches)])
    return norm.buffers.flatMap { $0.value.elements.map(Double.init) }
  }

  @Test(arguments: [0.1, 0.5, 1])
  func aMomentumBlendsEachBatchIn(momentum: Double) throws {
    var (mean, variance) = (0.0, 1.0)
    for i in 0..<3 {
      mean += momentum * (moments(i).mean - mean)
      variance += momentum * (moments(i).variance - variance)
    }
    let found = try remembered(momentum: momentum, batches: 3)
    expectClose(found, [mean, variance], tolerance: 1e-6, "running mean and unbiased variance")
  }

  @Test func withoutAMomentumTheyAreTheAverageOfAllBatches() throws {
    let all = (0..<4).map(moments)
    let expected = [
      all.reduce(0) { $0 + $1.mean } / 4, all.reduce(0) { $0 + $1.variance } / 4,
    ]
    let found = try remembered(momentum: nil, batches: 4)
    expectClose(found, expected, tolerance: 1e-6, "cumulative averages")
  }

  @Test func aBatchOfOneRowLeavesThemAsTheyAre() throws {
    let norm = norm(momentum: 0.1)
    let x = Tensor([5], shape: [1, 1])
    _ = try Pass(norm, x, x)
    #expect(norm.buffers.map { $0.value.elements } == [[0], [1]])
    #expect(norm.counters.map(\.value) == [0])
  }

  @Test func aVarianceAboveTheLargestFloatIsThatNumber() throws {
    let norm = norm(momentum: 1)
    let x = Tensor([1e25, -1e25, 0], shape: [3, 1])
    _ = try Pass(norm, x, x)
    #expect(norm.buffers.map { $0.value.elements } == [[0], [.greatestFiniteMagnitude]])
  }

  @Test func evaluationNormalizesByThemAndChangesNothing() throws {
    let norm = norm(momentum: 0.1)
    norm.buffers[0].value.write([2])
    norm.buffers[1].value.write([4 - 1e-5])
    norm.parameters[0].value.write([3])
    norm.parameters[1].value.write([1])
    let y = try evaluated(norm, Tensor([2, 4, -2], shape: [3, 1]))
    expectClose(y.value.elements, [1, 4, -5] as [Float], tolerance: 1e-6, "y")
    #expect(y.gradient == nil, "nothing is recorded")
    #expect(norm.buffers[0].value.elements == [2] && norm.counters[0].value == 0)
  }
}
