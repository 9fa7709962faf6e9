import LockstepAutograd
import LockstepLayers
import LockstepNorms
import LockstepTensors
import Testing

/// A norm, a residual and a rectifier in one entry of the tape.
@Suite struct FusedLayerTests {
  /// What one pass gives: y, and the gradients of x, of the residual and of the parameters.
  private func pass(_ kind: NormKind, adds: Bool, fused: Bool) throws -> [[Float]] {
    var settings = NormSettings(kind)
    settings.groups = 4
    let norm = makeNorm(NormSite("norm", channels: 8, positions: 6), settings)
    let shape: Shape = [3, 6, 8]
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
    let fused = try pass(kind, adds: adds, fused: true)
    let separate = try pass(kind, adds: adds, fused: false)
    #expect(fused == separate)
    #expect(fused[0].contains { $0 > 0 } && fused[0].contains(0), "the rectifier cuts some off")
    #expect(fused[2].isEmpty != adds, "the residual has a gradient")
  }

  /// Who else holds the gradients that later layers give.
  enum Holder: CaseIterable { case nobody, first, second, both }

  /// What flows back through a norm whose output gets `gradients` one by one.
  private func backward(
    _ kind: NormKind, adds: Bool, gradients: [(Tensor, isHeld: Bool)]
  ) throws -> [[Float]] {
    var settings = NormSettings(kind)
    settings.groups = 4
    let norm = makeNorm(NormSite("norm", channels: 8, positions: 6), settings)
    let shape = gradients[0].0.shape
    let (tape, residualGradient, inputGradient) = (Tape(.training), Kept(), Kept())
    let x = inputGradient.input(normal(shape, seed: 1), on: tape)
    let residual = adds ? residualGradient.input(normal(shape, seed: 2), on: tape) : nil
    let y = try Activated(norm, .relu)(x, adding: residual, on: tape)
    let end = tape.record(
      y.value,
      inputPullback: { [gradient = y.gradient] _, _ in
        for (dy, isHeld) in gradients { gradient?.add(isHeld ? dy : dy.copy()) }
      })
    try tape.backward(from: end.gradient, seed: normal(shape, seed: 3))
    return [inputGradient.elements, residualGradient.elements]
      + norm.parameters.map(\.gradient.elements)
  }

  @Test(arguments: NormRegistry.builtIn.map { $0.kind }, Holder.allCases)
  func aNormAddsTheGradientsOfTwoUsesOfItsOutput(kind: NormKind, holder: Holder) throws {
    let (a, b) = (normal([3, 6, 8], seed: 4), normal([3, 6, 8], seed: 5))
    let (before, sum) = ([a.elements, b.elements], a.copy())
    for (i, value) in b.elements.enumerated() { sum.storage[sum.offset + i] += value }
    for adds in [false, true] {
      let apart = try backward(
        kind, adds: adds,
        gradients: [
          (a, isHeld: holder == .first || holder == .both),
          (b, isHeld: holder == .second || holder == .both),
        ])
      #expect(try apart == backward(kind, adds: adds, gradients: [(sum, isHeld: false)]))
      #expect([a.elements, b.elements] == before, "what others hold is not written over")
    }
  }
}
