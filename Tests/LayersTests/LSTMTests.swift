import LockstepAutograd
import LockstepCollectives
import LockstepModels
import LockstepNorms
import LockstepTensors
import Testing

/// LSTM layers and models of them.
@Suite struct LSTMTests {
  private func layer(_ norm: NormSettings, context: Int = 4) -> LSTM {
    var initial = stream()
    let layer = LSTM(
      "lstm", inputs: 3, hidden: 5, context: context, norm: norm, using: &initial)
    // Gains and shifts unlike those of a new layer.
    for (i, parameter) in layer.parameters.enumerated() {
      let noise = random(parameter.value.shape, seed: UInt64(i + 1)).elements
      parameter.value.write(zip(parameter.value.elements, noise).map { $0 + 0.2 * $1 })
    }
    return layer
  }

  /// An ε so large that differences of a few rows stay near their tangents.
  private func smooth(_ norm: NormKind) -> NormSettings {
    var settings = NormSettings(norm)
    settings.epsilon = 0.1
    return settings
  }

  /// A layer that takes a batch's statistics whatever the tape says.
  private func inTraining(_ layer: LSTM) -> (Variable, Tape) throws -> Variable {
    { x, tape in try layer(x, on: tape.mode == .training ? tape : Tape(.training)) }
  }

  @Test(arguments: LSTM.norms) func gradientsAreThoseOfDifferences(norm: NormKind) throws {
    let layer = layer(smooth(norm))
    try expectGradients(
      of: inTraining(layer), at: random([6, 3, 3]), parameters: layer.parameters, step: 2e-3,
      tolerance: 5e-3)
  }

  @Test(arguments: [NormKind.layer, .rms, .batch])
  func gradientsOfNormsWithoutGainsAreThoseOfDifferences(norm: NormKind) throws {
    var settings = smooth(norm)
    settings.affine = false
    let layer = layer(settings)
    #expect(layer.parameters.count == 3)
    try expectGradients(
      of: inTraining(layer), at: random([4, 3, 3]), parameters: layer.parameters, step: 2e-3,
      tolerance: 5e-3)
  }

  /// Every sequence has as many steps that count as its number says.
  @Test func paddingHasNoPartInBatchStatistics() throws {
    let layer = layer(smooth(.batch))
    let lengths = [4, 2, 3, 4, 4, 4]
    let rows = lengths.enumerated().flatMap { n, length in (0..<length).map { n * 4 + $0 } }
    func outputs(padding: Float) throws -> [Float] {
      let x = random([6, 4, 3])
      let kept = x.elements.enumerated().map { rows.contains($0 / 3) ? $1 : padding }
      let tape = Tape(.training, validRows: rows)
      let y = try layer(tape.input(Tensor(kept, shape: x.shape)), on: tape).value.elements
      return rows.flatMap { y[$0 * 5..<($0 + 1) * 5] }
    }
    #expect(try outputs(padding: 0) == outputs(padding: 7))
    try expectParameterGradients(of: layer, rows)
  }

  /// Of the sum over the rows that count: the norms leave out the others' gradients.
  private func expectParameterGradients(of layer: LSTM, _ rows: [Int]) throws {
    let x = random([6, 4, 3])
    let seed = Tensor(
      random([6, 4, 5], seed: 77).elements.enumerated().map { rows.contains($0 / 5) ? $1 : 0 },
      shape: [6, 4, 5])
    let tape = Tape(.training, validRows: rows)
    let y = try layer(tape.input(x), on: tape)
    try tape.backward(from: y.gradient, seed: seed.copy())
    for parameter in layer.parameters {
      let (before, gradient) = (parameter.value.elements, parameter.gradient.elements)
      for i in before.indices {
        func loss(_ shift: Float) throws -> Double {
          var moved = before
          moved[i] += shift
          parameter.value.write(moved)
          let tape = Tape(.training, validRows: rows)
          let y = try layer(tape.input(x), on: tape).value
          return zip(y.elements, seed.elements).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        }
        let numeric = try (loss(2e-3) - loss(-2e-3)) / 4e-3
        parameter.value.write(before)
        #expect(
          abs(numeric - Double(gradient[i])) < 5e-3 * max(1, abs(numeric)),
          "\(parameter.name) \(i): \(gradient[i]), differences say \(numeric)")
      }
    }
  }

  @Test func withoutNormsParametersHavePyTorchsNames() {
    let model = model(.none)
    #expect(
      model.parameters.map(\.name) == [
        "embedding.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_ih_l0",
        "lstm.bias_hh_l0", "lstm.weight_ih_l1", "lstm.weight_hh_l1", "lstm.bias_ih_l1",
        "lstm.bias_hh_l1",
      ])
    #expect(model.parameters[1].value.shape == [24, 6] && model.normSites.isEmpty)
  }

  private static let vocabulary = 5

  private func model(_ norm: NormKind, context: Int = 4) -> Model {
    var settings = LSTMSettings(context: context, width: 6, layers: 2)
    settings.dropout = 0.2
    return .lstm(
      settings,
      ModelContext(
        input: [context], classes: Self.vocabulary, seed: 1, norm: NormSettings(norm)))
  }

  private func tokens(_ shape: Shape) -> Tensor {
    Tensor((0..<shape.count).map { Float(($0 * 7 + $0 / 3) % Self.vocabulary) }, shape: shape)
  }

  /// The sequences are longer than the context, of whose last step the later ones take the statistics.
  @Test(arguments: LSTM.norms) func tokensOneByOneAreTheWholeSequence(norm: NormKind) throws {
    let model = model(norm)
    for _ in 0..<3 {
      let tape = Tape(.training)
      _ = try model(tape.input(tokens([8, 4])), on: tape)
    }
    let (x, tape) = (tokens([2, 7]), Tape(.evaluation))
    let whole = try model(tape.input(x), on: tape).value.elements
    let state = try #require(model.initialState)
    for step in 0..<7 {
      #expect(state.steps == step)
      let token = Tensor([x.elements[step], x.elements[7 + step]], shape: [2, 1])
      let y = try model(tape.input(token), carrying: state, on: tape).value
      for (n, row) in [step, 7 + step].enumerated() {
        for c in 0..<Self.vocabulary {
          let (a, b) = (y.elements[n * Self.vocabulary + c], whole[row * Self.vocabulary + c])
          #expect(abs(a - b) < 1e-6, "\(norm.rawValue), step \(step)")
        }
      }
    }
  }

  @Test(arguments: [NormKind.batch, .syncBatch])
  func runningStatisticsAreOfEveryStepByItself(norm: NormKind) throws {
    var settings = NormSettings(norm)
    settings.momentum = nil
    let layer = layer(settings)
    // The second step is five times as far apart as the first.
    let x = random([6, 2, 3])
    x.write(x.elements.enumerated().map { $0 / 3 % 2 == 1 ? 5 * $1 : $1 })
    for _ in 0..<2 {
      let tape = Tape(.training)
      _ = try layer(tape.input(x), on: tape)
    }
    let variances = try #require(
      layer.buffers.first { $0.name == "lstm.norm_ih_l0.running_var" }
    ).value.elements
    #expect(variances.count == 4 * 20)
    let sums = (0..<4).map { variances[$0 * 20..<($0 + 1) * 20].reduce(0, +) }
    #expect(sums[1] > 5 * sums[0], "\(sums)")
    #expect(sums[2...] == [20, 20], "no sequence had these steps")
    #expect(layer.counters.map(\.value) == [2, 2, 2])
  }

  @Test func inBFloat16TheCellComputesInFloat32() throws {
    let layer = layer(NormSettings(.layer))
    func run(_ precision: Precision) throws -> (y: Tensor, dx: Tensor) {
      let (tape, probe) = (Tape(.training, precision: precision), Probe())
      let y = try layer(tape.stored(probe.input(random([4, 3, 3]), on: tape)), on: tape)
      try tape.backward(from: y.gradient, seed: .filled(y.value.shape, with: 1, precision))
      return (y.value, try #require(probe.gradient))
    }
    let (wide, narrow) = (try run(.float32), try run(.bfloat16))
    #expect(narrow.y.precision == .bfloat16)
    for (a, b) in [(wide.y, narrow.y), (wide.dx, narrow.dx)] {
      for (a, b) in zip(a.elements, b.elements) { #expect(abs(a - b) < 0.05 * max(1, abs(a))) }
    }
  }

  @Test func aNormThatItDoesNotKnowIsNamed() {
    #expect(LSTM.norms.allSatisfy { LSTM.problem($0) == nil })
    #expect(
      LSTM.problem(.group)
        == "an lstm has none, layer, rms, batch or sync-batch norm, not group")
  }
}
