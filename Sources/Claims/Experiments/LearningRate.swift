extension Claim {
  static let learningRate = Claim(
    id: "learning-rate",
    statement: """
      With layer norms on queries and keys and on the outputs of attention and feed-forward part, and \
      with softly capped scores, training works at a learning rate 1.5 times as high.
      """,
    source: """
      sthasushant, A Note on Normalization, QKV-Norm and Circuit Collapse, after Rybakov et al., 2024, abstract, \
      https://arxiv.org/abs/2410.16682
      """,
    method: """
      A small pre-norm transformer learns sums of digits at 12 learning rates from 0.01, each 1.5 \
      times the one before. It runs unchanged (base), with layer-normed queries and keys (qk), also with \
      scores capped at 50 (qk + cap), and also with norms on the outputs (all). A run trains if it \
      does not diverge and its final training loss is at most 1.25 times the median that base \
      reaches at its best rate.
      """,
    rule: """
      For each seed, the ratio of the highest rate at which all trains to the highest at which base \
      trains; if none trains, the step below the lowest rate counts. A sign test over the seeds says \
      whether the ratio is 1.5 or more.
      """, minutes: 4.2
  ) { lab in
    let seeds = 0..<UInt64(lab.repeats(7))
    let steps = lab.scaled(150)
    let factor = 1.5
    var rates = [0.01]
    while rates.count < 12 { rates.append(factor * (rates.last ?? 0)) }
    let attention = "model.attention"
    let norm = "\(attention).queryKeyNorm=layer"
    let cap = "\(attention).softCap=50"
    let arms = [
      ("base", []), ("qk", [norm]), ("qk + cap", [norm, cap]),
      ("all", [norm, cap, "\(attention).outputNorm=true"]),
    ]
    let runs = try arms.flatMap { _, settings in
      try rates.map { try lab.arithmeticRun(steps: steps, settings).at(learningRate: $0) }
    }
    let losses = try lab.map(runs, seeds: seeds) { try train($0).lastLoss }
    func byRate(_ arm: Int) -> ArraySlice<[Double]> {
      losses[arm * rates.count..<(arm + 1) * rates.count]
    }
    let best = arms.indices.map { arm in byRate(arm).map(median).min() ?? .infinity }
    let enough = 1.25 * best[0]
    // For each seed, the index of the highest rate that trains.
    let highest = arms.indices.map { arm in
      (0..<seeds.count).map { seed in
        byRate(arm).map { $0[seed] }.lastIndex { $0 <= enough && $0 < .infinity } ?? -1
      }
    }
    func ratios(_ arm: Int, over other: Int) -> [Double] {
      zip(highest[arm], highest[other]).map { power(factor, $0 - $1) }
    }
    let ratio = ratios(3, over: 0)
    var figures = arms.indices.map { arm in
      Figure(
        "\(arms[arm].0): highest rate that trains",
        highest[arm].map { rates[0] * power(factor, $0) })
    }
    figures += [
      Figure("all over base", ratio), Figure("qk over base", ratios(1, over: 0)),
      Figure("qk + cap over qk", ratios(2, over: 1)), Figure("all over qk", ratios(3, over: 1)),
    ]
    figures += arms.indices.map { Figure("\(arms[$0].0): loss at its best rate", best[$0]) }
    for arm in arms.indices {
      figures += zip(rates, byRate(arm)).map {
        Figure("\(arms[arm].0), rate \(threeDigits($0)): loss", $1)
      }
    }
    let cut =
      highest.joined().contains(rates.count - 1)
      ? "; some runs train at the highest rate tried, where ratios are cut off" : ""
    return Outcome(
      lab.signTest().verdict(zip(highest[3], highest[0]).map { Double($0 - $1) }),
      because: """
        the highest rate of all is \(threeDigits(median(ratio))) times that of base. That of qk + \
        cap is \(threeDigits(median(ratios(2, over: 1)))) times that of qk, a comparison for which \
        the paper reports 1.5\(cut). The paper's model of 830 million parameters, which diverges where \
        this one stops learning, is not run
        """, figures, smallestEffect: lab.signTest().smallestEffect(pairs: seeds.count))
  }
}

/// `factor` raised to a whole power.
private func power(_ factor: Double, _ exponent: Int) -> Double {
  (0..<abs(exponent)).reduce(1) { result, _ in exponent > 0 ? factor * result : result / factor }
}
