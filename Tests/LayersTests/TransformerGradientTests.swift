import Autograd
import Collectives
import Layers
import Models
import Norms
import Tensors
import Testing

/// The gradients of whole transformers agree with central differences, and no position sees those
/// after it.
@Suite struct TransformerGradientTests {
  private static let vocabulary = 5
  private static let tokens = Tensor([0, 3, 1, 4, 2, 2, 0, 1], shape: [2, 4])

  private func model(_ change: (inout TransformerSettings) -> Void) -> Model {
    var settings = TransformerSettings(
      context: 4, width: 16, heads: 2, layers: 2, norm: NormSettings(.layer))
    settings.hidden = 8
    change(&settings)
    let model = Model.transformer(
      settings,
      ModelContext(input: [4], classes: Self.vocabulary, seed: 1, synchronized: .thisRank))
    // Weights large enough for every part to matter, heads wide enough for norms to be smooth.
    for (i, parameter) in model.parameters.enumerated() {
      let noise = random(parameter.value.shape, seed: UInt64(i + 1)).elements
      parameter.value.write(zip(parameter.value.elements, noise).map { $0 + 0.25 * $1 })
      parameter.valueChanged()
    }
    return model
  }

  private func check(_ model: Model, sourceLocation: SourceLocation = #_sourceLocation) throws {
    try expectGradients(
      of: { x, tape in tape.add(x, try model(tape.input(Self.tokens), on: tape)) },
      at: .zeros([2, 4, Self.vocabulary]), parameters: model.parameters, step: 4e-3,
      tolerance: 1e-2, sourceLocation: sourceLocation)
  }

  @Test(arguments: Placement.allCases) func placements(placement: Placement) throws {
    try check(model { $0.placement = placement })
  }

  @Test(arguments: QueryKeyNorm.allCases) func queryKeyNorms(norm: QueryKeyNorm) throws {
    try check(model { $0.attention.queryKeyNorm = norm })
  }

  @Test func theOtherVariantsOfAttention() throws {
    try check(model { $0.attention.normalizesQueryKeyValue = true })
    try check(model { $0.attention.normalizesOutput = true })
    try check(
      model {
        $0.attention.softCap = 2
        $0.positions = .rotary
        $0.activation = nil
        $0.tiedEmbedding = false
      })
  }

  @Test(arguments: [NormKind.none, .layer, .rms, .scale, .l2], Placement.allCases)
  func aFutureTokenChangesNothingBefore(norm: NormKind, placement: Placement) throws {
    let model = model {
      $0.norm = NormSettings(norm)
      $0.placement = placement
    }
    func logits(_ last: Float) throws -> [Float] {
      let tape = Tape(.evaluation)
      return try model(tape.input(Tensor([0, 3, 1, last], shape: [1, 4])), on: tape).value.elements
    }
    let (a, b) = (try logits(4), try logits(2))
    #expect(a[..<(3 * Self.vocabulary)] == b[..<(3 * Self.vocabulary)])
    #expect(a[(3 * Self.vocabulary)...] != b[(3 * Self.vocabulary)...])
  }

  @Test func batchStatisticsLetTheFutureThroughInTraining() throws {
    let model = model { $0.norm = NormSettings(.batch) }
    func logits(_ last: Float) throws -> [Float] {
      let tape = Tape(.training)
      return try model(tape.input(Tensor([0, 3, 1, last], shape: [1, 4])), on: tape).value.elements
    }
    #expect(try logits(4)[..<Self.vocabulary] != logits(2)[..<Self.vocabulary])
  }
}
