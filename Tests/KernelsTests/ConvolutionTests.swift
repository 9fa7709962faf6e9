import LockstepKernels
import LockstepTensors
import Testing

@Suite struct ConvolutionTests {
  /// A convolution and its two gradients by definition, in float64: one pass over every product.
  private struct Definition {
    var y: [Double]
    var dx: [Double]
    var dw: [Double]

    init(_ geometry: ConvolutionGeometry, _ x: [Float], _ w: [Float], _ dy: [Float]) {
      let (a, f, b) = (geometry.input, geometry.weights, geometry.output)
      y = Array(repeating: 0, count: b.count)
      dx = Array(repeating: 0, count: a.count)
      dw = Array(repeating: 0, count: f.count)
      for output in dy.indices {
        let (o, column) = (output % b[3], output / b[3] % b[2])
        let (row, n) = (output / b[3] / b[2] % b[1], output / b[3] / b[2] / b[1])
        for weight in 0..<f[1] * f[2] * f[3] {
          let (c, i, j) = (weight / f[3] / f[2], weight / f[3] % f[2], weight % f[3])
          let h = row * geometry.stride + i - geometry.padding
          let v = column * geometry.stride + j - geometry.padding
          guard h >= 0, h < a[1], v >= 0, v < a[2] else { continue }
          let source = ((n * a[1] + h) * a[2] + v) * a[3] + c
          let parameter = o * f[1] * f[2] * f[3] + weight
          y[output] += Double(x[source]) * Double(w[parameter])
          dx[source] += Double(dy[output]) * Double(w[parameter])
          dw[parameter] += Double(dy[output]) * Double(x[source])
        }
      }
    }
  }

  /// Strides 1 and 2, kernels 1 and 3, odd sizes, one channel and uneven numbers of them.
  private static let geometries = [
    ([2, 8, 8, 16], [16, 16, 3, 3], 1, 1), ([2, 7, 5, 3], [5, 3, 3, 3], 1, 1),
    ([3, 9, 7, 16], [32, 16, 3, 3], 2, 1), ([1, 5, 5, 1], [7, 1, 3, 3], 2, 0),
    ([2, 7, 7, 16], [32, 16, 1, 1], 2, 0), ([2, 4, 6, 17], [9, 17, 1, 1], 1, 0),
    ([0, 8, 8, 3], [4, 3, 3, 3], 1, 1),
  ].map {
    ConvolutionGeometry(input: Shape($0), weights: Shape($1), stride: $2, padding: $3)
  }

  private func expectDefinition(_ geometry: ConvolutionGeometry, reference: Bool) {
    let convolution = Convolution(geometry, reference: reference)
    let x = random(geometry.input.count, seed: 1)
    let dy = random(geometry.output.count, seed: 2)
    let before = random(geometry.weights.count, seed: 3)
    let (input, seed) = (Tensor(x, shape: geometry.input), Tensor(dy, shape: geometry.output))
    let weights = Tensor.uninitialized(geometry.weights)
    // A second version of the weights must not meet the first one's packed copy.
    for version in 0..<2 {
      let w = random(weights.count, seed: 4 + UInt64(version))
      weights.write(w)
      let expected = Definition(geometry, x, w, dy)
      expectClose(
        convolution.forward(input, weights: weights, version: version).elements, expected.y,
        tolerance: 5e-5, "y of \(geometry)")
      expectClose(
        convolution.inputGradient(seed, weights: weights, version: version).elements, expected.dx,
        tolerance: 5e-5, "dx of \(geometry)")
      let gradient = Tensor(before, shape: geometry.weights)
      convolution.weightGradient(input, seed, into: gradient, accumulating: false)
      expectClose(gradient.elements, expected.dw, tolerance: 5e-5, "dw of \(geometry)")
      gradient.write(before)
      convolution.weightGradient(input, seed, into: gradient, accumulating: true)
      expectClose(
        gradient.elements, zip(before, expected.dw).map { Double($0) + $1 }, tolerance: 5e-5,
        "accumulated dw of \(geometry)")
    }
  }

  @Test(arguments: geometries)
  func theReferenceFollowsTheDefinition(geometry: ConvolutionGeometry) {
    expectDefinition(geometry, reference: true)
  }

  @Test(.enabled(if: OneDNN.isUsed, "this build or run has no oneDNN"), arguments: geometries)
  func oneDNNFollowsTheDefinition(geometry: ConvolutionGeometry) {
    expectDefinition(geometry, reference: false)
  }
}
