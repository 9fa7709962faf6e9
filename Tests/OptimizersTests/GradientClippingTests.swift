import LockstepOptimizers
import LockstepTensors
import Testing

@Suite struct GradientClippingTests {
  private let gradients = [Tensor([3, 0], shape: [2]), Tensor([0, 4, 12], shape: [3])]

  @Test func gradientsAboveTheMaximumAreScaledTogether() {
    let norm = clipGradients(gradients, toGlobalNorm: 6.5)
    #expect(abs(norm - 13) < 1e-12, "the norm before, over all gradients")
    for (found, expected) in zip(gradients.flatMap(\.elements), [1.5, 0, 0, 2, 6] as [Float]) {
      #expect(abs(found - expected) < 1e-5, "\(found), not \(expected)")
    }
  }

  @Test func gradientsWithinTheMaximumStayTheSameBits() {
    #expect(clipGradients(gradients, toGlobalNorm: 14) == 13)
    #expect(gradients.flatMap(\.elements) == [3, 0, 0, 4, 12])
  }

  @Test func aGradientThatIsNotANumberIsNotHidden() {
    gradients[0].write([.nan, 0])
    #expect(clipGradients(gradients, toGlobalNorm: 1).isNaN)
    #expect(gradients[1].elements == [0, 4, 12], "the others are left for the loss check")
  }
}
