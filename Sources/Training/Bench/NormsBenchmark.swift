import Autograd
import Collectives
import Kernels
public import Measurement
public import Norms
import Tensors

/// What `bench norms` prints: every norm's forward and backward pass by itself.
public struct NormsBenchmark: Codable, Sendable {
  /// One norm on one shape.
  public struct Result: Codable, Sendable {
    /// The kind of norm.
    public let norm: String
    /// The shape in PyTorch's order.
    public let shape: [Int]
    /// Forward, in milliseconds.
    public let forward_ms: MedianInterval
    /// Backward, in milliseconds.
    public let backward_ms: MedianInterval
    /// Both, in milliseconds.
    public let total_ms: MedianInterval
    /// The bytes of x, y, x, dy and dx, each moved once, over the median total, in GB/s.
    public let gigabytes_per_s: Double
  }

  /// The number of ranks; all measure at once.
  public let ranks: Int
  /// What one rank reaches copying the largest shape, bytes read and written, in GB/s.
  public let copy_gigabytes_per_s: Double
  /// One result for each shape and norm.
  public let results: [Result]

  /// Times each norm on each shape, the norms in turn, `rounds` times.
  ///
  /// Collective.
  ///
  /// Shapes are in PyTorch's order: `[rows, channels]` or `[N, C, H, W]`. Two axes are rows of
  /// channels; instance norm, which needs positions, takes 128 rows as a sample.
  public init(
    norms: [NormKind], shapes: [[Int]], rounds: Int, context: RankContext
  ) throws {
    var results: [Result] = []
    for shape in shapes {
      var random = RandomStream(seed: 1, site: .synthetic)
      let block = Tensor((0..<65_521).map { _ in random.normal() }, shape: [65_521])
      let x = Tensor.repeating(block, shape: Shape(shape))
      let benches = try norms.map { kind in
        let shape = Self.activation(shape, kind)
        var settings = NormSettings(kind)
        settings.epsilon = 1e-5
        let layer = makeNorm(
          "norm", channels: shape.channels, settings,
          synchronized: try context.scope(of: .all))
        return NormTimer(layer, x: x.reshaped(shape), block: block)
      }
      for round in 0..<rounds + 2 {
        for bench in benches { try bench.run(keeping: round >= 2) }
      }
      let bytes = 5.0 * Double(x.count) * 4
      for (kind, bench) in zip(norms, benches) {
        let total = MedianInterval(zip(bench.forward, bench.backward).map { $0 + $1 })
        results.append(
          Result(
            norm: kind.rawValue, shape: shape, forward_ms: MedianInterval(bench.forward),
            backward_ms: MedianInterval(bench.backward), total_ms: total,
            gigabytes_per_s: bytes / total.median / 1e6))
      }
    }
    ranks = context.size
    copy_gigabytes_per_s = Self.copyBandwidth(elements: shapes.map { $0.reduce(1, *) }.max() ?? 1)
    self.results = results
  }

  /// The channels-last shape that a norm sees.
  static func activation(_ shape: [Int], _ kind: NormKind) -> Shape {
    if shape.count == 2, kind == .instance, shape[0] % 128 == 0 {
      return [shape[0] / 128, 128, shape[1]]
    }
    guard shape.count > 2 else { return Shape(shape) }
    return Shape([shape[0]] + shape[2...] + [shape[1]])
  }

  private static func copyBandwidth(elements: Int) -> Double {
    let source = Tensor.filled([elements], with: 1)
    let target = Tensor.filled([elements], with: 0)
    let times = (0..<12).map { _ in
      let start = monotonicNanoseconds()
      target.write(source)
      return Double(monotonicNanoseconds() - start)
    }
    return 8 * Double(elements) / MedianInterval(times).median
  }
}

/// Times one norm layer on one tape.
private final class NormTimer {
  private let layer: any Layer
  private let x: Tensor
  private let block: Tensor
  private(set) var forward: [Double] = []
  private(set) var backward: [Double] = []

  init(_ layer: any Layer, x: Tensor, block: Tensor) {
    self.layer = layer
    self.x = x
    self.block = block
  }

  func run(keeping: Bool) throws {
    let tape = Tape(.training)
    for parameter in layer.parameters { parameter.clearGradient() }
    // As in a network, dy was written a moment ago for this pass alone.
    var seed: Tensor? = .repeating(block, shape: x.shape)
    let start = monotonicNanoseconds()
    // As in a network, y goes on and is not kept for the backward pass.
    let output = try layer(tape.input(x, wantsGradient: true), on: tape).gradient
    let middle = monotonicNanoseconds()
    try tape.backward(from: output, seed: seed.take() ?? x)
    let end = monotonicNanoseconds()
    if keeping {
      forward.append(Double(middle - start) / 1e6)
      backward.append(Double(end - middle) / 1e6)
    }
  }
}

extension Tensor {
  /// Normal numbers, repeating a block of them: drawing each one would take longer than what is
  /// measured.
  fileprivate static func repeating(_ block: Tensor, shape: Shape) -> Tensor {
    let result = Tensor.uninitialized(shape)
    let zeros = Tensor.zeros(block.shape)
    for start in stride(from: 0, to: result.count, by: block.count) {
      let piece: Shape = [min(block.count, result.count - start)]
      Kernel.add(
        Tensor(block.storage, shape: piece), Tensor(zeros.storage, shape: piece),
        into: Tensor(result.storage, offset: start, shape: piece))
    }
    return result
  }
}
