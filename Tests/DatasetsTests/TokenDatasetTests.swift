import Foundation
import LockstepDatasets
import LockstepTensors
import Testing

/// Text, token shards and arithmetic.
@Suite struct TokenDatasetTests {
  private let folder: Folder

  init() throws { folder = try Folder() }

  private func write(_ bytes: [UInt8], _ name: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: "\(folder.path)/\(name)"))
  }

  @Test func labelsAreTheNextCharacters() throws {
    try write(Array("héllo wörld, hello".utf8), "text")
    let split = try TokenDataset.text(
      "\(folder.path)/text", context: 4, bytes: false, trainShare: 0.6)
    let vocabulary = try #require(split.vocabulary)
    let batch = split.train.batch([0, 1])
    let tokens = batch.input.elements.map { Int($0) }
    #expect(vocabulary.decode(tokens) == "héllo wö")
    #expect(vocabulary.decode((0..<8).map { Int(batch.labels[$0]) }) == "éllo wör")
    #expect(split.train.labelCount([0, 1]) == 8)
    #expect(vocabulary.encode("x") == .failure(UnknownCharacter(character: "x")))
  }

  @Test func bytesAreTheirOwnTokens() throws {
    try write([0, 255, 7, 8, 9, 10, 11, 12, 1, 2, 3], "text")
    let split = try TokenDataset.text(
      "\(folder.path)/text", context: 2, bytes: true, trainShare: 0.6)
    #expect(split.train.batch([0]).input.elements == [0, 255])
    #expect(split.train.classes == 256)
  }

  @Test func textsThatCannotBeUsedAreNamed() throws {
    try write([], "empty")
    try write([0xff, 0xfe, 0x41], "binary")
    try write(Array("short".utf8), "short")
    for (name, message) in [
      ("empty", "is empty"), ("binary", "not UTF-8"), ("short", "expected more than the context"),
      ("none", "no such file"),
    ] {
      let error = #expect(throws: DatasetError.self) {
        _ = try TokenDataset.text(
          "\(folder.path)/\(name)", context: 8, bytes: false, trainShare: 0.9)
      }
      #expect(error?.description.contains(message) ?? false, "\(name)")
    }
  }

  @Test func shardsAreCheckedTokenByToken() throws {
    let good: [UInt8] = [1, 0, 2, 0, 3, 0, 0, 1, 5, 0]
    try write(good, "train.bin")
    try write(good, "val.bin")
    let split = try TokenDataset.shards(in: folder.path, context: 2, vocabulary: 300)
    #expect(split.train.batch([1]).input.elements == [3, 256])
    let outside = #expect(throws: DatasetError.self) {
      _ = try TokenDataset.shards(in: folder.path, context: 2, vocabulary: 256)
    }
    #expect(outside?.description.contains("token 3 is 256") ?? false)
    try write([1, 0, 2], "val.bin")
    let odd = #expect(throws: DatasetError.self) {
      _ = try TokenDataset.shards(in: folder.path, context: 2, vocabulary: 300)
    }
    #expect(odd?.description.contains("has 3 bytes") ?? false)
  }

  @Test func aShardMayBeginLikeAGzipFile() throws {
    let shard: [UInt8] = [0x1f, 0x8b, 1, 0, 2, 0]
    try write(shard, "train.bin")
    try write(shard, "val.bin")
    let split = try TokenDataset.shards(in: folder.path, context: 2, vocabulary: 65_536)
    #expect(split.train.batch([0]).input.elements == [0x8b1f, 1])
  }

  @Test func charactersThatLookTheSameAreDifferentTokens() throws {
    // The letter Å and the ångström sign are equal as texts.
    let text = "\u{c5}\u{212b}K\u{212a}\u{c5}\u{212b}K\u{212a}"
    try write(Array(text.utf8), "text")
    let split = try TokenDataset.text(
      "\(folder.path)/text", context: 1, bytes: false, trainShare: 0.5)
    let vocabulary = try #require(split.vocabulary)
    #expect(vocabulary.characters.count == 4)
    let tokens = try vocabulary.encode(text).get().map { Int($0) }
    #expect(Array(vocabulary.decode(tokens).utf8) == Array(text.utf8))
  }

  @Test func onlyAnswersCountAndTheyAreRight() throws {
    let data = ArithmeticDataset(digits: 3, count: 200, context: 13, seed: 1)
    let batch = data.batch(0..<200)
    var counted = 0
    for sample in 0..<200 {
      let tokens = (0..<13).map { Int(batch.input.elements[sample * 13 + $0]) }
      let labels = (0..<13).map { Int(batch.labels[sample * 13 + $0]) }
      let question = ArithmeticDataset.vocabulary.decode(tokens).prefix { $0 != "=" }
      let answer = ArithmeticDataset.vocabulary.decode(labels.filter { $0 >= 0 })
      let operands = question.split(whereSeparator: { "+-".contains($0) }).compactMap { Int($0) }
      let result = question.contains("+") ? operands[0] + operands[1] : operands[0] - operands[1]
      #expect(answer == "\(result).", "\(question)")
      counted += answer.count
    }
    #expect(data.labelCount(Array(0..<200)[...]) == counted)
    let other = ArithmeticDataset(digits: 3, count: 200, context: 13, seed: 1, part: 1)
    #expect(other.batch(0..<200).input.elements != batch.input.elements)
  }
}
