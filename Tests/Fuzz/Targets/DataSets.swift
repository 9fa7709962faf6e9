import Foundation
import LockstepDatasets
import LockstepTensors

/// Two files, of images and of labels, plain or gzip.
func readIDX(_ input: [UInt8], in folder: String) {
  let parts = files(input, count: 2)
  put(parts[0], "\(folder)/train-images-idx3-ubyte")
  put(parts[1], "\(folder)/train-labels-idx1-ubyte")
  guard let data = try? ImageDataset.mnist(in: folder, files: "train") else { return }
  precondition(data.count > 0 && data.labels.allSatisfy { $0 < 10 })
  _ = data.batch([0, data.count - 1])
}

func imageSeeds() -> [[UInt8]] {
  func header(_ extents: [UInt8]) -> [UInt8] {
    [0, 0, 8, UInt8(extents.count)] + extents.flatMap { [0, 0, 0, $0] }
  }
  return [
    input([header([3, 2, 3]) + Array(0..<18), header([3]) + [7, 0, 9]]),
    input([header([1, 1, 1]) + [5], header([1]) + [1]]),
  ]
}

/// The six files, each of so many records and so many bytes more or less, all repetitions of what
/// follows those twelve numbers.
func readCIFAR10(_ input: [UInt8], in folder: String) {
  let pattern = input.dropFirst(12)
  for file in 0..<6 where input.count > 12 {
    let records = Int(input[2 * file] % 4)
    let length = max(0, 3073 * records + Int(Int8(bitPattern: input[2 * file + 1])) - 1)
    let name = file < 5 ? "data_batch_\(file + 1).bin" : "test_batch.bin"
    put((0..<length).map { pattern[12 + $0 % pattern.count] }, "\(folder)/\(name)")
  }
  guard let data = try? ImageDataset.cifar10(in: folder) else { return }
  for part in [data.train, data.test] {
    precondition(part.count > 0 && part.labels.allSatisfy { $0 < 10 })
    _ = part.batch([0, part.count - 1])
  }
}

/// What to read (shards, characters, bytes), the context, and the vocabulary or the share to train on;
/// then the file, or both.
func readTokens(_ input: [UInt8], in folder: String) {
  guard input.count > 5 else { return }
  let context = 1 + (Int(input[1]) | Int(input[2]) << 8)
  let vocabulary = 2 + (Int(input[3]) | Int(input[4]) << 8)
  let rest = Array(input[5...])
  if input[0] % 3 > 0 {
    put(rest, "\(folder)/text")
    guard
      let split = try? TokenDataset.text(
        "\(folder)/text", context: context, bytes: input[0] % 3 == 1,
        trainShare: Double(input[3]) / 255)
    else { return }
    for part in [split.train, split.test] { _ = part.batch([0, part.count - 1]) }
    guard let text = String(validating: rest, as: UTF8.self), input[0] % 3 == 2 else { return }
    guard case .success(let tokens)? = split.vocabulary?.encode(text) else {
      preconditionFailure("a text has a character that its own vocabulary has not")
    }
    let decoded = split.vocabulary?.decode(tokens.map { Int($0) })
    precondition(decoded.map { Array($0.utf8) } == rest, "a text changed")
    return
  }
  let parts = files(rest, count: 2)
  put(parts[0], "\(folder)/train.bin")
  put(parts[1], "\(folder)/val.bin")
  guard
    let split = try? TokenDataset.shards(in: folder, context: context, vocabulary: vocabulary)
  else { return }
  for (part, bytes) in [(split.train, parts[0]), (split.test, parts[1])] {
    precondition(part.count == (bytes.count / 2 - 1) / context)
    let first = part.batch([0]).input.elements.map { Int($0) }
    let expected = (0..<context).map { Int(bytes[2 * $0]) | Int(bytes[2 * $0 + 1]) << 8 }
    precondition(first == expected && first.allSatisfy { $0 < vocabulary })
  }
}

func tokenSeeds() -> [[UInt8]] {
  let text = Array("to be, or not to be: thät is the question".utf8)
  let shard: [UInt8] = [1, 0, 2, 0, 3, 0, 0, 1, 5, 0]
  return [
    [1, 3, 0, 128, 0] + text, [2, 3, 0, 200, 0] + text,
    [0, 1, 0, 0, 2] + input([shard, shard]),
  ]
}
