import LockstepAutograd
import LockstepCollectives
import LockstepNorms
import LockstepTensors
import Testing

/// Every norm does what its formula says, forward and backward.
@Suite struct NormDefinitionTests {
  /// A norm with its settings, and the shape of what it normalizes.
  private struct Case: CustomTestStringConvertible {
    var settings: NormSettings
    let shape: Shape
    let testDescription: String

    init(
      _ kind: NormKind, _ shape: Shape, outside: Bool = false, unbiased: Bool = false,
      groups: Int = 2
    ) {
      settings = NormSettings(kind)
      settings.epsilon = 1e-3
      settings.epsilonPlacement = outside ? .outside : .inside
      settings.unbiased = unbiased
      settings.groups = groups
      self.shape = shape
      testDescription =
        "\(kind.rawValue) of \(shape)" + (outside ? ", ε outside" : "")
        + (unbiased ? ", unbiased" : "")
    }
  }

  private static let cases = [
    Case(.layer, [3, 6]), Case(.layer, [2, 3, 16], outside: true),
    Case(.layer, [17, 16], unbiased: true), Case(.layer, [3, 5], outside: true, unbiased: true),
    Case(.rms, [3, 6]), Case(.rms, [2, 3, 16], outside: true), Case(.rms, [17, 16]),
    Case(.rms, [3, 6], unbiased: true),
    Case(.group, [2, 2, 3, 6], groups: 3), Case(.group, [5, 8], groups: 2),
    Case(.group, [2, 4, 6], groups: 1), Case(.group, [4, 16], groups: 1),
    Case(.instance, [2, 3, 2, 5]), Case(.instance, [3, 4, 1]), Case(.none, [3, 4]),
    Case(.scale, [3, 6]), Case(.scale, [2, 3, 17]), Case(.scale, [4, 1]), Case(.l2, [3, 6]),
    Case(.l2, [2, 3, 17]), Case(.batch, [7, 5]), Case(.batch, [2, 2, 3, 17]),
    Case(.syncBatch, [7, 5]), Case(.whitening, [24, 6], groups: 1),
    Case(.whitening, [3, 2, 3, 6], groups: 2), Case(.whitening, [9, 4], groups: 4),
  ]

  private func layer(_ settings: NormSettings, channels: Int) -> any Layer {
    let layer = makeNorm(
      NormSite("norm", channels: channels), settings,
      NormScope(synchronized: StatisticsScope(Solo(), coversAllRanks: true)))
    randomize(layer)
    return layer
  }

  @Test(arguments: cases)
  private func outputAndGradientsFollowTheFormula(_ norm: Case) throws {
    let channels = norm.shape.channels
    let layer = layer(norm.settings, channels: channels)
    let (x, dy) = (random(norm.shape, mean: 0.5, seed: 1), random(norm.shape, seed: 2))
    let pass = try Pass(layer, x, dy)
    func value(_ name: String, or value: Double) -> [Double] {
      layer.parameters.first { $0.name.hasSuffix(name) }?.value.elements.map(Double.init)
        ?? Array(repeating: value, count: channels)
    }
    let (gain, bias) = (value("weight", or: 1), value("bias", or: 0))
    expectClose(
      pass.y, definition(Matrix(x), gain: gain, bias: bias, norm.settings), tolerance: 1e-5, "y")
    let (dx, dgain, dbias) = differences(
      Matrix(x), dy.elements.map(Double.init), gain: gain, bias: bias, norm.settings)
    expectClose(pass.dx, dx, tolerance: 1e-5, "dx")
    if let found = pass.gradients["weight"] {
      expectClose(found, dgain, tolerance: 1e-5, "gain's gradient")
    }
    if let found = pass.gradients["bias"] {
      expectClose(found, dbias, tolerance: 1e-5, "bias's gradient")
    }
  }

  /// Where |mean|/sd is 10⁴ the input itself has only four digits of its deviations left, but all
  /// of these are kept.
  @Test(arguments: cases)
  private func inputsFarFromZeroKeepTheirDigits(_ norm: Case) throws {
    var settings = norm.settings
    settings.affine = false
    let layer = layer(settings, channels: norm.shape.channels)
    let (x, dy) = (random(norm.shape, mean: 1e4, seed: 3), random(norm.shape, seed: 4))
    let pass = try Pass(layer, x, dy)
    let constant = settings.kind == .scale ? Double(norm.shape.channels).squareRoot() : 1
    let gain = [Double](repeating: constant, count: norm.shape.channels)
    let bias = gain.map { _ in 0.0 }
    expectClose(
      pass.y, definition(Matrix(x), gain: gain, bias: bias, settings), tolerance: 2e-4, "y")
    let (dx, _, _) = differences(
      Matrix(x), dy.elements.map(Double.init), gain: gain, bias: bias, settings)
    expectClose(pass.dx, dx, tolerance: 2e-4, "dx")
  }

  /// Where ε is 0, y does not depend on the size of x, and dx is inverse to it.
  @Test(
    arguments: cases.filter { $0.settings.kind != .none }, [1e-12, 1e14, 1e19, 1e25] as [Float])
  private func inputsOfAnySizeKeepTheirDigits(_ norm: Case, size: Float) throws {
    var settings = norm.settings
    settings.epsilon = 0
    func pass(_ size: Float) throws -> Pass {
      let x = random(norm.shape, mean: 0.5, seed: 1)
      return try Pass(
        layer(settings, channels: norm.shape.channels),
        Tensor(x.elements.map { $0 * size }, shape: x.shape), random(norm.shape, seed: 2))
    }
    let (a, b) = (try pass(size), try pass(1))
    expectClose(a.y, b.y, tolerance: 2e-5, "y")
    expectClose(a.dx.map { Double($0) * Double(size) }, b.dx, tolerance: 5e-5, "dx")
    for (name, gradient) in b.gradients {
      expectClose(a.gradients[name] ?? [], gradient, tolerance: 5e-5, "\(name)'s gradient")
    }
  }

  /// Dynamic tanh has its slope in any case.
  @Test(arguments: NormRegistry.kinds.filter { $0 != .dynamicTanh })
  func aNormThatIsNotAffineHasNoParameters(kind: NormKind) {
    var settings = NormSettings(kind)
    settings.affine = false
    settings.groups = 2
    #expect(layer(settings, channels: 4).parameters.isEmpty)
  }

  @Test(arguments: [
    (NormKind.none, []), (.rms, ["norm.weight"]), (.layer, ["norm.weight", "norm.bias"]),
    (.group, ["norm.weight", "norm.bias"]), (.syncBatch, ["norm.weight", "norm.bias"]),
    (.batchRenorm, ["norm.weight", "norm.bias"]), (.l2, []),
  ])
  func parametersCarryPyTorchsNames(kind: NormKind, names: [String]) {
    let layer = makeNorm(
      NormSite("norm", channels: 8), NormSettings(kind),
      NormScope(synchronized: StatisticsScope.thisRank))
    #expect(layer.parameters.map(\.name) == names)
    let running = ["norm.running_mean", "norm.running_var"]
    #expect(layer.buffers.map(\.name) == (NormSettings(kind).usesBatchStatistics ? running : []))
    for parameter in layer.parameters {
      let initial: Float = parameter.name.hasSuffix("weight") ? 1 : 0
      #expect(parameter.value.elements.allSatisfy { $0 == initial }, "\(parameter.name)")
    }
  }

  /// A rank with an empty share.
  @Test(arguments: NormRegistry.kinds, [1e-5, 0])
  func aBatchOfNoRowsRunsForwardAndBackward(kind: NormKind, epsilon: Double) throws {
    var settings = NormSettings(kind)
    settings.epsilon = epsilon
    let layer = layer(settings, channels: 16)
    for shape: Shape in [[0, 16], [0, 4, 4, 16]] {
      let pass = try Pass(layer, Tensor([], shape: shape), Tensor([], shape: shape))
      #expect(pass.y.isEmpty && pass.dx.isEmpty)
      #expect(pass.gradients.values.allSatisfy { $0.allSatisfy { $0 == 0 } })
      let spread: [Float] =
        kind == .whitening
        ? (0..<8).flatMap { _ in [1, 0, 0, 1] as [Float] } : Array(repeating: 1, count: 16)
      let remembered: [[Float]] = [Array(repeating: 0, count: 16), spread]
      #expect(pass.state == (NormSettings(kind).usesBatchStatistics ? remembered + [[0]] : []))
    }
  }
}
