import Foundation
import Glibc
import LockstepCollectives
import LockstepTensors

/// What one rank does wrong.
enum FaultKind: String, CaseIterable {
  case none, stop, skip, count, type, order
  /// As many bytes of another type, which MPI need not notice, without checks.
  case silent

  /// Whether ranks agree on every collective before it goes out.
  var isChecked: Bool { self != .none && self != .stop && self != .silent }
}

/// A call of a collective, as the program makes it.
struct Call {
  let communicator: FaultyCommunicator
  let isBegun: Bool
  var elements: Int
  var isDouble: Bool
  let purpose: Purpose

  /// The collective in the words in which an error has to name it.
  func words(number: Int) -> String {
    let what =
      switch purpose {
      case .control, .computing: "control"
      case .statistics(let site, .forward): "statistics of \(site.text), forward"
      case .statistics(let site, .backward): "statistics of \(site.text), backward"
      case .gradients(let bucket): "gradient bucket \(bucket)"
      }
    return "the \(isBegun ? "nonblocking all-reduce" : "all-reduce") of \(elements) "
      + "\(isDouble ? "float64" : "float32") for \(what) "
      + "(number \(number) on \(communicator.meter.name.text))"
  }

  /// Whether as many bytes can be of the other type, and the sum is none that ranks compare
  /// fingerprints with.
  var fitsOtherType: Bool { purpose != .control && (isDouble || elements % 2 == 0) }

  /// The number that the communicator's next collective has.
  var nextNumber: Int { communicator.meter.traffic.collectives + 1 }
}

/// The one fault of a run: at a call of a step that the seed chooses, on a rank that it chooses.
///
/// A step before shows which calls there are. What the ranks' error has to say is printed before the
/// fault, as "expected: …".
final class Fault {
  let kind: FaultKind
  let rank: Int
  private let isHere: Bool
  private let ranks: Int
  private let choice: Int
  private let step: Int
  private var now = 0
  private var steps: [[Call]] = [[]]
  private(set) var isMade = false

  /// The fault of a seed among `world`.
  init(_ kind: FaultKind, seed: UInt64, in world: any Communicator) {
    var state = seed
    func draw(below bound: Int) -> Int {
      // SplitMix64 (Steele, Lea & Flood, 2014).
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
      return Int((z ^ z >> 31) % UInt64(bound))
    }
    self.kind = kind
    ranks = world.size
    rank = draw(below: ranks)
    choice = draw(below: 1 << 30)
    step = 3 + draw(below: 3)
    isHere = rank == world.rank && kind != .none
  }

  /// Notes that a step begins.
  func beginStep(_ number: Int) {
    now = number
    steps.append([])
  }

  /// What to do at a call; nil where nothing.
  func next(_ call: Call) -> FaultKind? {
    let place = steps[now].count
    steps[now].append(call)
    guard isHere, !isMade, now == step else { return nil }
    let usual = steps[2]
    let possible = usual.indices.filter { kind != .silent || usual[$0].fitsOtherType }
    guard place == possible[choice % possible.count] else { return nil }
    isMade = true
    say(call, at: place, of: usual)
    return kind
  }

  /// The call that comes next, if this were no fault: the following step begins as every step.
  private func following(_ place: Int) -> Call { steps[2][(place + 1) % steps[2].count] }

  /// What the faulty rank issues instead.
  func instead(of call: Call) -> Call {
    var wrong = call
    switch kind {
    case .silent:
      wrong.elements = call.isDouble ? 2 * call.elements : call.elements / 2
      wrong.isDouble.toggle()
    case .count: wrong.elements += 1
    case .type: wrong.isDouble.toggle()
    case .skip, .order: wrong = following(steps[now].count - 1)
    case .none, .stop: break
    }
    return wrong
  }

  private func say(_ call: Call, at place: Int, of usual: [Call]) {
    let others = (0..<ranks).filter { $0 != rank }
    guard kind != .stop else {
      // The others wait for what they wait for at once, and issue the rest before.
      let waited = (place..<usual.count).first { usual[$0].purpose != .control } ?? place
      let ahead = (place..<waited).filter {
        usual[$0].communicator === usual[waited].communicator
      }
      let number = usual[waited].nextNumber + ahead.count
      return Self.print(
        "expected: Error: \(usual[waited].words(number: number)) has not completed in 4 s: "
          + "rank \(rank) does not answer: stopped, dead or cut off")
    }
    let wrong = instead(of: call)
    let (problem, hint) =
      kind.isChecked
      ? ("do not match", "")
      : ("did not match", "; `--check collectives` stops before such a collective")
    Self.print(
      "expected: Error: collectives \(problem): rank \(rank) reaches "
        + "\(wrong.words(number: wrong.nextNumber)), where \(Self.words(others)) "
        + call.words(number: call.nextNumber) + hint)
  }

  private static func words(_ ranks: [Int]) -> String {
    if ranks.count == 1 { return "rank \(ranks[0]) reaches" }
    let first = ranks.dropLast().map { "\($0)" }.joined(separator: ", ")
    return "ranks \(first) and \(ranks[ranks.count - 1]) reach"
  }

  private static func print(_ line: String) {
    FileHandle.standardError.write(Data((line + "\n").utf8))
  }
}
