import LockstepAutograd
import LockstepCollectives
import LockstepNorms
import LockstepTensors
import Testing

/// Batch statistics over the positions of padded sequences that count.
@Suite struct MaskedRowsTests {
  private static let kinds: [NormKind] = [.batch, .syncBatch, .batchRenorm, .whitening]
  private static let lengths = [3, 0, 5, 1]
  private static let shape: Shape = [4, 5, 6]

  private static func norm(
    _ kind: NormKind, masked: Bool = true, over communicator: any Communicator = Solo()
  ) -> any Layer {
    var settings = NormSettings(kind)
    settings.masked = masked
    settings.synchronized = true
    settings.groups = 2
    let layer = makeNorm(
      NormSite("norm", channels: shape.channels), settings,
      NormScope(synchronized: StatisticsScope(communicator, coversAllRanks: true)))
    randomize(layer)
    return layer
  }

  /// The rows of `samples` that count, from 0.
  private static func rows(_ samples: Range<Int>) -> [Int] {
    samples.flatMap { sample in
      (0..<lengths[sample]).map { (sample - samples.lowerBound) * shape[1] + $0 }
    }
  }

  private static func rowsOf(_ elements: [Float], _ rows: [Int]) -> [Float] {
    rows.flatMap { elements[$0 * shape.channels..<($0 + 1) * shape.channels] }
  }

  @Test(arguments: kinds) func paddingIsAsIfItWereNotThere(kind: NormKind) throws {
    let (x, dy) = (random(Self.shape, seed: 1), random(Self.shape, seed: 2))
    let rows = Self.rows(0..<4)
    let dense: Shape = [rows.count, Self.shape.channels]
    let masked = try Pass(Self.norm(kind), x, dy, validRows: rows)
    let valid = try Pass(
      Self.norm(kind, masked: false), Tensor(Self.rowsOf(x.elements, rows), shape: dense),
      Tensor(Self.rowsOf(dy.elements, rows), shape: dense))
    #expect(Self.rowsOf(masked.y, rows) == valid.y)
    #expect(Self.rowsOf(masked.dx, rows) == valid.dx)
    #expect(masked.gradients == valid.gradients && masked.state == valid.state)
    let padding = (0..<20).filter { !rows.contains($0) }
    #expect(
      (Self.rowsOf(masked.y, padding) + Self.rowsOf(masked.dx, padding)).allSatisfy { $0 == 0 })
  }

  @Test(arguments: kinds) func aSequenceWithoutAPositionCountsForNothing(kind: NormKind) throws {
    let (x, dy) = (random(Self.shape, seed: 1), random(Self.shape, seed: 2))
    let with = try Pass(Self.norm(kind), x, dy, validRows: Self.rows(0..<4))
    let changed = x.copy()
    changed.part(1, shape: [5, 6]).fill(with: .nan)
    let without = try Pass(Self.norm(kind), changed, dy, validRows: Self.rows(0..<4))
    #expect(with.y == without.y && with.dx == without.dx)
    #expect(with.gradients == without.gradients && with.state == without.state)
    let none = try Pass(Self.norm(kind), changed, dy, validRows: [])
    #expect((none.y + none.dx + none.gradients.values.joined()).allSatisfy { $0 == 0 })
  }

  @Test(arguments: 2...4) func countsMayDifferBetweenRanks(ranks: Int) throws {
    let (x, dy) = (random(Self.shape, seed: 1), random(Self.shape, seed: 2))
    let whole = try Pass(Self.norm(.syncBatch), x, dy, validRows: Self.rows(0..<4))
    let parts = try withThreadRanks(ranks) { world in
      let share = world.rank * 4 / ranks..<(world.rank + 1) * 4 / ranks
      return try Pass(
        Self.norm(.syncBatch, over: world), x.samples(share), dy.samples(share),
        validRows: Self.rows(share))
    }
    expectClose(parts.flatMap(\.y), whole.y, tolerance: 1e-5, "y")
    expectClose(parts.flatMap(\.dx), whole.dx, tolerance: 1e-5, "dx")
    #expect(parts.allSatisfy { $0.state == parts[0].state })
  }

  @Test func evaluationLeavesThePaddingOutToo() throws {
    let norm = Self.norm(.batch)
    let x = random(Self.shape, seed: 1)
    let tape = Tape(.evaluation, validRows: Self.rows(0..<4))
    let y = try norm(tape.input(x), on: tape).value.elements
    let all = try evaluated(norm, x).value.elements
    #expect(Self.rowsOf(y, Self.rows(0..<4)) == Self.rowsOf(all, Self.rows(0..<4)))
    #expect(Self.rowsOf(y, [3, 4, 5]).allSatisfy { $0 == 0 })
  }
}
