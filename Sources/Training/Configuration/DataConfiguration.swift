public import Datasets
public import Tensors

/// The `data` section.
public struct DataConfiguration: Hashable, Sendable {
  /// Where images come from.
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
  }

  /// Where images come from.
  public var source: Source
  /// Random crops and flips of training images.
  public var augmentation: Augmentation
  /// Whether the last batch of an epoch is left out where it is smaller.
  public var dropLast: Bool

  init(_ node: ConfigurationNode, path: String) throws(ConfigurationError) {
    let own = [
      "digits": [], "mnist": ["path", "files", "holdOut"], "cifar10": ["path"],
      "synthetic": ["imageSize", "channels", "classes", "samples"],
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
        holdOut: section.has("holdOut") ? try section.int("holdOut", in: 2...Int.max) : nil)
    case "cifar10": source = .cifar10(folder: try section.text("path"))
    case "synthetic":
      let size = try section.int("imageSize", in: 1...4096)
      source = .synthetic(
        shape: [size, size, try section.int("channels", default: 3, in: 1...4096)],
        classes: try section.int("classes", default: 10, in: 1...256),
        samples: try section.int("samples", default: 1024, in: 1...Int.max))
    default: source = .digits
    }
    let augment = try ConfigurationSection(
      section.nodeOrEmpty("augment"), path: "\(path).augment", keys: ["crop", "flip"])
    augmentation = Augmentation(
      crop: try augment.int("crop", default: 0, in: 0...1024),
      flip: try augment.bool("flip", default: false))
    dropLast = try section.bool("dropLast", default: false)
  }

  /// Reads the data.
  public func load(seed: UInt64) throws(DatasetError) -> (train: ImageDataset, test: ImageDataset) {
    switch source {
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
