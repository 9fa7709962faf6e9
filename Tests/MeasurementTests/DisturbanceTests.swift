import Foundation
import LockstepCollectives
import LockstepMachine
import LockstepRecording
import Spawning
import Testing

/// What comes between a step and its processor.
@Suite struct DisturbanceTests {
  @Test func aDisturbanceIsTheSameAfterAFile() throws {
    for disturbance in [
      StepDisturbance.none, StepDisturbance([.preempted], rank: 3),
      StepDisturbance([.stolen, .faulted]),
    ] {
      let data = try JSONEncoder().encode(disturbance)
      #expect(try JSONDecoder().decode(StepDisturbance.self, from: data) == disturbance)
    }
  }

  @Test func theRankIsKnownWhereItIsOne() {
    let (first, second) = (
      StepDisturbance([.preempted], rank: 0), StepDisturbance([.stolen], rank: 1)
    )
    #expect(first.union(.none) == first && StepDisturbance.none.union(first) == first)
    #expect(first.union(first) == first)
    #expect(first.union(second).rank == nil)
    #expect(first.union(second).causes == [.preempted, .stolen])
  }

  @Test func stolenTimeIsThatOfTheProcessorsInUse() {
    let stat = """
      cpu  10 0 10 100 0 0 0 77 0 0
      cpu0 5 1 5 50 0 0 0 30 0 0
      cpu1 5 2 5 50 0 0 0 47 0 0
      intr 1 2 3 4 5 6 7 8 9
      """
    func ticks(_ processors: Set<String>, _ text: String = stat) -> [Int]? {
      ProcessorAccount.ticks(text, processors).map { [$0.user, $0.stolen] }
    }
    #expect(ticks(["cpu0"]) == [6, 30])
    #expect(ticks(["cpu0", "cpu1"]) == [13, 77])
    #expect(ticks(["cpu7"]) == nil)
    #expect(ticks(["cpu0"], "cpu0 1 2 3") == nil)
    #expect(ticks(["cpu0"], "") == nil)
  }

  @Test(arguments: [
    ("12 (a) S 1 1 1 0 -1 4 0 0 0 0 30 12 0 0", "a", 42),
    ("12 (a ) (b) S 1 1 1 0 -1 4 0 0 0 0 7 0 0 0", "a ) (b", 7),
  ])
  func aProcessesTimeIsReadWhateverItsName(line: String, name: String, ticks: Int) throws {
    let found = try #require(MachineLoad.parse(line))
    #expect(found.name == name && found.ticks == ticks)
  }

  @Test(arguments: ["", "12 a S", "12 (a) S 1 2", "12 )a( S"])
  func whatIsNoProcessHasNoTime(line: String) { #expect(MachineLoad.parse(line) == nil) }

  @Test func aProcessThatComputesIsNamed() throws {
    try withBusyNeighbour { number in
      // A busy machine may give it little for a moment.
      let isSeen = (0..<20).contains { _ in
        MachineLoad(seconds: 0.5, excluding: []).neighbours.contains { $0.process == number }
      }
      #expect(isSeen)
      let others = MachineLoad(seconds: 0.2, excluding: [number]).neighbours
      #expect(!others.contains { $0.process == number }, "one's own are none of the neighbours")
    }
  }

  @Test func disturbedStepsLeaveARecordWithAllThatIsInThem() {
    let records = Self.records(disturbing: [2: 1])
    #expect(records.disturbances == [2: StepDisturbance([.preempted], rank: 1)])
    let clean = records.undisturbed
    #expect(RecordedSteps(clean).numbers == [1, 3])
    for record in clean {
      #expect(record.entries.count == 6, "a step, its segment and its collective, twice")
      #expect(!record.entries.contains { $0.kind == .collective && $0.key.number == 2 })
    }
    let all = Self.records(disturbing: [1: 0, 2: 1, 3: 0])
    #expect(all.undisturbed.count == 2 && RecordedSteps(all.undisturbed).numbers == [1, 2, 3])
  }

  /// Three steps of two ranks; `disturbing` has the rank on which a step was disturbed.
  static func records(disturbing: [Int64: Int]) -> [RankRecord] {
    let layer = EventName("layer1.bn1")
    return (0..<2).map { rank in
      var events: [Event] = []
      for step in Int64(1)...3 {
        let start = step * 100_000_000
        func event(
          _ kind: Event.Kind, _ purpose: Int64, _ number: Int64, _ elements: Int64, _ begin: Int64,
          _ end: Int64
        ) {
          events.append(
            Event(
              [
                Int64(kind.rawValue), purpose, 0, purpose == 1 ? Int64(layer.number) : 0, 2, number,
                elements, 40, start + begin, start + end, start + end, start + end, 0,
              ][...], texts: EventName.texts))
        }
        event(.collective, 1, step, 5, 4_000_000, 5_000_000)
        event(.segment, 1, 0, 0, 0, 9_000_000)
        event(.step, 0, step, disturbing[step] == rank ? 1 : 0, 0, 10_000_000)
      }
      return RankRecord(events, clock: .none, groups: [0, 0, 0])
    }
  }
}
