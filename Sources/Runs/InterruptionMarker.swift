import Foundation
import LockstepCheckpoints
import LockstepFiles
import Synchronization

/// The contents of a run directory's `interrupted.json`: the run was asked to end before its last step, and
/// can go on from a checkpoint.
public struct Interruption: Codable, Hashable, Sendable {
  /// The signal that asked for it: `SIGTERM`, `SIGINT` or `SIGUSR1`.
  public let signal: String
  /// The steps that had been taken when this was written.
  public let step: Int
  /// The newest good checkpoint, relative to the run directory; nil if there is none.
  public let checkpoint: String?
  /// When this was written, in UTC.
  public let time: String

  /// Reads the marker of the run directory at `path`; nil if there is none.
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
  /// Called on rank 0 when the marker is written.
  public let noted: @Sendable () -> Void

  /// A source of signals.
  public init(signal: @escaping @Sendable () -> CInt?, noted: @escaping @Sendable () -> Void) {
    (self.signal, self.noted) = (signal, noted)
  }
}

/// Writes the marker of an interrupted run, on rank 0.
///
/// mpirun kills ranks a second or two after it was told to end. A step and its checkpoint may take longer. So
/// a separate thread writes the marker as soon as the signal arrives, with the last good checkpoint. It is
/// rewritten when there is a newer one.
final class InterruptionMarker: Sendable {
  private let path: String
  private let writer: CheckpointWriter
  private let source: InterruptionSource?
  private let step: Atomic<Int>
  private let isOver = Mutex(false)

  /// How long the thread sleeps between two looks, in seconds: far less than the second that mpirun grants.
  private static let pause = 0.02

  /// The marker of the run directory at `run`; an old one is removed.
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

  /// Whether the watch is over: a signal came, or the run has ended.
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
  /// The checkpoints themselves say more, so it is no error if the marker cannot be written.
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

  /// Ends the watch; `removing` removes the marker, since a run that ended by itself was not interrupted.
  func finish(removing: Bool) {
    isOver.withLock { isOver in
      isOver = true
      if removing { try? FileManager.default.removeItem(atPath: path) }
    }
  }
}
