import LockstepKernels
import LockstepNorms
import LockstepTensors
import LockstepWeightNorms

extension Claim {
  static let invariance = Claim(
    id: "invariance",
    statement: """
      Layer norm is invariant to re-scaling and re-centring of the whole weight matrix and to \
      re-scaling of data and of single cases, not to re-scaling of one weight vector nor to \
      re-centring of data; batch and weight norm have other invariances; RMSNorm keeps only layer \
      norm's invariances to re-scaling.
      """,
    source: """
      Ba, Kiros & Hinton, 2016, table 1, https://arxiv.org/abs/1607.06450; Zhang & Sennrich, 2019, \
      table 1, https://arxiv.org/abs/1910.07467; sthasushant, A Note on Normalization, key properties of LN
      """,
    method: """
      y = norm(W·x + b) of 64 cases with 32 inputs of mean 0.5 and 32 neurons (8 groups), ε 0. Measured is \
      the largest change of y over the largest |y| when W, x or b is changed, over 5 draws. δ is 3; b is a \
      normal vector. 1·bᵀ adds the same vector to every neuron's weights; b·1ᵀ adds a neuron's element of b \
      to all of its weights.
      """,
    rule: """
      A cell is invariant if y changes by at most 0.01% in every draw, not invariant if y changes by at \
      least 1% in every draw, else undecided. Holds if every cell that a source names is as the source \
      says; does not hold if any is the contrary. Group and l2 norm, cells that no source names, and ε do \
      not decide.
      """, minutes: 0.01
  ) { lab in
    let norms = Subject.allCases
    let draws = try lab.map(Array(1...lab.scaled(5))) { seed in
      let setting = Setting(seed: seed)
      var measured: [Double] = []
      for change in Change.all {
        let (before, after) = change.apply(setting)
        for norm in norms {
          measured.append(
            relativeChange(of: try before.output(norm), to: try after.output(norm)))
        }
      }
      let small = setting.with(weights: setting.weights.map { $0 / 1000 })
      for norm in norms {
        measured.append(
          relativeChange(
            of: try setting.output(norm, epsilon: 1e-5), to: try small.output(norm, epsilon: 1e-5)))
      }
      return measured
    }
    var (figures, verdicts, contrary): ([Figure], [Verdict], [String]) = ([], [], [])
    for (i, name) in (Change.all.map(\.name) + ["W / 1000, ε 1e-5"]).enumerated() {
      for (j, norm) in norms.enumerated() {
        let changes = draws.map { $0[i * norms.count + j] }
        figures.append(
          Figure("\(name): \(norm.rawValue)", changes.map { 100 * $0 }, unit: "%"))
        guard i < Change.all.count, let said = Change.all[i].said[norm] else { continue }
        verdicts.append(Verdict(invariant: said, changes: changes))
        if verdicts.last != .holds { contrary.append("\(name) under \(norm.rawValue)") }
      }
    }
    return Outcome(
      Verdict(all: verdicts),
      because: contrary.isEmpty
        ? """
        all \(verdicts.count) cells are as the sources say. The paper's re-centring W + 1·bᵀ moves all \
        neurons of a case alike, so layer norm removes it whatever the inputs are. A Note on Normalization's \
        W + b·1ᵀ moves neuron j by b_j·Σx, which only inputs with a sum of 0 in every case hide. Both \
        are right, about two changes with the same name
        """ : "not as the sources say: \(contrary.joined(separator: "; "))", figures)
  }
}

/// The norm that is applied to W·x + b, or to W in the case of weight norm.
private enum Subject: String, CaseIterable {
  case batch, weight, layer, rms, group, l2
}

/// Inputs `[cases, inputs]`, weights `[neurons, inputs]` and biases by neuron.
private struct Setting {
  static let (cases, inputs, neurons) = (64, 32, 32)
  var x: [Float]
  var weights: [Float]
  var bias: [Float]
  /// A vector with one element for each input, and so for each neuron: there are equally many.
  let vector: [Float]

  init(seed: Int) {
    var random = RandomStream(seed: UInt64(seed), site: .synthetic)
    func normal(_ count: Int) -> [Float] { (0..<count).map { _ in random.normal() } }
    x = normal(Self.cases * Self.inputs).map { $0 + 0.5 }
    weights = normal(Self.neurons * Self.inputs).map { $0 / Float(Self.inputs).squareRoot() }
    bias = [Float](repeating: 0, count: Self.neurons)
    vector = normal(Self.inputs)
  }

  func with(x: [Float]? = nil, weights: [Float]? = nil, bias: [Float]? = nil) -> Setting {
    var copy = self
    (copy.x, copy.weights) = (x ?? self.x, weights ?? self.weights)
    copy.bias = bias ?? self.bias
    return copy
  }

  /// The same setting with inputs whose mean is 0 in every case, or in every feature.
  func centred(byCase: Bool) -> Setting {
    let (groups, members) = byCase ? (Self.cases, Self.inputs) : (Self.inputs, Self.cases)
    var centred = x
    for group in 0..<groups {
      let places = (0..<members).map {
        byCase ? group * Self.inputs + $0 : $0 * Self.inputs + group
      }
      let mean = places.reduce(0) { $0 + Double(x[$1]) } / Double(members)
      for place in places { centred[place] = Float(Double(x[place]) - mean) }
    }
    return with(x: centred)
  }

  func output(_ norm: Subject, epsilon: Double = 0) throws -> Tensor {
    let matrix = Tensor(weights, shape: [Self.neurons, Self.inputs])
    let ones = Tensor.filled([Self.neurons], with: 1)
    let w = norm == .weight ? WeightNorm.forward(matrix, gain: ones).w : matrix
    let z = Tensor.uninitialized([Self.cases, Self.neurons])
    Kernel.matrixProduct(
      Operand(Tensor(x, shape: [Self.cases, Self.inputs])), .transpose(w), into: z)
    Kernel.addRow(Tensor(bias, shape: [Self.neurons]), to: z)
    let kind = NormKind(rawValue: norm.rawValue)
    return NormRegistry[kind] == nil ? z : try normalized(z, kind, epsilon: epsilon)
  }
}

/// A change of the weights, the inputs or the pre-activations, and which norms are said to be invariant.
private struct Change {
  let name: String
  /// Whether a source says that a norm is invariant; norms that no source mentions are missing.
  let said: [Subject: Bool]
  let apply: @Sendable (Setting) -> (before: Setting, after: Setting)

  /// A change of one setting.
  init(_ name: String, _ said: [Subject: Bool], _ change: @escaping @Sendable (Setting) -> Setting)
  {
    self.init(name, said, from: { $0 }, change)
  }

  init(
    _ name: String, _ said: [Subject: Bool], from start: @escaping @Sendable (Setting) -> Setting,
    _ change: @escaping @Sendable (Setting) -> Setting
  ) {
    self.name = name
    self.said = said
    apply = {
      let before = start($0)
      return (before, change(before))
    }
  }

  private static let factor: Float = 3

  /// W + 1·bᵀ.
  private static func shiftAlike(_ s: Setting) -> Setting {
    s.with(weights: s.weights.indices.map { s.weights[$0] + s.vector[$0 % Setting.inputs] })
  }

  /// W + b·1ᵀ.
  private static func shiftByNeuron(_ s: Setting) -> Setting {
    s.with(weights: s.weights.indices.map { s.weights[$0] + s.vector[$0 / Setting.inputs] })
  }

  /// The `elements` with the first row, or all rows, multiplied by δ.
  private static func scaled(_ elements: [Float], firstRowOnly: Bool) -> [Float] {
    elements.indices.map {
      firstRowOnly && $0 >= Setting.inputs ? elements[$0] : factor * elements[$0]
    }
  }

  static let all = [
    Change("W · δ", [.batch: true, .weight: true, .layer: true, .rms: true]) {
      $0.with(weights: scaled($0.weights, firstRowOnly: false))
    },
    Change(
      "W + 1·bᵀ", [.batch: false, .weight: false, .layer: true, .rms: false], shiftAlike),
    Change(
      "W + 1·bᵀ, cases of mean 0", [.layer: true], from: { $0.centred(byCase: true) }, shiftAlike),
    Change("W + b·1ᵀ", [.layer: false], shiftByNeuron),
    Change(
      "W + b·1ᵀ, cases of mean 0", [.layer: true], from: { $0.centred(byCase: true) },
      shiftByNeuron),
    Change("W + b·1ᵀ, features of mean 0", [:], from: { $0.centred(byCase: false) }, shiftByNeuron),
    Change("one row of W · δ", [.batch: true, .weight: true, .layer: false, .rms: false]) {
      $0.with(weights: scaled($0.weights, firstRowOnly: true))
    },
    Change("data · δ", [.batch: true, .weight: false, .layer: true, .rms: true]) {
      $0.with(x: scaled($0.x, firstRowOnly: false))
    },
    Change("data + b", [.batch: true, .weight: false, .layer: false, .rms: false]) { s in
      s.with(x: s.x.indices.map { s.x[$0] + s.vector[$0 % Setting.inputs] })
    },
    Change("one case · δ", [.batch: false, .weight: false, .layer: true, .rms: true]) {
      $0.with(x: scaled($0.x, firstRowOnly: true))
    },
    Change("pre-activations + a number", [.layer: true, .rms: false]) {
      $0.with(bias: $0.bias.map { $0 + 0.7 })
    },
    Change("pre-activations + b", [.layer: false]) { $0.with(bias: $0.vector) },
  ]
}
