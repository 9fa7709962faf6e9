public import Glibc
public import LockstepVectors

// Softmax and cross-entropy of each row of `logits` `[rows, classes]`:
//
//     probabilities = exp(x − max x) / Σ exp(x − max x)
//     loss          = Σ over rows of −log probabilities[label]
//
// `sums[0]` takes the loss and `sums[1]` the number of rows whose largest logit, the first
// of equals, is their label's. A label below 0 leaves its row out: probabilities 0.

/// The plain form that the vector form is held to.
public func crossEntropyReference(
  _ logits: Input, _ labels: UnsafePointer<Int32>, _ rows: Int, _ classes: Int,
  _ probabilities: Output, _ sums: Sums
) {
  for row in 0..<rows {
    let (x, p) = (logits + row * classes, probabilities + row * classes)
    let label = Int(labels[row])
    guard label >= 0 else {
      p.update(repeating: 0, count: classes)
      continue
    }
    var best = 0
    for c in 1..<max(classes, 1) where x[c] > x[best] { best = c }
    var sum = 0.0
    for c in 0..<classes { sum += exp(Double(x[c]) - Double(x[best])) }
    for c in 0..<classes { p[c] = Float(exp(Double(x[c]) - Double(x[best])) / sum) }
    sums[0] += log(sum) - (Double(x[label]) - Double(x[best]))
    sums[1] += best == label ? 1 : 0
  }
}

/// The vector form.
@_alwaysEmitIntoClient @inline(__always)
public func crossEntropyLoop(
  _ logits: Input, _ labels: UnsafePointer<Int32>, _ rows: Int, _ classes: Int,
  _ probabilities: Output, _ sums: Sums
) {
  for row in 0..<rows {
    let (x, p) = (logits + row * classes, probabilities + row * classes)
    let label = Int(labels[row])
    guard label >= 0 else {
      p.update(repeating: 0, count: classes)
      continue
    }
    var best = 0
    var c = 1
    while c < classes {
      if x[c] > x[best] { best = c }
      c += 1
    }
    let top = Vector(repeating: x[best])
    var lanes = Vector.zero
    c = 0
    while c < classes {
      let n = min(16, classes - c)
      // A filler this far below the maximum adds nothing to the sum.
      let v = n == 16 ? load(x, c) : loadPartial(x, c, n, x[best] - 200)
      let e = exponential(v - top)
      if n == 16 { store(e, p, c) } else { storePartial(e, p, c, n) }
      lanes += e
      c += 16
    }
    let sum = laneSum(lanes)
    let inverse = 1 / sum
    c = 0
    while c < classes {
      p[c] *= inverse
      c += 1
    }
    sums[0] += log(Double(sum)) - (Double(x[label]) - Double(x[best]))
    // NaN logits lose every comparison; the sum passes them on.
    sums[1] += best == label ? 1 : 0
  }
}

// The gradient of the loss: dx = seed · (probabilities − one-hot label).

/// The plain form, which is also the only one: the labels' part is a scatter.
@_alwaysEmitIntoClient @inline(__always)
public func crossEntropyGradientLoop(
  _ probabilities: Input, _ labels: UnsafePointer<Int32>, _ rows: Int, _ classes: Int,
  _ seed: Float, _ dx: Output
) {
  for i in 0..<rows * classes { dx[i] = probabilities[i] * seed }
  for row in 0..<rows where labels[row] >= 0 { dx[row * classes + Int(labels[row])] -= seed }
}
