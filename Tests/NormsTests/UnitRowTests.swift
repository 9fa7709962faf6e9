import LockstepAutograd
import LockstepKernels
import LockstepNorms
import LockstepTensors
import LockstepWeightNorms
import Testing

/// Norms by a row's length: what their formulas leave open, and those that are no layers.
@Suite struct UnitRowTests {
  /// Below ε the divisor is a constant, and of a zero row there is no direction.
  @Test(arguments: [1e-12, 1e-3, 0])
  func zeroRowsStayZeroAndTheirGradientsFinite(epsilon: Double) {
    let x = Tensor([0, 0, 0, 3, 0, 4], shape: [2, 3])
    let dy = Tensor([1, -2, 3, 5, 6, 7], shape: [2, 3])
    let (y, saved) = L2Norm.forward(x, epsilon: epsilon)
    expectClose(y.elements, [0, 0, 0, 0.6, 0, 0.8] as [Float], tolerance: 1e-7, "y")
    let dx = L2Norm.backward(OutputGradient(dy), saved: saved)
    let slope = epsilon > 0 ? Float(1 / epsilon) : 0
    let product: Float = 0.6 * 5 + 0.8 * 7
    let expected: [Float] = [
      slope, -2 * slope, 3 * slope, (5 - 0.6 * product) / 5, 6 / 5, (7 - 0.8 * product) / 5,
    ]
    expectClose(dx.elements, expected, tolerance: 1e-6, "dx")
    let gain = Tensor([2], shape: [1])
    let (scaled, rows) = ScaleNorm.forward(x, gain: gain, epsilon: epsilon)
    expectClose(scaled.elements, y.elements.map { 2 * $0 }, tolerance: 1e-6, "scale's y")
    let (dscaled, dgain) = ScaleNorm.backward(OutputGradient(dy), gain: gain, saved: rows)
    expectClose(dscaled.elements, expected.map { 2 * $0 }, tolerance: 1e-6, "scale's dx")
    expectClose(dgain, [Double(product)], tolerance: 1e-6, "scale's gain")
  }

  @Test(arguments: [Float(1e-30), 1e30])
  func lengthsWhoseSquaresAreOutOfRangeAreNormalized(size: Float) {
    let (y, saved) = L2Norm.forward(Tensor([3 * size, 4 * size], shape: [1, 2]), epsilon: 0)
    expectClose(y.elements, [0.6, 0.8] as [Float], tolerance: 1e-6, "y")
    let dx = L2Norm.backward(OutputGradient(Tensor([1, 0], shape: [1, 2])), saved: saved)
    let unit = dx.elements.map { Double($0) * 5 * Double(size) }
    expectClose(unit, [0.64, -0.48], tolerance: 1e-6, "dx")
  }

  @Test func aWeightTakesItsLengthFromTheGain() {
    let (v, dw) = (random([4, 2, 3], seed: 1), random([4, 2, 3], seed: 2))
    let gain = random([4], mean: 1, seed: 3)
    func weight(_ v: [Double], _ gain: [Double]) -> [Double] {
      v.indices.map { i in
        let row = v[i / 6 * 6..<i / 6 * 6 + 6]
        return gain[i / 6] * v[i] / row.reduce(0) { $0 + $1 * $1 }.squareRoot()
      }
    }
    let (vs, gains, dws) = (
      v.elements.map(Double.init), gain.elements.map(Double.init), dw.elements.map(Double.init)
    )
    let (w, saved) = WeightNorm.forward(v, gain: gain)
    expectClose(w.elements, weight(vs, gains), tolerance: 1e-6, "w")
    let (dv, dgain) = WeightNorm.backward(dw, gain: gain, saved: saved)
    expectClose(dv.elements, slopes(vs, dws) { weight($0, gains) }, tolerance: 1e-5, "dv")
    expectClose(dgain, slopes(gains, dws) { weight(vs, $0) }, tolerance: 1e-5, "dgain")
    let (zero, none) = WeightNorm.forward(.zeros([4, 6]), gain: gain)
    let gradients = WeightNorm.backward(dw.reshaped([4, 6]), gain: gain, saved: none)
    #expect((zero.elements + gradients.dv.elements).allSatisfy { $0 == 0 })
    #expect(gradients.dgain.allSatisfy { $0 == 0 })
  }

  @Test func scaleNormsShareAGain() throws {
    let gain = ScaleNorm.gain("shared", channels: 16)
    #expect(gain.name == "shared.weight" && gain.value.elements == [4])
    let shared = SharedParameters()
    let layers = ["a", "b"].map {
      makeNorm(
        NormSite($0, channels: 8), NormSettings(.scale),
        NormScope(synchronized: .thisRank, shared: shared))
    }
    #expect(
      layers.map { $0.parameters.map(\.name) } == [["scale_norm.weight"], ["scale_norm.weight"]])
    #expect(layers[0].parameters[0] === layers[1].parameters[0])
    let alone = makeNorm(
      NormSite("norm", channels: 9), NormSettings(.scale), NormScope(synchronized: .thisRank))
    #expect(alone.parameters.map(\.name) == ["norm.weight"])
    #expect(alone.parameters[0].value.elements == [3])
  }
}
