public import LockstepVectors

// Sums over the rows of `x` `[rows, channels]`, shifted by K `[channels]`, in float64, or in float32 over 32 rows and float64
// over all:
//
//     sums[c]            += Σ (x − K)
//     sums[channels + c] += Σ (x − K)²

/// The plain form that the vector form is held to.
public func columnMomentsReference<E: KernelElement>(
  _ x: Source<E>, _ rows: Int, _ channels: Int, _ shift: Input, _ sums: Sums
) {
  for row in 0..<rows {
    for c in 0..<channels {
      let d = Double(x[row * channels + c].float) - Double(shift[c])
      sums[c] += d
      sums[channels + c] += d * d
    }
  }
}

/// The second sixteen columns that are summed beside those from `c` on: the next, or where there are none, the
/// next row's.
///
/// Two strips of sixteen, one after the other, would read every other cache line, and memory does not stream.
public struct ColumnPair {
  /// How far the second sixteen lie behind the first.
  public let distance: Int
  /// How many columns lie between the two.
  public let column: Int
  /// The rows that a pair takes.
  public let rows: Int

  /// The pair from column `c` on.
  @_alwaysEmitIntoClient @_transparent
  public init(_ c: Int, _ channels: Int) {
    let hasNext = c + 32 <= channels
    (distance, column, rows) = hasNext ? (16, 16, 1) : (channels, 0, 2)
  }
}

/// What sums the moments of sixteen columns over a block of rows.
public protocol MomentSums {
  /// Sixteen numbers in this precision.
  init(widening v: Vector)
  /// How many rows are summed before the float64 sums take them.
  static func rows(_ channels: Int) -> Int
  /// Takes sixteen of one row, less K, into these sums and those of the squares.
  mutating func add(_ x: Vector, less k: Self, squares: inout Self)
  /// Adds these sums to the float64 sums of columns `c` on.
  func add(to sums: Sums, _ c: Int)
}

/// Float64 throughout: right however far K is from the mean.
extension WideSums: MomentSums {
  /// Sixteen numbers as float64.
  @_alwaysEmitIntoClient @_transparent
  public init(widening v: Vector) { self.init(v) }

  /// As many rows as stay in the second cache.
  @_alwaysEmitIntoClient @_transparent
  public static func rows(_ channels: Int) -> Int { rowBlock(channels) }

  /// Takes sixteen of one row, less K.
  @_alwaysEmitIntoClient @_transparent
  public mutating func add(_ x: Vector, less k: WideSums, squares: inout WideSums) {
    let d = WideSums(x) - k
    add(d)
    squares.add(d, times: d)
  }

  /// Adds these sums to others.
  @_alwaysEmitIntoClient @_transparent
  public func add(to sums: Sums, _ c: Int) {
    var s = WideSums(sums, c)
    s.add(self)
    s.store(sums, c)
  }
}

/// Float32 within a block: a third of the work, and right where K is about as near to the mean as the numbers
/// are, and no square leaves the range.
extension Vector: MomentSums {
  /// The same sixteen numbers.
  @_alwaysEmitIntoClient @_transparent
  public init(widening v: Vector) { self = v }

  /// So few rows that float32 keeps the digits of their sums.
  @_alwaysEmitIntoClient @_transparent
  public static func rows(_ channels: Int) -> Int { 32 }

  /// Takes sixteen of one row, less K.
  @_alwaysEmitIntoClient @_transparent
  public mutating func add(_ x: Vector, less k: Vector, squares: inout Vector) {
    let d = x - k
    self += d
    squares = fma(d, d, squares)
  }

  /// Adds these sums to float64 sums.
  @_alwaysEmitIntoClient @_transparent
  public func add(to sums: Sums, _ c: Int) { WideSums(self).add(to: sums, c) }
}

/// The vector form: 64 columns at a time, whose rows are contiguous in the cache's terms, then pairs of sixteen.
@_alwaysEmitIntoClient @_transparent
public func columnMomentsLoop<E: KernelElement, S: MomentSums>(
  _ precision: S.Type, _ x: Source<E>, _ rows: Int, _ channels: Int, _ shift: Input, _ sums: Sums
) {
  let block = S.rows(channels)
  let squares = sums + channels
  let zero = S(widening: Vector.zero)
  var from = 0
  while from < rows {
    let to = min(rows, from + block)
    var c = 0
    while c + 64 <= channels {
      let (k0, k1) = (S(widening: load(shift, c)), S(widening: load(shift, c + 16)))
      let (k2, k3) = (S(widening: load(shift, c + 32)), S(widening: load(shift, c + 48)))
      var (s0, s1, s2, s3) = (zero, zero, zero, zero)
      var (q0, q1, q2, q3) = (zero, zero, zero, zero)
      var i = from * channels + c
      for _ in from..<to {
        s0.add(load(x, i), less: k0, squares: &q0)
        s1.add(load(x, i + 16), less: k1, squares: &q1)
        s2.add(load(x, i + 32), less: k2, squares: &q2)
        s3.add(load(x, i + 48), less: k3, squares: &q3)
        i += channels
      }
      s0.add(to: sums, c)
      s1.add(to: sums, c + 16)
      s2.add(to: sums, c + 32)
      s3.add(to: sums, c + 48)
      q0.add(to: squares, c)
      q1.add(to: squares, c + 16)
      q2.add(to: squares, c + 32)
      q3.add(to: squares, c + 48)
      c += 64
    }
    while c + 16 <= channels {
      let pair = ColumnPair(c, channels)
      let (k0, k1) = (S(widening: load(shift, c)), S(widening: load(shift, c + pair.column)))
      var (s0, q0, s1, q1) = (zero, zero, zero, zero)
      var i = from * channels + c
      var row = from
      while row + pair.rows <= to {
        s0.add(load(x, i), less: k0, squares: &q0)
        s1.add(load(x, i + pair.distance), less: k1, squares: &q1)
        i += pair.rows * channels
        row += pair.rows
      }
      if row < to { s0.add(load(x, i), less: k0, squares: &q0) }
      s0.add(to: sums, c)
      s1.add(to: sums, c + pair.column)
      q0.add(to: squares, c)
      q1.add(to: squares, c + pair.column)
      c += 16 + pair.column
    }
    while c < channels {
      let k = Double(shift[c])
      var (s, q) = (0.0, 0.0)
      for row in from..<to {
        let d = Double(x[row * channels + c].float) - k
        s += d
        q += d * d
      }
      sums[c] += s
      squares[c] += q
      c += 1
    }
    from = to
  }
}
