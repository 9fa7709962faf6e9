import LockstepAutograd
import LockstepCheckpoints
import LockstepConfiguration
import LockstepDatasets
import LockstepModels
import LockstepNorms
import LockstepRuns
import LockstepTensors

extension Claim {
  static let causality = Claim(
    id: "causality",
    statement: """
      Batch norm's statistics let information of future tokens into a causal transformer; layer \
      norm's do not.
      """,
    source: """
      sthasushant, A Note on Normalization, Batch Normalization, on causal masking; the statistics are those of \
      Ioffe & Szegedy, 2015, section 3.1, https://arxiv.org/abs/1502.03167
      """,
    method: """
      A causal transformer of 4 blocks is trained on sums for a few steps under each norm. Then one \
      token of a sequence is replaced. Measured is the largest change of a logit at the positions before \
      it in that sequence, in training and in evaluation mode. Instance and group norm normalize over all \
      positions of a sample. One rank holds the whole batch, so sync-batch is the same as batch.
      """,
    rule: """
      Holds if in every repeat the change is exactly 0 under layer and RMS norm in both modes, and \
      above 0 under batch norm in training; otherwise does not hold.
      """, minutes: 0.2
  ) { lab in
    let run = try lab.arithmeticRun(steps: lab.scaled(50))
    let seeds = 0..<UInt64(lab.scaled(5))
    let kinds = NormRegistry.builtIn.map { $0.kind }
    let changes = try lab.map(kinds.map(run.with(norm:)), seeds: seeds) { configuration in
      let data = try configuration.loadData()
      let trained = try train(configuration, data: data) { run, _ in
        guard run.stepsTaken == run.totalSteps else { return [] }
        return try [Mode.training, .evaluation].map {
          try changeOfThePast(run, data.train, mode: $0)
        }
      }
      return trained.divergedAt == nil ? trained.notes : [.infinity, .infinity]
    }
    func changed(_ kind: NormKind, _ mode: Int) -> [Double] {
      kinds.firstIndex(of: kind).map { changes[$0].map { $0[mode] } } ?? []
    }
    let modes = ["training", "evaluation"]
    let blind = [NormKind.layer, .rms].allSatisfy { kind in
      modes.indices.allSatisfy { changed(kind, $0).allSatisfy { $0 == 0 } }
    }
    func seeing(_ mode: Int) -> String {
      let names = kinds.filter { median(changed($0, mode)) > 1e-5 }.map(\.rawValue)
      return names.isEmpty ? "no norm" : names.joined(separator: ", ")
    }
    return Outcome(
      Verdict(blind && changed(.batch, 0).allSatisfy { $0 > 0 }),
      because: """
        earlier logits change by \(threeDigits(median(changed(.batch, 0)))) under batch norm in \
        training. They change by more than rounding in training under \(seeing(0)), and in \
        evaluation under \(seeing(1)). Within its limits, batch-renorm uses the running statistics \
        in place of the batch's
        """,
      kinds.flatMap { kind in
        modes.indices.map { Figure("\(kind.rawValue), \(modes[$0])", changed(kind, $0)) }
      })
  }
}

/// The largest change of a logit before the middle of the first sequence when the token in the middle is
/// replaced.
private func changeOfThePast(_ run: TrainingRun, _ data: any Dataset, mode: Mode) throws -> Double {
  let tokens = data.batch(0..<min(32, data.count)).input
  let place = tokens.shape[1] / 2
  let changed = tokens.copy()
  var elements = tokens.elements
  elements[place] = (elements[place] + 1).truncatingRemainder(dividingBy: Float(data.classes))
  changed.write(elements)
  // A forward pass in training mode changes the running statistics, which some norms read.
  let state = StateDictionary(run.model)
  let logits = try [tokens, changed].map { input in
    try state.load(into: run.model)
    let tape = Tape(mode)
    return try run.model(tape.input(input), on: tape).value.elements[..<(place * data.classes)]
  }
  return zip(logits[0], logits[1]).reduce(0) { max($0, Double(abs($1.0 - $1.1))) }
}
