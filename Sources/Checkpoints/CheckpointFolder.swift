import Foundation
public import LockstepFiles
import LockstepSafetensors

/// The folder `checkpoints` of a run directory.
public struct CheckpointFolder: Sendable {
  /// The folder's path.
  public let path: String

  /// The folder of the run directory at `run`.
  public init(run: String) { path = "\(run)/checkpoints" }

  /// The file of a step's checkpoint.
  public func file(step: Int) -> String { "\(path)/\(Self.name(step))" }

  package static func name(_ step: Int) -> String { "step-\(step).safetensors" }

  private static func step(_ name: String) -> Int? {
    guard name.hasPrefix("step-"), name.hasSuffix(".safetensors") else { return nil }
    guard let step = Int(name.dropFirst(5).dropLast(12)), self.name(step) == name else {
      return nil
    }
    return step
  }

  /// The steps of all checkpoints, damaged or not, the newest first.
  public var steps: [Int] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return names.compactMap(Self.step).sorted(by: >)
  }

  /// Reads and verifies a step's checkpoint.
  ///
  /// - Throws: ``StateError`` if there is none, it is damaged, or the run had diverged.
  public func read(step: Int) throws(StateError) -> Checkpoint {
    let file = file(step: step)
    // A link is not followed, because it could lead to a file that never ends.
    let kind = try? FileManager.default.attributesOfItem(atPath: file)[.type] as? FileAttributeType
    guard let kind else { throw StateError(description: "\(file): no such file") }
    guard kind == .typeRegular else {
      throw StateError(description: "\(file): is not a regular file")
    }
    guard let data = FileManager.default.contents(atPath: file) else {
      throw StateError(description: "\(file): cannot be read")
    }
    let checkpoint = try Checkpoint(data, path: file)
    guard checkpoint.step == step else {
      throw StateError(description: "\(file): is the checkpoint of step \(checkpoint.step)")
    }
    if let name = checkpoint.nameOfNotFinite {
      throw StateError(
        description: "\(file): \(name) has a value that is not finite: the run had diverged")
    }
    return checkpoint
  }

  /// The newest checkpoint that is not damaged and passes `check`, and what is wrong with newer ones.
  ///
  /// - Throws: ``StateError`` if there are checkpoints and none can be used.
  public func newest(check: (Checkpoint) throws(StateError) -> Void = { _ in }) throws(StateError)
    -> (checkpoint: Checkpoint?, problems: [String])
  {
    var problems: [String] = []
    for step in steps {
      do {
        let checkpoint = try read(step: step)
        try check(checkpoint)
        return (checkpoint, problems)
      } catch {
        problems.append("\(error)")
      }
    }
    guard problems.isEmpty else {
      throw StateError(
        description:
          "no checkpoint can be used: \(problems.joined(separator: "; ")); remove them to begin anew"
      )
    }
    return (nil, [])
  }

  /// Writes a checkpoint, and removes others.
  ///
  /// The `keep` − 1 newest checkpoints of earlier steps are kept, and those of the steps `best`. Checkpoints
  /// of later steps are damaged, or belong to a run that went back. Otherwise the run would have gone on
  /// from there.
  ///
  /// - Throws: the file system's errors; then all other checkpoints are still there.
  public func write(_ checkpoint: Checkpoint, keep: Int, best: Set<Int> = []) throws {
    let writer = try checkpoint.writer()
    let file = try OutputFile(
      path: self.file(step: checkpoint.step), followsFolder: false, expectedSize: writer.size)
    try writer.write(to: file)
    try file.finish()
    let earlier = steps.filter { $0 <= checkpoint.step }
    let kept = best.intersection(earlier).union(earlier.prefix(keep))
    for step in steps where !kept.contains(step) { remove(Self.name(step)) }
  }

  /// Removes the checkpoints of steps after `step`.
  package func remove(after step: Int) {
    for later in steps where later > step { remove(Self.name(later)) }
  }

  /// Removes the incomplete files of writes that were killed.
  package func removeUnfinished() {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    for name in names where OutputFile.isUnfinished(name) { remove(name) }
  }

  /// Removes a file from the folder itself, never from a folder to which a link leads.
  private func remove(_ name: String) {
    let folder = unsafe open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard folder >= 0 else { return }
    _ = unsafe unlinkat(folder, name, 0)
    close(folder)
  }
}
