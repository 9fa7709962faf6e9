import LockstepAutograd
import LockstepTensors
import Testing

/// What a norm gave forward and backward, and what it remembers.
struct Pass: Sendable {
  /// The output.
  let y: [Float]
  /// The input's gradient.
  let dx: [Float]
  /// The parameters' gradients, by the last part of their names.
  let gradients: [String: [Float]]
  /// The running statistics and the count of batches.
  let state: [[Float]]

  /// Runs `layer` forward on `x` and backward from `dy`.
  ///
  /// What has to look between the two, such as a count of collectives, does it in `between`.
  init(
    _ layer: any Layer, _ x: Tensor, _ dy: Tensor, validRows: [Int]? = nil,
    between: () -> Void = {}
  ) throws {
    let tape = Tape(.training, validRows: validRows)
    var flowed: Tensor?
    let input = tape.record(x, inputPullback: { dx, _ in flowed = dx.copy() })
    let output = try layer(input, on: tape)
    y = output.value.elements
    between()
    for parameter in layer.parameters { parameter.clearGradient() }
    try tape.backward(from: output.gradient, seed: dy.copy())
    dx = try #require(flowed, "no gradient reached x").elements
    gradients = Dictionary(
      uniqueKeysWithValues: layer.parameters.map {
        ($0.name.split(separator: ".").last.map(String.init) ?? "", $0.gradient.elements)
      })
    state =
      layer.buffers.map(\.value.elements) + layer.counters.map { [Float($0.value)] }
  }
}

/// What `layer` gives in evaluation.
func evaluated(_ layer: any Layer, _ x: Tensor) throws -> Variable {
  let tape = Tape(.evaluation)
  return try layer(tape.input(x, wantsGradient: true), on: tape)
}

/// Normally distributed elements around `mean`.
func random(_ shape: Shape, mean: Float = 0, seed: UInt64) -> Tensor {
  var stream = RandomStream(seed: seed, site: .synthetic)
  return Tensor((0..<shape.count).map { _ in mean + stream.normal() }, shape: shape)
}

/// Gives a norm the random gain and bias of a seed, so that neither is 1 or 0.
func randomize(_ layer: any Layer, seed: UInt64 = 5) {
  for (i, parameter) in layer.parameters.enumerated() {
    let mean: Float = i == 0 ? 1 : 0
    parameter.value.write(random(parameter.value.shape, mean: mean, seed: seed + UInt64(i)))
  }
}

/// Expects that a and b differ by at most `tolerance`, relatively above 1.
func expectClose(
  _ a: some Collection<some BinaryFloatingPoint>, _ b: some Collection<some BinaryFloatingPoint>,
  tolerance: Double, _ what: String, sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(a.count == b.count, "\(what)", sourceLocation: sourceLocation)
  let errors = zip(a, b).map { abs(Double($0) - Double($1)) / max(1, abs(Double($1))) }
  // Written so that a NaN is an error too.
  #expect(
    errors.allSatisfy { $0 <= tolerance }, "\(what): worst error \(errors.max() ?? 0)",
    sourceLocation: sourceLocation)
}
