import Foundation
import LockstepFloatLoops
import LockstepKernelLoops
import LockstepKernels
import LockstepTensors
import Testing

/// Products of bfloat16 activations: oneDNN's against float32 products of the same rounded numbers.
@Suite struct BFloat16ProductsTests {
  /// A result's rounding, and sums taken in another order.
  private static let tolerance = 1.0 / 100

  private func rounded(_ count: Int, seed: UInt64, _ shape: Shape) -> Tensor {
    Kernel.converted(Tensor(random(count, seed: seed), shape: shape), to: .bfloat16)
  }

  private static let geometries = [
    ([2, 8, 8, 16], [16, 16, 3, 3], 1, 1), ([2, 7, 5, 3], [5, 3, 3, 3], 1, 1),
    ([3, 9, 7, 16], [32, 16, 3, 3], 2, 1), ([2, 7, 7, 16], [32, 16, 1, 1], 2, 0),
    ([0, 8, 8, 3], [4, 3, 3, 3], 1, 1),
  ].map {
    ConvolutionGeometry(
      input: Shape($0), weights: Shape($1), stride: $2, padding: $3, precision: .bfloat16)
  }

  @Test(arguments: geometries)
  func convolutionsMatchTheReference(geometry: ConvolutionGeometry) {
    let x = rounded(geometry.input.count, seed: 1, geometry.input)
    let dy = rounded(geometry.output.count, seed: 2, geometry.output)
    let weights = Tensor(random(geometry.weights.count, seed: 3), shape: geometry.weights)
    func passes(reference: Bool) -> [Tensor] {
      let convolution = Convolution(geometry, reference: reference)
      let gradient = Tensor.filled(geometry.weights, with: 1)
      convolution.weightGradient(x, dy, into: gradient, accumulating: true)
      return [
        convolution.forward(x, weights: weights),
        convolution.inputGradient(dy, weights: weights), gradient,
      ]
    }
    for (found, expected) in zip(passes(reference: false), passes(reference: true)) {
      #expect(found.precision == expected.precision)
      expectClose(
        found.elements, expected.elements, tolerance: Self.tolerance, "\(geometry)")
    }
  }

  @Test(arguments: [(0, 5, 3), (1, 16, 16), (7, 33, 65), (64, 256, 130)], [true, false])
  func linearMapsMatchTheReference(sizes: (Int, Int, Int), hasBias: Bool) {
    let (rows, inputs, outputs) = sizes
    let geometry = LinearGeometry(
      rows: rows, inputs: inputs, outputs: outputs, hasBias: hasBias, precision: .bfloat16)
    let x = rounded(rows * inputs, seed: 1, [rows, inputs])
    let dy = rounded(rows * outputs, seed: 2, [rows, outputs])
    let weights = Tensor(
      random(inputs * outputs, seed: 3).map { $0 / 16 }, shape: [outputs, inputs])
    let bias = hasBias ? Tensor(random(outputs, seed: 4), shape: [outputs]) : nil
    for accumulating in [false, true] {
      func passes(reference: Bool) -> [Tensor] {
        let map = LinearMap(geometry, reference: reference)
        let gradient = Tensor.filled([outputs, inputs], with: 1)
        let biasGradient = hasBias ? Tensor.filled([outputs], with: 1) : nil
        map.weightGradient(
          x, dy, into: gradient, accumulating: accumulating, bias: biasGradient,
          accumulatingBias: accumulating)
        return [
          map.forward(x, weights: weights, bias: bias),
          map.inputGradient(dy, weights: weights, shape: [rows, inputs]), gradient,
        ] + (biasGradient.map { [$0] } ?? [])
      }
      for (found, expected) in zip(passes(reference: false), passes(reference: true)) {
        #expect(found.precision == expected.precision && found.shape == expected.shape)
        expectClose(
          found.elements, expected.elements, tolerance: Self.tolerance, "\(geometry)")
      }
    }
  }

  /// Lengths on both sides of a vector and of a tile, against float32 attention on the same numbers.
  @Test(arguments: [1, 5, 16, 127, 128, 129, 300], [0, 2] as [Float])
  func attentionMatchesFloat32(length: Int, cap: Float) {
    let (samples, heads, size) = (2, 2, 8)
    let width = heads * size
    let geometry = AttentionGeometry(heads: heads, size: size, scale: 0.4, cap: cap)
    let narrow = rounded(samples * length * 3 * width, seed: 1, [samples, length, 3 * width])
    let dyNarrow = rounded(samples * length * width, seed: 2, [samples, length, width])
    func passes(_ qkv: Tensor, _ dy: Tensor) -> [[Float]] {
      let attention = Attention(geometry)
      let parts = (0..<3).map { HeadColumns(qkv, first: $0 * width) }
      let (y, logSums) = attention.forward(parts[0], parts[1], parts[2])
      let dx = Tensor.uninitialized(qkv.shape, qkv.precision)
      let gradients = (0..<3).map { HeadColumns(dx, first: $0 * width) }
      attention.gradients(
        parts[0], parts[1], parts[2], y: y, logSums: logSums, dy, to: gradients[0], gradients[1],
        gradients[2])
      return [y.elements, logSums.elements, dx.elements]
    }
    let found = passes(narrow, dyNarrow)
    let expected = passes(
      Kernel.converted(narrow, to: .float32), Kernel.converted(dyNarrow, to: .float32))
    for (i, name) in ["y", "log sums", "dx"].enumerated() {
      expectClose(found[i], expected[i], tolerance: 0.04, "\(name) of length \(length)")
    }
  }
}
