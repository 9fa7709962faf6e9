import LockstepAutograd
import LockstepNorms
import LockstepTensors
import LockstepWeightNorms
import Testing

/// Weights that are functions of parameters.
@Suite struct WeightNormLayerTests {
  @Test func aWeightBeginsAsItsInitialValueUnderPyTorchsNames() throws {
    let initial = random([3, 2, 2, 2], seed: 1)
    let weight = WeightNorm.weight("conv1", initial)
    #expect(weight.parameters.map(\.name) == ["conv1.weight_g", "conv1.weight_v"])
    #expect(weight.parameters[0].value.shape == [3, 1, 1, 1])
    let value = try weight.use(on: Tape(.evaluation)).value
    #expect(value.shape == initial.shape)
    expectClose(value.elements, initial.elements, tolerance: 1e-6, "w")
  }

  @Test func allWordsHaveOneLearnedLength() throws {
    let weight = FixNorm.weight("wte", random([5, 4], seed: 1))
    weight.parameters[0].value.write([2])
    let value = try weight.use(on: Tape(.evaluation)).value
    for word in 0..<5 {
      let squares = value.part(word, shape: [4]).elements.reduce(0) { $0 + $1 * $1 }
      #expect(abs(squares - 4) < 1e-5)
    }
  }
}
