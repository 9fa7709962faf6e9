import LockstepAnalysis
import LockstepFiles

/// What the page shows about a single run; a run without events has no section.
///
/// The template refers to the properties by name.
struct RunSection {
  let label: String
  let timeline: Chart?
  let layers: [Chart]
  let computing: [Layer]
  let collectives: [Collective]

  struct Layer {
    let name: String
    let pass: String
    let time: String
  }

  struct Collective {
    let name: String
    let pass: String
    let count: String
    let bytes: String
    let skew: String
    let transfer: String
    let inFlight: String
    let blocked: String
    let last: String
  }

  init?(_ run: ReportedRun, number: Int) {
    guard let split = run.split else { return nil }
    label = run.label
    timeline = run.timelineChart(id: "chart-timeline-\(number)")
    layers = [
      run.statisticsChart(id: "chart-statistics-\(number)"),
      run.computingChart(id: "chart-computing-\(number)"),
    ].compactMap(\.self)
    computing = split.layers.map {
      Layer(name: $0.name, pass: $0.pass, time: $0.computeMilliseconds.text(3))
    }
    collectives = split.sites.map { site in
      let last = site.last.indices.max { site.last[$0] < site.last[$1] } ?? 0
      return Collective(
        name: site.name, pass: site.pass, count: site.collectivesText,
        bytes: counted(site.bytes), skew: fixed(site.skewMilliseconds.median, 4),
        transfer: fixed(site.transferMilliseconds.median, 4),
        inFlight: fixed(site.inFlightMilliseconds.median, 4),
        blocked: site.exposedMilliseconds.text(4),
        last: "rank \(last), \(fixed(100 * site.last[last], 0))%")
    }
  }
}
