public import LockstepVectors

// Products of rows by groups of `width` neighbouring channels, in float64, of rows less their means:
//
//     sums[g][i][j] += Σ (a_i − mean a_i)(b_j − mean b_j),  then sums[channels] += Σ (b − mean b)
//     y_c = bias_c + Σ_j (a_j − mean a_j) · A[g][j][c] (+ Σ_j (b_j − mean b_j) · B[g][j][c])

/// Rows of activations, from whose channels a mean each is taken.
public struct CenteredRows<E: KernelElement> {
  /// The first row.
  public let start: Source<E>
  /// The means, one a channel.
  public let means: Sums

  /// Puts the two together.
  @_alwaysEmitIntoClient @_transparent
  public init(_ start: Source<E>, less means: Sums) {
    self.start = start
    self.means = means
  }
}

/// Channels in groups of neighbours.
public struct ChannelGroups: Sendable {
  /// The number of groups.
  public let count: Int
  /// The channels of each.
  public let width: Int

  /// `count` groups of `width` channels.
  @_alwaysEmitIntoClient @_transparent
  public init(count: Int, width: Int) {
    self.count = count
    self.width = width
  }

  /// The width in whole vectors of float64.
  @_alwaysEmitIntoClient @_transparent
  public var padded: Int { (width + 7) & ~7 }

  /// The rows that are taken at a time: a group's part of them stays in the first cache.
  @_alwaysEmitIntoClient @_transparent
  public var rows: Int { max(8, (1_024 / max(padded, 1)) & ~3) }

  /// The float64 numbers of scratch that the loops need.
  @_alwaysEmitIntoClient @_transparent
  public var scratchCount: Int { 2 * padded * padded + 3 * rows * padded }
}

/// The plain form of the sums of products that the vector form is held to; the scratch is not used.
public func groupProductsReference<E: KernelElement>(
  _ a: CenteredRows<E>, _ b: CenteredRows<E>, _ rows: Int, _ groups: ChannelGroups, _ scratch: Sums,
  _ sums: Sums
) {
  let (width, channels) = (groups.width, groups.count * groups.width)
  for row in 0..<rows {
    for c in 0..<channels {
      let right = Double(b.start[row * channels + c].float) - b.means[c]
      let first = c - c % width
      for i in 0..<width {
        let left = Double(a.start[row * channels + first + i].float) - a.means[first + i]
        sums[(first + i) * width + c - first] += left * right
      }
      sums[channels * width + c] += right
    }
  }
}

/// The plain form of the products with a matrix that the vector form is held to; the scratch is not used.
public func groupTransformReference<E: KernelElement>(
  _ a: CenteredRows<E>, _ left: Sums, _ b: CenteredRows<E>, _ right: Sums, _ adds: Bool,
  _ bias: Sums, _ rows: Int, _ groups: ChannelGroups, _ scratch: Sums, _ y: Target<E>
) {
  let (width, channels) = (groups.width, groups.count * groups.width)
  for row in 0..<rows {
    for c in 0..<channels {
      let first = c - c % width
      var sum = bias[c]
      for j in first..<first + width {
        let place = j * width + c - first
        sum += (Double(a.start[row * channels + j].float) - a.means[j]) * left[place]
        guard adds else { continue }
        sum += (Double(b.start[row * channels + j].float) - b.means[j]) * right[place]
      }
      y[row * channels + c] = E(Float(sum))
    }
  }
}

/// `count` rows of a group from row `first` on, less their means, in rows of whole vectors; rows up to a
/// multiple of four are 0.
@_alwaysEmitIntoClient @_transparent
func centerRows<E: KernelElement>(
  _ x: CenteredRows<E>, _ first: Int, _ count: Int, _ group: Int, _ groups: ChannelGroups,
  _ target: Sums
) {
  let (width, padded) = (groups.width, groups.padded)
  let means = x.means + group * width
  for row in 0..<((count + 3) & ~3) {
    let to = target + row * padded
    if row < count {
      let from = x.start + ((first + row) * groups.count + group) * width
      for j in 0..<width { to[j] = Double(from[j].float) - means[j] }
    }
    for j in (row < count ? width : 0)..<padded { to[j] = 0 }
  }
}

/// A group's matrix in rows of whole vectors.
@_alwaysEmitIntoClient @_transparent
func padMatrix(_ matrix: Sums, _ groups: ChannelGroups, _ target: Sums) {
  let (width, padded) = (groups.width, groups.padded)
  for i in 0..<width {
    for j in 0..<width { target[i * padded + j] = matrix[i * width + j] }
    for j in width..<padded { target[i * padded + j] = 0 }
  }
}

/// The vector form: tiles of four by eight sums stay in registers over a block of rows.
@_alwaysEmitIntoClient @_transparent
public func groupProductsLoop<E: KernelElement>(
  _ a: CenteredRows<E>, _ b: CenteredRows<E>, _ rows: Int, _ groups: ChannelGroups, _ scratch: Sums,
  _ sums: Sums
) {
  let (width, padded, block) = (groups.width, groups.padded, groups.rows)
  let left = scratch + padded * padded
  let right = left + block * padded
  let columnSums = sums + groups.count * width * width
  for group in 0..<groups.count {
    for i in 0..<padded * padded { scratch[i] = 0 }
    var from = 0
    while from < rows {
      let count = min(block, rows - from)
      centerRows(a, from, count, group, groups, left)
      centerRows(b, from, count, group, groups, right)
      var j = 0
      while j < padded {
        var total = WideVector(repeating: 0)
        for row in 0..<count { total += loadWide(right, row * padded + j) }
        for lane in 0..<min(8, width - j) { columnSums[group * width + j + lane] += total[lane] }
        var i = 0
        while i < padded {
          let place = i * padded + j
          var s0 = loadWide(scratch, place)
          var s1 = loadWide(scratch, place + padded)
          var s2 = loadWide(scratch, place + 2 * padded)
          var s3 = loadWide(scratch, place + 3 * padded)
          for row in 0..<count {
            let r = loadWide(right, row * padded + j)
            let l = left + row * padded + i
            s0.addProduct(WideVector(repeating: l[0]), r)
            s1.addProduct(WideVector(repeating: l[1]), r)
            s2.addProduct(WideVector(repeating: l[2]), r)
            s3.addProduct(WideVector(repeating: l[3]), r)
          }
          storeWide(s0, scratch, place)
          storeWide(s1, scratch, place + padded)
          storeWide(s2, scratch, place + 2 * padded)
          storeWide(s3, scratch, place + 3 * padded)
          i += 4
        }
        j += 8
      }
      from += count
    }
    let target = sums + group * width * width
    for i in 0..<width {
      for j in 0..<width { target[i * width + j] += scratch[i * padded + j] }
    }
  }
}

/// Adds four rows' products with eight columns of a matrix.
@_alwaysEmitIntoClient @_transparent
func addProducts(
  _ rows: Sums, _ matrix: Sums, _ width: Int, _ padded: Int, _ s0: inout WideVector,
  _ s1: inout WideVector, _ s2: inout WideVector, _ s3: inout WideVector
) {
  for j in 0..<width {
    let m = loadWide(matrix, j * padded)
    s0.addProduct(WideVector(repeating: rows[j]), m)
    s1.addProduct(WideVector(repeating: rows[padded + j]), m)
    s2.addProduct(WideVector(repeating: rows[2 * padded + j]), m)
    s3.addProduct(WideVector(repeating: rows[3 * padded + j]), m)
  }
}

/// The vector form: four rows by eight columns at a time.
///
/// y may be a's or b's memory.
@_alwaysEmitIntoClient @_transparent
public func groupTransformLoop<E: KernelElement>(
  _ a: CenteredRows<E>, _ left: Sums, _ b: CenteredRows<E>, _ right: Sums, _ adds: Bool,
  _ bias: Sums, _ rows: Int, _ groups: ChannelGroups, _ scratch: Sums, _ y: Target<E>
) {
  let (width, padded, block) = (groups.width, groups.padded, groups.rows)
  let (first, second) = (scratch, scratch + padded * padded)
  let ta = second + padded * padded
  let tb = ta + block * padded
  let out = tb + block * padded
  for group in 0..<groups.count {
    padMatrix(left + group * width * width, groups, first)
    if adds { padMatrix(right + group * width * width, groups, second) }
    var from = 0
    while from < rows {
      let count = min(block, rows - from)
      centerRows(a, from, count, group, groups, ta)
      if adds { centerRows(b, from, count, group, groups, tb) }
      var row = 0
      while row < count {
        var c = 0
        while c < padded {
          var s0 = WideVector(repeating: 0)
          for lane in 0..<min(8, width - c) { s0[lane] = bias[group * width + c + lane] }
          var (s1, s2, s3) = (s0, s0, s0)
          let place = row * padded
          addProducts(ta + place, first + c, width, padded, &s0, &s1, &s2, &s3)
          if adds { addProducts(tb + place, second + c, width, padded, &s0, &s1, &s2, &s3) }
          storeWide(s0, out, place + c)
          storeWide(s1, out, place + padded + c)
          storeWide(s2, out, place + 2 * padded + c)
          storeWide(s3, out, place + 3 * padded + c)
          c += 8
        }
        row += 4
      }
      for row in 0..<count {
        let target = y + ((from + row) * groups.count + group) * width
        for j in 0..<width { target[j] = E(Float(out[row * padded + j])) }
      }
      from += count
    }
  }
}
