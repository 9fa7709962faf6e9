package import LockstepCollectives

/// Where one rank is, as it tells the others.
package struct RankState: Hashable, Sendable {
  /// The collective that it waits for; nil if it computes.
  package var meeting: RankActivity.Meeting?
  /// A hash of the collective.
  package var signature: UInt64 = 0
  /// The collective in words.
  package var collective = ""
  /// The ranks that have to reach the collective.
  package var members: [ClosedRange<Int32>] = []
  /// The last collective that it issued on each communicator.
  package var last: [RankActivity.Meeting] = []
  /// Where it is, in words.
  package var text = ""

  /// Creates a state that says nothing.
  package init() {}

  /// Where the main thread is after waiting or computing for `nanoseconds`.
  init(_ moment: RankActivity.Moment, nanoseconds: UInt64) {
    meeting = moment.meeting
    signature = moment.signatureHash
    collective = moment.collective ?? ""
    members = moment.members
    last = moment.lastMeetings.suffix(Self.mostMeetings)
    text = moment.text(after: nanoseconds)
  }

  /// How many communicators are told of, which is more than any command uses at a time.
  private static let mostMeetings = 1000

  /// Whether the rank has reached `meeting`.
  func hasCome(to meeting: RankActivity.Meeting) -> Bool {
    last.contains { $0.identity == meeting.identity && $0.number >= meeting.number }
  }
}

/// A message between a job's ranks that does not go through MPI.
package struct StatusMessage {
  /// The kinds of messages.
  package enum Kind: UInt8, CaseIterable {
    /// The sender can be reached.
    case hello
    /// The receiver's hello has arrived.
    case welcome
    /// The sender has waited for half of the limit.
    case notice
    /// The sender has waited for longer than the limit.
    case alarm
    /// Asks where the receiver is.
    case question
    /// Asks where the receiver is, and tells it to print that because the run ends.
    case lastQuestion
    /// Where the sender is.
    case answer
    /// The sender has returned from its last collective.
    case returned
    /// All ranks have returned from their last collective.
    case allReturned
  }

  package let kind: Kind
  package let sender: Int
  package private(set) var state = RankState()

  /// Creates a message.
  package init(_ kind: Kind, from sender: Int, _ state: RankState = RankState()) {
    (self.kind, self.sender, self.state) = (kind, sender, state)
  }

  /// The bytes of the message to `receiver`, which begin with the job's key.
  ///
  /// The limits on texts and lists keep them below ``StatusChannel/capacity``.
  package func bytes(key: [UInt8], to receiver: Int) -> [UInt8] {
    var bytes = key + [kind.rawValue]
    func append(_ word: UInt64) {
      for place in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> (8 * place))) }
    }
    func append(_ text: String) {
      let utf8 = Array(text.utf8.prefix(4000))
      append(UInt64(utf8.count))
      bytes += utf8
    }
    func append(_ meetings: [RankActivity.Meeting]) {
      append(UInt64(meetings.count))
      for meeting in meetings {
        append(meeting.identity)
        append(UInt64(meeting.number))
      }
    }
    append(UInt64(receiver))
    append(UInt64(sender))
    append(state.meeting.map { [$0] } ?? [])
    append(state.signature)
    append(state.collective)
    let members = state.members.prefix(2000)
    append(UInt64(members.count))
    for range in members { append(UInt64(range.lowerBound) << 32 | UInt64(range.upperBound)) }
    append(state.last)
    append(state.text)
    return bytes
  }

  /// Reads a message from its ``bytes(key:to:)``; nil unless this job sent it to this rank.
  ///
  /// Others may arrive too, because the loopback addresses of all hosts are the same.
  package init?(_ bytes: [UInt8], key: [UInt8], to receiver: Int, ranks: Int) {
    guard bytes.count > key.count, bytes[..<key.count].elementsEqual(key),
      let kind = Kind(rawValue: bytes[key.count])
    else { return nil }
    var place = key.count + 1
    func word() -> UInt64? {
      guard place + 8 <= bytes.count else { return nil }
      defer { place += 8 }
      return (0..<8).reduce(0) { $0 | UInt64(bytes[place + $1]) << (8 * $1) }
    }
    /// How many items follow, each of at least `size` bytes; nil if the message is too short for them.
    func count(ofBytes size: Int) -> Int? {
      word().flatMap { $0 <= UInt64((bytes.count - place) / size) ? Int($0) : nil }
    }
    func text() -> String? {
      guard let count = count(ofBytes: 1) else { return nil }
      defer { place += count }
      // The text may be printed to a terminal, which must not get control characters.
      let text = String(decoding: bytes[place..<place + count], as: UTF8.self)
      return String(
        String.UnicodeScalarView(
          text.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{fffd}" : $0 }))
    }
    func meetings() -> [RankActivity.Meeting]? {
      guard let count = count(ofBytes: 16) else { return nil }
      var found: [RankActivity.Meeting] = []
      for _ in 0..<count {
        guard let identity = word(), let number = word().flatMap({ Int(exactly: $0) }) else {
          return nil
        }
        found.append(RankActivity.Meeting(identity: identity, number: number))
      }
      return found
    }
    guard word() == UInt64(receiver), let sender = word(), sender < UInt64(ranks),
      let meeting = meetings(),
      let signature = word(), let collective = text(), let ranges = count(ofBytes: 8)
    else { return nil }
    var state = RankState()
    (state.meeting, state.signature, state.collective) = (meeting.first, signature, collective)
    for _ in 0..<ranges {
      guard let ends = word() else { return nil }
      let (low, high) = (Int32(truncatingIfNeeded: ends >> 32), Int32(truncatingIfNeeded: ends))
      guard 0 <= low, low <= high, high < Int32(clamping: ranks),
        low > state.members.last?.upperBound ?? -1
      else { return nil }
      state.members.append(low...high)
    }
    guard let last = meetings(), let words = text() else { return nil }
    (state.last, state.text) = (last, words)
    self.init(kind, from: Int(sender), state)
  }
}
