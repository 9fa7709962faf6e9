import Crypto
import Foundation
public import LockstepCollectives
public import LockstepConfiguration
import LockstepDataParallel
public import LockstepDatasets

extension RunConfiguration {
  /// Throws on every rank unless all run the same binary with the same configuration, seed and data.
  ///
  /// Collective.
  ///
  /// - Throws: The same `AgreedError` on all ranks, which names what differs and on which ranks.
  public func agreeOnStart(data: DataSplit, over communicator: any Communicator) throws {
    guard communicator.size > 1 else { return }
    let yaml = try resolvedYAML
    try LockstepDataParallel.agreeOnStart(
      [
        StartItem(
          "the binary", binaryDigest() ?? "unreadable",
          remedy: "put the same build on every host"),
        StartItem("the seed", "\(seed)", remedy: "start all ranks with one seed"),
      ], over: communicator)
    try agree(yaml, over: communicator)
    try LockstepDataParallel.agreeOnStart(
      [StartItem("the data", data.digest, remedy: "give every host the same files")],
      over: communicator)
  }

  /// Throws if resolved configurations differ, and names the values that do.
  private func agree(_ yaml: String, over communicator: any Communicator) throws {
    let all = try communicator.allGather(yaml)
    let others = all.indices.filter { all[$0] != all[0] }
    guard let first = others.first else { return }
    let pair = try [all[0], all[first]].map { try RunConfiguration(yaml: $0, name: "config.yaml") }
    let differences = try RunConfiguration.differences(pair).map { difference in
      let values = difference.values.map { $0 ?? "not given" }
      return "\(difference.key) is \(values[1]), not \(values[0])"
    }
    throw AgreedError(
      description: "the configuration of \(CollectiveDifference.ranks(others)) is not that of "
        + "rank 0: "
        + differences.joined(separator: "; ") + "; start all ranks with one configuration")
  }
}

/// The SHA-256 of this process's executable in hexadecimal digits; nil if it cannot be read.
private func binaryDigest() -> String? {
  guard let file = FileHandle(forReadingAtPath: "/proc/self/exe") else { return nil }
  var digest = SHA256()
  while let chunk = try? file.read(upToCount: 1 << 20), !chunk.isEmpty {
    digest.update(data: chunk)
  }
  return hexadecimal(digest.finalize())
}

extension DataSplit {
  /// The SHA-256 of all samples and of the vocabulary, in hexadecimal digits.
  public var digest: String { lazyDigest.computedOnce { digest(of: vocabulary) } }

  /// Whether `digest`, of a checkpoint of the run directory at `path`, is that of these data; in those of earlier
  /// versions it is of the samples alone, and the vocabulary lies beside them.
  func matches(_ digest: String?, in path: String) -> Bool {
    if digest == self.digest { return true }
    guard let vocabulary, digest == self.digest(of: nil),
      let data = FileManager.default.contents(atPath: "\(path)/vocabulary.json")
    else { return false }
    return (try? JSONDecoder().decode(Vocabulary.self, from: data)) == vocabulary
  }

  private func digest(of vocabulary: Vocabulary?) -> String {
    var digest = SHA256()
    for part in [train, test] {
      digest.update(data: Data("\(part.shape) \(part.classes) \(part.count)\n".utf8))
      part.visitContents { digest.update(data: $0) }
    }
    // Two texts may have the same tokens in other letters.
    for character in vocabulary?.characters ?? [] {
      digest.update(data: Data("\(character.utf8.count) \(character)\n".utf8))
    }
    return hexadecimal(digest.finalize())
  }
}

private func hexadecimal(_ digest: SHA256.Digest) -> String {
  digest.map { byte in String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }.joined()
}
