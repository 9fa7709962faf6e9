public import LockstepAnalysis
import LockstepAutograd
import LockstepCollectives
public import LockstepDataParallel
import LockstepKernels
import LockstepLayers
import LockstepMachine
public import LockstepNorms
import LockstepRecording
public import LockstepTensors

/// What `bench norms` prints: every norm's forward and backward pass by itself.
public struct NormsBenchmark: Codable, Sendable {
  /// One norm on one shape.
  public struct Result: Codable, Sendable {
    /// The kind of norm.
    public let norm: String
    /// The shape in PyTorch's order.
    public let shape: [Int]
    /// The duration of the forward pass, in milliseconds.
    public let forwardMilliseconds: MedianInterval
    /// The duration of the backward pass, in milliseconds.
    public let backwardMilliseconds: MedianInterval
    /// The duration of both passes together, in milliseconds.
    public let totalMilliseconds: MedianInterval
    /// The ratio of both passes to those of the first norm on this shape; nil for the first.
    public let againstFirst: PairedRatio?
    /// The bytes read and written over the median total, in GB/s.
    ///
    /// The forward pass reads x and writes y; the backward pass reads x and dy and writes dx. With a residual and
    /// a ReLU the forward pass reads the residual too, and the backward pass writes its gradient.
    public let gigabytesPerSecond: Double

    private enum CodingKeys: String, CodingKey {
      case norm, shape
      case forwardMilliseconds = "forward_ms"
      case backwardMilliseconds = "backward_ms"
      case totalMilliseconds = "total_ms"
      case againstFirst = "against_first"
      case gigabytesPerSecond = "gigabytes_per_s"
    }
  }

  /// In what numbers activations were stored.
  public let precision: String
  /// Whether a residual and a ReLU were in the same pass.
  public let fused: Bool
  /// The number of ranks; all measure at once.
  public let ranks: Int
  /// How fast one rank copies the largest shape, counting bytes read and written, in GB/s.
  public let copyGigabytesPerSecond: Double
  /// One result for each shape and norm.
  public let results: [Result]
  /// How many of the passes were disturbed and left out, and why.
  public let disturbed: DisturbedSteps

  private enum CodingKeys: String, CodingKey {
    case precision, fused, ranks, results, disturbed
    case copyGigabytesPerSecond = "copy_gigabytes_per_s"
  }

  /// Times each norm on each shape `rounds` times; the norms take turns.
  ///
  /// Collective.
  ///
  /// Shapes are in PyTorch's order: `[rows, channels]` or `[N, C, H, W]`. If there are only two axes, a norm
  /// that needs positions takes ``rowsPerSample`` rows as a sample.
  public init(
    norms: [NormKind], shapes: [[Int]], rounds: Int, precision: Precision = .float32,
    fused: Bool = false, context: RankContext
  ) throws {
    var results: [Result] = []
    var disturbances: [StepDisturbance] = []
    let interleaving = Interleaving(variants: norms.count, seed: 1)
    for shape in shapes {
      var random = RandomStream(seed: 1, site: .synthetic)
      // The length is the largest prime below 2¹⁶, so that the block's repeats begin at different channels.
      let block = Kernel.converted(
        Tensor((0..<65_521).map { _ in random.normal() }, shape: [65_521]), to: precision)
      let x = Tensor.repeating(block, shape: Shape(shape))
      let benches = try norms.map { kind in
        let shape = Self.activation(shape, kind)
        let layer = makeNorm(
          Self.site(shape), NormSettings(kind), NormScope(synchronized: try context.scope(of: .all))
        )
        return NormTimer(
          layer, x: x.reshaped(shape), block: block, fused: fused, rank: context.rank,
          watch: DisturbanceWatch(countsSwitches: !context.sharesCores))
      }
      var paired = PairedSteps(variants: norms.count)
      for round in 0..<rounds + 1 {
        for i in interleaving.order(of: round) {
          // The first pass of a turn finds other norms' memory in the caches.
          _ = try benches[i].run()
          let pass = try benches[i].run()
          guard round > 0 else { continue }
          benches[i].passes.append(pass)
        }
      }
      for (i, bench) in benches.enumerated() {
        try bench.shareDisturbances(over: context.control)
        for pass in bench.passes { paired.append([pass.step], of: i) }
      }
      let bytes = Double((fused ? 7 : 5) * x.count * (precision == .float32 ? 4 : 2))
      for (i, bench) in benches.enumerated() {
        let clean = bench.passes.filter(\.step.disturbance.isNone)
        let passes = clean.isEmpty ? bench.passes : clean
        let total = MedianInterval(passes.map(\.step.milliseconds))
        results.append(
          Result(
            norm: norms[i].rawValue, shape: shape,
            forwardMilliseconds: MedianInterval(passes.map(\.forward)),
            backwardMilliseconds: MedianInterval(passes.map(\.backward)), totalMilliseconds: total,
            againstFirst: i == 0
              ? nil
              : paired.ratio(
                of: i, to: 0, comparisons: (norms.count - 1) * shapes.count),
            gigabytesPerSecond: bytes / total.median / 1e6))
        disturbances += bench.passes.map(\.step.disturbance)
      }
    }
    disturbed = DisturbedSteps(disturbances)
    (self.precision, self.fused) = (precision.rawValue, fused)
    ranks = context.size
    copyGigabytesPerSecond = Self.copyBandwidth(
      elements: shapes.map { $0.reduce(1, *) }.max() ?? 1, precision)
    self.results = results
  }

  /// How many rows a norm that needs positions takes as a sample: the length of a short sequence.
  public static let rowsPerSample = 128

  /// The channels-last shape that a norm sees.
  static func activation(_ shape: [Int], _ kind: NormKind) -> Shape {
    guard shape.count > 2 else {
      let rows = Shape(shape)
      return needsPositions(kind, rows)
        ? [shape[0] / rowsPerSample, rowsPerSample, shape[1]] : rows
    }
    return Shape([shape[0]] + shape[2...] + [shape[1]])
  }

  /// The site of a norm whose input has the given shape.
  private static func site(_ shape: Shape) -> NormSite {
    NormSite("norm", channels: shape.channels, positions: shape.positions)
  }

  /// Whether a norm needs several rows in a sample and cannot do with one.
  private static func needsPositions(_ kind: NormKind, _ rows: Shape) -> Bool {
    let settings = NormSettings(kind)
    let many = NormSite("norm", channels: rows.channels, positions: rowsPerSample)
    return settings.norm.problem(at: site(rows), settings) != nil
      && settings.norm.problem(at: many, settings) == nil
  }

  /// Why a norm cannot be timed on a shape; nil if it can.
  public static func problem(_ kind: NormKind, shape: [Int]) -> String? {
    let settings = NormSettings(kind)
    if shape.count == 2, needsPositions(kind, Shape(shape)) {
      guard shape[0] % rowsPerSample != 0 else { return nil }
      return "\(kind.rawValue) norm takes \(rowsPerSample) rows as a sample, and \(shape[0]) rows "
        + "are not a multiple of that"
    }
    return settings.norm.problem(at: site(activation(shape, kind)), settings)?.text
  }

  private static func copyBandwidth(elements: Int, _ precision: Precision) -> Double {
    let source = Tensor.filled([elements], with: 1, precision)
    let target = Tensor.filled([elements], with: 0, precision)
    let times = (0..<12).map { _ in
      let start = monotonicNanoseconds()
      target.write(source)
      return Double(monotonicNanoseconds() - start)
    }
    return Double((precision == .float32 ? 8 : 4) * elements) / MedianInterval(times).median
  }
}

/// Times one norm layer on one tape.
private final class NormTimer {
  private let layer: any Layer
  private let x: Tensor
  private let block: Tensor
  private let residual: Tensor?
  private let rank: Int
  private let watch: DisturbanceWatch
  /// The counted passes.
  var passes: [Timed] = []

  /// One forward and backward pass, in milliseconds.
  struct Timed {
    let forward: Double
    let backward: Double
    var step: PairedSteps.Step
  }

  /// Adds to each pass what disturbed it on other ranks, for which this one may have waited.
  ///
  /// Collective.
  func shareDisturbances(over communicator: any Communicator) throws(CommunicationError) {
    let all = try communicator.allGather(
      passes.map { Int64($0.step.disturbance.causes.rawValue) })
    for i in passes.indices {
      let found = all.indices.map { rank in
        StepDisturbance(StepDisturbance.Causes(rawValue: UInt8(all[rank][i])), rank: rank)
      }
      passes[i].step = PairedSteps.Step(
        milliseconds: passes[i].step.milliseconds, disturbance: found.reduce(.none) { $0.union($1) }
      )
    }
  }

  init(
    _ layer: any Layer, x: Tensor, block: Tensor, fused: Bool, rank: Int, watch: DisturbanceWatch
  ) {
    self.layer = layer
    self.x = x
    self.block = block
    residual = fused ? .repeating(block, shape: x.shape) : nil
    (self.rank, self.watch) = (rank, watch)
  }

  /// The norm, with a residual and a ReLU in the same pass if asked.
  private func pass(_ x: Variable, on tape: Tape) throws -> Variable {
    guard let residual else { return try layer(x, on: tape) }
    return try Activated(layer, .relu)(
      x, adding: tape.input(residual, wantsGradient: true), on: tape)
  }

  func run() throws -> Timed {
    let tape = Tape(.training, precision: x.precision)
    for parameter in layer.parameters { parameter.clearGradient() }
    // As in a network, dy was just written, and only this pass uses it.
    var seed: Tensor? = .repeating(block, shape: x.shape)
    watch.begin()
    let start = monotonicNanoseconds()
    // As in a network, y is passed on and not kept for the backward pass.
    let input = tape.input(x, wantsGradient: true)
    let output = try pass(input, on: tape).gradient
    let middle = monotonicNanoseconds()
    try tape.backward(from: output, seed: seed.take() ?? x)
    let end = monotonicNanoseconds()
    let milliseconds = Double(end - start) / 1e6
    return Timed(
      forward: Double(middle - start) / 1e6, backward: Double(end - middle) / 1e6,
      step: PairedSteps.Step(
        milliseconds: milliseconds,
        disturbance: StepDisturbance(watch.end(milliseconds: milliseconds), rank: rank)))
  }
}

extension Tensor {
  /// Normally distributed numbers, repeated block by block.
  ///
  /// Drawing each number would take longer than what is measured.
  fileprivate static func repeating(_ block: Tensor, shape: Shape) -> Tensor {
    let result = Tensor.uninitialized([shape.count], block.precision)
    for start in stride(from: 0, to: result.count, by: block.count) {
      let end = min(start + block.count, result.count)
      result.samples(start..<end).write(block.samples(0..<end - start))
    }
    return result.reshaped(shape)
  }
}
