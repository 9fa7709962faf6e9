import LockstepTensors

/// The mean and the deviation of each channel over all rows, in float64.
func columnMoments(_ x: Tensor) -> [(mean: Double, deviation: Double)] {
  let (elements, channels) = (x.elements, x.shape.channels)
  return (0..<channels).map { channel in
    let values = stride(from: channel, to: elements.count, by: channels).map {
      Double(elements[$0])
    }
    let mean = values.reduce(0, +) / Double(values.count)
    let square = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    return (mean, (square / Double(values.count)).squareRoot())
  }
}
