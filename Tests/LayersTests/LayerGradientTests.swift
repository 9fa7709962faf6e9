import LockstepAutograd
import LockstepKernels
import LockstepLayers
import LockstepNorms
import LockstepTensors
import LockstepWeightNorms
import Testing

/// Every layer's gradients agree with central differences.
@Suite struct LayerGradientTests {
  @Test(arguments: [[1, 1, 1], [3, 5, 4], [2, 17, 3]])
  func linear(size: [Int]) throws {
    var initial = stream()
    let layer = Linear("fc", inputs: size[1], outputs: size[2], using: &initial)
    try expectGradients(
      of: layer.callAsFunction, at: random([size[0], size[1]]),
      parameters: layer.parameters)
  }

  @Test func weightsByDirectionAndLength() throws {
    let linear = Linear(
      "fc", WeightNorm.weight("fc", random([4, 5], seed: 2)),
      bias: Parameter("fc.bias", .zeros([4])))
    try expectGradients(
      of: linear.callAsFunction, at: random([3, 5]), parameters: linear.parameters)
    let convolution = Convolution2D(
      "conv", WeightNorm.weight("conv", random([4, 3, 3, 3], seed: 2)), stride: 1, padding: 1)
    try expectGradients(
      of: convolution.callAsFunction, at: random([2, 4, 3, 3]), parameters: convolution.parameters,
      tolerance: 5e-3)
  }

  @Test func scalesOfChannelsAndDifferences() throws {
    let scale = ChannelScale("scale", channels: 5, from: 2, stored: 0.5)
    try expectGradients(
      of: { x, tape in tape.subtract(scale(x, on: tape), x) }, at: random([2, 3, 5]),
      parameters: scale.parameters)
    let magnitude = ChannelScale("size", channels: 3, from: 2, stored: 0.5, isMagnitude: true)
    magnitude.parameters[0].value.write([0.5, -0.5, 0.25])
    let tape = Tape(.evaluation)
    let y = magnitude(tape.input(.filled([1, 3], with: 1)), on: tape).value
    #expect(y.elements == [2, 2, 1])
    try expectGradients(
      of: magnitude.callAsFunction, at: random([2, 3]), parameters: magnitude.parameters)
  }

  @Test func linearMapsEveryRowOfASequence() throws {
    var initial = stream()
    let layer = Linear("fc", inputs: 3, outputs: 2, using: &initial)
    let x = random([2, 4, 3])
    let tape = Tape(.evaluation)
    let y = try layer(tape.input(x), on: tape).value
    #expect(y.shape == [2, 4, 2])
    let (w, b) = (layer.parameters[0].value.elements, layer.parameters[1].value.elements)
    for i in 0..<16 {
      let (row, o) = (i / 2 * 3, i % 2 * 3)
      let expected = (0..<3).reduce(b[i % 2]) { $0 + x.elements[row + $1] * w[o + $1] }
      #expect(abs(y.elements[i] - expected) < 1e-5, "element \(i)")
    }
    try expectGradients(of: layer.callAsFunction, at: x, parameters: layer.parameters)
  }

  @Test(arguments: [(3, 1, 1), (3, 2, 1), (1, 2, 0), (1, 1, 0)])
  func convolution(kernel: Int, stride: Int, padding: Int) throws {
    var initial = stream()
    let layer = Convolution2D(
      "conv", inputs: 3, outputs: 4, kernel: kernel, stride: stride, padding: padding,
      using: &initial)
    try expectGradients(
      of: layer.callAsFunction, at: random([2, 5, 4, 3]),
      parameters: layer.parameters)
  }

  @Test(arguments: Activation.allCases)
  func activation(_ activation: Activation) throws {
    // No element so near to 0 that a difference would straddle relu's corner.
    let x = random([3, 11])
    x.write(x.elements.map { abs($0) < 0.05 ? $0 + 0.1 : $0 })
    try expectGradients(of: activation.callAsFunction, at: x)
  }

  @Test func averagePoolAndFlatten() throws {
    try expectGradients(of: GlobalAveragePool().callAsFunction, at: random([2, 3, 2, 5]))
    try expectGradients(of: Flatten().callAsFunction, at: random([2, 3, 2, 5]))
    let tape = Tape(.evaluation)
    let x = tape.input(random([2, 3, 2, 5]))
    #expect(Flatten()(x, on: tape).value.shape == [2, 30])
    let image = Tensor([1, 2, 3, 4, 5, 6, 7, 8], shape: [1, 2, 2, 2])
    for precision in Precision.allCases {
      let input = tape.input(Kernel.converted(image, to: precision))
      #expect(Flatten()(input, on: tape).value.elements == [1, 3, 5, 7, 2, 4, 6, 8])
    }
    #expect(GlobalAveragePool()(x, on: tape).value.shape == [2, 5])
  }

  /// The branches share dy: neither may write over it while the other still needs it.
  @Test func residualBranches() throws {
    var initial = stream()
    let inner = Linear("inner", inputs: 4, outputs: 4, using: &initial)
    let x = random([3, 4])
    x.write(x.elements.map { abs($0) < 0.05 ? $0 + 0.1 : $0 })
    try expectGradients(of: { x, tape in tape.add(x, x) }, at: x)
    for first in Activation.allCases {
      try expectGradients(of: { x, tape in tape.add(first(x, on: tape), x) }, at: x)
      try expectGradients(of: { x, tape in tape.add(x, first(x, on: tape)) }, at: x)
      try expectGradients(
        of: { x, tape in
          let branch = Activation.gelu(try inner(first(x, on: tape), on: tape), on: tape)
          let sum = tape.add(branch, first(x, on: tape))
          return tape.add(Flatten()(sum, on: tape), first(sum, on: tape))
        }, at: x, parameters: inner.parameters, step: 2e-3, tolerance: 5e-3)
    }
  }
}
