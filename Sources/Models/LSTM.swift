public import LockstepAutograd
import LockstepKernels
import LockstepLayers
public import LockstepNorms
public import LockstepTensors

/// A layer of long short-term memory, with norms inside the cell or without.
///
///     a  = norm(W_ih x) + norm(W_hh h) + b,  in four parts i, f, g, o
///     c′ = σ(f) · c + σ(i) · tanh g
///     h′ = σ(o) · tanh(norm(c′))
///
/// h and c begin as 0. The three norms have a gain each, and a shift where the norm has one; batch norms have a
/// shift at the cell alone, and take the statistics of every step by itself.
///
/// - Shapes: x `[N, T, C]`, y `[N, T, H]`, W_ih `[4·H, C]`, W_hh `[4·H, H]`, b `[4·H]`.
/// - Names: PyTorch's `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` and `bias_hh_l0`, whose sum is b; with norms
///   one `bias_l0`, and `norm_ih_l0`, `norm_hh_l0` and `norm_c_l0`.
/// - Communication: that of synchronized batch norms: one all-reduce forward and one backward for all W_ih x,
///   and two of each at every step.
/// - Numbers: in bfloat16, x and y are; the cell computes in float32.
/// - Source: Hochreiter & Schmidhuber, 1997; Ba, Kiros & Hinton, 2016, eq. 20 to 22,
///   <https://arxiv.org/abs/1607.06450>; Cooijmans et al., 2016, eq. 6 to 8,
///   <https://arxiv.org/abs/1603.09025>.
public struct LSTM: Layer {
  private let name: LayerName
  private let hidden: Int
  private let inputWeight: Parameter
  private let hiddenWeight: Parameter
  private let biases: [Parameter]
  private let inputNorm: (any StepNorm)?
  private let hiddenNorm: (any StepNorm)?
  private let cellNorm: (any StepNorm)?

  private var norms: [any StepNorm] { [inputNorm, hiddenNorm, cellNorm].compactMap(\.self) }

  /// Weights and biases, then the norms' gains and shifts.
  public var parameters: [Parameter] {
    [inputWeight, hiddenWeight] + biases + norms.flatMap(\.affine.parameters)
  }
  /// The running statistics of all steps.
  public var buffers: [Buffer] {
    norms.compactMap(\.running).flatMap { [$0.mean, $0.variance] }
  }
  /// How many batches they have seen.
  public var counters: [Counter] { norms.compactMap(\.running).map(\.batches) }
  /// Where its norms stand.
  public var normSites: [NormSite] { norms.map(\.site) }

  /// The norms that it can have.
  public static let norms: [NormKind] = [.none, .layer, .rms, .batch, .syncBatch]

  /// Why a layer cannot have a norm, in words; nil where it can.
  public static func problem(_ kind: NormKind) -> String? {
    guard !norms.contains(kind) else { return nil }
    let known = norms.dropLast().map(\.rawValue).joined(separator: ", ")
    return "an lstm has \(known) or \(norms[norms.count - 1].rawValue) norm, not \(kind.rawValue)"
  }

  /// A layer whose weights and biases begin uniform in ±1/√H, as PyTorch initializes them.
  ///
  /// - Parameters:
  ///   - name: What parameters' names begin with.
  ///   - index: The layer's number among those of one name.
  ///   - inputs: C.
  ///   - hidden: H.
  ///   - context: Of how many steps running statistics are kept; later steps use the last one's.
  ///   - norm: One of ``norms``.
  ///   - synchronized: The ranks of a synchronized norm.
  ///   - random: Where initial values come from.
  public init(
    _ name: String, index: Int = 0, inputs: Int, hidden: Int, context: Int,
    norm: NormSettings = NormSettings(.none), synchronized: StatisticsScope = .thisRank,
    using random: inout RandomStream
  ) {
    self.name = LayerName("\(name).l\(index)")
    self.hidden = hidden
    let bound = 1 / Float(hidden).squareRoot()
    func parameter(_ short: String, _ shape: Shape, _ random: inout RandomStream) -> Parameter {
      Parameter("\(name).\(short)_l\(index)", .uniform(shape, bound, using: &random))
    }
    inputWeight = parameter("weight_ih", [4 * hidden, inputs], &random)
    hiddenWeight = parameter("weight_hh", [4 * hidden, hidden], &random)
    var biases: [Parameter] = []
    for short in norm.kind == .none ? ["bias_ih", "bias_hh"] : ["bias"] {
      biases.append(parameter(short, [4 * hidden], &random))
    }
    self.biases = biases
    func made(_ short: String, _ channels: Int, keepsShift: Bool = false) -> (any StepNorm)? {
      stepNorm(
        NormSite("\(name).norm_\(short)_l\(index)", channels: channels, positions: 1), norm,
        synchronized, steps: context, keepsShift: keepsShift)
    }
    inputNorm = made("ih", 4 * hidden)
    hiddenNorm = made("hh", 4 * hidden)
    cellNorm = made("c", hidden, keepsShift: true)
  }

  /// Applies the layer to sequences that begin with their first step.
  public func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    try self(x, carrying: State(), on: tape)
  }

  /// What a layer carries from one part of a sequence to the next.
  public final class State {
    /// How many steps there were.
    public fileprivate(set) var steps = 0
    /// h `[N, H]` after them; nil before the first.
    fileprivate var hidden: Tensor?
    /// c `[N, H]` after them.
    fileprivate var cell: Tensor?

    /// The state before the first step.
    public init() {}
  }

  /// Applies the layer to the next part of sequences; no gradient flows into the parts before.
  public func callAsFunction(_ x: Variable, carrying state: State, on tape: Tape) throws -> Variable
  {
    let input = x.value
    let order = TimeOrder(samples: input.shape[0], steps: input.shape[1])
    let steps = LSTMSteps(order, hidden, after: (state.hidden, state.cell))
    let pass = StepPass(
      mode: tape.mode, first: state.steps, batches: counters.first?.value ?? 0, order: order,
      rows: tape.validRows.map { rows in
        rows.reduce(into: Array(repeating: [], count: order.steps)) {
          $0[$1 % order.steps].append($1 / order.steps)
        }
      })
    func begin(_ norm: (any StepNorm)?) -> StepNormPass? { norm.map { StepNormPass($0, pass) } }
    let (inputNorm, hiddenNorm) = (begin(inputNorm), begin(hiddenNorm))
    steps.norms = (hiddenNorm, begin(cellNorm))
    let rows = order.timeFirst(Kernel.converted(input, to: .float32))
    let product = Tensor.uninitialized([order.steps, order.samples, 4 * hidden])
    Kernel.matrixProduct(Operand(rows), .transpose(inputWeight.value), into: product)
    let gates = try inputNorm?(product) ?? product
    for bias in biases { Kernel.addRow(bias.value, to: gates) }
    try steps.forward(gates, weight: hiddenWeight.value)
    state.steps += order.steps
    (state.hidden, state.cell) = steps.last
    let y = Kernel.converted(order.samplesFirst(steps.outputs), to: tape.precision)
    return tape.record(
      y, by: name, uses: parameters,
      inputPullback: { [gradient = x.gradient, inputWeight, hiddenWeight] dy, backward in
        let dh = order.timeFirst(Kernel.converted(dy, to: .float32))
        try steps.backward(dh, weight: hiddenWeight.value, backward)
        steps.dproduct = try inputNorm?.gradient(steps.dgates, backward) ?? steps.dgates
        inputNorm?.contribute()
        guard let gradient else { return }
        let dx = Tensor.uninitialized([order.steps, order.samples, inputWeight.value.shape[1]])
        Kernel.matrixProduct(Operand(steps.dproduct), Operand(inputWeight.value), into: dx)
        gradient.add(Kernel.converted(order.samplesFirst(dx), to: input.precision))
      },
      weightPullback: { [inputWeight, hiddenWeight, biases, again = x.again] _ in
        let rows = order.timeFirst(Kernel.converted(again(), to: .float32))
        inputWeight.contribute { gradient, accumulating in
          Kernel.matrixProduct(
            .transpose(steps.dproduct), Operand(rows), into: gradient, accumulating: accumulating)
        }
        hiddenWeight.contribute { gradient, accumulating in
          Kernel.matrixProduct(
            .transpose(steps.drecurrent), Operand(steps.before), into: gradient,
            accumulating: accumulating)
        }
        let sums = Kernel.columnSums(steps.dgates)
        for bias in biases { bias.contribute(sums[...]) }
      }, waitsForRanks: norms.contains(where: \.communicates))
  }
}

/// The steps of one pass, one after the other, and what they keep for the way back; rows are ordered by time.
private final class LSTMSteps {
  private let order: TimeOrder
  private let row: Shape
  private let gateRow: Shape
  /// h, and c, before each step and after the last: `[T + 1, N, H]`.
  private let hidden: Tensor
  private let cells: Tensor
  /// tanh of the cell, or of its norm.
  private let bent: Tensor
  private var gates: [Tensor] = []
  /// The norms of W_hh h and of the cell.
  var norms: (hidden: StepNormPass?, cell: StepNormPass?)
  /// The gradients of a, of W_hh h and of W_ih x, `[T, N, 4 · H]`.
  private(set) var dgates = Tensor.zeros([0])
  private(set) var drecurrent = Tensor.zeros([0])
  var dproduct = Tensor.zeros([0])

  init(_ order: TimeOrder, _ width: Int, after state: (hidden: Tensor?, cell: Tensor?)) {
    self.order = order
    row = [order.samples, width]
    gateRow = [order.samples, 4 * width]
    hidden = .uninitialized([order.steps + 1, order.samples, width])
    cells = .uninitialized(hidden.shape)
    bent = .uninitialized([order.steps, order.samples, width])
    hidden.part(0, shape: row).write(state.hidden ?? .zeros(row))
    cells.part(0, shape: row).write(state.cell ?? .zeros(row))
  }

  /// h of every step.
  var outputs: Tensor { hidden.samples(1..<order.steps + 1) }
  /// h before every step.
  var before: Tensor { hidden.samples(0..<order.steps) }
  /// h and c after the last step, in memory of their own.
  var last: (Tensor, Tensor) {
    (
      hidden.part(order.steps, shape: row).copy(), cells.part(order.steps, shape: row).copy()
    )
  }

  /// Takes all steps; `inputs` are their parts of a, which are written over.
  func forward(_ inputs: Tensor, weight: Tensor) throws {
    for step in 0..<order.steps {
      let (input, h) = (inputs.part(step, shape: gateRow), hidden.part(step, shape: row))
      var gates = input
      if let norm = norms.hidden {
        let product = Tensor.uninitialized(gateRow)
        Kernel.matrixProduct(Operand(h), .transpose(weight), into: product)
        gates = try norm(product, adding: input, step: step)
      } else {
        Kernel.matrixProduct(Operand(h), .transpose(weight), into: gates, accumulating: true)
      }
      let next = cells.part(step + 1, shape: row)
      Kernel.lstmCell(gates, cells.part(step, shape: row), into: next)
      Kernel.lstmOutput(
        gates, try norms.cell?(next, step: step) ?? next, into: bent.part(step, shape: row),
        hidden.part(step + 1, shape: row))
      self.gates.append(gates)
    }
  }

  /// Goes back through time; `dh`, of every step's output, is written over.
  func backward(_ dh: Tensor, weight: Tensor, _ backward: Backward) throws {
    dgates = .uninitialized([order.steps, order.samples, gateRow[1]])
    drecurrent = norms.hidden == nil ? dgates : .uninitialized(dgates.shape)
    let dcell = Tensor.zeros(row)
    for step in (0..<order.steps).reversed() {
      let da = dgates.part(step, shape: gateRow)
      let dz = Tensor.uninitialized(row)
      Kernel.lstmOutputGradient(
        gates[step], bent.part(step, shape: row), dh.part(step, shape: row), into: da, dz)
      Kernel.lstmCellGradient(
        gates[step], cells.part(step, shape: row),
        try norms.cell?.gradient(dz, step: step, backward) ?? dz, into: da, dcell)
      let dproduct = drecurrent.part(step, shape: gateRow)
      if let norm = norms.hidden {
        dproduct.write(try norm.gradient(da, step: step, backward))
      }
      guard step > 0 else { continue }
      Kernel.matrixProduct(
        Operand(dproduct), Operand(weight), into: dh.part(step - 1, shape: row), accumulating: true)
    }
    norms.hidden?.contribute()
    norms.cell?.contribute()
    gates = []
  }
}
