import Glibc

/// Why the program ends, and with which status.
struct Failure: Error, CustomStringConvertible {
  let status: Int32
  let description: String

  init(status: Int32, _ description: String) {
    self.status = status
    self.description = description
  }

  /// A system call that failed, with the reason that it left.
  static func call(_ what: String) -> Failure {
    let reason = unsafe String(cString: strerror(errno))
    return Failure(status: 3, "\(what): \(reason)")
  }
}

/// Writes a message to standard error; one that cannot be written is dropped.
func say(_ message: String) {
  let bytes = Array("delay-relay: \(message)\n".utf8)
  _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
}
