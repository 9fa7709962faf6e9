import LockstepCollectives
import LockstepMPIBackend

/// The key of a job, which no stranger knows: what follows it is given by the input.
private let key: [UInt8] = Array(1...16)

/// The number of ranks, who receives, then a datagram of the watchdog's behind its key.
func readStatus(_ input: [UInt8]) {
  guard input.count > 2 else { return }
  let ranks = 1 + Int(input[0])
  let receiver = Int(input[1]) % ranks
  guard
    let message = StatusMessage(
      key + input[2...], key: key, to: receiver, ranks: ranks)
  else { return }
  precondition((0..<ranks).contains(message.sender), "a rank that the job does not have")
  let again = message.bytes(key: key, to: receiver)
  guard let copy = StatusMessage(again, key: key, to: receiver, ranks: ranks) else {
    preconditionFailure("a message that was accepted is refused when it is sent on")
  }
  precondition(copy.kind == message.kind && copy.bytes(key: key, to: receiver) == again)
  // What the watchdog makes of it.
  var states = [receiver: RankState()]
  states[message.sender] = message.state
  let verdict = WaitVerdict(message.state, states: states, ranks: ranks)
  let texts = [verdict.text(after: "2 s"), verdict.warning(after: "1 s")]
  precondition(texts.allSatisfy { $0.utf8.count < 1 << 20 }, "a message without measure")
  precondition(
    texts.allSatisfy { text in
      !text.unicodeScalars.contains { $0.properties.generalCategory == .control }
    }, "a control character is printed")
}

func statusSeeds() -> [[UInt8]] {
  var waiting = RankState()
  waiting.meeting = RankActivity.Meeting(identity: 0x1234_5678_9abc_def0, number: 7)
  waiting.signature = 42
  waiting.collective = "the all-reduce of 33 float64 for statistics of bn1, forward"
  waiting.members = [0...1, 3...3]
  waiting.last = [
    RankActivity.Meeting(identity: 1, number: 6),
    RankActivity.Meeting(identity: 0x1234_5678_9abc_def0, number: 7),
  ]
  waiting.text = "step 3, has waited for 1.9 s"
  return StatusMessage.Kind.allCases.flatMap { kind in
    [RankState(), waiting].map { state in
      [3, 2] + StatusMessage(kind, from: 1, state).bytes(key: [], to: 2)
    }
  }
}
