import Foundation
import LockstepCheckpoints
import LockstepFiles
import Synchronization

/// What `interrupted.json` of a run directory says: that the run was asked to end before its last step,
/// and from where it can go on.
public struct Interruption: Codable, Hashable, Sendable {
  /// The signal that asked for it: `SIGTERM`, `SIGINT` or `SIGUSR1`.
  public let signal: String
  /// The steps that had been taken when this was written.
  public let step: Int
  /// The newest good checkpoint, relative to the run directory; nil if there is none.
  public let checkpoint: String?
  /// When this was written, in UTC.
  public let time: String

  /// Reads the marker of the run directory at `path`, or nil where there is none.
  public init?(run path: String) {
    guard let data = FileManager.default.contents(atPath: Self.file(run: path)),
      let marker = try? JSONDecoder().decode(Interruption.self, from: data)
    else { return nil }
    self = marker
  }

  init(signal: CInt, step: Int, checkpoint: Int?) {
    let names = [SIGTERM: "SIGTERM", SIGINT: "SIGINT", SIGUSR1: "SIGUSR1"]
    self.signal = names[signal] ?? "signal \(signal)"
    self.step = step
    self.checkpoint = checkpoint.map { "checkpoints/\(CheckpointFolder.name($0))" }
    time = Date().formatted(.iso8601)
  }

  static func file(run path: String) -> String { "\(path)/interrupted.json" }
}

/// Where a run learns of signals.
public struct InterruptionSource: Sendable {
  /// The signal that asked this rank to end, if one did.
  public let signal: @Sendable () -> CInt?
  /// Called on rank 0 when the marker says that the run was interrupted.
  public let noted: @Sendable () -> Void

  /// A source of signals.
  public init(signal: @escaping @Sendable () -> CInt?, noted: @escaping @Sendable () -> Void) {
    (self.signal, self.noted) = (signal, noted)
  }
}

/// Writes the marker of an interrupted run, on rank 0.
///
/// mpirun kills ranks a second or two after it was told to end, which a step and its checkpoint may not
/// fit into. So a thread of its own writes the marker when the signal comes, with the last good
/// checkpoint; it is written anew when there is a newer one.
final class InterruptionMarker: Sendable {
  private let path: String
  private let writer: CheckpointWriter
  private let source: InterruptionSource?
  private let step: Atomic<Int>
  private let isOver = Mutex(false)

  private static let pause = 0.02

  /// A marker of the run directory at `run`, removed if it is there.
  init(run: String, writer: CheckpointWriter, step: Int, source: InterruptionSource?) {
    path = Interruption.file(run: run)
    (self.writer, self.source) = (writer, source)
    self.step = Atomic(step)
    try? FileManager.default.removeItem(atPath: path)
    guard source != nil else { return }
    Thread.detachNewThread { [weak self] in
      while let marker = self, !marker.hasSeenSignal() {
        Thread.sleep(forTimeInterval: Self.pause)
      }
    }
  }

  /// Whether there is nothing to wait for any more.
  private func hasSeenSignal() -> Bool {
    if isOver.withLock({ $0 }) { return true }
    guard let signal = source?.signal() else { return false }
    write(signal)
    return true
  }

  /// Notes that a step was taken.
  func stepTaken(_ step: Int) { self.step.store(step, ordering: .relaxed) }

  /// Writes the marker, unless the run has ended.
  ///
  /// It says less than the checkpoints themselves, so nothing fails where it cannot be written.
  func write(_ signal: CInt) {
    isOver.withLock { isOver in
      guard !isOver else { return }
      let marker = Interruption(
        signal: signal, step: step.load(ordering: .relaxed), checkpoint: writer.newest)
      if let text = try? jsonDocument(marker) + "\n" {
        try? OutputFile.write(Data(text.utf8), path: path)
      }
      source?.noted()
    }
  }

  /// Ends the watch; a run that ended by itself was not interrupted.
  func finish(removing: Bool) {
    isOver.withLock { isOver in
      isOver = true
      if removing { try? FileManager.default.removeItem(atPath: path) }
    }
  }
}
