public import LockstepDatasets
import LockstepFiles
public import LockstepTensors

/// The `data` section.
public struct DataConfiguration: Hashable, Sendable {
  /// Where samples come from.
  public enum Source: Hashable, Sendable {
    /// The embedded digits.
    case digits
    /// IDX files in a folder.
    ///
    /// If `holdOut` is n, the last of every n images of `files` are the test set; otherwise the `t10k` files
    /// are, and `files` are others.
    case mnist(folder: String, files: String, holdOut: Int?)
    /// CIFAR-10's binary files in a folder.
    case cifar10(folder: String)
    /// Random images of `[height, width, channels]`.
    case synthetic(shape: Shape, classes: Int, samples: Int)
    /// Random tokens.
    case syntheticTokens(vocabulary: Int, samples: Int)
    /// A text by characters or by bytes, of which the first `trainShare` is trained on.
    case text(path: String, bytes: Bool, trainShare: Double)
    /// `train.bin` and `val.bin` in a folder.
    case tokens(folder: String, vocabulary: Int)
    /// Sums and differences of operands of a given number of digits.
    case arithmetic(digits: Int, samples: Int)
  }

  /// Where samples come from.
  public var source: Source
  /// Random crops and flips of training images.
  public var augmentation = Augmentation()
  /// Whether the last batch of an epoch is left out if it is smaller than the others.
  public var dropLast = false

  /// Whether samples are sequences of tokens, not images.
  var isTokens: Bool {
    switch source {
    case .text, .tokens, .arithmetic, .syntheticTokens: true
    case .digits, .mnist, .cifar10, .synthetic: false
    }
  }

  /// Whether samples are drawn by the seed, and read from nowhere.
  public var followsSeed: Bool {
    switch source {
    case .synthetic, .syntheticTokens, .arithmetic: true
    case .digits, .mnist, .cifar10, .text, .tokens: false
    }
  }

  /// Reads the data; `context` is the length of a sequence of tokens.
  public func load(seed: UInt64, context: Int?) throws(DatasetError) -> DataSplit {
    let length = context ?? 1
    switch source {
    case .text(let path, let bytes, let share):
      return try TokenDataset.text(path, context: length, bytes: bytes, trainShare: share)
    case .tokens(let folder, let vocabulary):
      return try TokenDataset.shards(in: folder, context: length, vocabulary: vocabulary)
    case .syntheticTokens(let vocabulary, let samples):
      return DataSplit(
        train: TokenDataset.synthetic(
          context: length, vocabulary: vocabulary, samples: samples, seed: seed),
        test: TokenDataset.synthetic(
          context: length, vocabulary: vocabulary, samples: max(samples / 5, 1), seed: seed &+ 1))
    case .arithmetic(let digits, let samples):
      guard length >= ArithmeticDataset.length(digits: digits) else {
        throw DatasetError(
          "data.digits",
          "problems of \(digits) digits need a model.context of "
            + "\(ArithmeticDataset.length(digits: digits)) or more, but it is \(length)")
      }
      return DataSplit(
        train: ArithmeticDataset(digits: digits, count: samples, context: length, seed: seed),
        test: ArithmeticDataset(
          digits: digits, count: max(samples / 10, 1), context: length, seed: seed, part: 1),
        vocabulary: ArithmeticDataset.vocabulary)
    case .digits, .mnist, .cifar10, .synthetic: return DataSplit(try images(seed: seed))
    }
  }

  private func images(seed: UInt64) throws(DatasetError) -> (
    train: ImageDataset, test: ImageDataset
  ) {
    switch source {
    case .text, .tokens, .syntheticTokens, .arithmetic:
      preconditionFailure("tokens are not images")
    case .digits: return try ImageDataset.digits()
    case .mnist(let folder, let files, let holdOut):
      let train = try ImageDataset.mnist(in: folder, files: files)
      if let holdOut { return train.holdingOut(every: holdOut) }
      return (train, try ImageDataset.mnist(in: folder, files: "t10k", normalizedAs: train))
    case .cifar10(let folder): return try ImageDataset.cifar10(in: folder)
    case .synthetic(let shape, let classes, let samples):
      let all = ImageDataset.synthetic(
        shape: shape, classes: classes, count: samples + max(samples / 5, 1), seed: seed)
      let train = all.subset(Array(0..<samples))
      return (train, all.subset(Array(samples..<all.count), normalizedAs: train))
    }
  }
}

extension DataConfiguration: SectionOfKinds {
  private static let sources: [(name: String, source: Source)] = [
    ("arithmetic", .arithmetic(digits: 3, samples: 20_000)), ("cifar10", .cifar10(folder: "")),
    ("digits", .digits), ("mnist", .mnist(folder: "", files: "train", holdOut: nil)),
    ("synthetic", .synthetic(shape: [1, 1, 3], classes: 10, samples: 1024)),
    ("text", .text(path: "", bytes: false, trainShare: 0.9)),
    ("tokens", .tokens(folder: "", vocabulary: 0)),
  ]

  static let kinds = sources.map { (name: $0.name, initial: DataConfiguration(source: $0.source)) }

  var kindName: String {
    switch source {
    case .digits: "digits"
    case .mnist: "mnist"
    case .cifar10: "cifar10"
    case .synthetic, .syntheticTokens: "synthetic"
    case .text: "text"
    case .tokens: "tokens"
    case .arithmetic: "arithmetic"
    }
  }

  private static let vocabulary = 2...65_536

  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    switch source {
    case .digits: break
    case .mnist(var folder, var files, var holdOut):
      try coder.text("path", &folder, isRequired: true)
      try coder.choice("files", &files, of: ["train", "t10k"])
      try coder.int("holdOut", &holdOut, in: 2...ConfigurationLimits.count.upperBound)
      source = .mnist(folder: folder, files: files, holdOut: holdOut)
    case .cifar10(var folder):
      try coder.text("path", &folder, isRequired: true)
      source = .cifar10(folder: folder)
    case .text(var path, let bytes, var share):
      try coder.text("path", &path, isRequired: true)
      var unit = bytes ? "byte" : "character"
      try coder.choice("unit", &unit, of: ["character", "byte"])
      try coder.double("trainShare", &share, in: 0...1)
      source = .text(path: path, bytes: unit == "byte", trainShare: share)
    case .tokens(var folder, var vocabulary):
      try coder.text("path", &folder, isRequired: true)
      try coder.int("vocabulary", &vocabulary, isRequired: true, in: Self.vocabulary)
      source = .tokens(folder: folder, vocabulary: vocabulary)
    case .arithmetic(var digits, var samples):
      try coder.int("digits", &digits, in: 1...9)
      try coder.int("samples", &samples, in: ConfigurationLimits.extent)
      source = .arithmetic(digits: digits, samples: samples)
    case .synthetic, .syntheticTokens: try describeSynthetic(&coder)
    }
    try coder.section("augment", &augmentation)
    if isTokens, augmentation != Augmentation(), let section = coder.section {
      throw ConfigurationError(
        section.place("augment"),
        "\(coder.path).augment has no meaning for tokens: it crops and mirrors images")
    }
    try coder.bool("dropLast", &dropLast)
  }

  /// Describes synthetic images, or synthetic tokens if a vocabulary is given.
  private mutating func describeSynthetic(_ coder: inout SectionCoder) throws(ConfigurationError) {
    var vocabulary: Int?
    var (size, channels, classes, samples) = (1, 3, 10, 1024)
    switch source {
    case .syntheticTokens(let known, let count): (vocabulary, samples) = (known, count)
    case .synthetic(let shape, let known, let count):
      (size, channels, classes, samples) = (shape[0], shape[2], known, count)
    default: break
    }
    if let section = coder.section, section.has("vocabulary") {
      for key in ["imageSize", "channels", "classes"] where section.has(key) {
        throw ConfigurationError(
          section.place(key),
          "\(coder.path).\(key) describes images, but \(coder.path).vocabulary describes tokens")
      }
      vocabulary = 0
    }
    if vocabulary == nil || coder.isListing {
      try coder.int("imageSize", &size, isRequired: true, in: ConfigurationLimits.pixels)
      try coder.int("channels", &channels, in: ConfigurationLimits.pixels)
      try coder.int("classes", &classes, in: 1...256)
    }
    if vocabulary != nil || coder.isListing {
      try coder.int("vocabulary", &vocabulary, in: Self.vocabulary)
    }
    try coder.int("samples", &samples, in: ConfigurationLimits.extent)
    source =
      vocabulary.map { .syntheticTokens(vocabulary: $0, samples: samples) }
      ?? .synthetic(shape: [size, size, channels], classes: classes, samples: samples)
  }
}

extension Augmentation: DescribedSection {
  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    try coder.int("crop", &crop, in: 0...Augmentation.largestCrop)
    try coder.bool("flip", &flip)
  }
}
