public import LockstepFloatLoops
import LockstepKernelLoops
import LockstepKernels
public import Testing

extension KernelTable: CustomTestStringConvertible {
  /// Tests name a table by its instruction set.
  public var testDescription: String { name }
}

/// The tables that are held to the references: all that this processor can run.
let vectorTables = Array(Kernel.available.dropFirst())
/// The plain loops.
let reference = KernelTable()

extension Epilogue {
  /// Nothing follows the norm.
  static var none: Epilogue {
    Epilogue(residual: UnsafePointer(anyAddress()), adds: false, rectifies: false)
  }
}

extension EpilogueGradient {
  /// All of dy passes.
  static var none: EpilogueGradient {
    EpilogueGradient(
      addend: UnsafePointer(anyAddress()), adds: false, output: UnsafePointer(anyAddress()),
      masks: false, passed: anyAddress())
  }
}

/// An address at which nothing is read or written.
private func anyAddress<E>() -> UnsafeMutablePointer<E> {
  withUnsafeTemporaryAllocation(of: E.self, capacity: 1) { address($0) }
}

/// Where memory that is not empty begins.
func address<E>(_ memory: UnsafeMutableBufferPointer<E>) -> UnsafeMutablePointer<E> {
  guard let first = memory.baseAddress else { preconditionFailure("no memory") }
  return first
}

/// Where memory that is not empty begins.
func address<E>(_ memory: UnsafeBufferPointer<E>) -> UnsafePointer<E> {
  guard let first = memory.baseAddress else { preconditionFailure("no memory") }
  return first
}

/// Sizes on both sides of a vector, of four vectors, and of what is taken at a time.
let awkwardChannels = [1, 3, 15, 16, 17, 32, 48, 64, 65, 130]
/// Numbers of rows on both sides of the blocks that loops take.
let awkwardRows = [0, 1, 2, 15, 16, 33, 70, 300]
/// Counts for loops over elements.
let awkwardCounts = [0, 1, 15, 16, 17, 31, 32, 33, 100, 1000]

/// Floats around `mean` with a deviation of 1, nearly normal.
///
/// This module is optimized in debug builds too, so a generator of its own is a hundred times as
/// fast there as `RandomStream`, and the loops need tens of millions of numbers.
func random(_ count: Int, mean: Float = 0, seed: UInt64) -> [Float] {
  var state = seed &* 0xd134_2543_de82_ef95
  return (0..<count).map { _ in
    // SplitMix64 (Steele, Lea & Flood, 2014); the sum of four uniform numbers.
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    z ^= z >> 31
    let sum = (z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + z >> 48
    return mean + (Float(sum) / 65_536 - 2) * 1.732_050_8
  }
}

/// Room for `count` results, and for 16 more that no loop may write to.
func room(_ count: Int) -> [Float] { [Float](repeating: 12_345, count: count + 16) }

/// Room for `count` sums, which loops add to, and for 16 more that no loop may write to.
func sums(_ count: Int) -> [Double] { [Double](repeating: 0.5, count: count + 16) }

/// Expects that `a` and `b` differ by at most `tolerance`, relatively above 1.
func expectClose(
  _ a: some Sequence<some BinaryFloatingPoint>, _ b: some Sequence<some BinaryFloatingPoint>,
  tolerance: Double, _ what: @autoclosure () -> String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let (a, b) = (a.map { Double($0) }, b.map { Double($0) })
  guard a.count == b.count else {
    Issue.record("\(what()): \(a.count) and \(b.count)", sourceLocation: sourceLocation)
    return
  }
  for (i, (x, y)) in zip(a, b).enumerated()
  where !(abs(x - y) <= tolerance * max(1, abs(y))) && !(x.isNaN && y.isNaN) {
    Issue.record("\(what()): element \(i) is \(x), not \(y)", sourceLocation: sourceLocation)
    return
  }
}
