import Crypto
public import Foundation
public import LockstepFiles
public import LockstepSafetensors
import LockstepTensors

/// The whole state of a run after a step, from which it goes on with the same bits.
///
/// It is one safetensors file. The model's tensors are under PyTorch's names, with the running statistics
/// of rank 0. All other names begin with `lockstep.`:
///
/// - `lockstep.optimizer.first.NAME` and `lockstep.optimizer.second.NAME` are the optimizer's state of a
///   parameter.
/// - `lockstep.rank.R.NAME` are running statistics that rank R has for itself.
///
/// Random streams are functions of seed, site, step and slot. The order of samples is a function of seed
/// and epoch, and the learning rate one of the step. So the step's number is the whole state of all three.
///
/// The header's `__metadata__` has `lockstep.step`, `lockstep.optimizer_steps`, `lockstep.ranks`,
/// `lockstep.seed`, `lockstep.configuration` (the resolved configuration), `lockstep.data` (the SHA-256 of
/// the data), `lockstep.version` (of this layout) and `lockstep.sha256`. The last is the SHA-256 of every
/// byte of the file, with its own 64 digits taken as zeros. It is needed because safetensors itself accepts
/// a file with a flipped bit.
public struct Checkpoint: Sendable {
  /// How many steps the run had taken.
  public let step: Int
  /// How many updates the optimizer had made.
  public let optimizerSteps: Int
  /// The number of ranks.
  public let ranks: Int
  /// The seed of all random numbers.
  public let seed: UInt64
  /// The resolved configuration, as YAML.
  public let configuration: String
  /// The digest of the data that the run was trained on, ``DataSplit/digest``.
  public let data: String
  /// The tensors by name.
  public let tensors: [String: SafetensorsFile.Value]

  /// Creates a checkpoint.
  package init(
    step: Int, optimizerSteps: Int, ranks: Int, seed: UInt64, configuration: String,
    data: String, tensors: [String: SafetensorsFile.Value]
  ) {
    (self.step, self.optimizerSteps, self.ranks) = (step, optimizerSteps, ranks)
    (self.seed, self.configuration, self.data) = (seed, configuration, data)
    self.tensors = tensors
  }

  /// The beginning of all names that are not the model's.
  static let prefix = "lockstep."
  private static let version = "1"
  /// The largest number of steps, ranks or seen batches that a file may give.
  static let largestCount = Int(Int32.max)

  private enum Key: String, CaseIterable {
    case version, step, optimizerSteps = "optimizer_steps", ranks, seed, configuration, data
    var name: String { prefix + rawValue }
  }

  /// The parameters, running statistics and counters alone.
  public var model: [String: SafetensorsFile.Value] {
    tensors.filter { !$0.key.hasPrefix(Self.prefix) }
  }

  /// The first tensor, by name, that holds an infinity or a NaN; nil if there is none.
  var nameOfNotFinite: String? {
    tensors.keys.sorted().first {
      if case .float32(let tensor)? = tensors[$0] { !tensor.isFinite } else { false }
    }
  }

  /// Reads the bytes of a file and verifies its digest; `path` is for messages.
  ///
  /// - Throws: ``StateError`` if a byte is not what was written, or the file is not a checkpoint.
  public init(_ data: Data, path: String) throws(StateError) {
    guard try CheckpointDigest.isRight(data, path: path) else {
      throw StateError(
        description: "\(path): has no digest, so it is not a checkpoint; --init-from takes it")
    }
    let file = try SafetensorsFile(data, path: path)
    func text(_ key: Key) throws(StateError) -> String {
      guard let text = file.metadata[key.name] else {
        throw StateError(description: "\(path): is not a checkpoint: its header has no \(key.name)")
      }
      return text
    }
    func number<Number: FixedWidthInteger>(_ key: Key, to limit: Number) throws(StateError)
      -> Number
    {
      let text = try text(key)
      guard let number = Number(text), 0...limit ~= number else {
        throw StateError(
          description: "\(path): \(key.name) is \"\(text)\", expected 0 to \(limit)")
      }
      return number
    }
    guard try text(.version) == Self.version else {
      throw StateError(
        description:
          "\(path): has layout \(try text(.version)); this Lockstep reads layout \(Self.version)")
    }
    self.init(
      step: try number(.step, to: Self.largestCount),
      optimizerSteps: try number(.optimizerSteps, to: Self.largestCount),
      ranks: try number(.ranks, to: Self.largestCount), seed: try number(.seed, to: .max),
      configuration: try text(.configuration), data: try text(.data), tensors: file.tensors)
  }

  /// The file's bytes.
  public func encoded() throws -> Data {
    let writer = try writer()
    var data = Data(capacity: writer.size)
    writer.forEachPiece { data.append(contentsOf: $0) }
    return data
  }

  /// The file's bytes piece by piece, including the digest.
  func writer() throws -> SafetensorsWriter {
    var writer = try SafetensorsWriter(
      tensors,
      metadata: [
        "format": "pt", Key.version.name: Self.version, Key.step.name: "\(step)",
        Key.optimizerSteps.name: "\(optimizerSteps)", Key.ranks.name: "\(ranks)",
        Key.seed.name: "\(seed)", Key.configuration.name: configuration, Key.data.name: data,
        CheckpointDigest.key: CheckpointDigest.zeros,
      ])
    CheckpointDigest.put(into: &writer)
    return writer
  }
}

/// The SHA-256 of a safetensors file, which the file itself holds.
enum CheckpointDigest {
  /// The digest's key in the header's metadata.
  static let key = Checkpoint.prefix + "sha256"
  private static let length = 2 * SHA256.byteCount
  /// What stands in place of the digits while the digest is taken.
  static let zeros = String(repeating: "0", count: length)
  /// The text before the digits.
  ///
  /// A quotation mark within a JSON text has a backslash before it, so no text of a header holds this.
  private static let mark = Data("\"\(key)\":\"".utf8)
  private static let largestHeader = 100_000_000

  /// Replaces the zeros by the digest.
  static func put(into writer: inout SafetensorsWriter) {
    var hash = SHA256()
    writer.forEachPiece { hash.update(data: $0) }
    guard let place = place(in: Data(writer.header), from: 8, to: writer.header.count) else {
      preconditionFailure("a header without a place for the digest")
    }
    writer.replace(at: place.lowerBound, with: digits(hash.finalize()))
  }

  /// Whether a file holds a digest.
  ///
  /// - Throws: ``StateError`` if the file ends within its header, or the digest is not that of its bytes.
  static func isRight(_ data: Data, path: String) throws(StateError) -> Bool {
    let data = data.startIndex == 0 ? data : Data(data)
    let cut = StateError(description: "\(path): is damaged: it ends within its header")
    guard data.count >= 8 else { throw cut }
    let header = data.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard header <= UInt64(largestHeader) else { return false }
    guard header <= UInt64(data.count - 8) else { throw cut }
    let end = 8 + Int(header)
    guard let place = place(in: data, from: 8, to: end) else { return false }
    var hash = SHA256()
    hash.update(data: data[..<place.lowerBound])
    hash.update(data: Data(zeros.utf8))
    hash.update(data: data[place.upperBound...])
    guard digits(hash.finalize()).elementsEqual(data[place]),
      self.place(in: data, from: place.upperBound, to: end) == nil
    else {
      throw StateError(
        description: "\(path): is damaged: its bytes do not match its digest")
    }
    return true
  }

  /// Where the digits are in a header.
  private static func place(in data: Data, from start: Int, to end: Int) -> Range<Int>? {
    guard let mark = data.range(of: mark, in: start..<end), mark.upperBound + length <= end
    else { return nil }
    return mark.upperBound..<mark.upperBound + length
  }

  private static func digits(_ digest: SHA256.Digest) -> [UInt8] {
    let letters = Array("0123456789abcdef".utf8)
    return digest.flatMap { [letters[Int($0 >> 4)], letters[Int($0 & 15)]] }
  }
}
