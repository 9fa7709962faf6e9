public import LockstepTensors
import Synchronization

/// Samples as a model takes them, with what is to be predicted.
public struct Batch: Sendable {
  /// The samples: images `[N, H, W, C]`, or tokens `[N, T]` as floats, exact below 2²⁴.
  public let input: Tensor
  /// The class of each row of logits; below 0 if the row does not count.
  public let labels: Storage<Int32>
  /// Which positions of padded sequences count, as rows of `[N, T]` in order; nil for all.
  public let validRows: [Int]?

  /// Creates a batch.
  public init(input: Tensor, labels: Storage<Int32>, validRows: [Int]? = nil) {
    self.input = input
    self.labels = labels
    self.validRows = validRows
  }
}

/// Samples to train on or to evaluate.
public protocol Dataset: Sendable {
  /// How many samples there are.
  var count: Int { get }
  /// The shape of a sample.
  var shape: Shape { get }
  /// How many classes, or tokens, the labels may name.
  var classes: Int { get }
  /// Whether a sample's labels form one answer, which is also judged as a whole.
  var hasAnswers: Bool { get }
  /// A batch of the samples at `indices`, in that order.
  ///
  /// Images are cropped as `augmentation` says for each place in `indices`.
  func batch(_ indices: [Int], augmentation: (Int) -> Crop) -> Batch
  /// How many labels of the samples at `indices` count.
  func labelCount(_ indices: ArraySlice<Int>) -> Int
  /// Passes every byte of the samples and their labels to `visit`, piece by piece, for digests.
  func visitContents(_ visit: ([UInt8]) -> Void)
}

/// Passes whole numbers to `visit` as little-endian bytes, in pieces of 65,536 numbers.
func visitBytes<Number: FixedWidthInteger>(of numbers: [Number], _ visit: ([UInt8]) -> Void) {
  let size = Number.bitWidth / 8
  for from in stride(from: 0, to: numbers.count, by: 1 << 16) {
    let part = numbers[from..<min(from + 1 << 16, numbers.count)]
    var bytes: [UInt8] = []
    bytes.reserveCapacity(part.count * size)
    for number in part {
      for shift in stride(from: 0, to: Number.bitWidth, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: number >> Number(shift)))
      }
    }
    visit(bytes)
  }
}

extension Dataset {
  /// False, since each label is judged by itself unless the data set says otherwise.
  public var hasAnswers: Bool { false }

  /// A batch of the samples as they are.
  public func batch(_ indices: some Sequence<Int>) -> Batch {
    batch(Array(indices)) { _ in .none }
  }
}

/// What a run trains on and is evaluated with.
public struct DataSplit: Sendable {
  /// The samples to train on.
  public let train: any Dataset
  /// The samples to evaluate with.
  public let test: any Dataset
  /// The characters of tokens, if samples are text.
  public let vocabulary: Vocabulary?
  /// The digest of all samples, which is kept because it takes a while.
  package let lazyDigest = LazyDigest()

  /// Creates a split from its two parts.
  public init(train: any Dataset, test: any Dataset, vocabulary: Vocabulary? = nil) {
    self.train = train
    self.test = test
    self.vocabulary = vocabulary
  }

  /// Creates a split from the two parts of an image data set.
  public init(_ parts: (train: ImageDataset, test: ImageDataset)) {
    self.init(train: parts.train, test: parts.test)
  }
}

/// A digest that is computed when it is first asked for, only once for all copies of a value.
package final class LazyDigest: Sendable {
  private let digest = Mutex<String?>(nil)

  /// The digest, for which `compute` runs the first time only.
  package func computedOnce(_ compute: () -> String) -> String {
    digest.withLock { digest in
      let value = digest ?? compute()
      digest = value
      return value
    }
  }
}
