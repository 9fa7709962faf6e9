import LockstepAutograd
import LockstepCollectives
import LockstepLayers
import LockstepModels
import LockstepNorms
import LockstepTensors
import Testing

/// The gradients of whole transformers agree with central differences, and no position sees those
/// after it.
@Suite struct TransformerGradientTests {
  private static let vocabulary = 5
  private static let tokens = Tensor([0, 3, 1, 4, 2, 2, 0, 1], shape: [2, 4])

  private static func context(_ norm: NormKind, weightNorm: Bool = false) -> ModelContext {
    ModelContext(
      input: [4], classes: vocabulary, seed: 1, norm: NormSettings(norm), weightNorm: weightNorm)
  }

  private func model(
    _ norm: NormKind = .layer, weightNorm: Bool = false,
    _ change: (inout TransformerSettings) -> Void
  ) -> Model {
    var settings = TransformerSettings(context: 4, width: 16, heads: 2, layers: 2)
    settings.hidden = 8
    change(&settings)
    return perturbed(.transformer(settings, Self.context(norm, weightNorm: weightNorm)))
  }

  private func perturbed(_ model: Model) -> Model {
    // Weights large enough for every part to matter, heads wide enough for norms to be smooth.
    for (i, parameter) in model.parameters.enumerated() {
      let noise = random(parameter.value.shape, seed: UInt64(i + 1)).elements
      parameter.value.write(zip(parameter.value.elements, noise).map { $0 + 0.25 * $1 })
    }
    return model
  }

  private func check(
    _ model: Model, step: Float = 4e-3, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    try expectGradients(
      of: { x, tape in tape.add(x, try model(tape.input(Self.tokens), on: tape)) },
      at: .zeros([2, 4, Self.vocabulary]), parameters: model.parameters, step: step,
      tolerance: 1e-2, sourceLocation: sourceLocation)
  }

  @Test(arguments: Placement.allCases) func placements(placement: Placement) throws {
    try check(
      model {
        $0.placement = placement
        $0.mixShare = 0.5
      })
  }

  @Test(arguments: [
    (6, 0.25, 1), (2, 0.25, 0), (8, 0.25, 2), (100, 0.07, 7), (100, 0.29, 29), (3, 1, 3),
  ])
  func mixRoundsTheNumberOfPostBlocksDown(layers: Int, share: Double, post: Int) {
    var settings = TransformerSettings(context: 4, width: 16, heads: 2, layers: layers)
    (settings.placement, settings.mixShare) = (.mix, share)
    let placements = (0..<layers).map { settings.placement(of: $0) }
    #expect(placements.count { $0 == .post } == post)
    #expect(placements.prefix(post).allSatisfy { $0 == .post })
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

  @Test func fixedNormsOfWordsAndOutputs() throws {
    try check(
      model {
        $0.fixesEmbeddingNorm = true
        $0.fixesOutputNorm = true
      })
  }

  @Test func weightsByDirectionAndLength() throws {
    try check(model(weightNorm: true) { $0.tiedEmbedding = false })
  }

  private var nGPT: Model {
    var settings = NormalizedTransformerSettings(context: 4, width: 16, heads: 2, layers: 2)
    settings.hidden = 8
    settings.initialStep = 0.2
    return perturbed(.normalizedTransformer(settings, Self.context(.none)))
  }

  /// Steps small enough not to cross the corner of a step size's magnitude.
  @Test func nGPTs() throws { try check(nGPT, step: 2e-3) }

  @Test func anNGPTsWeightsAreOfUnitLengthAlongTheHiddenAxis() {
    let model = nGPT
    model.applyConstraints()
    func isUnit(_ name: String, byColumns: Bool) -> Bool {
      guard let value = model.parameters.first(where: { $0.name == name })?.value else {
        return false
      }
      let (e, n) = (value.elements, value.shape.channels)
      let lines = byColumns ? n : value.shape[0]
      return (0..<lines).allSatisfy { line in
        let squares = e.indices.filter { (byColumns ? $0 % n : $0 / n) == line }
          .reduce(0) { $0 + e[$1] * e[$1] }
        return abs(squares - 1) < 1e-5
      }
    }
    for name in [
      "transformer.wte", "lm_head", "transformer.h.1.attn.c_attn",
      "transformer.h.0.mlp.c_fc", "transformer.h.0.mlp.c_gate",
    ] {
      #expect(isUnit("\(name).weight", byColumns: false), "\(name)")
    }
    for name in ["attn", "mlp"] {
      #expect(isUnit("transformer.h.1.\(name).c_proj.weight", byColumns: true), "\(name)")
    }
  }

  @Test(arguments: [NormKind.none, .layer, .rms, .scale, .l2], Placement.allCases)
  func aFutureTokenChangesNothingBefore(norm: NormKind, placement: Placement) throws {
    try expectNoFuture(model(norm) { $0.placement = placement })
  }

  @Test func noPositionOfAnNGPTSeesTheFuture() throws { try expectNoFuture(nGPT) }

  private func expectNoFuture(_ model: Model) throws {
    func logits(_ last: Float) throws -> [Float] {
      let tape = Tape(.evaluation)
      return try model(tape.input(Tensor([0, 3, 1, last], shape: [1, 4])), on: tape).value.elements
    }
    let (a, b) = (try logits(4), try logits(2))
    #expect(a[..<(3 * Self.vocabulary)] == b[..<(3 * Self.vocabulary)])
    #expect(a[(3 * Self.vocabulary)...] != b[(3 * Self.vocabulary)...])
  }

  @Test func batchStatisticsLetTheFutureThroughInTraining() throws {
    let model = model(.batch) { _ in }
    func logits(_ last: Float) throws -> [Float] {
      let tape = Tape(.training)
      return try model(tape.input(Tensor([0, 3, 1, last], shape: [1, 4])), on: tape).value.elements
    }
    #expect(try logits(4)[..<Self.vocabulary] != logits(2)[..<Self.vocabulary])
  }
}
