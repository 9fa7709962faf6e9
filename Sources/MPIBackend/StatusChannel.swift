import Foundation
import Glibc

/// A datagram socket by which a job's ranks talk to each other without MPI.
@safe
final class StatusChannel {
  /// Where a rank can be reached: a port, and IPv4 addresses in network order.
  struct Place: Sendable {
    let port: UInt16
    let addresses: [UInt32]

    /// The place in bytes, to send.
    var bytes: [UInt8] {
      ([UInt32(port)] + addresses).flatMap { word in
        (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
      }
    }

    init(port: UInt16, addresses: [UInt32]) { (self.port, self.addresses) = (port, addresses) }

    /// Reads a place from its ``bytes``; nil if they hold none.
    init?(bytes: [UInt8]) {
      let words = stride(from: 0, to: bytes.count - 3, by: 4).map { start in
        (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << (8 * $1) }
      }
      guard let port = words.first, words.count > 1 else { return nil }
      self.init(port: UInt16(truncatingIfNeeded: port), addresses: Array(words.dropFirst()))
    }
  }

  /// The longest datagram that is sent or received, in bytes; UDP allows 65,507.
  static let capacity = 60_000

  private let descriptor: CInt
  private var buffer = [UInt8](repeating: 0, count: capacity)
  /// Where this socket can be reached.
  let place: Place

  /// Opens a socket on a free port; nil if the system gives none.
  init?() {
    let kind =
      CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
    let made = socket(AF_INET, kind, 0)
    descriptor = made
    guard made >= 0 else { return nil }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = unsafe withUnsafeMutablePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(made, $0, length) == 0 && getsockname(made, $0, &length) == 0
      }
    }
    place = Place(port: UInt16(bigEndian: address.sin_port), addresses: Self.addresses())
    guard isBound else {
      close(made)
      return nil
    }
  }

  deinit { close(descriptor) }

  /// This host's IPv4 addresses.
  private static func addresses() -> [UInt32] {
    var first: UnsafeMutablePointer<ifaddrs>?
    guard unsafe getifaddrs(&first) == 0 else { return [] }
    defer { unsafe freeifaddrs(first) }
    var found: [UInt32] = []
    var next = unsafe first
    while let entry = unsafe next {
      unsafe next = entry.pointee.ifa_next
      guard let address = unsafe entry.pointee.ifa_addr,
        unsafe address.pointee.sa_family == sa_family_t(AF_INET)
      else { continue }
      unsafe address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
        unsafe found.append($0.pointee.sin_addr.s_addr)
      }
    }
    return found
  }

  /// Sends `message` to all addresses of a place.
  ///
  /// It may not arrive, so a sender that needs an answer sends it again. Any thread may call this; only the
  /// watchdog's receives.
  func send(_ message: [UInt8], to place: Place) {
    for host in place.addresses {
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = place.port.bigEndian
      address.sin_addr.s_addr = host
      _ = unsafe withUnsafePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe sendto(
            descriptor, message, message.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    }
  }

  /// Waits until a message has arrived, but no longer than a given number of milliseconds.
  func wait(milliseconds: CInt) {
    var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    _ = unsafe poll(&waiting, 1, milliseconds)
  }

  /// The next message that has arrived, if any.
  func receive() -> [UInt8]? {
    let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
    return count < 0 ? nil : Array(buffer[..<count])
  }
}
