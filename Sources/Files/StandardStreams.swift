import Foundation
import Glibc
import Synchronization

/// A result that cannot be written to standard output; all ranks throw it.
package struct ResultError: ProgramError {
  /// Every rank throws it.
  package var isSharedByAllRanks: Bool { true }

  /// The run failed.
  package var exitStatus: Int32 { ExitStatus.failed }

  /// The system's words.
  package let reason: String

  package init(reason: String) { self.reason = reason }

  package var description: String { "standard output: the result cannot be written: \(reason)" }
}

/// Standard output and standard error, which may be closed, full, slow, or read by nobody.
package enum StandardStreams {
  /// Makes sure that a failed write is an error and never ends the process.
  ///
  /// It has to be called before anything else is opened.
  package static func prepare() {
    // A file or socket that is opened later would take the number of a closed stream, and be written to
    // in its place. /dev/null takes that number instead. It is opened in the wrong direction, so that
    // using the stream is an error as before.
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO]
    where fcntl(descriptor, F_GETFD) < 0 {
      _ = unsafe open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
    // The signals of a reader that is gone, and of a file at its size limit.
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
  }

  /// Writes a message to standard error; one that cannot be written is dropped.
  package static func say(_ message: String) {
    let patience: CInt = lastWasDropped.load(ordering: .relaxed) ? 0 : patienceMilliseconds
    let isSaid = write(Array(message.utf8), to: STDERR_FILENO, patience: patience) == nil
    lastWasDropped.store(!isSaid, ordering: .relaxed)
  }

  /// Writes a result to standard output, however slowly it is read.
  package static func write(_ result: String) throws(ResultError) {
    if let code = write(Array(result.utf8), to: STDOUT_FILENO, patience: -1) {
      throw ResultError(reason: unsafe String(cString: strerror(code)))
    }
  }

  /// How long a message waits for room in a nonblocking pipe.
  ///
  /// If even that was too short, the next message does not wait.
  private static let patienceMilliseconds: CInt = 500
  private static let lastWasDropped = Atomic(false)

  /// Writes all of `bytes`, and waits up to `patience` milliseconds for room; forever if it is below 0.
  ///
  /// - Returns: the error's number; nil if all was written.
  private static func write(_ bytes: [UInt8], to descriptor: CInt, patience: CInt) -> CInt? {
    var rest = bytes
    while !rest.isEmpty {
      let count = unsafe Glibc.write(descriptor, rest, rest.count)
      if count >= 0 {
        rest.removeFirst(count)
        continue
      }
      let code = errno
      switch code {
      case EINTR: continue
      case EAGAIN:
        var room = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        if unsafe poll(&room, 1, patience) == 0 { return code }
      default: return code
      }
    }
    return nil
  }
}

/// Writes a message to standard error.
///
/// Names and paths that a user gives may have control characters. They are escaped, not sent to a terminal.
package func printError(_ message: String) {
  var text = ""
  for scalar in message.unicodeScalars {
    let isPlain = scalar.properties.generalCategory != .control || scalar == "\n" || scalar == "\t"
    text += isPlain ? String(scalar) : scalar.escaped(asASCII: true)
  }
  StandardStreams.say(text + "\n")
}
