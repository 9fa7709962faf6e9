import LockstepAnalysis
import LockstepBenchmarks
import LockstepConfiguration
import LockstepDatasets
import LockstepNorms

extension Claim {
  static let rmsCost = Claim(
    id: "rms-cost",
    statement: "RMSNorm makes training 7% to 64% faster than LayerNorm.",
    source: "Zhang & Sennrich, 2019, abstract, https://arxiv.org/abs/1910.07467",
    method: """
      Whole steps of a transformer (4 blocks of width 128, 16 sequences of 64 tokens) under either \
      norm, in turns of a few steps; and the two norms by themselves, forward + backward.
      """,
    rule: """
      The share of a whole step that is saved, as in the paper, with an interval over the rounds in which \
      both took a turn. Holds if the interval lies within 7% to 64%, does not hold if it lies outside, \
      undecided if it crosses an end.
      """, minutes: 1
  ) { lab in
    let (count, rounds) = (
      lab.scaled(300, least: 12) << (lab.look - 1), lab.scaled(30, least: 3)
    )
    let configuration = try lab.configuration(
      """
      model:
        kind: transformer
        context: 64
        width: 128
        heads: 4
        layers: 4
        norm: {kind: layer}
      data: {kind: synthetic, vocabulary: 64, samples: 1024}
      batchPerRank: 16
      steps: \(count)
      optimizer: {kind: adamw, learningRate: 1e-3}
      """)
    let results = try Comparison(
      configuration, norms: [.layer, .rms], repeats: 1, data: configuration.loadData(),
      context: lab.context, comparisons: lab.comparisons, onStep: { _, _, _ in }
    ).results
    let steps = results.map(\.stepMilliseconds)
    let norms = try NormsBenchmark(
      norms: [.layer, .rms], shapes: [[16_384, 768], [2_048, 1_024]],
      rounds: rounds, context: lab.context
    ).results
    // If there are too few undisturbed rounds for an interval, nothing is known.
    let ratio = results[1].againstFirst.flatMap {
      MedianInterval.exists(samples: $0.rounds, level: lab.level) ? $0 : nil
    }
    let saved =
      ratio.map { saving($0.ratio) } ?? MedianInterval(median: 0, low: -.infinity, high: 100)
    let claimed = 7.0...64.0
    let verdict: Verdict =
      if claimed.contains(saved.low), claimed.contains(saved.high) {
        .holds
      } else if saved.high < claimed.lowerBound || saved.low > claimed.upperBound {
        .fails
      } else {
        .undecided
      }
    var figures = zip(["layer", "rms"], steps).map {
      Figure("step, \($0)", $1, samples: count, unit: "ms")
    }
    figures.append(Figure("saved of a step", saved, samples: nil, unit: "%"))
    for pair in stride(from: 0, to: norms.count, by: 2) {
      let shape = norms[pair].shape.map(String.init).joined(separator: "×")
      figures += norms[pair...pair + 1].map {
        Figure("\($0.norm) alone, \(shape)", $0.totalMilliseconds, samples: rounds, unit: "ms")
      }
      figures.append(
        Figure(
          "saved of the norm alone, \(shape)",
          norms[pair + 1].againstFirst.map { saving($0.ratio) }
            ?? MedianInterval(median: 0, low: -.infinity, high: 100), samples: nil, unit: "%"))
    }
    return Outcome(
      verdict,
      because: "a step with RMSNorm takes \(percent(saved.median)) less time than with LayerNorm",
      figures,
      smallestEffect: "could have been told apart from 7%: a saving that differs from it by "
        + percent(max(saved.high - saved.median, saved.median - saved.low)))
  }
}

/// How much time is saved at a ratio of times, in percent.
private func saving(_ ratio: MedianInterval) -> MedianInterval {
  MedianInterval(
    median: 100 * (1 - ratio.median), low: 100 * (1 - ratio.high), high: 100 * (1 - ratio.low))
}
