import LockstepAnalysis
import LockstepFiles
import LockstepRecording

/// One step on every rank: what the rank computed, what blocked it, and what was in flight.
struct TimelineChart {
  let timeline: StepTimeline
  /// The layers that are norms.
  let norms: Set<String>

  /// The largest number of ranks that are drawn: a drawing of more would be too long to read.
  static let mostRanks = 16

  /// The chart of the step.
  func chart(id: String, title: String, caption: String) -> Chart {
    let axis = Axis(from: 0, to: timeline.durationMicroseconds / 1e3, count: 5, isTight: true)
    var elements: [SVGElement] = []
    var (y, marks) = (0.0, 0)
    for (rank, step) in timeline.ranks.prefix(Self.mostRanks).enumerated() {
      elements.append(.label("rank \(rank)", y: y + 14))
      elements.append(
        .label(
          "\(fixed((step.endMicroseconds - step.beginMicroseconds) / 1e3, 2)) ms", x: 1, y: y + 14,
          anchor: "end",
          style: "label value"))
      y += 18
      let computing = computing(step, axis, y: y, rank: rank)
      elements += computing
      y += 22
      let blocked = step.collectives.flatMap { self.blocked($0, axis, y: y, rank: rank) }
      elements += blocked
      y += 16
      let (flights, lanes) = flights(step.collectives, axis, y: y, rank: rank)
      elements += flights
      y += Double(lanes) * 6 + 8
      marks += computing.count + blocked.count + flights.count
    }
    let grid = axis.drawnAcross(from: 0, to: y, unit: "ms")
    return Chart(
      id: id, title: title, caption: caption, legend: Self.legend, height: y + 22, marks: marks,
      grid + elements)
  }

  private static let legend: [Chart.LegendEntry] = [
    .init(fill: "compute", "computing, one block per layer"), .init(fill: "norm", "norm"),
    .init(fill: "optimizer", "optimizer"), .init(fill: "skew", "statistics, waiting for the last"),
    .init(fill: "transfer", "statistics, transfer"), .init(fill: "gradients", "gradients"),
    .init(fill: "control", "loss and checks"), .init(fill: "flight", "in flight"),
  ]

  /// What a rank computed: its segments without the times in which it was blocked.
  private func computing(_ step: StepTimeline.Rank, _ axis: Axis, y: Double, rank: Int)
    -> [SVGElement]
  {
    let blocked = step.collectives.flatMap {
      [
        (begin: $0.beginMicroseconds, end: $0.returnedMicroseconds),
        (begin: $0.waitMicroseconds, end: $0.endMicroseconds),
      ]
    }.filter { $0.end > $0.begin }.sorted { $0.begin < $1.begin }
    return step.segments.flatMap { segment -> [SVGElement] in
      var begin = segment.beginMicroseconds
      var pieces: [(Double, Double)] = []
      for stop in blocked where stop.end > begin && stop.begin < segment.endMicroseconds {
        pieces.append((begin, stop.begin))
        begin = stop.end
      }
      pieces.append((begin, segment.endMicroseconds))
      return pieces.filter { $0.1 > $0.0 }.map {
        bar(
          style(of: segment.layer), axis, $0.0, $0.1, y: y, height: 20,
          "rank \(rank): \(segment.layer), \(segment.pass)")
      }
    }
  }

  private func style(of layer: String) -> String {
    norms.contains(layer) ? "norm" : layer == StepPart.optimizer ? "optimizer" : "compute"
  }

  private func bar(
    _ style: String, _ axis: Axis, _ begin: Double, _ end: Double, y: Double, height: Double,
    _ title: String
  ) -> SVGElement {
    .bar(
      style, x: axis.position(begin / 1e3), width: (end - begin) / 1e3 / axis.high, y: y,
      height: height, title: "\(title), \(fixed(end - begin, 1)) µs")
  }

  /// The times in which a collective blocked the rank, split at the last rank's arrival.
  private func blocked(
    _ collective: StepTimeline.Collective, _ axis: Axis, y: Double, rank: Int
  ) -> [SVGElement] {
    let title =
      "rank \(rank): \(collective.label), \(counted(Double(collective.bytes))) bytes, rank "
      + "\(collective.lastRank) came last"
    let spans = [
      (collective.beginMicroseconds, collective.returnedMicroseconds),
      (collective.waitMicroseconds, collective.endMicroseconds),
    ]
    return spans.flatMap { begin, end -> [SVGElement] in
      let cut = min(max(collective.lastArrivalMicroseconds, begin), end)
      let parts = [(begin, cut, "skew", "waiting"), (cut, end, "transfer", "transfer")]
      return parts.filter { $0.1 > $0.0 }.map { begin, end, style, what in
        bar(
          collective.purpose == "statistics" ? style : collective.purpose, axis, begin, end, y: y,
          height: 14, "\(title), \(what)")
      }
    }
  }

  /// The collectives that were in flight while the rank computed, each on the first free line.
  private func flights(
    _ collectives: [StepTimeline.Collective], _ axis: Axis, y: Double, rank: Int
  ) -> ([SVGElement], lanes: Int) {
    var ends: [Double] = []
    let elements = collectives.filter { $0.waitMicroseconds > $0.returnedMicroseconds }.map {
      collective in
      let lane = ends.firstIndex { $0 <= collective.beginMicroseconds } ?? ends.count
      if lane == ends.count { ends.append(0) }
      ends[lane] = collective.endMicroseconds
      return bar(
        "flight", axis, collective.beginMicroseconds, collective.endMicroseconds,
        y: y + Double(lane) * 6, height: 4,
        "rank \(rank): \(collective.label) in flight")
    }
    return (elements, ends.count)
  }
}
