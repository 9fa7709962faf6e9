import Collectives
import Tensors

/// One operation on one size, ready to be run again and again.
protocol CollectiveProbe: AnyObject {
  /// The bytes that bandwidths count: of all blocks together, where there are several.
  var bytes: Int { get }
  /// How often it may be run after ``prepare()`` without its numbers growing out of their type.
  var longestRow: Int { get }
  /// Puts this rank's numbers in place.
  func prepare()
  /// The operation itself, and nothing else.
  func run() throws(CommunicationError)
  /// The first element that is wrong after `runs` runs, described; nil if none is.
  func firstWrong(after runs: Int) -> String?
}

extension CollectiveProbe {
  var longestRow: Int { .max }
}

/// The first of `count` elements that is not what it should be.
func firstWrong<Element: BinaryFloatingPoint>(
  _ found: Storage<Element>, tolerance: Element = 0, expected: (Int) -> Element
) -> String? {
  for i in 0..<found.count {
    let right = expected(i)
    // Written so that NaN is wrong.
    if !(abs(found[i] - right) <= tolerance * abs(right)) {
      return "element \(i) is \(found[i]), expected \(right)"
    }
  }
  return nil
}

/// The sum in place.
final class AllReduceProbe<Element: Communicable & BinaryFloatingPoint>: CollectiveProbe {
  private let communicator: any Communicator
  private let pattern: CollectivePattern<Element>
  private let values: Storage<Element>
  private let own: Storage<Element>

  init(count: Int, over communicator: any Communicator) {
    self.communicator = communicator
    pattern = CollectivePattern(ranks: communicator.size)
    own = Storage((0..<count).map { CollectivePattern<Element>.value($0, rank: communicator.rank) })
    values = Storage(count: count)
  }

  var bytes: Int { values.count * MemoryLayout<Element>.stride }

  /// In place, every run after the first multiplies by the number of ranks.
  var longestRow: Int {
    let octaves = Int(Element.greatestFiniteMagnitude.exponent) - 16
    let growth = Int.bitWidth - (communicator.size - 1).leadingZeroBitCount
    return octaves / max(growth, 1)
  }

  func prepare() { values.write(own, 0..<own.count, at: 0) }

  func run() throws(CommunicationError) {
    try values.withMutableSpan(0..<values.count) { span throws(CommunicationError) in
      try communicator.sum(&span)
    }
  }

  func firstWrong(after runs: Int) -> String? {
    let growth = (1..<max(runs, 1)).reduce(into: Element(1)) { product, _ in
      product *= Element(communicator.size)
    }
    // The first sum has no rounding error; each later one may have one an addition.
    let roundings = Element((runs - 1) * communicator.size)
    return Training.firstWrong(values, tolerance: roundings * .ulpOfOne) {
      pattern.sum($0) * growth
    }
  }
}

/// The sum that is begun, and waited for at once.
final class BegunAllReduceProbe<Element: Communicable & BinaryFloatingPoint>: CollectiveProbe {
  private let communicator: any Communicator
  private let pattern: CollectivePattern<Element>
  private let addends: Storage<Element>
  private var sums: Storage<Element>?

  init(count: Int, over communicator: any Communicator) {
    self.communicator = communicator
    pattern = CollectivePattern(ranks: communicator.size)
    addends = Storage(
      (0..<count).map { CollectivePattern<Element>.value($0, rank: communicator.rank) })
  }

  var bytes: Int { addends.count * MemoryLayout<Element>.stride }

  func prepare() { sums = nil }

  func run() throws(CommunicationError) { sums = try communicator.beginSum(addends).wait() }

  func firstWrong(after runs: Int) -> String? {
    sums.map { Training.firstWrong($0) { self.pattern.sum($0) } } ?? "there is no sum"
  }
}

/// The broadcast from rank 0.
final class BroadcastProbe<Element: Communicable & BinaryFloatingPoint>: CollectiveProbe {
  private let communicator: any Communicator
  private let values: Storage<Element>
  private let sent: Storage<Element>

  init(count: Int, over communicator: any Communicator) {
    self.communicator = communicator
    sent = Storage((0..<count).map { CollectivePattern<Element>.value($0, rank: 0) })
    values = Storage(count: count)
  }

  var bytes: Int { values.count * MemoryLayout<Element>.stride }

  func prepare() {
    if communicator.rank == 0 {
      values.write(sent, 0..<sent.count, at: 0)
    } else {
      values.fill(0..<values.count, with: -1)
    }
  }

  func run() throws(CommunicationError) {
    try values.withMutableSpan(0..<values.count) { span throws(CommunicationError) in
      try communicator.broadcast(&span, from: 0)
    }
  }

  func firstWrong(after runs: Int) -> String? { Training.firstWrong(values) { self.sent[$0] } }
}

/// The gather on every rank.
final class AllGatherProbe<Element: Communicable & BinaryFloatingPoint>: CollectiveProbe {
  private let communicator: any Communicator
  private let block: Storage<Element>
  private let gathered: Storage<Element>

  /// `count` elements of all ranks together, rounded up to as many on each.
  init(count: Int, over communicator: any Communicator) {
    self.communicator = communicator
    let each = (count + communicator.size - 1) / communicator.size
    block = Storage(
      (0..<each).map { CollectivePattern<Element>.value($0, rank: communicator.rank) })
    gathered = Storage(count: each * communicator.size)
  }

  var bytes: Int { gathered.count * MemoryLayout<Element>.stride }

  func prepare() { gathered.fill(0..<gathered.count, with: -1) }

  func run() throws(CommunicationError) { try communicator.allGather(block, into: gathered) }

  func firstWrong(after runs: Int) -> String? {
    Training.firstWrong(gathered) { [each = block.count] in
      CollectivePattern.value($0 % each, rank: $0 / each)
    }
  }
}

/// The sum in blocks.
final class ReduceScatterProbe<Element: Communicable & BinaryFloatingPoint>: CollectiveProbe {
  private let communicator: any Communicator
  private let pattern: CollectivePattern<Element>
  private let addends: Storage<Element>
  private let block: Storage<Element>

  /// `count` addends a rank, rounded up to blocks of one length.
  init(count: Int, over communicator: any Communicator) {
    self.communicator = communicator
    pattern = CollectivePattern(ranks: communicator.size)
    let each = (count + communicator.size - 1) / communicator.size
    block = Storage(count: each)
    addends = Storage(
      (0..<each * communicator.size).map {
        CollectivePattern<Element>.value($0, rank: communicator.rank)
      })
  }

  var bytes: Int { addends.count * MemoryLayout<Element>.stride }

  func prepare() { block.fill(0..<block.count, with: -1) }

  func run() throws(CommunicationError) { try communicator.sumAndScatter(addends, into: block) }

  func firstWrong(after runs: Int) -> String? {
    let start = communicator.rank * block.count
    return Training.firstWrong(block) { self.pattern.sum(start + $0) }
  }
}

/// The barrier, whose result is that nobody left before the last one came.
final class BarrierProbe: CollectiveProbe {
  private let communicator: any Communicator

  init(over communicator: any Communicator) { self.communicator = communicator }

  var bytes: Int { 0 }
  func prepare() {}
  func run() throws(CommunicationError) { try communicator.barrier() }
  func firstWrong(after runs: Int) -> String? { nil }
}
