import LockstepFloatLoops
import LockstepKernelLoops
import LockstepTensors

/// A convolution as a matrix product over unfolded patches: for builds without oneDNN, and the
/// reference that oneDNN's is tested against.
///
///     y `[N·H′·W′, O]` = patches `[N·H′·W′, kh·kw·C]` · weights `[kh·kw·C, O]`
struct ReferenceConvolution: ConvolutionImplementation {
  private let geometry: ConvolutionGeometry

  init(_ geometry: ConvolutionGeometry) { self.geometry = geometry }

  private var sample: (rows: Int, width: Int) {
    let (y, w) = (geometry.output, geometry.weights)
    return (y[1] * y[2], w[1] * w[2] * w[3])
  }

  func forward(_ x: Tensor, weights: Tensor) -> Tensor {
    let y = Tensor.uninitialized(geometry.output)
    let matrix = unfolded(weights)
    let patches = Tensor.uninitialized([sample.rows, sample.width])
    defer { withExtendedLifetime((matrix, patches)) {} }
    for n in 0..<geometry.input[0] {
      gather(x.samples(n..<n + 1), into: patches)
      Kernel.table.matrixProduct(
        patches.input, matrix.input, sample.rows, geometry.weights[0], sample.width, false,
        y.samples(n..<n + 1).output)
    }
    return y
  }

  func inputGradient(_ dy: Tensor, weights: Tensor) -> Tensor {
    let dx = Tensor.zeros(geometry.input)
    let matrix = Operand.transpose(unfolded(weights)).packed
    let patches = Tensor.uninitialized([sample.rows, sample.width])
    defer { withExtendedLifetime((matrix, patches)) {} }
    for n in 0..<geometry.input[0] {
      Kernel.table.matrixProduct(
        dy.samples(n..<n + 1).input, matrix.input, sample.rows, sample.width, geometry.weights[0],
        false, patches.output)
      scatter(patches, into: dx.samples(n..<n + 1))
    }
    return dx
  }

  func weightGradient(_ x: Tensor, _ dy: Tensor, into gradient: Tensor) {
    let outputs = geometry.weights[0]
    let patches = Tensor.uninitialized([sample.rows, sample.width])
    let matrix = Tensor.zeros([sample.width, outputs])
    defer { withExtendedLifetime((matrix, patches)) {} }
    for n in 0..<geometry.input[0] {
      gather(x.samples(n..<n + 1), into: patches)
      let transposed = Operand.transpose(patches).packed
      withExtendedLifetime(transposed) {
        Kernel.table.matrixProduct(
          transposed.input, dy.samples(n..<n + 1).input, sample.width, outputs, sample.rows, true,
          matrix.output)
      }
    }
    eachWeight { weight, row, output in
      gradient.output[weight] = matrix.input[row * outputs + output]
    }
  }

  /// The weights as `[kh·kw·C, O]`.
  private func unfolded(_ weights: Tensor) -> Tensor {
    let outputs = geometry.weights[0]
    let matrix = Tensor.uninitialized([sample.width, outputs])
    eachWeight { weight, row, output in
      matrix.output[row * outputs + output] = weights.input[weight]
    }
    return matrix
  }

  /// Every weight's index in `[O, C, kh, kw]`, with its row and column in `[kh·kw·C, O]`.
  private func eachWeight(_ body: (_ weight: Int, _ row: Int, _ output: Int) -> Void) {
    let w = geometry.weights
    let area = w[2] * w[3]
    for o in 0..<w[0] {
      for c in 0..<w[1] {
        for k in 0..<area { body((o * w[1] + c) * area + k, k * w[1] + c, o) }
      }
    }
  }

  private func gather(_ x: Tensor, into patches: Tensor) {
    eachPixel { patch, pixel in
      let target = patches.output + patch
      if let pixel {
        target.update(from: x.input + pixel, count: geometry.input[3])
      } else {
        target.update(repeating: 0, count: geometry.input[3])
      }
    }
  }

  private func scatter(_ patches: Tensor, into dx: Tensor) {
    eachPixel { patch, pixel in
      guard let pixel else { return }
      let target = dx.output + pixel
      Kernel.table.float32.add(target, patches.input + patch, geometry.input[3], target)
    }
  }

  /// Every pixel of every patch: where its channels begin in the patches, and in the image, or
  /// nil where it lies in the padding.
  private func eachPixel(_ body: (_ patch: Int, _ pixel: Int?) -> Void) {
    let (x, w, y) = (geometry.input, geometry.weights, geometry.output)
    var patch = 0
    for row in 0..<y[1] {
      for column in 0..<y[2] {
        for i in 0..<w[2] {
          let h = row * geometry.stride + i - geometry.padding
          for j in 0..<w[3] {
            let v = column * geometry.stride + j - geometry.padding
            let inside = h >= 0 && h < x[1] && v >= 0 && v < x[2]
            body(patch, inside ? (h * x[2] + v) * x[3] : nil)
            patch += x[3]
          }
        }
      }
    }
  }
}
