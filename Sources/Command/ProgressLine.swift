import Foundation
import Glibc
import LockstepCollectives
import LockstepFiles
import LockstepTraining

/// Shows how far training is: on a terminal in one line that is rewritten, elsewhere in a line with the time
/// now and then.
final class ProgressLine {
  private let isOn: Bool
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private let start = monotonicNanoseconds()
  private let startProgress: Double
  private var lastShown: UInt64 = 0
  private var samples = 0
  private var nanoseconds = 0
  private var blocked = 0.0

  /// - Parameters:
  ///   - isOn: Whether this rank prints.
  ///   - progress: How far everything is at the start: above 0 in a resumed run.
  init(isOn: Bool, startingAt progress: Double = 0) {
    self.isOn = isOn
    startProgress = progress
  }

  /// Shows a step, if it is time to.
  ///
  /// `progress` says how far everything is, from 0 to 1.
  func show(_ result: StepResult, label: String, progress: Double) {
    samples += result.samples
    nanoseconds += result.nanoseconds
    blocked += result.blockedMilliseconds * 1e6
    let now = monotonicNanoseconds()
    guard isOn, now - lastShown > pause(now) || lastShown == 0 || progress >= 1 else { return }
    lastShown = now
    // Work from before the start took none of the time since then.
    let done = progress - startProgress
    let left = done > 0 ? Double(now - start) / 1e9 * (1 - progress) / done : 0
    // The least important part is last: a narrow terminal has no room for it.
    let parts = [
      label, "loss \(fixed(result.loss, 4))", "\(Int(100 * progress))%", "ETA \(Self.clock(left))",
      "accuracy \(fixed(100 * result.accuracy, 1))%",
      "\(Int(Double(samples) / Double(max(nanoseconds, 1)) * 1e9)) samples/s",
      "\(fixed(100 * blocked / Double(max(nanoseconds, 1)), 1))% in communication",
    ]
    StandardStreams.say(
      isTerminal
        ? "\r\u{1b}[K" + Self.line(parts, columns: columns)
        : ([Date().formatted(Self.time)] + parts).joined(separator: "  ") + "\n")
  }

  /// Ends the line.
  func finish() {
    if isOn, isTerminal, lastShown > 0 { StandardStreams.say("\r\u{1b}[K") }
  }

  /// The time between two lines, in nanoseconds.
  ///
  /// On a terminal it is a tenth of a second. In a log it is a twentieth of the time so far, from 2 s up to a
  /// minute, so that a run of days leaves a few thousand lines.
  private func pause(_ now: UInt64) -> UInt64 {
    isTerminal ? 100_000_000 : min(max((now - start) / 20, 2_000_000_000), 60_000_000_000)
  }

  /// The first parts, as many as fit into a line.
  static func line(_ parts: [String], columns: Int) -> String {
    // A letter in the last column would start a new line on some terminals.
    let room = max(columns - 1, 1)
    var line = String(parts[0].prefix(room))
    for part in parts.dropFirst() {
      guard line.count + 2 + part.count <= room else { break }
      line += "  " + part
    }
    return line
  }

  /// The terminal's width; 80 if it does not say.
  private var columns: Int {
    var size = winsize()
    guard unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
      return 80
    }
    return Int(size.ws_col)
  }

  private static let time = Date.VerbatimFormatStyle(
    format: """
      \(year: .defaultDigits)-\(month: .twoDigits)-\(day: .twoDigits) \
      \(hour: .twoDigits(clock: .twentyFourHour, hourCycle: .zeroBased)):\(minute: .twoDigits):\
      \(second: .twoDigits)
      """, timeZone: .current, calendar: Calendar(identifier: .gregorian))

  /// A number of seconds as minutes and seconds, with hours if there are any.
  private static func clock(_ seconds: Double) -> String {
    let whole = Int(min(max(seconds, 0), 1e9))
    func padded(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let (minutes, rest) = (whole / 60, padded(whole % 60))
    return minutes < 60
      ? "\(minutes):\(rest)" : "\(minutes / 60):\(padded(minutes % 60)):\(rest)"
  }
}
