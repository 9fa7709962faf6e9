/// One event of Chrome's trace-event format, with times in microseconds.
///
/// Source: <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>.
struct TraceEvent: Encodable {
  /// What kind of event it is.
  enum Phase: String, Encodable {
    /// Something with a beginning and a duration.
    case complete = "X"
    /// The tail of an arrow.
    case flowStart = "s"
    /// The head of an arrow.
    case flowEnd = "f"
    /// A name, or a place in the order.
    case metadata = "M"
  }

  /// Details of an event, which viewers show with these keys.
  struct Arguments: Encodable {
    var name: String?
    var sortIndex: Int?
    var step: Int?
    var layer: String?
    var pass: String?
    var purpose: String?
    var bytes: Int?
    var elements: Int?
    var skewMicroseconds: Double?
    var transferMicroseconds: Double?
    var inFlightMicroseconds: Double?
    var blockedMicroseconds: Double?
    var lastRank: Int?

    private enum CodingKeys: String, CodingKey {
      case name, step, layer, pass, purpose, bytes, elements
      case sortIndex = "sort_index"
      case skewMicroseconds = "skew_us"
      case transferMicroseconds = "transfer_us"
      case inFlightMicroseconds = "in_flight_us"
      case blockedMicroseconds = "blocked_us"
      case lastRank = "last_rank"
    }
  }

  /// The rows of one rank; collectives in flight take as many rows as overlap.
  enum Row {
    case steps, computing, collectives
    case inFlight(Int)

    var name: String {
      switch self {
      case .steps: "steps"
      case .computing: "computing"
      case .collectives: "blocked in collectives"
      case .inFlight(let lane): lane == 0 ? "in flight" : "in flight (\(lane + 1))"
      }
    }

    var place: Int {
      switch self {
      case .steps: 0
      case .computing: 1
      case .collectives: 2
      case .inFlight(let lane): 3 + lane
      }
    }
  }

  let name: String
  let cat: String
  let ph: Phase
  let ts: Double
  var dur: Double?
  let pid: Int
  let tid: Int
  var id: Int?
  /// "e" binds the head of an arrow to the event that encloses it.
  var bp: String?
  var args: Arguments?

  /// An event of `rank`, its time in nanoseconds.
  init(
    _ phase: Phase, _ name: String, _ category: String, rank: Int, _ row: Row, at time: Double,
    for duration: Double? = nil, id: Int? = nil, _ args: Arguments? = nil
  ) {
    (self.name, cat, ph) = (name, category, phase)
    // Begin and end are rounded to whole nanoseconds alike, so that nested events stay nested.
    ts = time.rounded() / 1e3
    dur = duration.map { ((time + $0).rounded() - time.rounded()) / 1e3 }
    // Processes count from 1, because viewers take process 0 for the system's. Threads have different
    // numbers in all processes, because some viewers identify a thread by its number alone.
    pid = rank + 1
    tid = pid * 1000 + row.place
    (self.id, self.args) = (id, args)
    bp = phase == .flowEnd ? "e" : nil
  }
}
