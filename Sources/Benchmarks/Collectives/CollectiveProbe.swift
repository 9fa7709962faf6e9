import LockstepCollectives
import LockstepDataParallel
import LockstepTensors

/// One operation on one size, ready to be run again and again.
///
/// It holds closures over buffers of a known element type, so that the tight loop runs no generic code.
struct CollectiveProbe {
  /// The bytes that bandwidths count; if there are several blocks, those of all together.
  let bytes: Int
  /// The number of channels whose moments it merges; nil for other operations.
  var channels: Int?
  /// How often it may run after ``prepare`` before its numbers overflow their type.
  var longestRow = Int.max
  /// Puts this rank's numbers in place.
  let prepare: () -> Void
  /// Runs the operation itself, and nothing else.
  let run: () throws(CommunicationError) -> Void
  /// Describes the first element that is wrong after a given number of runs; nil if all are right.
  let firstWrong: (_ runs: Int) -> String?
}

extension CollectiveProbe {
  /// The sum in place.
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  static func allReduce<Element: Communicable & BinaryFloatingPoint>(
    _: Element.Type, count: Int, over communicator: any Communicator
  ) -> CollectiveProbe {
    let pattern = CollectivePattern<Element>(ranks: communicator.size)
    let own = pattern.values(count, of: communicator.rank)
    let values = Storage<Element>(count: count)
    let size = communicator.size
    // In place, every run after the first multiplies by the number of ranks. 16 octaves are kept free for
    // the numbers themselves.
    let octaves = Int(Element.greatestFiniteMagnitude.exponent) - 16
    let growth = max(Int.bitWidth - (size - 1).leadingZeroBitCount, 1)
    return CollectiveProbe(
      bytes: count * MemoryLayout<Element>.stride, longestRow: octaves / growth,
      prepare: { values.write(own, 0..<count, at: 0) },
      run: { () throws(CommunicationError) in
        try values.withMutableSpan(0..<count) { span throws(CommunicationError) in
          try communicator.sum(&span)
        }
      },
      firstWrong: { runs in
        let product = (1..<max(runs, 1)).reduce(into: Element(1)) { product, _ in
          product *= Element(size)
        }
        // The first sum has no rounding error; in each later one, every addition may have one.
        let tolerance = Element((runs - 1) * size) * Element.ulpOfOne
        return firstDifference(values, tolerance: tolerance) { pattern.sum($0) * product }
      })
  }

  /// The nonblocking sum, waited for at once.
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  static func begunAllReduce<Element: Communicable & BinaryFloatingPoint>(
    _: Element.Type, count: Int, over communicator: any Communicator
  ) -> CollectiveProbe {
    let pattern = CollectivePattern<Element>(ranks: communicator.size)
    let addends = pattern.values(count, of: communicator.rank)
    var sums: Storage<Element>?
    return CollectiveProbe(
      bytes: count * MemoryLayout<Element>.stride,
      prepare: { sums = nil },
      run: { () throws(CommunicationError) in sums = try communicator.beginSum(addends).wait() },
      firstWrong: { _ in
        sums.map { firstDifference($0) { pattern.sum($0) } } ?? "there is no sum"
      })
  }

  /// The broadcast from rank 0.
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  static func broadcast<Element: Communicable & BinaryFloatingPoint>(
    _: Element.Type, count: Int, over communicator: any Communicator
  ) -> CollectiveProbe {
    let sent = CollectivePattern<Element>(ranks: communicator.size).values(count, of: 0)
    let values = Storage<Element>(count: count)
    return CollectiveProbe(
      bytes: count * MemoryLayout<Element>.stride,
      prepare: {
        if communicator.rank == 0 {
          values.write(sent, 0..<count, at: 0)
        } else {
          values.fill(0..<count, with: -1)
        }
      },
      run: { () throws(CommunicationError) in
        try values.withMutableSpan(0..<count) { span throws(CommunicationError) in
          try communicator.broadcast(&span, from: 0)
        }
      },
      firstWrong: { _ in firstDifference(values) { sent[$0] } })
  }

  /// The gather of `count` elements on every rank, rounded up so that all ranks contribute equally many.
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  static func allGather<Element: Communicable & BinaryFloatingPoint>(
    _: Element.Type, count: Int, over communicator: any Communicator
  ) -> CollectiveProbe {
    let each = (count + communicator.size - 1) / communicator.size
    let pattern = CollectivePattern<Element>(ranks: communicator.size)
    let block = pattern.values(each, of: communicator.rank)
    let gathered = Storage<Element>(count: each * communicator.size)
    return CollectiveProbe(
      bytes: gathered.count * MemoryLayout<Element>.stride,
      prepare: { gathered.fill(0..<gathered.count, with: -1) },
      run: { () throws(CommunicationError) in
        try communicator.allGather(block, into: gathered)
      },
      firstWrong: { _ in
        firstDifference(gathered) { pattern.value($0 % each, rank: $0 / each) }
      })
  }

  /// The sum of `count` addends from each rank in blocks, rounded up so that all blocks are equally long.
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  static func reduceScatter<Element: Communicable & BinaryFloatingPoint>(
    _: Element.Type, count: Int, over communicator: any Communicator
  ) -> CollectiveProbe {
    let each = (count + communicator.size - 1) / communicator.size
    let pattern = CollectivePattern<Element>(ranks: communicator.size)
    let addends = pattern.values(each * communicator.size, of: communicator.rank)
    let block = Storage<Element>(count: each)
    let start = communicator.rank * each
    return CollectiveProbe(
      bytes: addends.count * MemoryLayout<Element>.stride,
      prepare: { block.fill(0..<each, with: -1) },
      run: { () throws(CommunicationError) in
        try communicator.reduceScatter(addends, into: block)
      },
      firstWrong: { _ in firstDifference(block) { pattern.sum(start + $0) } })
  }

  /// The barrier, which leaves nothing to check.
  static func barrier(over communicator: any Communicator) -> CollectiveProbe {
    CollectiveProbe(
      bytes: 0, prepare: {},
      run: { () throws(CommunicationError) in try communicator.barrier() }, firstWrong: { _ in nil }
    )
  }
}

/// The numbers that ranks contribute to a measured collective: small whole numbers.
///
/// Their order differs from rank to rank, so that a block from the wrong rank or in the wrong place shows.
private struct CollectivePattern<Element: Communicable & BinaryFloatingPoint> {
  private static var period: Int { 13 }

  private let sums: [Element]

  init(ranks: Int) {
    sums = (0..<Self.period).map { i in
      Element((0..<ranks).reduce(0) { $0 + Self.number(i, rank: $1) })
    }
  }

  private static func number(_ i: Int, rank: Int) -> Int { (i + 5 * rank) % period + 1 }

  /// Element `i` of what `rank` contributes.
  func value(_ i: Int, rank: Int) -> Element { Element(Self.number(i, rank: rank)) }

  /// All that `rank` contributes.
  func values(_ count: Int, of rank: Int) -> Storage<Element> {
    Storage((0..<count).map { value($0, rank: rank) })
  }

  /// The sum of element `i` over all ranks, which has no rounding error.
  func sum(_ i: Int) -> Element { sums[i % Self.period] }
}

/// Describes the first of `found` that is not as expected.
private func firstDifference<Element: BinaryFloatingPoint>(
  _ found: Storage<Element>, tolerance: Element = 0, expected: (Int) -> Element
) -> String? {
  for i in 0..<found.count {
    let right = expected(i)
    // In this form, NaN is a difference.
    if !(abs(found[i] - right) <= tolerance * abs(right)) {
      return "element \(i) is \(found[i]), expected \(right)"
    }
  }
  return nil
}
