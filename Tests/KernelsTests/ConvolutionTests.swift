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

  /// Enough tiles and channels for Winograd's algorithm, with images that tiles do and do not fill, and with
  /// channels that fill no whole vector.
  private static let largeGeometries = [
    ([8, 16, 16, 32], [32, 32, 3, 3], 1, 1), ([4, 15, 16, 80], [96, 80, 3, 3], 1, 1),
    ([4, 13, 15, 90], [88, 90, 3, 3], 1, 1),
  ].map {
    ConvolutionGeometry(input: Shape($0), weights: Shape($1), stride: $2, padding: $3)
  }

  private func expectDefinition(
    _ geometry: ConvolutionGeometry, reference: Bool, tolerance: Double = 5e-5
  ) {
    let convolution = Convolution(geometry, reference: reference)
    let x = random(geometry.input.count, seed: 1)
    let dy = random(geometry.output.count, seed: 2)
    let before = random(geometry.weights.count, seed: 3)
    let input = Tensor(x, shape: geometry.input)
    let gradientOfOutput = Tensor(dy, shape: geometry.output)
    let weights = Tensor.uninitialized(geometry.weights)
    // Nothing of the first weights may be left for the second.
    for seed in UInt64(4)..<6 {
      let w = random(weights.count, seed: seed)
      weights.write(w)
      let expected = Definition(geometry, x, w, dy)
      expectClose(
        convolution.forward(input, weights: weights).elements, expected.y,
        tolerance: tolerance, "y of \(geometry)")
      expectClose(
        convolution.inputGradient(gradientOfOutput, weights: weights).elements, expected.dx,
        tolerance: tolerance, "dx of \(geometry)")
      let gradient = Tensor(before, shape: geometry.weights)
      convolution.weightGradient(
        input, gradientOfOutput, into: gradient, accumulating: false)
      expectClose(gradient.elements, expected.dw, tolerance: tolerance, "dw of \(geometry)")
      gradient.write(before)
      convolution.weightGradient(
        input, gradientOfOutput, into: gradient, accumulating: true)
      expectClose(
        gradient.elements, zip(before, expected.dw).map { Double($0) + $1 }, tolerance: tolerance,
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

  @Test(
    .enabled(if: OneDNN.isUsed, "this build or run has no oneDNN"),
    .enabled(if: WinogradAlgorithm.isUsed, "LOCKSTEP_WINOGRAD is off"), arguments: largeGeometries)
  func winogradsAlgorithmFollowsTheDefinition(geometry: ConvolutionGeometry) {
    #expect(WinogradAlgorithm.suits(geometry, isWeightGradient: false))
    // Sums are as large as 100 here.
    expectDefinition(geometry, reference: false, tolerance: 3e-4)
  }

  @Test(.enabled(if: WinogradAlgorithm.isUsed, "LOCKSTEP_WINOGRAD is off"))
  func winogradsAlgorithmIsForLargerImagesInFloat32AndThreeByThreeAlone() {
    func suits(
      _ kernel: Int, stride: Int = 1, padding: Int, pixels: Int = 16,
      _ precision: Precision = .float32
    ) -> Bool {
      WinogradAlgorithm.suits(
        ConvolutionGeometry(
          input: [64, pixels, pixels, 128], weights: [128, 128, kernel, kernel], stride: stride,
          padding: padding, precision: precision), isWeightGradient: true)
    }
    #expect(suits(3, padding: 1))
    #expect(!suits(3, padding: 1, .bfloat16))
    #expect(!suits(3, padding: 1, pixels: 4))
    #expect(!suits(3, stride: 2, padding: 1))
    #expect(!suits(3, padding: 0))
    #expect(!suits(1, padding: 0))
    #expect(!suits(5, padding: 1))
  }
}
