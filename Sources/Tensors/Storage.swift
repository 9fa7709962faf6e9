import Glibc
import Synchronization

/// Aligned memory from a caching pool, with an address that never changes while it lives.
///
/// The one owner of raw memory. Blocks return to the pool, never to the system, so a
/// training step in steady state touches no page for the first time. A fresh block holds
/// whatever its last owner left.
///
/// It is shared between threads without a lock: whoever makes a tensor writes it once, before
/// others see it, and parameters are written between steps by the one rank that owns them.
@safe
public final class Storage<Element: BitwiseCopyable>: @unchecked Sendable {
  /// The number of elements.
  public let count: Int
  private let block: UnsafeMutableRawPointer
  private let size: MemoryPool.BlockSize

  private init(count: Int, isSparse: Bool) {
    precondition(count >= 0, "a storage of \(count) elements")
    self.count = count
    size = MemoryPool.BlockSize(for: count * MemoryLayout<Element>.stride, isSparse: isSparse)
    unsafe block = MemoryPool.shared.take(size)
  }

  /// Takes a block with room for `count` elements, uninitialized.
  public convenience init(count: Int) { self.init(count: count, isSparse: false) }

  /// Takes a block of which only parts will be touched, which alone take memory.
  package convenience init(sparse count: Int) { self.init(count: count, isSparse: true) }

  /// Takes a block and copies `elements` into it.
  public convenience init(_ elements: some Collection<Element>) {
    self.init(count: elements.count)
    _ = unsafe UnsafeMutableBufferPointer(start: pointer, count: count)
      .initialize(from: elements)
  }

  /// Takes a block of `count` elements, all `value`.
  public convenience init(count: Int, filledWith value: Element) {
    self.init(count: count)
    fill(0..<count, with: value)
  }

  deinit { unsafe MemoryPool.shared.giveBack(block, size) }

  /// The memory itself, for kernels and for MPI.
  @unsafe public var pointer: UnsafeMutablePointer<Element> {
    unsafe block.assumingMemoryBound(to: Element.self)
  }

  /// Reads or writes one element.
  public subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count)
      return unsafe pointer[index]
    }
    set {
      precondition(index >= 0 && index < count)
      unsafe pointer[index] = newValue
    }
  }

  /// Copies the elements of `range` out.
  public func copy(_ range: Range<Int>) -> [Element] {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    return unsafe Array(
      UnsafeBufferPointer(start: pointer + range.lowerBound, count: range.count))
  }

  /// Copies the bytes of the elements of `range` out.
  public func copyBytes(_ range: Range<Int>) -> [UInt8] {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    return unsafe Array(
      UnsafeRawBufferPointer(
        start: pointer + range.lowerBound, count: range.count * MemoryLayout<Element>.stride))
  }

  /// Writes `elements` at `start`.
  public func write(_ elements: [Element], at start: Int) {
    precondition(start >= 0 && start + elements.count <= count)
    unsafe elements.withUnsafeBufferPointer { source in
      guard let base = source.baseAddress else { return }
      unsafe (pointer + start).update(from: base, count: elements.count)
    }
  }

  /// Writes `bytes` over those of the elements from byte `start` on.
  public func write(bytes: RawSpan, atByte start: Int) {
    precondition(start >= 0 && bytes.byteCount <= count * MemoryLayout<Element>.stride - start)
    unsafe bytes.withUnsafeBytes { source in
      guard let base = source.baseAddress else { return }
      unsafe (block + start).copyMemory(from: base, byteCount: source.count)
    }
  }

  /// Copies `range` of `source` to `start`; the two may not overlap.
  public func write(_ source: Storage, _ range: Range<Int>, at start: Int) {
    precondition(range.lowerBound >= 0 && range.upperBound <= source.count)
    precondition(start >= 0 && start + range.count <= count)
    unsafe (pointer + start).update(from: source.pointer + range.lowerBound, count: range.count)
  }

  /// Writes `value` to every element of `range`.
  public func fill(_ range: Range<Int>, with value: Element) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    unsafe (pointer + range.lowerBound).update(repeating: value, count: range.count)
  }

  /// Gives `body` the elements of `range` to read and write in place.
  @inlinable public func withMutableSpan<Result, Failure: Error>(
    _ range: Range<Int>, _ body: (inout MutableSpan<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    var span = unsafe UnsafeMutableBufferPointer(
      start: pointer + range.lowerBound, count: range.count
    ).mutableSpan
    return try body(&span)
  }
}

/// The process's cache of memory blocks, by size class.
@safe
public final class MemoryPool: Sendable {
  /// The pool that every ``Storage`` draws from.
  public static let shared = MemoryPool()

  /// What a free block is found by.
  struct BlockSize: Hashable {
    /// How many bytes it has: four size classes an octave, so that little is wasted and a batch of nearly the
    /// same size finds the same block.
    let bytes: Int
    /// Whether it is large and lies in small pages all the same, so that what is not touched takes no memory.
    let isSparse: Bool

    /// The size of the block that serves `bytes`.
    init(for bytes: Int, isSparse: Bool) {
      if bytes > 256 {
        let octave = Int.bitWidth - 1 - (bytes - 1).leadingZeroBitCount
        let step = 1 << (octave - 2)
        self.bytes = (bytes + step - 1) / step * step
      } else {
        self.bytes = 256
      }
      self.isSparse = isSparse && self.bytes >= MemoryPool.hugePage
    }
  }

  @safe private struct Block: @unchecked Sendable { let address: UnsafeMutableRawPointer }
  private struct State {
    var free: [BlockSize: [Block]] = [:]
    var systemBytes = 0
  }
  private let state = Mutex(State())

  /// Bytes taken from the system so far; constant in steady state.
  public var systemBytes: Int { state.withLock { $0.systemBytes } }

  fileprivate static let hugePage = 2 << 20

  func take(_ size: BlockSize) -> UnsafeMutableRawPointer {
    if let block = state.withLock({ $0.free[size]?.popLast() }) {
      return unsafe block.address
    }
    let bytes = size.bytes
    state.withLock { $0.systemBytes += bytes }
    let isLarge = bytes >= Self.hugePage
    var address: UnsafeMutableRawPointer?
    let status = unsafe posix_memalign(&address, isLarge ? Self.hugePage : 64, bytes)
    guard status == 0, let address = unsafe address else {
      fatalError("out of memory: the system refused \(bytes) bytes")
    }
    if isLarge {
      _ = unsafe madvise(address, bytes, size.isSparse ? MADV_NOHUGEPAGE : MADV_HUGEPAGE)
    }
    return unsafe address
  }

  func giveBack(_ address: UnsafeMutableRawPointer, _ size: BlockSize) {
    let block = unsafe Block(address: address)
    state.withLock { $0.free[size, default: []].append(block) }
  }
}
