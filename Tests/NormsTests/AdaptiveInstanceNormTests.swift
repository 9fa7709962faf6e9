import LockstepNorms
import LockstepTensors
import Testing

/// Adaptive instance norm, and layer norm without gradients through its statistics.
@Suite struct AdaptiveInstanceNormTests {
  @Test func outputAndBothGradientsFollowTheFormula() {
    let (x, style) = (random([2, 3, 2, 3], seed: 1), random([2, 4, 3], mean: 1, seed: 2))
    let dy = random([2, 3, 2, 3], seed: 3)
    func definition(_ x: [Double], _ style: [Double]) -> [Double] {
      func moments(_ values: [Double], _ positions: Int, _ i: Int) -> (Double, Double) {
        let (sample, channel) = (i / 18, i % 3)
        let set = (0..<positions).map { values[(sample * positions + $0) * 3 + channel] }
        let mean = set.reduce(0, +) / Double(positions)
        let squares = set.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (mean, (squares / Double(positions) + 1e-3).squareRoot())
      }
      return x.indices.map { i in
        let (content, target) = (moments(x, 6, i), moments(style, 4, i))
        return target.1 * (x[i] - content.0) / content.1 + target.0
      }
    }
    let (xs, styles, seed) = (
      x.elements.map(Double.init), style.elements.map(Double.init), dy.elements.map(Double.init)
    )
    let (y, saved) = AdaptiveInstanceNorm.forward(x, style: style, epsilon: 1e-3)
    expectClose(y.elements, definition(xs, styles), tolerance: 1e-5, "y")
    let (dx, dstyle) = AdaptiveInstanceNorm.backward(dy, saved: saved)
    expectClose(dx.elements, slopes(xs, seed) { definition($0, styles) }, tolerance: 1e-5, "dx")
    expectClose(
      dstyle.elements, slopes(styles, seed) { definition(xs, $0) }, tolerance: 1e-5, "dstyle")
  }

  @Test func aConstantChannelTakesTheStylesMean() {
    let style = random([1, 4, 2], seed: 1)
    let (y, saved) = AdaptiveInstanceNorm.forward(
      .filled([1, 3, 2], with: 7), style: style, epsilon: 1e-5)
    let means = (0..<2).map { c in (0..<4).reduce(0) { $0 + style.elements[2 * $1 + c] } / 4 }
    expectClose(y.elements, means + means + means, tolerance: 1e-6, "y")
    let (dx, dstyle) = AdaptiveInstanceNorm.backward(random([1, 3, 2], seed: 2), saved: saved)
    #expect((dx.elements + dstyle.elements).allSatisfy { $0.isFinite })
  }

  @Test func noSamplesGiveNone() {
    let (y, saved) = AdaptiveInstanceNorm.forward(
      Tensor([], shape: [0, 4, 3]), style: Tensor([], shape: [0, 2, 3]), epsilon: 1e-5)
    let (dx, dstyle) = AdaptiveInstanceNorm.backward(y, saved: saved)
    #expect(dx.count == 0 && dstyle.shape == [0, 2, 3])
  }
}
