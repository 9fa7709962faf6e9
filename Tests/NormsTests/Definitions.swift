import LockstepNorms
import LockstepTensors

/// Rows and channels of float64, as a norm's definition sees them.
struct Matrix {
  /// How many positions each sample has.
  let positions: Int
  /// How many channels each row has.
  let channels: Int
  /// The elements, row by row.
  var values: [Double]

  /// The elements of `tensor`.
  init(_ tensor: Tensor) {
    (positions, channels) = (tensor.shape.positions, tensor.shape.channels)
    values = tensor.elements.map(Double.init)
  }

  /// The indices of the elements that share their moments under a norm of `kind`, by set.
  func sets(_ kind: NormKind, groups: Int) -> [[Int]] {
    var sets: [[Int]: [Int]] = [:]
    for i in values.indices {
      let (row, channel) = (i / channels, i % channels)
      let key: [Int] =
        switch kind {
        case .none: [i]
        case .batch, .syncBatch, .batchRenorm: [channel]
        case .layer, .rms, .scale, .l2: [row]
        case .whitening: [channel / (channels / groups)]
        case .group: [row / positions, channel / (channels / groups)]
        case .instance: [row / positions, channel]
        default: preconditionFailure("no definition of \(kind.rawValue) norm")
        }
      sets[key, default: []].append(i)
    }
    return Array(sets.values)
  }
}

/// What a norm computes, in float64, straight from its formula; batch-renorm norm, which needs running
/// statistics, has tests of its own.
func definition(_ x: Matrix, gain: [Double], bias: [Double], _ settings: NormSettings) -> [Double] {
  let sets = x.sets(settings.kind, groups: settings.groups)
  return definition(x, sets, gain: gain, bias: bias, settings)
}

private func definition(
  _ x: Matrix, _ sets: [[Int]], gain: [Double], bias: [Double], _ settings: NormSettings
) -> [Double] {
  if settings.kind == .whitening {
    return whitened(x, groups: settings.groups, epsilon: settings.epsilon).enumerated().map {
      gain[$0 % x.channels] * $1 + bias[$0 % x.channels]
    }
  }
  var y = x.values
  for set in sets where settings.kind != .none {
    let count = Double(set.count)
    let isLength = settings.kind == .scale || settings.kind == .l2
    let mean =
      settings.kind == .rms || isLength ? 0 : set.reduce(0) { $0 + x.values[$1] } / count
    let squares = set.reduce(0) { $0 + (x.values[$1] - mean) * (x.values[$1] - mean) }
    let isUnbiased = settings.unbiased && settings.kind == .layer
    let variance = squares / (isUnbiased ? count - 1 : count)
    let isRowNorm = settings.kind == .layer || settings.kind == .rms
    let divisor =
      isLength
      ? max(squares.squareRoot(), settings.epsilon)
      : isRowNorm && settings.epsilonPlacement == .outside
        ? variance.squareRoot() + settings.epsilon : (variance + settings.epsilon).squareRoot()
    for i in set {
      let channel = i % x.channels
      y[i] = gain[channel % gain.count] * (x.values[i] - mean) / divisor + bias[channel]
    }
  }
  return y
}

/// The gradients of Σ dy·y by central differences of the definition.
func differences(
  _ x: Matrix, _ dy: [Double], gain: [Double], bias: [Double], _ settings: NormSettings
) -> (dx: [Double], dgain: [Double], dbias: [Double]) {
  let sets = x.sets(settings.kind, groups: settings.groups)
  let dx = slopes(x.values, dy) { values in
    var moved = x
    moved.values = values
    return definition(moved, sets, gain: gain, bias: bias, settings)
  }
  return (
    dx, slopes(gain, dy) { definition(x, sets, gain: $0, bias: bias, settings) },
    slopes(bias, dy) { definition(x, sets, gain: gain, bias: $0, settings) }
  )
}

/// The gradient of Σ dy·y at `values` by central differences.
func slopes(_ values: [Double], _ dy: [Double], _ y: ([Double]) -> [Double]) -> [Double] {
  values.indices.map { i in
    let h = 1e-4
    var (up, down) = (values, values)
    up[i] += h
    down[i] -= h
    let change = zip(y(up), y(down)).map { $0 - $1 }
    return zip(dy, change).reduce(0) { $0 + $1.0 * $1.1 } / (2 * h)
  }
}
