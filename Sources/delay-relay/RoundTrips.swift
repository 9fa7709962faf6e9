import Glibc

/// Times echo requests, which the other node's kernel answers by itself.
///
/// It asks for the answer again and again, as a rank that waits does: a processor that sleeps
/// takes longer to see a message than one that looks for it.
struct RoundTrips {
  private let identifier = UInt16(truncatingIfNeeded: getpid())
  private let socket: CInt
  private let address: String

  init(to address: String) throws {
    self.address = address
    var target = sockaddr_in()
    target.sin_family = sa_family_t(AF_INET)
    guard unsafe inet_pton(AF_INET, address, &target.sin_addr) == 1 else {
      throw Failure(status: 2, "\"\(address)\" is no address: give one such as 10.0.0.2")
    }
    socket = Glibc.socket(AF_INET, CInt(SOCK_RAW.rawValue), CInt(IPPROTO_ICMP))
    guard socket >= 0 else { throw Failure.call("opening a raw socket") }
    let connected = unsafe withUnsafePointer(to: &target) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard connected == 0 else { throw Failure.call("reaching \(address)") }
  }

  /// Round trips in nanoseconds, in ascending order: 400, or what fits into half a second, or 3.
  func measure() throws -> [Int64] {
    // Addresses are looked up with the first one.
    _ = try roundTrip(0)
    var times: [Int64] = []
    let start = now()
    while times.count < 400, times.count < 3 || now() - start < 500_000_000 {
      times.append(try roundTrip(UInt16(1 + times.count)))
    }
    return times.sorted()
  }

  private func roundTrip(_ sequence: UInt16) throws -> Int64 {
    // Type 8, code 0, checksum, identifier, sequence; as much data as a message of 64 bytes.
    var request = [UInt8](repeating: 0, count: 8 + 64)
    request[0] = 8
    let sum = 0x0800 + UInt32(identifier) + UInt32(sequence)
    let folded = (sum & 0xffff) + (sum >> 16)
    for (place, word) in [
      (2, ~UInt16((folded & 0xffff) + (folded >> 16))), (4, identifier), (6, sequence),
    ] {
      request[place] = UInt8(word >> 8)
      request[place + 1] = UInt8(word & 0xff)
    }
    let start = now()
    guard unsafe send(socket, request, request.count, 0) == request.count else {
      throw Failure.call("sending to \(address)")
    }
    var answer = [UInt8](repeating: 0, count: 256)
    while true {
      let length = unsafe recv(socket, &answer, answer.count, CInt(MSG_DONTWAIT))
      let end = now()
      // The header of 20 bytes comes along; type 0 is an answer.
      if length >= 28, answer[20] == 0, answer[24..<28].elementsEqual(request[4..<8]) {
        return end - start
      }
      guard end - start < 5_000_000_000 else {
        throw Failure(status: 3, "\(address) did not answer within 5 s")
      }
    }
  }
}
