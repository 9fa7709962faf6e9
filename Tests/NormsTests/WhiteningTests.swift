import LockstepAutograd
import LockstepCollectives
import LockstepKernels
import LockstepNorms
import LockstepTensors
import Testing

/// Whitening over the ranks of a communicator; that it follows its formula is held with all norms'.
@Suite struct WhiteningTests {
  private static let channels = 6

  private static func norm(
    over communicator: any Communicator = Solo(), groups: Int = 2, all: Bool = true,
    momentum: Double? = 0.1, epsilon: Double = 1e-5, channels: Int = channels
  ) -> any Layer {
    var settings = NormSettings(.whitening)
    (settings.momentum, settings.groups, settings.epsilon) = (momentum, groups, epsilon)
    return makeNorm(
      NormSite("norm", channels: channels), settings,
      NormScope(synchronized: StatisticsScope(communicator, coversAllRanks: all)))
  }

  /// Rows whose channels depend on each other, around `mean`.
  private static func mixed(_ rows: Int, _ channels: Int = channels, mean: Float = 0, seed: UInt64)
    -> Tensor
  {
    let (x, mix) = (random([rows, channels], seed: seed), random([channels, channels], seed: 99))
    let y = Tensor.zeros([rows, channels])
    Kernel.matrixProduct(Operand(x), Operand(mix), into: y)
    return Tensor(y.elements.map { $0 + mean }, shape: y.shape)
  }

  /// The covariance of the channels from `first` on.
  private func covariances(_ y: [Float], channels: Int, _ group: Range<Int>) -> [[Double]] {
    let rows = y.count / channels
    return covariance(
      group.map { c in
        let values = (0..<rows).map { Double(y[$0 * channels + c]) }
        let mean = values.reduce(0, +) / Double(rows)
        return values.map { $0 - mean }
      })
  }

  @Test(arguments: [1, 2, 3, 6], [Float(0), 1e4])
  func theOutputOfEveryGroupHasTheIdentityForCovariance(groups: Int, mean: Float) throws {
    let x = Self.mixed(500, mean: mean, seed: 1)
    let pass = try Pass(Self.norm(groups: groups, epsilon: 0), x, x)
    let width = Self.channels / groups
    for group in 0..<groups {
      let found = covariances(pass.y, channels: Self.channels, group * width..<(group + 1) * width)
      let identity = (0..<width * width).map { $0 / width == $0 % width ? 1.0 : 0 }
      expectClose(found.flatMap(\.self), identity, tolerance: 1e-5, "covariance of group \(group)")
    }
    if groups < Self.channels {
      let across = covariances(pass.y, channels: Self.channels, 0..<Self.channels)
      #expect(groups == 1 || abs(across[0][width]) > 1e-3, "groups are not mixed with each other")
    }
  }

  @Test func groupsOfOneChannelAreBatchNorm() throws {
    let (x, dy) = (Self.mixed(20, seed: 1), random([20, Self.channels], seed: 2))
    let whitening = Self.norm(groups: Self.channels)
    let batch = makeNorm(NormSite("norm", channels: Self.channels), NormSettings(.batch))
    for layer in [whitening, batch] { randomize(layer) }
    let (a, b) = (try Pass(whitening, x, dy), try Pass(batch, x, dy))
    expectClose(a.y, b.y, tolerance: 1e-5, "y")
    expectClose(a.dx, b.dx, tolerance: 1e-5, "dx")
    for name in ["weight", "bias"] {
      expectClose(a.gradients[name] ?? [], b.gradients[name] ?? [], tolerance: 1e-5, name)
    }
    for (found, expected) in zip(a.state, b.state) {
      expectClose(found, expected, tolerance: 1e-6, "running statistics")
    }
  }

  /// Two steps over ranks that hold `counts` rows each, and over one that holds them all.
  @Test(
    arguments: [[10, 10], [1, 19], [20, 0], [0, 5, 15], [6, 7, 7], [1, 0, 0, 19]],
    [Float(0), 1e4])
  func ranksComputeWhatOneRankComputesOnTheWholeBatch(counts: [Int], mean: Float) throws {
    let rows = counts.reduce(0, +)
    let steps = (0..<2).map { step in
      (
        x: Self.mixed(rows, mean: mean, seed: UInt64(step)),
        dy: random([rows, Self.channels], seed: UInt64(step) + 10)
      )
    }
    let alone = Self.norm()
    randomize(alone)
    let whole = try steps.map { try Pass(alone, $0.x, $0.dy) }
    let ranks = try withThreadRanks(counts.count) { ranks in
      let norm = Self.norm(over: ranks)
      randomize(norm)
      let start = counts[..<ranks.rank].reduce(0, +)
      let share = start..<start + counts[ranks.rank]
      return try steps.map { try Pass(norm, $0.x.samples(share), $0.dy.samples(share)) }
    }
    let tolerance = mean == 0 ? 1e-5 : 2e-4
    for step in steps.indices {
      expectClose(ranks.flatMap { $0[step].y }, whole[step].y, tolerance: tolerance, "y")
      expectClose(ranks.flatMap { $0[step].dx }, whole[step].dx, tolerance: tolerance, "dx")
      for (rank, passes) in ranks.enumerated() {
        for name in ["weight", "bias"] {
          let found = passes[step].gradients[name] ?? []
          expectClose(
            found, whole[step].gradients[name] ?? [], tolerance: tolerance,
            "\(name)'s gradient of step \(step) on rank \(rank)")
          #expect(found == ranks[0][step].gradients[name], "the same bits on every rank")
        }
        #expect(passes[step].state == ranks[0][step].state, "the same bits on every rank")
        for (found, expected) in zip(passes[step].state, whole[step].state) {
          expectClose(found, expected, tolerance: 1e-6, "running statistics of step \(step)")
        }
      }
    }
  }

  @Test func ranksWithTheSameRowsGetTheSameBits() throws {
    let x = Self.mixed(12, seed: 1)
    let passes = try withThreadRanks(3) { try Pass(Self.norm(over: $0), x, x) }
    for pass in passes { #expect(pass.y == passes[0].y && pass.dx == passes[0].dx) }
  }

  @Test(arguments: [1, 2, 6]) func oneCollectiveGoesEachWayAndNoneInEvaluation(groups: Int) throws {
    let counts = try withThreadRanks(2) { ranks in
      let norm = Self.norm(over: ranks, groups: groups)
      let x = random([3 + ranks.rank, Self.channels], seed: 1)
      var forward = Traffic()
      _ = try Pass(norm, x, x) { forward = ranks.traffic }
      let backward = ranks.traffic - forward
      let before = ranks.traffic
      _ = try evaluated(norm, x)
      let evaluation = ranks.traffic - before
      return [forward, backward, evaluation].flatMap { [$0.collectives, $0.bytes] }
    }
    let c = Self.channels
    let products = groups * (c / groups) * (c / groups)
    for (rank, count) in counts.enumerated() {
      #expect(
        count == [1, 8 * (products + c + 1), 1, 8 * (products + c), 0, 0], "rank \(rank)")
    }
  }

  @Test func gradientsOfAStatisticsGroupAreThisRanksOwn() throws {
    let (x, dy) = (Self.mixed(16, seed: 1), random([16, Self.channels], seed: 2))
    let alone = try Pass(Self.norm(all: false), x, dy)
    let pair = try withThreadRanks(2) { ranks in
      let share = 8 * ranks.rank..<8 * ranks.rank + 8
      return try Pass(Self.norm(over: ranks, all: false), x.samples(share), dy.samples(share))
    }
    for name in ["weight", "bias"] {
      let sum = zip(pair[0].gradients[name] ?? [], pair[1].gradients[name] ?? []).map { $0 + $1 }
      expectClose(sum, alone.gradients[name] ?? [], tolerance: 1e-5, name)
    }
    #expect(Self.norm(all: true).parameters.allSatisfy { $0.isSummedByLayer })
    #expect(Self.norm(all: false).parameters.allSatisfy { !$0.isSummedByLayer })
  }

  @Test func runningStatisticsAreBlendedAndUnbiased() throws {
    let norm = Self.norm(groups: 1, momentum: 0.25, channels: 2)
    #expect(norm.buffers.map(\.name) == ["norm.running_mean", "norm.running_cov"])
    #expect(norm.buffers.map(\.value.shape) == [[2], [1, 2, 2]])
    _ = try Pass(norm, Tensor([1, 0, 3, 2, 5, 7], shape: [3, 2]), .zeros([3, 2]))
    // Means 3 and 3; unbiased variances 4 and 13, covariance 7.
    expectClose(norm.buffers[0].value.elements, [0.75, 0.75] as [Float], tolerance: 1e-6, "mean")
    expectClose(
      norm.buffers[1].value.elements, [1.75, 1.75, 1.75, 4] as [Float], tolerance: 1e-6,
      "covariance")
    let before = norm.buffers.map(\.value.elements)
    _ = try Pass(norm, Tensor([5, 5], shape: [1, 2]), .zeros([1, 2]))
    #expect(norm.buffers.map(\.value.elements) == before, "one row has no unbiased covariance")
    #expect(norm.counters.map(\.value) == [1])
  }

  @Test func evaluationUsesTheRunningStatisticsAndChangesNothing() throws {
    let norm = Self.norm(groups: 1, epsilon: 0, channels: 2)
    norm.buffers[0].value.write([1, -1])
    // The root of [[5, 4], [4, 5]] is [[2, 1], [1, 2]], whose inverse is [[2, −1], [−1, 2]] / 3.
    norm.buffers[1].value.write([5, 4, 4, 5])
    norm.parameters[0].value.write([3, 6])
    norm.parameters[1].value.write([1, 0])
    let y = try evaluated(norm, Tensor([4, -1, 1, 2], shape: [2, 2]))
    expectClose(y.value.elements, [7, -6, -2, 12] as [Float], tolerance: 1e-5, "y")
    #expect(y.gradient == nil, "nothing is recorded")
    #expect(norm.buffers[0].value.elements == [1, -1] && norm.counters[0].value == 0)
  }

  /// What flows back through running statistics, which do not depend on x.
  @Test func byRunningStatisticsTheGradientIsTheMatrixAlone() throws {
    let (x, dy) = (Tensor([4, -1], shape: [1, 2]), Tensor([1, 0], shape: [1, 2]))
    let (_, saved) = Whitening.normalize(
      x, means: [1, -1], covariances: [5, 4, 4, 5], count: nil, groups: 1,
      gain: Tensor([3, 6], shape: [2]), bias: .zeros([2]), epsilon: 0)
    let gradients = try Whitening.backward(dy, saved: saved, over: Solo())
    expectClose(gradients.dx.elements, [2, -1] as [Float], tolerance: 1e-6, "dx")
    expectClose(gradients.own.gain, [2, 0], tolerance: 1e-12, "dγ")
    expectClose(gradients.own.bias, [1, 0], tolerance: 1e-12, "dβ")
  }

  @Test func channelsThatAreCopiesOfEachOtherStayFinite() throws {
    let column = random([30], seed: 1).elements
    let x = Tensor(column.flatMap { [$0, $0, 2 * $0, 0] }, shape: [30, 4])
    let pass = try Pass(Self.norm(groups: 1, channels: 4), x, random([30, 4], seed: 2))
    #expect((pass.y + pass.dx).allSatisfy { $0.isFinite })
    #expect(pass.y.allSatisfy { abs($0) < 10 })
  }

  @Test func bfloat16IsWhitenedInFloat64AndRoundedOnce() throws {
    let (x, dy) = (Self.mixed(40, seed: 1), random([40, Self.channels], seed: 2))
    let (narrowX, narrowDy) = (
      Kernel.converted(x, to: .bfloat16), Kernel.converted(dy, to: .bfloat16)
    )
    func pass(_ x: Tensor, _ dy: Tensor) throws -> (y: Tensor, dx: Tensor) {
      let (y, saved, _) = try Whitening.forward(
        x, shift: .zeros([6]), groups: 2, gain: .filled([6], with: 1), bias: .zeros([6]),
        epsilon: 1e-3, over: Solo())
      return (y, try Whitening.backward(dy, saved: saved, over: Solo()).dx)
    }
    let narrow = try pass(narrowX, narrowDy)
    let wide = try pass(
      Kernel.converted(narrowX, to: .float32), Kernel.converted(narrowDy, to: .float32))
    #expect(narrow.y.precision == .bfloat16 && narrow.dx.precision == .bfloat16)
    let (roundedY, roundedDx) = (
      Kernel.converted(wide.y, to: .bfloat16), Kernel.converted(wide.dx, to: .bfloat16)
    )
    #expect(narrow.y.elements == roundedY.elements)
    #expect(narrow.dx.elements == roundedDx.elements)
  }

  @Test func groupsDivideTheChannels() {
    var settings = NormSettings(.whitening)
    settings.groups = 4
    let problem = settings.norm.problem(at: NormSite("norm", channels: 6), settings)
    #expect(problem?.setting == "groups")
    #expect(settings.norm.problem(at: NormSite("norm", channels: 8), settings) == nil)
  }
}
