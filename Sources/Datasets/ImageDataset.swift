public import LockstepTensors

/// Labelled images with one byte per value, and a table that turns bytes into normalized floats.
public struct ImageDataset: Dataset {
  /// `[height, width, channels]` of one image.
  public let shape: Shape
  /// How many classes the labels may name.
  public let classes: Int
  /// Each image's class.
  public let labels: [UInt8]
  private let bytes: [UInt8]
  /// The float of each byte in each channel: `[channels · 256]`.
  private let table: [Float]

  /// The number of images.
  public var count: Int { labels.count }

  /// Wraps channels-last `bytes`.
  ///
  /// Floats are normalized to mean 0 and variance 1 in each channel over the images of `reference`, or
  /// over these images if it is nil.
  public init(
    shape: Shape, classes: Int, labels: [UInt8], bytes: [UInt8], normalizedAs reference: Self? = nil
  ) {
    precondition(bytes.count == labels.count * shape.count)
    self.shape = shape
    self.classes = classes
    self.labels = labels
    self.bytes = bytes
    table = reference?.table ?? Self.normalization(bytes, channels: shape.channels)
  }

  private static func normalization(_ bytes: [UInt8], channels: Int) -> [Float] {
    var histogram = [Int](repeating: 0, count: channels * 256)
    var channel = 0
    for byte in bytes {
      histogram[channel * 256 + Int(byte)] += 1
      channel = channel + 1 == channels ? 0 : channel + 1
    }
    return (0..<channels).flatMap { channel -> [Float] in
      let counts = histogram[channel * 256..<(channel + 1) * 256].map(Double.init)
      let total = max(counts.reduce(0, +), 1)
      let mean = zip(0..., counts).reduce(0) { $0 + Double($1.0) * $1.1 } / total
      let variance = zip(0..., counts).reduce(0) {
        $0 + (Double($1.0) - mean) * (Double($1.0) - mean) * $1.1
      }
      // A channel of one value has a deviation of 0, by which nothing can be divided.
      let scale = 1 / max((variance / total).squareRoot(), 1e-6)
      return (0..<256).map { Float((Double($0) - mean) * scale) }
    }
  }

  /// Passes the bytes and the labels to `visit`.
  public func visitContents(_ visit: ([UInt8]) -> Void) {
    visit(bytes)
    visit(labels)
  }

  /// The images at `indices`, in that order.
  public func subset(_ indices: [Int], normalizedAs reference: Self? = nil) -> ImageDataset {
    ImageDataset(
      shape: shape, classes: classes, labels: indices.map { labels[$0] },
      bytes: indices.flatMap { bytes[$0 * shape.count..<($0 + 1) * shape.count] },
      normalizedAs: reference)
  }

  /// Splits the images: the last of every `n` is for testing, and the others are for training.
  public func holdingOut(every n: Int) -> (train: ImageDataset, test: ImageDataset) {
    let train = subset((0..<count).filter { $0 % n != n - 1 })
    return (
      train, subset((0..<count).filter { $0 % n == n - 1 }, normalizedAs: train)
    )
  }

  /// A batch as a model takes it.
  ///
  /// - Parameters:
  ///   - indices: Which images, in the order of their slots.
  ///   - augmentation: How an image is cropped and flipped, by its place in `indices`.
  /// - Returns: `[N, height, width, channels]` and N labels.
  public func batch(_ indices: [Int], augmentation: (Int) -> Crop) -> Batch {
    let images = Tensor.uninitialized(Shape([indices.count] + shape.dimensions))
    let classes = Storage<Int32>(count: indices.count)
    images.storage.withMutableSpan(images.range) { span in
      for (place, index) in indices.enumerated() {
        classes[place] = Int32(labels[index])
        write(index, augmentation(place), to: &span, at: place * shape.count)
      }
    }
    return Batch(input: images, labels: classes)
  }

  /// Every image has a label.
  public func labelCount(_ indices: ArraySlice<Int>) -> Int { indices.count }

  private func write(_ index: Int, _ crop: Crop, to span: inout MutableSpan<Float>, at start: Int) {
    let (height, width, channels) = (shape[0], shape[1], shape[2])
    var target = start
    for row in 0..<height {
      let y = row + crop.vertical
      for column in 0..<width {
        let x = (crop.flipped ? width - 1 - column : column) + crop.horizontal
        let inside = y >= 0 && y < height && x >= 0 && x < width
        let source = inside ? index * shape.count + (y * width + x) * channels : 0
        for channel in 0..<channels {
          span[target] = inside ? table[channel * 256 + Int(bytes[source + channel])] : 0
          target += 1
        }
      }
    }
  }
}

/// Which part of a padded image is taken; the padding is 0, which is the channel's mean.
public struct Crop: Hashable, Sendable {
  /// How many pixels below the image's upper edge the crop begins; above it if negative.
  public var vertical = 0
  /// How many pixels to the right of the image's left edge the crop begins; to its left if negative.
  public var horizontal = 0
  /// Whether left and right are swapped.
  public var flipped = false

  /// The image as it is.
  public static let none = Crop()

  /// The image as it is.
  public init() {}
}

/// Random crops and flips, keyed by the sample's slot in the global batch.
public struct Augmentation: Hashable, Sendable {
  /// The largest crop that runs take.
  public static let largestCrop = 1_024

  /// The most pixels that a crop moves in each direction.
  public var crop: Int
  /// Whether half of the images are mirrored.
  public var flip: Bool

  /// Creates the settings.
  public init(crop: Int = 0, flip: Bool = false) {
    self.crop = crop
    self.flip = flip
  }

  /// The crop of the sample in `slot` of the global batch of `step`.
  public func draw(seed: UInt64, step: Int, slot: Int) -> Crop {
    guard crop > 0 || flip else { return .none }
    var random = RandomStream(seed: seed, site: .augmentation, step: step, slot: slot)
    var result = Crop()
    result.vertical = random.below(2 * crop + 1) - crop
    result.horizontal = random.below(2 * crop + 1) - crop
    result.flipped = flip && random.nextWord() & 1 == 1
    return result
  }
}
