import Collectives
import Foundation
import Measurement
import Training

/// The one line that says how far training is: rewritten on a terminal, a line every two seconds
/// elsewhere.
final class ProgressLine {
  private let isOn: Bool
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private let start = monotonicNanoseconds()
  private var lastShown: UInt64 = 0
  private var samples = 0
  private var nanoseconds = 0
  private var blocked = 0.0

  /// - Parameter isOn: Whether this rank prints.
  init(isOn: Bool) { self.isOn = isOn }

  /// Shows a step, if it is time to.
  ///
  /// `progress` says how far everything is, from 0 to 1.
  func show(_ result: StepResult, label: String, progress: Double) {
    samples += result.samples
    nanoseconds += result.nanoseconds
    blocked += result.blockedMilliseconds * 1e6
    let now = monotonicNanoseconds()
    let pause: UInt64 = isTerminal ? 100_000_000 : 2_000_000_000
    guard isOn, now - lastShown > pause || lastShown == 0 || progress >= 1 else { return }
    lastShown = now
    let elapsed = Double(now - start) / 1e9
    let left = progress > 0 ? elapsed * (1 - progress) / progress : 0
    let parts = [
      label, "loss \(fixed(result.loss, 4))", "accuracy \(fixed(100 * result.accuracy, 1))%",
      "\(Int(Double(samples) / Double(max(nanoseconds, 1)) * 1e9)) samples/s",
      "\(fixed(100 * blocked / Double(max(nanoseconds, 1)), 1))% in communication",
      "\(Int(100 * progress))%", "ETA \(Int(left / 60)):\(padded(Int(left) % 60))",
    ]
    let line = parts.joined(separator: "  ")
    write(isTerminal ? "\r\u{1b}[K\(line)" : line + "\n")
  }

  /// Ends the line.
  func finish() {
    if isOn, isTerminal, lastShown > 0 { write("\r\u{1b}[K") }
  }

  private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

  private func padded(_ seconds: Int) -> String { seconds < 10 ? "0\(seconds)" : "\(seconds)" }
}
