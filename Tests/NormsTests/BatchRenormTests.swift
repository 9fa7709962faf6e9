import LockstepAutograd
import LockstepCollectives
import LockstepNorms
import LockstepTensors
import Testing

/// Batch norm corrected towards its running statistics.
@Suite struct BatchRenormTests {
  private static let channels = 5

  private static func norm(
    _ kind: NormKind = .batchRenorm, over communicator: any Communicator = Solo(),
    maximumScale: Double = 3, maximumShift: Double = 5
  ) -> any Layer {
    var settings = NormSettings(kind)
    settings.synchronized = true
    settings.maximumScale = maximumScale
    settings.maximumShift = maximumShift
    let layer = makeNorm(
      NormSite("norm", channels: channels), settings,
      NormScope(synchronized: StatisticsScope(communicator, coversAllRanks: true)))
    randomize(layer)
    layer.buffers[0].value.write([0.1, 0.5, -0.5, 2, 0.4])
    layer.buffers[1].value.write([1, 0.2, 3, 0.8, 1.1])
    return layer
  }

  @Test(arguments: [(3.0, 5.0), (1.1, 0.3), (1, 0)])
  func outputAndGradientsFollowTheFormula(maximumScale: Double, maximumShift: Double) throws {
    let norm = Self.norm(maximumScale: maximumScale, maximumShift: maximumShift)
    let values = (norm.parameters.map(\.value) + norm.buffers.map(\.value)).map {
      $0.elements.map(Double.init)
    }
    let (x, dy) = (random([7, 5], mean: 0.5, seed: 1), random([7, 5], seed: 2))
    let pass = try Pass(norm, x, dy)
    func moments(_ x: [Double], _ c: Int) -> (mean: Double, deviation: Double) {
      let column = stride(from: c, to: x.count, by: 5).map { x[$0] }
      let mean = column.reduce(0, +) / 7
      let squares = column.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
      return (mean, (squares / 7 + 1e-5).squareRoot())
    }
    let input = x.elements.map(Double.init)
    // r and d of the x at hand, whatever the differences below move.
    let corrections = (0..<5).map { c in
      let (mean, deviation) = moments(input, c)
      let running = (values[3][c] + 1e-5).squareRoot()
      return (
        r: min(max(deviation / running, 1 / maximumScale), maximumScale),
        d: min(max((mean - values[2][c]) / running, -maximumShift), maximumShift)
      )
    }
    func definition(_ x: [Double], _ gain: [Double], _ bias: [Double]) -> [Double] {
      let all = (0..<5).map { moments(x, $0) }
      return x.indices.map { i in
        let c = i % 5
        let unit = (x[i] - all[c].mean) / all[c].deviation
        return gain[c] * (unit * corrections[c].r + corrections[c].d) + bias[c]
      }
    }
    let seed = dy.elements.map(Double.init)
    expectClose(pass.y, definition(input, values[0], values[1]), tolerance: 1e-5, "y")
    expectClose(
      pass.dx, slopes(input, seed) { definition($0, values[0], values[1]) }, tolerance: 1e-5, "dx")
    expectClose(
      pass.gradients["weight"] ?? [],
      slopes(values[0], seed) { definition(input, $0, values[1]) }, tolerance: 1e-5, "gain")
    expectClose(
      pass.gradients["bias"] ?? [],
      slopes(values[1], seed) { definition(input, values[0], $0) }, tolerance: 1e-5, "bias")
  }

  @Test func withoutACorrectionItIsBatchNorm() throws {
    let (x, dy) = (random([9, 5], mean: 2, seed: 1), random([9, 5], seed: 2))
    let renorm = try Pass(Self.norm(maximumScale: 1, maximumShift: 0), x, dy)
    let batch = try Pass(Self.norm(.batch), x, dy)
    #expect(renorm.y == batch.y && renorm.dx == batch.dx && renorm.state == batch.state)
    #expect(renorm.gradients == batch.gradients)
  }

  @Test func withinWideLimitsTrainingNormalizesAsEvaluationDoes() throws {
    let x = random([9, 5], mean: 2, seed: 1)
    let norm = Self.norm(maximumScale: 1e6, maximumShift: 1e6)
    let expected = try evaluated(norm, x).value.elements
    expectClose(try Pass(norm, x, x).y, expected, tolerance: 1e-5, "y by running statistics")
  }

  @Test(arguments: [[6, 6], [1, 11], [0, 5, 7], [1, 0, 0, 1]])
  func ranksComputeWhatOneRankComputesOnTheWholeBatch(counts: [Int]) throws {
    let rows = counts.reduce(0, +)
    let (x, dy) = (random([rows, 5], mean: 1, seed: 1), random([rows, 5], seed: 2))
    let whole = try Pass(Self.norm(), x, dy)
    let passes = try withThreadRanks(counts.count) { ranks in
      let start = counts[..<ranks.rank].reduce(0, +)
      let share = start..<start + counts[ranks.rank]
      return try Pass(Self.norm(over: ranks), x.samples(share), dy.samples(share))
    }
    expectClose(passes.flatMap(\.y), whole.y, tolerance: 1e-5, "y")
    expectClose(passes.flatMap(\.dx), whole.dx, tolerance: 1e-5, "dx")
    for pass in passes {
      #expect(pass.state == passes[0].state, "the same bits on every rank")
      for name in ["weight", "bias"] {
        expectClose(
          pass.gradients[name] ?? [], whole.gradients[name] ?? [], tolerance: 1e-5, "\(name)")
      }
    }
  }

  @Test func unlessSynchronizedItSendsNothing() throws {
    let traffic = try withThreadRanks(2) { ranks in
      let norm = makeNorm(
        NormSite("norm", channels: 5), NormSettings(.batchRenorm),
        NormScope(synchronized: StatisticsScope(ranks, coversAllRanks: true)))
      _ = try Pass(norm, random([4, 5], seed: 1), random([4, 5], seed: 2))
      return ranks.traffic.collectives + norm.parameters.filter(\.isSummedByLayer).count
    }
    #expect(traffic == [0, 0])
  }
}
