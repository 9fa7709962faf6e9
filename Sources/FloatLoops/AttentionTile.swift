import Glibc
public import LockstepVectors

// One tile of causal attention scores, `[rows, columns]`, taken into a running softmax
// (Dao et al., 2022, <https://arxiv.org/abs/2205.14135>, algorithm 1). Row i sees its first
// `visible + i` columns, at most all of them. Scores are multiplied by `scale` first; where `cap` is above
// 0 a score s then counts as cap · tanh(s / cap).

/// The scores become e^(s − m), with m the largest score of the row so far, and 0 where unseen.
///
/// `largest` and `sums` `[rows]` run over the tiles of a row; `factors` takes what the row's output
/// so far has to be multiplied by.
public func attentionTileReference(
  _ scores: Output, _ rows: Int, _ columns: Int, _ visible: Int, _ scale: Float, _ cap: Float,
  _ largest: Output, _ sums: Output, _ factors: Output
) {
  for row in 0..<rows {
    let s = scores + row * columns
    let seen = max(0, min(columns, visible + row))
    var top = largest[row]
    for i in 0..<seen {
      s[i] *= scale
      if cap > 0 { s[i] = cap * tanhf(s[i] / cap) }
      top = max(top, s[i])
    }
    factors[row] = top == largest[row] ? 1 : expf(largest[row] - top)
    var sum = Double(sums[row]) * Double(factors[row])
    for i in 0..<columns {
      s[i] = i < seen ? expf(s[i] - top) : 0
      sum += Double(s[i])
    }
    (largest[row], sums[row]) = (top, Float(sum))
  }
}

/// The scores become the weights p = e^(s − L), L the logarithm of the row's whole sum, and the
/// weights' gradients become the scores': p · (dp − D), D = Σ dO · O of the row.
public func attentionTileGradientReference(
  _ scores: Output, _ gradients: Output, _ rows: Int, _ columns: Int, _ visible: Int,
  _ scale: Float, _ cap: Float, _ logSums: Input, _ dots: Input
) {
  for row in 0..<rows {
    let (s, g) = (scores + row * columns, gradients + row * columns)
    let seen = max(0, min(columns, visible + row))
    for i in 0..<columns {
      guard i < seen else {
        (s[i], g[i]) = (0, 0)
        continue
      }
      let score = scale * s[i]
      let t = cap > 0 ? tanhf(score / cap) : 0
      let p = expf((cap > 0 ? cap * t : score) - logSums[row])
      g[i] = p * (g[i] - dots[row]) * (1 - t * t)
      s[i] = p
    }
  }
}

/// The lane numbers.
@_alwaysEmitIntoClient @_transparent
public var laneNumbers: Vector { Vector(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) }

/// The vector form of ``attentionTileReference``; `columns` is a multiple of 16.
@_alwaysEmitIntoClient @inline(__always)
public func attentionTileLoop(
  _ scores: Output, _ rows: Int, _ columns: Int, _ visible: Int, _ scale: Float, _ cap: Float,
  _ largest: Output, _ sums: Output, _ factors: Output
) {
  let unseen = Vector(repeating: -Float.greatestFiniteMagnitude)
  for row in 0..<rows {
    let s = scores + row * columns
    let seen = max(0, min(columns, visible + row))
    let width = (seen + 15) & ~15
    var tops = Vector(repeating: largest[row])
    var i = 0
    while i < width {
      var v = load(s, i) * scale
      if cap > 0 {
        v = Vector(repeating: cap) * hyperbolicTangent(v * Vector(repeating: 1 / cap))
      }
      if i + 16 > seen {
        v = v.replacing(with: unseen, where: laneNumbers .>= Vector(repeating: Float(seen - i)))
      }
      if scale != 1 || cap > 0 || i + 16 > seen { store(v, s, i) }
      tops = larger(tops, v)
      i += 16
    }
    let top = tops.max()
    let factor = exponential(Vector(repeating: largest[row] - top))[0]
    factors[row] = top == largest[row] ? 1 : factor
    var lanes = Vector.zero
    i = 0
    while i < width {
      let v = load(s, i)
      var e = exponential(v - Vector(repeating: top))
      if i + 16 > seen {
        e = e.replacing(with: 0, where: laneNumbers .>= Vector(repeating: Float(seen - i)))
      }
      store(e, s, i)
      lanes += e
      i += 16
    }
    while i < columns {
      store(Vector.zero, s, i)
      i += 16
    }
    sums[row] = sums[row] * factors[row] + laneSum(lanes)
    largest[row] = top
  }
}

/// The vector form of ``attentionTileGradientReference``; `columns` is a multiple of 16.
@_alwaysEmitIntoClient @inline(__always)
public func attentionTileGradientLoop(
  _ scores: Output, _ gradients: Output, _ rows: Int, _ columns: Int, _ visible: Int,
  _ scale: Float, _ cap: Float, _ logSums: Input, _ dots: Input
) {
  for row in 0..<rows {
    let (s, g) = (scores + row * columns, gradients + row * columns)
    let seen = max(0, min(columns, visible + row))
    let width = (seen + 15) & ~15
    let (logSum, dot) = (Vector(repeating: logSums[row]), Vector(repeating: dots[row]))
    var i = 0
    while i < width {
      var v = load(s, i) * scale
      var slope = Vector(repeating: 1)
      if cap > 0 {
        let t = hyperbolicTangent(v * Vector(repeating: 1 / cap))
        v = Vector(repeating: cap) * t
        slope = fma(-t, t, slope)
      }
      var p = exponential(v - logSum)
      if i + 16 > seen {
        p = p.replacing(with: 0, where: laneNumbers .>= Vector(repeating: Float(seen - i)))
      }
      store(p * (load(g, i) - dot) * slope, g, i)
      store(p, s, i)
      i += 16
    }
    while i < columns {
      store(Vector.zero, s, i)
      store(Vector.zero, g, i)
      i += 16
    }
  }
}
