import LockstepAnalysis
import LockstepFiles
import LockstepPrediction

extension RunReport {
  /// The style of a run's curves: a colour, and lines that are solid for three runs, then dashed or dotted.
  static func series(_ index: Int) -> String {
    "series\(index % 6) dash\(index / 3 % 3)"
  }

  /// Where the time of a step went under each norm; nil if no run has events.
  var stepTimeChart: Chart? {
    let rows = runs.compactMap { run in
      run.parts.map { parts in
        StackedBars.Row(
          label: run.label,
          value: "\(fixed(parts.stepMilliseconds, 2)) ms",
          parts: [
            .init(style: "compute", label: "computing", milliseconds: parts.computeMilliseconds),
            .init(style: "norm", label: "computing of norms", milliseconds: parts.normMilliseconds),
            .init(
              style: "skew", label: "statistics, waiting for the last rank",
              milliseconds: parts.statisticsSkewMilliseconds),
            .init(
              style: "transfer", label: "statistics, transfer",
              milliseconds: parts.statisticsTransferMilliseconds),
            .init(
              style: "library", label: "statistics, MPI's own work",
              milliseconds: parts.libraryMilliseconds),
            .init(
              style: "gradients", label: "gradients, blocked",
              milliseconds: parts.gradientsMilliseconds),
            .init(
              style: "optimizer", label: "optimizer", milliseconds: parts.optimizerMilliseconds),
            .init(style: "other", label: "other", milliseconds: parts.otherMilliseconds),
          ])
      }
    }
    guard !rows.isEmpty else { return nil }
    return StackedBars(rows: rows, thickness: 22).chart(
      id: "chart-step-time", title: "Where a step goes, by norm",
      caption:
        "Means over ranks and over the middle half of the recorded steps when sorted by duration, so the "
        + "parts add up. Skew is the wait for the last rank; transfer is the time after its arrival. "
        + "Other is the sum of the loss over ranks, and whatever was not recorded.",
      legend: [
        .init(fill: "compute", "computing"), .init(fill: "norm", "computing of norms"),
        .init(fill: "skew", "statistics: skew"), .init(fill: "transfer", "statistics: transfer"),
        .init(fill: "library", "statistics: MPI's own work"),
        .init(fill: "gradients", "gradients, blocked"), .init(fill: "optimizer", "optimizer"),
        .init(fill: "other", "other"),
      ])
  }

  /// The ratios of step times to the first run's, or to the first of each repeat; nil if the runs did not
  /// take turns.
  var ratioChart: Chart? {
    let rows = runs.enumerated().compactMap { index, run in
      run.againstFirst.map {
        IntervalChart.Row(label: run.label, style: "series\(index % 6)", ratio: $0)
      }
    }
    let bases = Set(runs.compactMap(\.base)).map { runs[$0].label }
    guard let first = bases.first else { return nil }
    let base = bases.count == 1 ? first : "the first of each repeat"
    return IntervalChart(rows: rows).chart(
      id: "chart-ratios", title: "The step's duration compared with \(base)",
      caption:
        "Median ratios over rounds in which every norm took a turn, without disturbed steps. All "
        + "intervals hold at once in 95% of cases; one that contains 1 leaves the order undecided.",
      base: base)
  }

  /// Loss over the steps.
  var lossChart: Chart? {
    curveChart(
      id: "chart-loss", title: "Loss", scale: 1, unit: "", \.loss)
  }

  /// Accuracy over the steps.
  var accuracyChart: Chart? {
    curveChart(
      id: "chart-accuracy", title: "Accuracy", scale: 100, unit: "%", \.accuracy)
  }

  /// Predicted step times on more ranks, one chart for each fabric.
  var predictionCharts: [Chart] {
    predictions.enumerated().map { index, prediction in
      var norms: [String] = []
      for row in prediction.rows where !norms.contains(row.norm) { norms.append(row.norm) }
      let order = runs.map(\.norm)
      let series = norms.map { norm in
        PredictionChart.Series(
          label: norm, style: Self.series(order.firstIndex(of: norm) ?? 0),
          points: prediction.rows.filter { $0.norm == norm }.map {
            .init(
              ranks: $0.ranks, stepMilliseconds: $0.stepMilliseconds.median,
              low: $0.stepMilliseconds.low,
              high: $0.stepMilliseconds.high)
          })
      }
      let assumed = prediction.rows.filter(\.assumesTail).map(\.ranks).min()
      return PredictionChart(series: series).chart(
        id: "chart-prediction-\(index)",
        title: "Predicted step time by number of ranks, on \(prediction.fabric)",
        caption:
          "\(prediction.fabricSource.prefix(1).uppercased() + prediction.fabricSource.dropFirst()). "
          + "Each rank computes as many samples as a recorded one. Bars contain 95% of the medians of "
          + "simulated steps; predictions were checked to \(Int(100 * Prediction.tolerance))%."
          + (assumed.map {
            " From \($0) ranks on, there are more ranks than recorded steps, so how late the last "
              + "rank arrives is an assumption."
          } ?? ""))
    }
  }

  private func curveChart(
    id: String, title: String, scale: Double, unit: String,
    _ value: (RunCurves.Point) -> Double
  ) -> Chart? {
    let series = runs.enumerated().map { index, run in
      LineChart.Series(
        label: run.label, style: Self.series(index),
        line: run.curves.training.map { ($0.step, value($0)) },
        points: run.curves.test.map { ($0.step, value($0)) })
    }
    let size = runs.map(\.curves.stepsPerPoint).max() ?? 1
    return LineChart(series: series, scale: scale, unit: unit).chart(
      id: id, title: title,
      caption: "Lines: training batches"
        + (size > 1 ? ", means of \(size) steps" : "") + ". Dots: the test set.")
  }
}

extension ReportedRun {
  /// The largest number of rows in a chart; the table below has the others, too.
  private static let mostRows = 60

  /// How long each layer computes.
  func computingChart(id: String) -> Chart? {
    guard let split, !split.layers.isEmpty else { return nil }
    var order: [String] = []
    for layer in split.layers where !order.contains(layer.name) { order.append(layer.name) }
    let byName = Dictionary(grouping: split.layers, by: \.name)
    func cost(_ name: String) -> Double {
      byName[name, default: []].reduce(0) { $0 + $1.computeMilliseconds.median }
    }
    let shown = Set(order.sorted { cost($0) > cost($1) }.prefix(Self.mostRows))
    let rows = order.filter(shown.contains).map { name in
      StackedBars.Row(
        label: name + (normLayers.contains(name) ? " (norm)" : ""),
        value: "\(fixed(cost(name), 3)) ms",
        parts: byName[name, default: []].map {
          .init(
            style: normLayers.contains(name) ? "norm-\($0.pass)" : "compute-\($0.pass)",
            label: $0.pass, milliseconds: $0.computeMilliseconds.median)
        })
    }
    let left = order.count - rows.count
    return StackedBars(rows: rows, thickness: 9).chart(
      id: id, title: "\(label): computing by layer",
      caption:
        "Medians over \(split.steps) steps of the mean over ranks, without the time they were blocked."
        + (left > 0 ? " The \(left) cheapest layers are only in the table." : ""),
      legend: [
        .init(fill: "compute-forward", "forward"), .init(fill: "compute-backward", "backward"),
        .init(fill: "norm-forward", "norm, forward"),
        .init(fill: "norm-backward", "norm, backward"),
      ])
  }

  /// What each norm's statistics cost; nil if there are none.
  func statisticsChart(id: String) -> Chart? {
    let sites = split?.sites.filter { !$0.isBucket } ?? []
    guard let split, !sites.isEmpty else { return nil }
    func cost(_ site: StepSplit.Site) -> Double {
      site.skewMilliseconds.median + site.transferMilliseconds.median
    }
    let least = sites.map(cost).sorted(by: >).prefix(Self.mostRows).last ?? 0
    let rows = sites.filter { cost($0) >= least }.map { site in
      StackedBars.Row(
        label: "\(site.name) \(site.pass)", value: "\(fixed(cost(site), 4)) ms",
        parts: [
          .init(style: "skew", label: "skew", milliseconds: site.skewMilliseconds.median),
          .init(
            style: "transfer", label: "transfer", milliseconds: site.transferMilliseconds.median),
        ],
        under: .init(
          style: "flight", label: "in flight", milliseconds: site.inFlightMilliseconds.median))
    }
    let left = sites.count - rows.count
    return StackedBars(rows: rows, thickness: 9).chart(
      id: id, title: "\(label): statistics by layer",
      caption: "Medians over \(split.steps) steps of the mean over ranks. The thin bar is the part "
        + "that was in flight while ranks computed, which does not always make a step shorter."
        + (left > 0 ? " The \(left) cheapest are only in the table." : ""),
      legend: [
        .init(fill: "skew", "skew: waiting for the last rank"), .init(fill: "transfer", "transfer"),
        .init(fill: "flight", "in flight while ranks computed"),
      ])
  }

  /// The median step on all ranks.
  func timelineChart(id: String) -> Chart? {
    guard let medianStep else { return nil }
    let left = medianStep.ranks.count - TimelineChart.mostRanks
    return TimelineChart(timeline: medianStep, norms: Set(normLayers)).chart(
      id: id, title: "\(label): step \(medianStep.step), the median one",
      caption:
        "For each rank, from top to bottom: what it computed, what blocked it, and what was in flight "
        + "meanwhile. Rest the pointer on a block to see its name and duration."
        + (left > 0 ? " \(left) more ranks are only in the trace (lockstep trace)." : ""))
  }
}

extension StepSplit.Site {
  /// Whether this is a bucket of gradients, not a norm's statistics.
  var isBucket: Bool { purpose == "gradients" }
}
