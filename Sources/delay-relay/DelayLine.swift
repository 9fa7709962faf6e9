import Glibc

/// Takes every packet that is sent into a TUN interface and, a fixed time later, lets it arrive
/// from that interface, whence the node's routes send it on.
///
/// It sleeps between packets, since the cores belong to the ranks, and runs before them when one
/// is due.
@safe struct DelayLine {
  /// A packet with its header of offloads.
  ///
  /// The kernel hands over up to 64 KiB at once: one call where single frames would take 44.
  private static let slotBytes = 10 + 65_535
  /// As many as may be under way.
  ///
  /// A slot's memory is touched only once it is used.
  private static let slots = 4096

  private let delay: Int64
  private let tunnel: CInt
  private let memory: UnsafeMutableRawPointer
  private var lengths = [Int](repeating: 0, count: slots)
  private var dueTimes = [Int64](repeating: 0, count: slots)
  private var first = 0
  private var count = 0

  init(interface: String, delay: Int64) throws {
    self.delay = delay
    tunnel = try Self.open(interface)
    unsafe memory = .allocate(byteCount: Self.slots * Self.slotBytes, alignment: 64)
    var priority = sched_param()
    priority.sched_priority = 1
    if unsafe sched_setscheduler(0, SCHED_FIFO, &priority) != 0 {
      say("\(Failure.call("delays will vary: no real-time priority"))")
    }
  }

  /// Relays until the interface is gone.
  mutating func run() throws {
    while true {
      while count < Self.slots, try receive() {}
      try sendWhatIsDue()
      waitForWork()
    }
  }

  /// Sleeps until a packet arrives or the first one is due.
  private func waitForWork() {
    // `poll` counts milliseconds, and Swift does not see `ppoll`.
    var readable = fd_set()
    // A full line takes nothing in: the interface's own queue holds it.
    if count < Self.slots {
      unsafe withUnsafeMutableBytes(of: &readable) {
        unsafe $0.storeBytes(of: 1 << tunnel, as: Int.self)
      }
    }
    if count == 0 {
      _ = unsafe pselect(tunnel + 1, &readable, nil, nil, nil, nil)
    } else {
      let wait = max(0, dueTimes[first] - now())
      var time = timespec(tv_sec: Int(wait / 1_000_000_000), tv_nsec: Int(wait % 1_000_000_000))
      _ = unsafe pselect(tunnel + 1, &readable, nil, nil, &time, nil)
    }
  }

  /// Takes one packet in; false where none is waiting.
  private mutating func receive() throws -> Bool {
    let slot = (first + count) % Self.slots
    let length = unsafe read(tunnel, memory + slot * Self.slotBytes, Self.slotBytes)
    if length < 0 {
      guard errno == EAGAIN || errno == EINTR else { throw Failure.call("reading a packet") }
      return false
    }
    lengths[slot] = length
    dueTimes[slot] = now() + delay
    count += 1
    return true
  }

  private mutating func sendWhatIsDue() throws {
    while count > 0, dueTimes[first] <= now() {
      // What the kernel refuses is lost, as on a wire.
      _ = unsafe write(tunnel, memory + first * Self.slotBytes, lengths[first])
      first = (first + 1) % Self.slots
      count -= 1
    }
  }

  /// Attaches to a TUN interface that exists, made with `ip tuntap add … vnet_hdr`.
  private static func open(_ interface: String) throws -> CInt {
    // What <linux/if_tun.h> defines by macros that Swift does not see.
    let (setInterface, setOffload): (UInt, UInt) = (0x4004_54ca, 0x4004_54d0)
    let (tun, noInformation, offloadHeader): (Int16, Int16, Int16) = (0x0001, 0x1000, 0x4000)
    let (checksums, segmentsV4, segmentsV6, congestionMarks): (CInt, CInt, CInt, CInt) = (
      1, 2, 4, 8
    )
    let name = Array(interface.utf8)
    guard (1..<16).contains(name.count) else {
      throw Failure(status: 2, "\"\(interface)\" is no interface: a name has 1 to 15 characters")
    }
    let tunnel = unsafe Glibc.open("/dev/net/tun", O_RDWR | O_NONBLOCK)
    guard tunnel >= 0 else { throw Failure.call("/dev/net/tun") }
    // The set of descriptors to wait for is kept in one word.
    guard tunnel < Int.bitWidth else { throw Failure(status: 3, "too many files are open") }
    // struct ifreq: 16 bytes of name, then the flags.
    var request = [UInt8](repeating: 0, count: 40)
    request.replaceSubrange(0..<name.count, with: name)
    let attached = unsafe request.withUnsafeMutableBytes { bytes in
      unsafe bytes.storeBytes(
        of: tun | noInformation | offloadHeader, toByteOffset: 16, as: Int16.self)
      return unsafe bytes.baseAddress.map { unsafe ioctl(tunnel, setInterface, $0) }
    }
    guard attached == 0 else { throw Failure.call("attaching to the interface \(interface)") }
    guard
      ioctl(tunnel, setOffload, checksums | segmentsV4 | segmentsV6 | congestionMarks) == 0
    else { throw Failure.call("asking \(interface) for large packets") }
    return tunnel
  }
}
