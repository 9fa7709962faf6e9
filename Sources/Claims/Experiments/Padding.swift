import LockstepAutograd
import LockstepConfiguration
import LockstepDatasets
import LockstepModels
import LockstepNorms
import LockstepTensors

extension Claim {
  static let padding = Claim(
    id: "padding",
    statement: """
      Under batch norm the padding of other sequences changes a sequence's output unless the \
      statistics are masked; under layer norm it changes nothing.
      """,
    source:
      "sthasushant, A Note on Normalization, Batch Normalization, on sequences of different lengths",
    method: """
      An untrained transformer processes a batch of padded problems in training mode. Then the padding \
      of all other sequences holds another token, or every sequence is padded by eight more positions. \
      Measured is the largest change of a logit of the first sequence at its own positions, in units of \
      its largest logit.
      """,
    rule: """
      A change of at most 1e-5 is rounding. Holds if in every repeat the change is rounding under masked \
      batch norm, layer norm and RMS norm, and more under unmasked batch norm; otherwise does not hold.
      """, minutes: 0.1
  ) { lab in
    let base = try lab.configuration(
      """
      model:
        kind: transformer
        context: 24
        width: 32
        heads: 2
        layers: 4
      data: {kind: arithmetic, digits: 3, samples: 32}
      batch: 32
      steps: 1
      optimizer: {kind: sgd, learningRate: 0}
      """)
    let kinds: [(name: String, kind: NormKind, masked: Bool)] = [
      ("batch, unmasked", .batch, false), ("batch, masked", .batch, true),
      ("layer", .layer, true), ("rms", .rms, true),
    ]
    let runs = kinds.map { kind in
      var run = base.with(norm: kind.kind)
      run.model.norm.masked = kind.masked
      return run
    }
    let changes = try lab.map(runs, seeds: 0..<UInt64(lab.scaled(5))) {
      try changesByPadding($0)
    }
    func all(_ norm: Int) -> [Double] { changes[norm].flatMap(\.self) }
    let rounding = 1e-5
    return Outcome(
      Verdict(
        all(0).allSatisfy { $0 > rounding } && (1...3).flatMap(all).allSatisfy { $0 <= rounding }),
      because: """
        other sequences' padding changes a logit by \(percent(100 * median(all(0)))) of the largest \
        under unmasked batch norm, and by at most \(threeDigits((1...3).flatMap(all).max() ?? 0)) of \
        it under the others
        """,
      zip(kinds, changes).flatMap { kind, changes in
        [
          Figure("\(kind.name): another token in the padding", changes.map { $0[0] }),
          Figure("\(kind.name): more padding", changes.map { $0[1] }),
        ]
      })
  }
}

/// How much the first sequence's logits change if the padding of the others holds another token, and if all
/// sequences are padded more.
private func changesByPadding(_ run: RunConfiguration) throws -> [Double] {
  let (length, samples) = (16, 32)
  func problems(context: Int) -> ArithmeticDataset {
    ArithmeticDataset(digits: 3, count: samples, context: context, seed: run.seed)
  }
  let model = run.model.make(
    input: [length], classes: problems(context: length).classes, seed: run.seed)
  func logits(_ batch: Batch, _ input: Tensor) throws -> ArraySlice<Float> {
    let tape = Tape(.training, validRows: batch.validRows)
    let y = try model(tape.input(input), on: tape).value
    let own = (batch.validRows ?? []).count { $0 < input.shape[1] }
    return y.elements[..<(own * y.shape.channels)]
  }
  let short = problems(context: length).batch(0..<samples)
  let long = problems(context: length + 8).batch(0..<samples)
  let valid = Set(short.validRows ?? [])
  let other = Tensor(
    short.input.elements.enumerated().map { row, token in
      row < length || valid.contains(row) ? token : token + 1
    }, shape: short.input.shape)
  let before = try logits(short, short.input)
  let largest = before.reduce(0) { max($0, abs($1)) }
  return try [logits(short, other), logits(long, long.input)].map { after in
    Double(zip(before, after).reduce(0) { max($0, abs($1.0 - $1.1)) } / largest)
  }
}
