import LockstepTensors
import Testing

/// Other tests take memory from the one pool at the same time, so these use blocks of a size that
/// nobody else does.
///
/// They touch none of it.
@Suite(.serialized) struct StorageTests {
  private static let large = 300 << 20

  @Test func aBlockThatComesBackServesTheNextOfItsSize() {
    let first = unsafe UInt(bitPattern: Storage<UInt8>(count: Self.large).pointer)
    let second = unsafe UInt(bitPattern: Storage<UInt8>(count: Self.large).pointer)
    let smaller = unsafe UInt(bitPattern: Storage<UInt8>(count: Self.large - 1000).pointer)
    #expect(first == second, "the same count finds the same memory")
    #expect(first == smaller, "and so does nearly the same count")
  }

  @Test func aSparseBlockServesSparseOnesAlone() {
    let sparse = unsafe UInt(bitPattern: Storage<UInt8>(sparse: Self.large).pointer)
    let other = Storage<UInt8>(count: Self.large)
    let second = unsafe UInt(bitPattern: Storage<UInt8>(sparse: Self.large).pointer)
    #expect(sparse == second, "the same count finds the same memory")
    #expect(unsafe UInt(bitPattern: other.pointer) != sparse, "which no ordinary block is in")
  }

  @Test func aSteadyStateTakesNothingFromTheSystem() {
    let before = MemoryPool.shared.systemBytes
    for _ in 0..<20 { _ = Storage<UInt8>(count: Self.large) }
    let growth = MemoryPool.shared.systemBytes - before
    #expect(growth < 2 * Self.large, "twenty blocks, one after the other, took \(growth) bytes")
  }

  @Test func twoLivingBlocksAreApart() {
    let (a, b) = (Storage<Float>(count: 100, filledWith: 1), Storage<Float>(count: 100))
    b.fill(0..<100, with: 2)
    #expect(a.copy(0..<100).allSatisfy { $0 == 1 }, "writing to one changed the other")
  }

  @Test(arguments: [0, 1, 3, 64, 65, 1000, 100_000])
  func everyBlockIsAlignedToACacheLine(count: Int) {
    let storage = Storage<Float>(count: count)
    #expect(unsafe UInt(bitPattern: storage.pointer) % 64 == 0)
  }

  @Test func writesGoWhereTheySay() {
    let storage = Storage<Int32>([0, 1, 2, 3, 4, 5])
    storage.write([9, 8], at: 1)
    storage.write(Storage<Int32>([7, 6, 5]), 1..<3, at: 4)
    storage[0] = storage[3] + 1
    #expect(storage.copy(0..<6) == [4, 9, 8, 3, 6, 5])
    storage.withMutableSpan(2..<4) { span in
      for i in span.indices { span[i] = -span[i] }
    }
    #expect(storage.copy(1..<5) == [9, -8, -3, 6])
  }
}
