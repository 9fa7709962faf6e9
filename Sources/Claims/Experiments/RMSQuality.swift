import LockstepAnalysis
import LockstepConfiguration
import LockstepNorms

extension Claim {
  static let rmsQuality = Claim(
    id: "rms-quality",
    statement: "RMSNorm matches LayerNorm in convergence and accuracy.",
    source: """
      Zhang & Sennrich, 2019, abstract and section 6, https://arxiv.org/abs/1910.07467; \
      sthasushant, A Note on Normalization, on RMS normalization; in addition DetachNorm, Xu et al., 2019, https://arxiv.org/abs/1911.07013
      """,
    method: """
      A transformer (2 blocks of width 48) on sums and differences of two digits and a small ResNet \
      on the digits, each with 7 seeds or more under layer norm, RMS norm and layer norm whose mean and \
      variance are constants in the backward pass, with the same number of steps and the same learning \
      rate. The final loss is the mean training loss of the last tenth of the steps. A relative difference \
      is against layer norm with the same seed.
      """,
    rule: """
      On each task: holds if RMSNorm's final loss differs by a median within ±5% with an interval \
      that includes 0, and the differences of test accuracy have a median within ±1 point or an \
      interval that includes 0. Does not hold if the median of either is outside and its interval \
      excludes 0; else undecided. It has to hold on both tasks.
      """, minutes: 0.8
  ) { lab in
    let seeds = lab.repeats(7)
    let tasks = [
      Task(
        name: "arithmetic",
        configuration: try lab.configuration(
          """
          model: {kind: transformer, context: 10, width: 48, heads: 4, layers: 2, norm: {kind: layer}}
          data: {kind: arithmetic, digits: 2, samples: 20000}
          batch: 64
          steps: \(lab.scaled(600, least: 4))
          optimizer: {kind: adamw, learningRate: 1e-3}
          schedule: {warmupSteps: \(lab.scaled(60)), decay: cosine}
          """)),
      Task(
        name: "digits",
        configuration: try lab.configuration(
          """
          model: {kind: resnet, blocks: [1, 1, 1], widths: [16, 32, 64], norm: {kind: layer}}
          data: {kind: digits}
          batch: 64
          steps: \(lab.scaled(60, least: 2))
          optimizer: {kind: sgd, learningRate: 0.05, momentum: 0.9}
          """)),
    ]
    let names = ["layer", "rms", "layer, detached"]
    let runs = tasks.flatMap { task in
      (1...seeds).flatMap { seed in
        names.indices.map { i in
          var configuration = i == 1 ? task.configuration.with(norm: .rms) : task.configuration
          configuration.model.norm.detached = i == 2
          configuration.seed = UInt64(seed)
          return configuration
        }
      }
    }
    let trained = try lab.map(runs) { configuration in
      var trained = try train(configuration)
      // The mean loss of the whole run says how fast it converged; losses of single steps are not passed on.
      let mean = trained.losses.reduce(0, +) / Double(max(trained.losses.count, 1))
      trained.notes = [trained.lastLoss, trained.divergedAt == nil ? mean : .infinity]
      trained.losses = []
      return trained
    }
    var (figures, verdicts, because): ([Figure], [Verdict], [String]) = ([], [], [])
    var smallest: [String] = []
    for (t, task) in tasks.enumerated() {
      let own = names.indices.map { i in
        (0..<seeds).map { trained[(t * seeds + $0) * names.count + i] }
      }
      for (name, runs) in zip(names, own) {
        figures += [
          Figure("\(task.name), \(name): final loss", runs.map { $0.notes[0] }),
          Figure("\(task.name), \(name): mean loss of the run", runs.map { $0.notes[1] }),
          Figure("\(task.name), \(name): test accuracy", runs.map { 100 * $0.accuracy }, unit: "%"),
        ]
      }
      for i in 1..<names.count {
        let losses = zip(own[i], own[0]).map { relativeDifference($0.notes[0], $1.notes[0]) }
        let accuracies = zip(own[i], own[0]).map { 100 * ($0.accuracy - $1.accuracy) }
        let (loss, accuracy) = (
          Figure(
            "\(task.name), \(names[i]): loss against layer",
            MedianInterval(losses, level: lab.level), samples: seeds, unit: "%"),
          Figure(
            "\(task.name), \(names[i]): accuracy against layer",
            MedianInterval(accuracies, level: lab.level), samples: seeds, unit: "points")
        )
        figures += [loss, accuracy]
        guard i == 1 else { continue }
        verdicts += [
          equivalence(of: loss.value, within: 5, andZero: true, decides: lab.decides(seeds)),
          equivalence(of: accuracy.value, within: 1, andZero: false, decides: lab.decides(seeds)),
        ]
        because.append(
          "on \(task.name) the loss differs by \(percent(loss.value.median)) and the accuracy by "
            + "\((10 * accuracy.value.median).rounded() / 10) points")
        smallest.append(
          "on \(task.name) a loss that differs by "
            + "\(percent(max(loss.value.high - loss.value.median, loss.value.median - loss.value.low)))"
        )
      }
    }
    return Outcome(
      Verdict(all: verdicts), because: because.joined(separator: ", "), figures,
      smallestEffect: "could have been seen: " + smallest.joined(separator: ", "))
  }
}

/// A task on which the norms are compared.
private struct Task {
  let name: String
  let configuration: RunConfiguration
}

/// By how many percent `a` is larger than `b`; infinite if `a` diverged.
private func relativeDifference(_ a: Double, _ b: Double) -> Double {
  a.isFinite ? 100 * (a / b - 1) : .infinity
}

/// Judges two conditions: the median is within ±`margin`, and the interval includes 0.
///
/// Holds if both are true; without `andZero`, one is enough. Fails if neither is true and the interval `decides`;
/// else undecided.
private func equivalence(
  of value: MedianInterval, within margin: Double, andZero: Bool, decides: Bool
) -> Verdict {
  let (near, zero) = (abs(value.median) <= margin, value.low <= 0 && value.high >= 0)
  if andZero ? near && zero : near || zero { return .holds }
  return near || zero || !decides ? .undecided : .fails
}
