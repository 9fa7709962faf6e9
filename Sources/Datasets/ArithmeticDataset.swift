public import LockstepTensors

/// Generated sums and differences, such as `27+385=412.`, in which only the answer has labels.
///
/// Every problem is written with its answer and a full stop, and padded with spaces to one length.
public struct ArithmeticDataset: Dataset {
  /// `[context]`.
  public let shape: Shape
  private let tokens: [UInt8]
  private let labels: [Int32]
  /// How many positions of each problem are not padding.
  private let lengths: [Int]

  /// The characters of a problem.
  public static let vocabulary = Vocabulary(of: " .+-=0123456789")
  /// The number of characters.
  public var classes: Int { Self.vocabulary.characters.count }
  /// How many problems there are.
  public var count: Int { tokens.count / max(shape[0], 1) }

  /// A problem's answer is right or wrong as a whole.
  public var hasAnswers: Bool { true }

  /// How many positions a problem needs whose operands have a given number of digits.
  public static func length(digits: Int) -> Int { 3 * digits + 4 }

  /// Draws `count` problems whose operands have 1 to `digits` digits, or exactly `digits` where
  /// `isLongest`.
  ///
  /// The problems of another `part` come from other random numbers, so that they make a test set. A
  /// problem may be in both sets.
  public init(
    digits: Int, count: Int, context: Int, seed: UInt64, part: Int = 0, isLongest: Bool = false
  ) {
    precondition(
      context >= Self.length(digits: digits),
      "problems of \(digits) digits do not fit into \(context) positions")
    shape = [context]
    var tokens: [UInt8] = []
    var labels: [Int32] = []
    var lengths: [Int] = []
    let numbers = Dictionary(
      uniqueKeysWithValues: Self.vocabulary.characters.enumerated().map { ($1, UInt8($0)) })
    for sample in 0..<count {
      var random = RandomStream(seed: seed, site: .synthetic, slot: sample, part: part)
      func operand() -> Int {
        let length = isLongest ? digits : random.below(digits) + 1
        let bound = (0..<length).reduce(1) { power, _ in 10 * power }
        return isLongest ? bound / 10 + random.below(bound - bound / 10) : random.below(bound)
      }
      let (a, b, isSum) = (operand(), operand(), random.below(2) == 0)
      let question = "\(a)\(isSum ? "+" : "-")\(b)="
      let text = question + "\(isSum ? a + b : a - b)."
      let codes = text.map { numbers[String($0)] ?? 0 }
      let padding = context + 1 - codes.count
      let line = codes + [UInt8](repeating: numbers[" "] ?? 0, count: max(0, padding))
      tokens += line[..<context]
      lengths.append(min(codes.count, context))
      labels += (1...context).map {
        $0 >= question.count && $0 < codes.count ? Int32(line[$0]) : -1
      }
    }
    self.tokens = tokens
    self.labels = labels
    self.lengths = lengths
  }

  /// The problems at `indices`.
  public func batch(_ indices: [Int], augmentation: (Int) -> Crop) -> Batch {
    let length = shape[0]
    return Batch(
      input: Tensor(
        indices.flatMap { tokens[$0 * length..<($0 + 1) * length].map(Float.init) },
        shape: [indices.count, length]),
      labels: Storage(indices.flatMap { labels[$0 * length..<($0 + 1) * length] }),
      validRows: indices.enumerated().flatMap { place, index in
        place * length..<place * length + lengths[index]
      })
  }

  /// Passes the tokens and the labels to `visit`.
  public func visitContents(_ visit: ([UInt8]) -> Void) {
    visit(tokens)
    visitBytes(of: labels, visit)
  }

  /// How many characters the answers have.
  public func labelCount(_ indices: ArraySlice<Int>) -> Int {
    indices.reduce(0) { sum, index in
      sum + labels[index * shape[0]..<(index + 1) * shape[0]].count { $0 >= 0 }
    }
  }
}
