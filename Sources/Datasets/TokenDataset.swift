public import LockstepTensors

/// Windows of a stream of tokens: a sample is `context` tokens, each labelled with the next token.
public struct TokenDataset: Dataset {
  /// `[context]`.
  public let shape: Shape
  /// The size of the vocabulary.
  public let classes: Int
  private let tokens: [UInt16]

  /// Cuts `tokens` into windows that begin `context` apart.
  public init(_ tokens: [UInt16], context: Int, vocabulary: Int) {
    precondition(context > 0)
    self.tokens = tokens
    shape = [context]
    classes = vocabulary
  }

  /// How many whole windows there are.
  public var count: Int { max(0, tokens.count - 1) / shape[0] }

  /// The windows at `indices`.
  public func batch(_ indices: [Int], augmentation: (Int) -> Crop) -> Batch {
    let length = shape[0]
    let input = Tensor.uninitialized([indices.count, length])
    let labels = Storage<Int32>(count: indices.count * length)
    input.storage.withMutableSpan(input.range) { span in
      for (place, index) in indices.enumerated() {
        for i in 0..<length {
          span[place * length + i] = Float(tokens[index * length + i])
          labels[place * length + i] = Int32(tokens[index * length + i + 1])
        }
      }
    }
    return Batch(input: input, labels: labels)
  }

  /// Passes the tokens to `visit`.
  public func visitContents(_ visit: ([UInt8]) -> Void) {
    visitBytes(of: tokens, visit)
  }

  /// Every position has a label.
  public func labelCount(_ indices: ArraySlice<Int>) -> Int { indices.count * shape[0] }

  /// Random tokens, reproducible by seed.
  public static func synthetic(context: Int, vocabulary: Int, samples: Int, seed: UInt64)
    -> TokenDataset
  {
    var random = RandomStream(seed: seed, site: .synthetic)
    return TokenDataset(
      (0..<samples * context + 1).map { _ in UInt16(random.below(vocabulary)) },
      context: context, vocabulary: vocabulary)
  }

  /// The characters or bytes of a UTF-8 text file, of which the first `trainShare` is for training.
  ///
  /// - Throws: ``DatasetError`` if the file cannot be read, is empty, or holds too little for one
  ///   window in each part.
  public static func text(_ path: String, context: Int, bytes: Bool, trainShare: Double)
    throws(DatasetError) -> DataSplit
  {
    let contents = try fileContents(path)
    guard !contents.isEmpty else { throw DatasetError(path, "the text is empty") }
    let vocabulary: Vocabulary
    let tokens: [UInt16]
    if bytes {
      vocabulary = .bytes
      tokens = contents.map(UInt16.init)
    } else {
      guard let text = String(validating: contents, as: UTF8.self) else {
        throw DatasetError(path, "is not UTF-8; read it as bytes with data.unit: byte")
      }
      vocabulary = Vocabulary(of: text)
      guard vocabulary.characters.count <= 65_536, case .success(let all) = vocabulary.encode(text)
      else { throw DatasetError(path, "has more than 65,536 different characters") }
      tokens = all
    }
    let cut = Int(Double(tokens.count) * trainShare)
    return try split(
      path, Array(tokens[..<cut]), Array(tokens[cut...]), context: context,
      vocabulary.characters.count, vocabulary)
  }

  /// The uint16 tokens, little-endian, of `train.bin` and `val.bin` in a folder, as nanoGPT writes
  /// them.
  ///
  /// - Throws: ``DatasetError`` if a file cannot be read, has an odd number of bytes, names a token
  ///   that the vocabulary does not have, or holds too little.
  public static func shards(in folder: String, context: Int, vocabulary: Int)
    throws(DatasetError) -> DataSplit
  {
    func read(_ name: String) throws(DatasetError) -> [UInt16] {
      let path = "\(folder)/\(name)"
      // A shard may begin with the same bytes as a gzip file.
      let bytes = try fileContents(path, inflating: false)
      guard bytes.count % 2 == 0 else {
        throw DatasetError(path, "has \(bytes.count) bytes, expected two for each token")
      }
      let tokens = stride(from: 0, to: bytes.count, by: 2).map {
        UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8
      }
      if let place = tokens.firstIndex(where: { Int($0) >= vocabulary }) {
        throw DatasetError(
          path, "token \(place) is \(tokens[place]), outside the vocabulary of \(vocabulary)")
      }
      return tokens
    }
    return try split(
      folder, read("train.bin"), read("val.bin"), context: context, vocabulary, nil)
  }

  private static func split(
    _ path: String, _ train: [UInt16], _ test: [UInt16], context: Int, _ size: Int,
    _ vocabulary: Vocabulary?
  ) throws(DatasetError) -> DataSplit {
    let parts = [train, test].map { TokenDataset($0, context: context, vocabulary: size) }
    for (part, name) in zip(parts, ["training", "validation"]) where part.count == 0 {
      throw DatasetError(
        path,
        "the \(name) part has \(part.tokens.count) tokens, expected more than the context of \(context); give "
          + "more text\(vocabulary == nil ? "" : ", another data.trainShare"), or a smaller context"
      )
    }
    return DataSplit(train: parts[0], test: parts[1], vocabulary: vocabulary)
  }
}
