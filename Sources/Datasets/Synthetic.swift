public import LockstepTensors

extension ImageDataset {
  /// Random images with random labels, for measurements in which nothing has to be learned.
  public static func synthetic(shape: Shape, classes: Int, count: Int, seed: UInt64)
    -> ImageDataset
  {
    var labels: [UInt8] = []
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count * shape.count)
    for sample in 0..<count {
      var random = RandomStream(seed: seed, site: .synthetic, slot: sample)
      labels.append(UInt8(random.below(classes)))
      for _ in 0..<(shape.count + 3) / 4 {
        let word = random.nextWord()
        for shift in stride(from: UInt32(0), to: 32, by: 8) {
          bytes.append(UInt8(truncatingIfNeeded: word >> shift))
        }
      }
      bytes.removeLast(bytes.count - (sample + 1) * shape.count)
    }
    return ImageDataset(shape: shape, classes: classes, labels: labels, bytes: bytes)
  }
}
