public import LockstepTensors

/// A group of one rank, in which every collective is the identity and nothing is sent or counted.
public final class Solo: Communicator {
  /// Creates a group of one rank.
  public init() {}
  /// Always 0.
  public var rank: Int { 0 }
  /// Always 1.
  public var size: Int { 1 }
  /// A meter that stays at zero.
  public let meter = TrafficMeter()

  /// Leaves `values` as they are.
  public func sum<Element: Communicable>(
    _ values: inout MutableSpan<Element>, for purpose: Purpose
  ) {}

  /// Leaves `values` as they are.
  public func maximum<Element: Communicable & Comparable>(
    _ values: inout MutableSpan<Element>, for purpose: Purpose
  ) {}

  /// Completes at once with a copy of `addends`.
  public func beginSum<Element: Communicable>(_ addends: Storage<Element>, for purpose: Purpose)
    -> PendingSum<Element>
  {
    let sums = Storage<Element>(count: addends.count)
    sums.write(addends, 0..<addends.count, at: 0)
    return PendingSum(into: sums, by: Completed())
  }

  /// Leaves `triples` as they are.
  public func mergeMoments(_ triples: Storage<Double>, for purpose: Purpose) {}

  /// Copies `values`.
  public func allGather<Element: Communicable>(
    _ values: Storage<Element>, into gathered: Storage<Element>, for purpose: Purpose
  ) {
    gathered.write(values, 0..<values.count, at: 0)
  }

  /// Copies `addends`.
  public func reduceScatter<Element: Communicable>(
    _ addends: Storage<Element>, into block: Storage<Element>, for purpose: Purpose
  ) {
    block.write(addends, 0..<addends.count, at: 0)
  }

  /// Leaves `values` as they are.
  public func broadcast<Element: Communicable>(
    _ values: inout MutableSpan<Element>, from root: Int
  ) {}

  /// The one rank's values.
  public func gather<Element: Communicable>(_ values: [Element], to root: Int) -> [[Element]]? {
    [values]
  }

  /// The one rank's values.
  public func allGather<Element: Communicable>(_ values: [Element]) -> [[Element]] { [values] }

  /// Returns at once.
  public func barrier() {}
  /// Another group of one.
  public func duplicate() -> any Communicator { Solo() }
  /// Another group of one.
  public func split(color: Int, key: Int) -> any Communicator { Solo() }
  /// Another group of one.
  public func splitByNode() -> any Communicator { Solo() }

  private final class Completed: PendingOperation {
    func wait() {}
    func test() -> Bool { true }
  }
}
