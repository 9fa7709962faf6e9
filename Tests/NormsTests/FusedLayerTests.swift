import LockstepAutograd
import LockstepKernelLoops
import LockstepKernels
import LockstepLayers
import LockstepNorms
import LockstepTensors
import Testing

/// A norm, a residual and a rectifier in one entry of the tape.
@Suite struct FusedLayerTests {
  /// What one pass gives: y, and the gradients of x, of the residual and of the parameters.
  private func pass(_ kind: NormKind, _ shape: Shape, adds: Bool, fused: Bool) throws -> [[Float]]?
  {
    var settings = NormSettings(kind)
    settings.groups = 4
    let site = NormSite("norm", channels: shape.channels, positions: shape.positions)
    guard settings.norm.problem(at: site, settings) == nil else { return nil }
    let norm = makeNorm(site, settings)
    let (tape, residualGradient, inputGradient) = (Tape(.training), Kept(), Kept())
    let x = inputGradient.input(normal(shape, seed: 1), on: tape)
    let residual = adds ? residualGradient.input(normal(shape, seed: 2), on: tape) : nil
    let y: Variable
    if fused {
      y = try Activated(norm, .relu)(x, adding: residual, on: tape)
    } else {
      let normalized = try norm(x, on: tape)
      y = Activation.relu(residual.map { tape.add(normalized, $0) } ?? normalized, on: tape)
    }
    let result = y.value.elements
    try tape.backward(from: y.gradient, seed: normal(shape, seed: 3))
    return [result, inputGradient.elements, residualGradient.elements]
      + norm.parameters.map(\.gradient.elements)
  }

  private func normal(_ shape: Shape, seed: UInt64) -> Tensor {
    var random = RandomStream(seed: seed, site: .synthetic)
    return Tensor((0..<shape.count).map { _ in random.normal() }, shape: shape)
  }

  /// Keeps the gradient of a variable that it puts on a tape.
  private final class Kept {
    private(set) var elements: [Float] = []

    func input(_ x: Tensor, on tape: Tape) -> Variable {
      tape.record(x, inputPullback: { [self] dy, _ in elements = dy.elements })
    }
  }

  @Test(arguments: NormRegistry.builtIn.map { $0.kind }.filter { $0 != .none }, [false, true])
  func oneEntryGivesTheBitsOfThree(kind: NormKind, adds: Bool) throws {
    // With and without whole words of a mask, and one position, whose groups are rows of 8, 24, 16 and 12.
    let shapes: [Shape] = [
      [3, 6, 8], [3, 6, 32], [3, 1, 32], [3, 1, 96], [3, 1, 64], [5, 1, 48], [3, 6, 48],
    ]
    for shape in shapes {
      guard let fused = try pass(kind, shape, adds: adds, fused: true) else { continue }
      let separate = try pass(kind, shape, adds: adds, fused: false)
      #expect(fused == separate, "\(shape)")
      #expect(fused[0].contains { $0 > 0 } && fused[0].contains(0), "the rectifier cuts some off")
      #expect(fused[2].isEmpty != adds, "the residual has a gradient")
    }
  }

  // MARK: two uses of one output

  /// Who else holds the gradients that later layers give.
  enum Holder: CaseIterable { case nobody, first, second, both }

  /// What flows back through a norm whose output gets `gradients` one by one.
  private func backward(
    _ settings: NormSettings, _ followers: (adds: Bool, activation: Activation),
    precision: Precision = .float32, gradients: [(Tensor, isHeld: Bool)]
  ) throws -> [[Float]] {
    let shape = gradients[0].0.shape
    let norm = makeNorm(
      NormSite("norm", channels: shape.channels, positions: shape[1]), settings)
    let (residualGradient, inputGradient) = (Kept(), Kept())
    let tape = Tape(.training, precision: precision)
    let x = tape.stored(inputGradient.input(normal(shape, seed: 1), on: tape))
    let residual =
      followers.adds
      ? tape.stored(residualGradient.input(normal(shape, seed: 2), on: tape)) : nil
    let y = try Activated(norm, followers.activation)(x, adding: residual, on: tape)
    let end = tape.record(
      y.value,
      inputPullback: { [gradient = y.gradient] _, _ in
        for (dy, isHeld) in gradients { gradient?.add(isHeld ? dy : dy.copy()) }
      })
    try tape.backward(from: end.gradient, seed: normal(shape, seed: 3))
    return [inputGradient.elements, residualGradient.elements]
      + norm.parameters.map(\.gradient.elements)
  }

  private func sum(_ a: Tensor, _ b: Tensor) -> Tensor {
    Tensor(zip(a.elements, b.elements).map { $0 + $1 }, shape: a.shape)
  }

  /// Every norm, and layer norm whose statistics are detached.
  private static let variants: [NormSettings] =
    NormRegistry.builtIn.map { kind in
      var settings = NormSettings(kind.kind)
      settings.groups = 4
      return settings
    }
    + {
      var settings = NormSettings(.layer)
      settings.detached = true
      return [settings]
    }()

  /// Widths below a vector, of vectors, and with more rows than are taken at a time.
  private static let shapes: [Shape] = [[3, 6, 8], [4, 9, 32], [2, 17, 80]]

  @Test(arguments: variants.indices, Holder.allCases)
  func aNormAddsTheGradientsOfTwoUsesOfItsOutput(variant: Int, holder: Holder) throws {
    let settings = Self.variants[variant]
    for shape in Self.shapes {
      let (a, b) = (normal(shape, seed: 4), normal(shape, seed: 5))
      let (before, sum) = ([a.elements, b.elements], sum(a, b))
      for (adds, activation) in [(false, Activation.relu), (true, .relu), (true, .gelu)] {
        let what = "\(settings.kind) of \(shape), \(adds), \(activation)"
        let apart = try backward(
          settings, (adds, activation),
          gradients: [
            (a, isHeld: holder == .first || holder == .both),
            (b, isHeld: holder == .second || holder == .both),
          ])
        let once = try backward(settings, (adds, activation), gradients: [(sum, isHeld: false)])
        #expect(apart == once, "\(what)")
        #expect([a.elements, b.elements] == before, "what others hold is not written over")
      }
    }
  }

  /// Without a rectifier nothing is masked, and the sum is all that passes.
  @Test(arguments: variants.indices)
  func aNormAloneAddsTheGradientsOfTwoUses(variant: Int) throws {
    for shape in Self.shapes {
      let (a, b) = (normal(shape, seed: 4), normal(shape, seed: 5))
      func dx(_ gradients: [Tensor]) throws -> [Float] {
        let norm = makeNorm(
          NormSite("norm", channels: shape.channels, positions: shape[1]), Self.variants[variant])
        let (tape, input) = (Tape(.training), Kept())
        let y = try norm(input.input(normal(shape, seed: 1), on: tape), on: tape)
        let end = tape.record(
          y.value,
          inputPullback: { [gradient = y.gradient] _, _ in
            for dy in gradients { gradient?.add(dy.copy()) }
          })
        try tape.backward(from: end.gradient, seed: normal(shape, seed: 3))
        return input.elements
      }
      #expect(try dx([a, b]) == dx([sum(a, b)]), "\(Self.variants[variant].kind) of \(shape)")
    }
  }

  /// dx comes from the rounded sum, and the sums from the number before.
  @Test(arguments: NormRegistry.builtIn.map { $0.kind })
  func inBFloat16TheGradientsOfTwoUsesAddUpToRounding(kind: NormKind) throws {
    var settings = NormSettings(kind)
    settings.groups = 4
    let shape: Shape = [4, 9, 32]
    let (a, b) = (normal(shape, seed: 4), normal(shape, seed: 5))
    func backward(_ gradients: [Tensor]) throws -> [[Float]] {
      try self.backward(
        settings, (true, .relu), precision: .bfloat16,
        gradients: gradients.map { (Kernel.converted($0, to: .bfloat16), isHeld: false) })
    }
    let (apart, once) = try (backward([a, b]), backward([sum(a, b)]))
    for (found, expected) in zip(apart, once) {
      let scale = expected.map(abs).max() ?? 0
      let apart = zip(found, expected).map { abs($0 - $1) }.max() ?? 0
      #expect(apart <= scale / 32, "\(kind): \(apart) of \(scale)")
    }
  }

  @Test(arguments: [false, true], [false, true])
  func whatFlowsBackIsWrittenOverGradientsThatNobodyHolds(first: Bool, second: Bool) {
    let shape: Shape = [5, 16]
    let (dy, addend, gain) = (
      normal(shape, seed: 1), normal(shape, seed: 2), normal([16], seed: 3)
    )
    let (y, saved) = LayerNorm.forward(
      normal(shape, seed: 4), gain: gain, bias: normal([16], seed: 5),
      rule: RowRule(epsilon: 1e-5))
    let gradient = OutputGradient(
      dy, adding: addend, rectified: y, hasResidual: true, overwriting: first,
      overwritingAddend: second)
    let dx = LayerNorm.backward(gradient, gain: gain, saved: saved).dx
    let used = [gradient.passed.storage, dx.storage]
    #expect(used[0] !== used[1], "the residual takes what passed after dx is written")
    #expect(used.contains { $0 === dy.storage } == first)
    #expect(used.contains { $0 === addend.storage } == second)
  }
}
