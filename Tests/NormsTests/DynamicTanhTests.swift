import Foundation
import LockstepAutograd
import LockstepNorms
import LockstepTensors
import Testing

/// What stands in a norm's place without statistics, and gains that begin at 0.
@Suite struct DynamicTanhTests {
  private func values(_ tensor: Tensor) -> [Double] { tensor.elements.map(Double.init) }

  @Test(arguments: [[3, 6], [2, 3, 17], [4, 1], [40, 64], [0, 5]])
  func outputAndGradientsFollowTheFormula(dimensions: [Int]) throws {
    let shape = Shape(dimensions)
    let layer = makeNorm(
      NormSite("norm", channels: shape.channels), NormSettings(.dynamicTanh))
    randomize(layer)
    let (x, dy) = (random(shape, mean: 0.3, seed: 1), random(shape, seed: 2))
    let pass = try Pass(layer, x, dy)
    let (xs, seed) = (values(x), values(dy))
    let given = layer.parameters.map { values($0.value) }
    func y(_ x: [Double], _ alpha: [Double], _ gain: [Double], _ bias: [Double]) -> [Double] {
      x.indices.map { i in
        let c = i % shape.channels
        return gain[c] * tanh(alpha[0] * x[i]) + bias[c]
      }
    }
    expectClose(pass.y, y(xs, given[0], given[1], given[2]), tolerance: 1e-5, "y")
    expectClose(
      pass.dx, slopes(xs, seed) { y($0, given[0], given[1], given[2]) }, tolerance: 1e-5, "dx")
    for (i, name) in ["alpha", "weight", "bias"].enumerated() {
      let expected = slopes(given[i], seed) { moved in
        var all = given
        all[i] = moved
        return y(xs, all[0], all[1], all[2])
      }
      expectClose(pass.gradients[name] ?? [], expected, tolerance: 2e-5, name)
    }
  }

  @Test func aZeroCentredGainBeginsAtOneAndIsLearnedAsItsDifference() throws {
    var settings = NormSettings(.rms)
    let (x, dy) = (random([5, 8], seed: 1), random([5, 8], seed: 2))
    let site = NormSite("norm", channels: 8)
    let plain = try Pass(makeNorm(site, settings), x, dy)
    settings.zeroCentered = true
    let layer = makeNorm(site, settings)
    #expect(layer.parameters[0].value.elements.allSatisfy { $0 == 0 })
    let pass = try Pass(layer, x, dy)
    #expect(pass.y == plain.y && pass.dx == plain.dx)
    #expect(pass.gradients["weight"] == plain.gradients["weight"])
  }
}
