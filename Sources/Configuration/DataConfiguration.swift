public import LockstepDatasets
import LockstepFiles
public import LockstepTensors

/// The `data` section.
public struct DataConfiguration: Hashable, Sendable {
  /// Where samples come from.
  public enum Source: Hashable, Sendable {
    /// The embedded digits.
    case digits
    /// IDX files in a folder. Where `holdOut` is n, the last of every n images of `files` are the
    /// test set; else the `t10k` files are.
    case mnist(folder: String, files: String, holdOut: Int?)
    /// CIFAR-10's binary files in a folder.
    case cifar10(folder: String)
    /// Random images of `[height, width, channels]`.
    case synthetic(shape: Shape, classes: Int, samples: Int)
    /// Random tokens.
    case syntheticTokens(vocabulary: Int, samples: Int)
    /// A text by characters, or by bytes; the first share of it is trained on.
    case text(path: String, bytes: Bool, trainShare: Double)
    /// `train.bin` and `val.bin` in a folder.
    case tokens(folder: String, vocabulary: Int)
    /// Sums and differences of operands of a given number of digits.
    case arithmetic(digits: Int, samples: Int)
  }

  /// Where samples come from.
  public var source: Source
  /// Random crops and flips of training images.
  public var augmentation: Augmentation
  /// Whether the last batch of an epoch is left out where it is smaller.
  public var dropLast: Bool

  init(_ node: ConfigurationNode, path: String) throws(ConfigurationError) {
    let own = [
      "digits": [], "mnist": ["path", "files", "holdOut"], "cifar10": ["path"],
      "synthetic": ["imageSize", "channels", "classes", "samples", "vocabulary"],
      "text": ["path", "unit", "trainShare"], "tokens": ["path", "vocabulary"],
      "arithmetic": ["digits", "samples"],
    ]
    let shared = ["kind", "augment", "dropLast"]
    let kind = try ConfigurationSection(
      node, path: path, keys: shared + Set(own.values.joined()).sorted()
    ).choice("kind", of: own.keys.sorted())
    let section = try ConfigurationSection(node, path: path, keys: shared + (own[kind] ?? []))
    switch kind {
    case "mnist":
      source = .mnist(
        folder: try section.text("path"),
        files: try section.choice("files", of: ["train", "t10k"], default: "train"),
        holdOut: section.has("holdOut")
          ? try section.int("holdOut", in: 2...ConfigurationLimits.count.upperBound) : nil)
    case "cifar10": source = .cifar10(folder: try section.text("path"))
    case "synthetic" where section.has("vocabulary"):
      for key in ["imageSize", "channels", "classes"] where section.has(key) {
        throw ConfigurationError(
          section.place(key), "\(path).\(key) describes images, and \(path).vocabulary tokens")
      }
      source = .syntheticTokens(
        vocabulary: try section.int("vocabulary", in: 2...65_536),
        samples: try section.int("samples", default: 1024, in: ConfigurationLimits.extent))
    case "text":
      source = .text(
        path: try section.text("path"),
        bytes: try section.choice("unit", of: ["character", "byte"], default: "character")
          == "byte", trainShare: try section.double("trainShare", default: 0.9, in: 0...1))
    case "tokens":
      source = .tokens(
        folder: try section.text("path"), vocabulary: try section.int("vocabulary", in: 2...65_536))
    case "arithmetic":
      source = .arithmetic(
        digits: try section.int("digits", default: 3, in: 1...9),
        samples: try section.int("samples", default: 20_000, in: ConfigurationLimits.extent))
    case "synthetic":
      let size = try section.int("imageSize", in: 1...4096)
      source = .synthetic(
        shape: [size, size, try section.int("channels", default: 3, in: 1...4096)],
        classes: try section.int("classes", default: 10, in: 1...256),
        samples: try section.int("samples", default: 1024, in: ConfigurationLimits.extent))
    default: source = .digits
    }
    let augment = try ConfigurationSection(
      section.nodeOrEmpty("augment"), path: "\(path).augment", keys: ["crop", "flip"])
    augmentation = Augmentation(
      crop: try augment.int("crop", default: 0, in: 0...1024),
      flip: try augment.bool("flip", default: false))
    dropLast = try section.bool("dropLast", default: false)
  }

  /// Whether samples are sequences of tokens, not images.
  var isTokens: Bool {
    switch source {
    case .text, .tokens, .arithmetic, .syntheticTokens: true
    case .digits, .mnist, .cifar10, .synthetic: false
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
            + "\(ArithmeticDataset.length(digits: digits)) or more, and it is \(length)")
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
      preconditionFailure("tokens are no images")
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
