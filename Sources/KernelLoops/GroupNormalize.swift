public import LockstepVectors

// Group normalization of each sample `[positions, channels]` of x: mean and variance over one group of
// neighbouring channels and all positions. Moments are sums by channel, shifted by the mean of a few
// positions: float32 over 32 rows, and float64 over all. Where float32 would lose digits, or there are few
// positions, the sample is summed in float64, shifted by the first position. A group's moments are merged from
// its channels' (Chan, Golub & LeVeque, 1979).
//
// `centers` `[2, samples · channels]` keeps K and d, the mean of each channel's group as two floats, and
// `inverses` `[samples · groups]` 1 / √(variance + ε).

/// What a group norm's passes are told of their shapes.
public struct GroupShape: Sendable, Hashable {
  /// The samples.
  public let samples: Int
  /// The positions of a sample.
  public let positions: Int
  /// The channels.
  public let channels: Int
  /// The groups of channels, which divide them.
  public let groups: Int

  /// Puts the shape together.
  public init(samples: Int, positions: Int, channels: Int, groups: Int) {
    self.samples = samples
    self.positions = positions
    self.channels = channels
    self.groups = groups
  }

  /// The channels of a group.
  @_alwaysEmitIntoClient @_transparent
  public var width: Int { channels / groups }

  /// The numbers of a group in one sample.
  @_alwaysEmitIntoClient @_transparent
  public var count: Double { Double(width * positions) }

  /// The numbers of one sample.
  @_alwaysEmitIntoClient @_transparent
  public var each: Int { positions * channels }

  /// Calls `body` with the place and the channel of every number of one sample's group.
  func visit(_ sample: Int, _ group: Int, _ body: (_ i: Int, _ channel: Int) -> Void) {
    for position in 0..<positions {
      for c in group * width..<(group + 1) * width {
        body(sample * each + position * channels + c, c)
      }
    }
  }
}

/// The plain form that the vector form is held to, in two passes; the scratch is not used.
public func groupNormalizeReference<E: KernelElement>(
  _ x: Source<E>, _ shape: GroupShape, _ gain: Input, _ bias: Input, _ epsilon: Double,
  _ epilogue: Epilogue<E>, _ y: Target<E>, _ centers: Output, _ inverses: Sums, _ scratch: Sums
) {
  let (width, channels) = (shape.width, shape.channels)
  for sample in 0..<shape.samples {
    for group in 0..<shape.groups {
      var (mean, squares) = (0.0, 0.0)
      shape.visit(sample, group) { i, _ in mean += Double(x[i].float) }
      mean /= shape.count
      shape.visit(sample, group) { i, _ in
        squares += (Double(x[i].float) - mean) * (Double(x[i].float) - mean)
      }
      let inverse = 1 / (squares / shape.count + epsilon).squareRoot()
      inverses[sample * shape.groups + group] = inverse
      let k = Float(mean)
      let d = Float(mean - Double(k))
      for c in group * width..<(group + 1) * width {
        centers[sample * channels + c] = k
        centers[(shape.samples + sample) * channels + c] = d
      }
      shape.visit(sample, group) { i, c in
        let scale = Float(Double(gain[c]) * inverse)
        let value = bias[c].addingProduct((x[i].float - k) - d, scale)
        y[i] = E(epilogue.result(value, i))
      }
    }
  }
}

/// The vector form; `scratch` has room for 4 · channels doubles.
@_alwaysEmitIntoClient @inline(__always)
public func groupNormalizeLoop<E: KernelElement>(
  _ x: Source<E>, _ shape: GroupShape, _ gain: Input, _ bias: Input, _ epsilon: Double,
  _ epilogue: Epilogue<E>, _ y: Target<E>, _ centers: Output, _ inverses: Sums, _ scratch: Sums
) {
  let (channels, width, n) = (shape.channels, shape.width, Double(shape.positions))
  let floats = UnsafeMutableRawPointer(scratch + 2 * channels)
    .assumingMemoryBound(to: Float.self)
  let (shift, scale) = (floats, floats + channels)
  for sample in 0..<shape.samples {
    let start = sample * shape.each
    let k = centers + sample * channels
    let d = centers + (shape.samples + sample) * channels
    // Of few positions a shift costs more than float64.
    let isLong = shape.positions >= 128
    if isLong {
      // Spread over the sample: neighbours are alike. An odd distance, so that rows of an image are not
      // all met in one column.
      let few = 16
      let distance = (shape.positions / few - 1) | 1
      scratch.update(repeating: 0, count: 2 * channels)
      for i in 0..<few {
        columnSumsLoop(x + start + i * distance * channels, 1, channels, scratch)
      }
      for c in 0..<channels { shift[c] = Float(scratch[c] / Double(few)) }
      scratch.update(repeating: 0, count: channels)
      columnMomentsLoop(
        Vector.self, x + start, shape.positions, channels, Input(shift), scratch)
    }
    if !isLong || !keepDigits(scratch, shape.positions, channels, epsilon) {
      for c in 0..<channels { shift[c] = x[start + c].float }
      scratch.update(repeating: 0, count: 2 * channels)
      columnMomentsLoop(
        WideSums.self, x + start, shape.positions, channels, Input(shift), scratch)
    }
    for group in 0..<shape.groups {
      let channelsOfGroup = group * width..<(group + 1) * width
      var (mean, deviations) = (0.0, 0.0)
      for c in channelsOfGroup { mean += Double(shift[c]) + scratch[c] / n }
      mean /= Double(width)
      for c in channelsOfGroup {
        let distance = (Double(shift[c]) - mean) + scratch[c] / n
        deviations += scratch[channels + c] - scratch[c] * scratch[c] / n
        deviations += n * distance * distance
      }
      let variance =
        deviations > 0 ? deviations / shape.count : deviations == deviations ? 0 : deviations
      let inverse = 1 / (variance + epsilon).squareRoot()
      inverses[sample * shape.groups + group] = inverse
      let center = Float(mean)
      let offset = Float(mean - Double(center))
      for c in channelsOfGroup {
        (k[c], d[c]) = (center, offset)
        scale[c] = Float(Double(gain[c]) * inverse)
      }
    }
    columnNormalizeLoop(
      x + start, shape.positions, channels, Input(k), Input(d), Input(scale), bias,
      epilogue.advanced(by: start), y + start)
  }
}

/// Whether float32 kept the digits of a sample's sums: no square left its range, nor came near its lower end, and
/// no channel's K is farther from its mean than its numbers are.
@_alwaysEmitIntoClient @_transparent
public func keepDigits(_ sums: Sums, _ rows: Int, _ channels: Int, _ epsilon: Double) -> Bool {
  let (half, least) = (Double(rows) / 2, 1e-30)
  var all = true
  for c in 0..<channels {
    let (sum, squares) = (sums[c], sums[channels + c])
    let isConstant = sum == 0 && squares == 0 && epsilon > least
    let isInRange = squares > least && squares < .infinity
    all = all && (isConstant || (isInRange && sum * sum < half * squares))
  }
  return all
}

// Backward, with t = x − mean, r the inverse and h = gain · dy, means over one sample's group:
//
//     dx = r · (h − mean h) − t · r³ · mean (h·t)
//     sums[c]            += Σ dy            (the bias's gradient)
//     sums[channels + c] += Σ dy · t · r    (the gain's)

/// The plain form that the vector form is held to; the scratch is not used.
public func groupGradientReference<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ shape: GroupShape, _ gain: Input, _ centers: Input,
  _ inverses: Sums, _ epilogue: EpilogueGradient<E>, _ dx: Target<E>, _ sums: Sums, _ scratch: Sums
) {
  let (width, channels) = (shape.width, shape.channels)
  let passed = epilogue.second(dy)
  for sample in 0..<shape.samples {
    for group in 0..<shape.groups {
      let r = inverses[sample * shape.groups + group]
      let k = centers[sample * channels + group * width]
      let d = centers[(shape.samples + sample) * channels + group * width]
      var (total, product) = (0.0, 0.0)
      shape.visit(sample, group) { i, c in
        let u = Double((x[i].float - k) - d) * r
        let g = Double(epilogue.pass(dy[i].float, i))
        total += g * Double(gain[c])
        product += g * Double(gain[c]) * u
        sums[c] += g
        sums[channels + c] += g * u
      }
      shape.visit(sample, group) { i, c in
        let u = Double((x[i].float - k) - d) * r
        let h = Double(passed[i].float) * Double(gain[c])
        dx[i] = E(Float(r * (h - total / shape.count - u * product / shape.count)))
      }
    }
  }
}

/// The vector form; `scratch` has room for 4 · channels doubles.
@_alwaysEmitIntoClient @inline(__always)
public func groupGradientLoop<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ shape: GroupShape, _ gain: Input, _ centers: Input,
  _ inverses: Sums, _ epilogue: EpilogueGradient<E>, _ dx: Target<E>, _ sums: Sums, _ scratch: Sums
) {
  let (channels, width) = (shape.channels, shape.width)
  let floats = UnsafeMutableRawPointer(scratch + 2 * channels)
    .assumingMemoryBound(to: Float.self)
  let (scale, shift) = (floats, floats + channels)
  let (slope, inverse) = (floats + 2 * channels, floats + 3 * channels)
  let passed = epilogue.second(dy)
  for sample in 0..<shape.samples {
    let start = sample * shape.each
    let k = centers + sample * channels
    let d = centers + (shape.samples + sample) * channels
    scratch.update(repeating: 0, count: 2 * channels)
    columnGradientSumsLoop(
      x + start, dy + start, shape.positions, channels, k, d, epilogue.advanced(by: start), scratch)
    for group in 0..<shape.groups {
      let channelsOfGroup = group * width..<(group + 1) * width
      let r = inverses[sample * shape.groups + group]
      var (total, product) = (0.0, 0.0)
      for c in channelsOfGroup {
        total += Double(gain[c]) * scratch[c]
        product += Double(gain[c]) * scratch[channels + c]
        sums[c] += scratch[c]
        sums[channels + c] += scratch[channels + c] * r
      }
      let mean = Float(r * total / shape.count)
      let projection = Float(r * r * product / shape.count)
      for c in channelsOfGroup {
        (scale[c], shift[c]) = (Float(Double(gain[c]) * r), mean)
        (slope[c], inverse[c]) = (projection, Float(r))
      }
    }
    columnGradientLoop(
      x + start, passed + start, shape.positions, channels, k, d, Input(inverse), Input(scale),
      Input(shift), Input(slope), dx + start)
  }
}
