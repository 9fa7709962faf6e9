import LockstepCollectives
import LockstepRecording

/// Records made by hand.
enum HandMade {
  private static let layer = EventName("layer1.bn1")

  /// One step of 10 ms on each of two ranks: 4 ms of computing, a collective of statistics that the
  /// second rank reaches `late` ms after the first, 0.5 ms of transfer, the rest computing.
  ///
  /// Then as many steps as asked for that only compute.
  static func records(late: Double, offset: Double = 0, laterSteps: Int = 0) -> [RankRecord] {
    (0..<2).map { rank in
      func at(_ milliseconds: Double) -> Int64 {
        Int64((100 + milliseconds + (rank == 1 ? offset : 0)) * 1e6)
      }
      func event(
        _ kind: Event.Kind, _ purpose: Int64, name: Int64, number: Int64 = 0, _ begin: Double,
        _ end: Double
      ) -> Event {
        Event(
          [
            Int64(kind.rawValue), purpose, 0, name, 2, number, kind == .step ? 0 : 5, 40, at(begin),
            at(end), at(end),
            at(end), 0,
          ][...], texts: EventName.texts)
      }
      let arrival = rank == 0 ? 4 : 4 + late
      let name = Int64(layer.number)
      let clock = ClockOffset.Reading(time: 0, offset: rank == 1 ? offset * 1e6 : 0, bound: 3000)
      return RankRecord(
        [
          event(.collective, 1, name: name, number: 7, arrival, 4 + late + 0.5),
          event(.segment, 4, name: name, 0, 9.9), event(.step, 0, name: 0, number: 1, 0, 10),
        ]
          + (0..<laterSteps).flatMap { later in
            let begin = Double(10 * (later + 1))
            return [
              event(.segment, 4, name: name, begin, begin + 9.9),
              event(.step, 0, name: 0, number: Int64(later + 2), begin, begin + 10),
            ]
          }, clock: ClockOffset(clock, clock), groups: [0, 0, 0])
    }
  }
}
