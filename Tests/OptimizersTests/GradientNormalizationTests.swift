import LockstepAutograd
import LockstepOptimizers
import LockstepTensors
import Testing

@Suite struct GradientNormalizationTests {
  private let parameters = ["a.weight", "a.bias", "b.weight", "c.weight"].map {
    Parameter($0, .zeros([2]))
  }
  private let gradients = [[3, 0], [0, 4], [0, -12], [0, 0]].map {
    Tensor($0.map(Float.init), shape: [2])
  }

  private func expect(_ expected: [Float], sourceLocation: SourceLocation = #_sourceLocation) {
    for (found, value) in zip(gradients.flatMap(\.elements), expected) {
      #expect(abs(found - value) < 1e-6, "\(found), not \(value)", sourceLocation: sourceLocation)
    }
  }

  @Test func allGradientsTogetherHaveLengthOne() {
    GradientNormalization.global.apply(to: gradients, of: parameters)
    expect([3 / 13, 0, 0, 4 / 13, 0, -12 / 13, 0, 0])
  }

  @Test func theGradientsOfEachLayerHaveLengthOne() {
    GradientNormalization.layer.apply(to: gradients, of: parameters)
    expect([0.6, 0, 0, 0.8, 0, -1, 0, 0])
  }

  @Test func eachLayerOfAnLSTMIsOne() {
    let names = ["lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.weight_ih_l1", "lstm.bias_ih_l1"]
    GradientNormalization.layer.apply(
      to: gradients, of: names.map { Parameter($0, .zeros([2])) })
    expect([0.6, 0, 0, 0.8, 0, -1, 0, 0])
  }

  @Test func noneLeavesThemTheSameBits() {
    GradientNormalization.none.apply(to: gradients, of: parameters)
    #expect(gradients.flatMap(\.elements) == [3, 0, 0, 4, 0, -12, 0, 0])
  }

  @Test func aGradientThatIsNotANumberIsNotHidden() {
    gradients[0].write([.nan, 0])
    GradientNormalization.global.apply(to: gradients, of: parameters)
    #expect(gradients[0].elements[0].isNaN && gradients[2].elements == [0, -12])
  }
}
