import Synchronization

/// A pass through a network.
public enum Pass: UInt8, BitwiseCopyable, CaseIterable, Sendable {
  /// From inputs to outputs.
  case forward
  /// From the loss back to the inputs.
  case backward
}

/// What a collective is for, or what is computed between collectives.
public enum Purpose: Hashable, BitwiseCopyable, Sendable {
  /// Everything else: losses, errors, checks.
  case control
  /// The statistics of a norm, in one of the passes.
  case statistics(EventName, Pass)
  /// The sum of one bucket of gradients.
  case gradients(bucket: Int)
  /// The computing of a layer, in one of the passes; no collective has this purpose.
  case computing(EventName, Pass, isNorm: Bool)
}

/// A name that events carry as a number, so that an event is small and recording it allocates nothing.
public struct EventName: Hashable, BitwiseCopyable, Sendable {
  /// The number, the same for equal texts in one process; it may differ between ranks.
  public let number: Int32
  /// A hash of the text, the same on all ranks.
  public let stableHash: UInt64

  private static let known = Mutex<(names: [String: EventName], texts: [String])>(([:], []))

  /// The name of `text`.
  public init(_ text: String) {
    self = Self.known.withLock { known in
      if let name = known.names[text] { return name }
      let name = EventName(number: Int32(known.texts.count), stableHash: Fingerprint.hash(of: text))
      known.names[text] = name
      known.texts.append(text)
      return name
    }
  }

  private init(number: Int32, stableHash: UInt64) {
    (self.number, self.stableHash) = (number, stableHash)
  }

  init(number: Int32) {
    self = Self.known.withLock { known in
      EventName(number: number, stableHash: Fingerprint.hash(of: known.texts[Int(number)]))
    }
  }

  /// All texts so far, in the order of their numbers.
  public static var texts: [String] { known.withLock { $0.texts } }

  /// The text.
  public var text: String { Self.known.withLock { $0.texts[Int(number)] } }
}

/// Something that took time on one rank, in nanoseconds of its monotonic clock.
public struct Event: BitwiseCopyable, Sendable {
  /// The kinds of events.
  public enum Kind: UInt8, BitwiseCopyable, Sendable {
    /// A collective.
    case collective
    /// Computing between two marks.
    case segment
    /// A whole step.
    case step
  }

  /// What happened.
  public let kind: Kind
  private let purposeKind: UInt8
  private let pass: Pass
  private let name: Int32
  /// The collective's communicator, numbered in the order in which the rank's communicators began to record.
  public let communicator: Int32
  /// The collective's number on its communicator, the same on all its ranks; for a step, the step's number.
  public let number: Int32
  /// The elements that this rank gave; for a step, bits that say what disturbed it on this rank.
  public let elements: Int64
  /// The bytes of the elements that this rank gave.
  public let bytes: Int64
  /// When the collective was issued, or when the segment or step began.
  public let issue: UInt64
  /// When the issuing call returned; for a blocking call, this is the end.
  public let returned: UInt64
  /// When this rank began to wait.
  ///
  /// For a blocking call, this is the end. If a test found the collective complete before the wait, this
  /// is later than the end.
  public let waitBegin: UInt64
  /// When the collective, segment or step was over.
  public let end: UInt64
  /// How long this rank was in tests that let the collective make progress.
  ///
  /// The tests lie between ``returned`` and ``waitBegin``.
  public let tested: Int64

  init(
    _ kind: Kind, _ purpose: Purpose, communicator: Int = 0, number: Int = 0, elements: Int = 0,
    bytes: Int = 0, issue: UInt64, returned: UInt64, waitBegin: UInt64, end: UInt64,
    tested: Int = 0
  ) {
    self.kind = kind
    switch purpose {
    case .control: (purposeKind, pass, name) = (0, .forward, 0)
    case .statistics(let site, let pass): (purposeKind, self.pass, name) = (1, pass, site.number)
    case .gradients(let bucket): (purposeKind, pass, name) = (2, .backward, Int32(bucket))
    case .computing(let layer, let pass, let isNorm):
      (purposeKind, self.pass, name) = (isNorm ? 4 : 3, pass, layer.number)
    }
    self.communicator = Int32(communicator)
    // A program may run for longer than 2³¹ collectives. Only the newest are kept, so numbers stay unique.
    self.number = Int32(truncatingIfNeeded: number & 0x7fff_ffff)
    self.elements = Int64(elements)
    self.bytes = Int64(bytes)
    (self.issue, self.returned, self.waitBegin, self.end) = (issue, returned, waitBegin, end)
    self.tested = Int64(tested)
  }

  /// Whether `name` is the number of an ``EventName``.
  private static func isNamed(_ purposeKind: Int64) -> Bool { [1, 3, 4].contains(purposeKind) }

  /// What the collective was for, or which layer computed the segment.
  public var purpose: Purpose {
    switch purposeKind {
    // Runs recorded by version 1 do not say which of their layers are norms.
    case 1 where kind == .segment: .computing(EventName(number: name), pass, isNorm: false)
    case 1: .statistics(EventName(number: name), pass)
    case 3, 4: .computing(EventName(number: name), pass, isNorm: purposeKind == 4)
    case 2: .gradients(bucket: Int(name))
    default: .control
    }
  }

  /// The event as numbers, to send.
  public var fields: [Int64] {
    [
      Int64(kind.rawValue), Int64(purposeKind), Int64(pass.rawValue), Int64(name),
      Int64(communicator), Int64(number), elements, bytes,
    ] + [issue, returned, waitBegin, end].map { Int64(bitPattern: $0) } + [tested]
  }

  /// How many ``fields`` an event has.
  public static let fieldCount = 13

  /// The size of an event in memory and in files.
  public static let byteCount = MemoryLayout<Event>.stride

  /// The most elements or bytes that an event may have, so that sums over a file do not overflow.
  private static let mostBytes: Int64 = 1 << 40

  /// Reads an event from `bytes`; nil if they are not a valid event.
  ///
  /// `texts` has the names in the order of the writer's numbers.
  public init?(bytes: ArraySlice<UInt8>, texts: [String]) {
    guard bytes.count == Self.byteCount else { return nil }
    var place = bytes.startIndex
    func next<Word: FixedWidthInteger>(_: Word.Type) -> Int64 {
      let size = MemoryLayout<Word>.size
      place = bytes.startIndex + (place - bytes.startIndex + size - 1) / size * size
      defer { place += size }
      return Int64(
        truncatingIfNeeded: bytes[place..<place + size].reversed().reduce(Word(0)) {
          $0 << 8 | Word(truncatingIfNeeded: $1)
        })
    }
    let kinds = (next(UInt8.self), next(UInt8.self), next(UInt8.self))
    let numbers = (next(Int32.self), next(Int32.self), next(Int32.self))
    let words = (0..<7).map { _ in next(Int64.self) }
    let isNamed = Self.isNamed(kinds.1)
    let (counts, times, tested) = (words[0..<2], words[2..<6], words[6])
    guard Kind(rawValue: UInt8(kinds.0)) != nil, kinds.1 <= 4,
      Pass(rawValue: UInt8(kinds.2)) != nil,
      !isNamed || texts.indices.contains(Int(numbers.0)),
      numbers.1 >= 0, numbers.2 >= 0, counts.allSatisfy({ (0...Self.mostBytes).contains($0) }),
      times.allSatisfy({ $0 >= 0 }), words[2] <= words[3], words[3] <= words[4],
      words[2] <= words[5], tested >= 0
    else { return nil }
    self.init(
      ([kinds.0, kinds.1, kinds.2, numbers.0, numbers.1, numbers.2] + words)[...], texts: texts)
  }

  /// Reads an event from its ``fields``.
  ///
  /// `texts` has the names in the order of the sender's numbers.
  public init(_ fields: ArraySlice<Int64>, texts: [String]) {
    let f = Array(fields)
    precondition(f.count == Self.fieldCount)
    let times = f[8..<12].map { UInt64(bitPattern: $0) }
    kind = Kind(rawValue: UInt8(f[0])) ?? .segment
    purposeKind = UInt8(f[1])
    pass = Pass(rawValue: UInt8(f[2])) ?? .forward
    name = Self.isNamed(f[1]) ? EventName(texts[Int(f[3])]).number : Int32(f[3])
    (communicator, number, elements, bytes) = (Int32(f[4]), Int32(f[5]), f[6], f[7])
    (issue, returned, waitBegin, end) = (times[0], times[1], times[2], times[3])
    tested = f[12]
  }
}
