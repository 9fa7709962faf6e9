import LockstepFloatLoops
import LockstepKernelLoops
public import LockstepKernels
public import LockstepTensors

/// Rows `[…, channels]`, from whose channels a mean each is taken in float64.
public struct Centered: Sendable {
  let x: Tensor
  let means: Storage<Double>

  /// `x` less `means`.
  public init(_ x: Tensor, less means: [Double]) {
    precondition(means.count == x.shape.channels)
    (self.x, self.means) = (x, Storage(means))
  }

  func rows<E: TensorElement>(_: E.Type) -> CenteredRows<E> {
    CenteredRows(E.source(x), less: means.pointer)
  }
}

extension Kernel {
  /// Adds to `sums` `[groups · width² + channels]` Σ a_i · b_j of the channels i and j of each group, then
  /// Σ b, over rows, in float64.
  public static func addGroupProducts(
    _ a: Centered, _ b: Centered, groups: Int, to sums: Storage<Double>
  ) {
    let (channels, width) = (a.x.shape.channels, a.x.shape.channels / groups)
    precondition(a.x.count == b.x.count && a.x.precision == b.x.precision)
    precondition(width * groups == channels && sums.count >= channels * (width + 1))
    guard a.x.count > 0 else { return }
    let groups = ChannelGroups(count: groups, width: width)
    let scratch = Storage<Double>(count: groups.scratchCount)
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.groupProducts(
        a.rows(E.self), b.rows(E.self), a.x.shape.rows, groups, scratch.pointer, sums.pointer)
    }
    withExtendedLifetime(scratch) { run(a.x.element) }
  }

  /// a · A + bias by groups of channels, or a · A + b · B + bias, summed in float64 and rounded once.
  ///
  /// A and B are `[groups, width, width]`.
  public static func groupTransform(
    _ a: Centered, by left: [Double], adding other: (b: Centered, right: [Double])? = nil,
    bias: [Double], groups: Int
  ) -> Tensor {
    let (channels, width) = (a.x.shape.channels, a.x.shape.channels / groups)
    let (b, right) = other ?? (a, left)
    precondition(a.x.count == b.x.count && a.x.precision == b.x.precision)
    precondition(width * groups == channels && bias.count == channels)
    precondition(left.count == channels * width && right.count == channels * width)
    let y = Tensor.uninitialized(a.x.shape, a.x.precision)
    guard y.count > 0 else { return y }
    let groups = ChannelGroups(count: groups, width: width)
    let all = (
      Storage(left), Storage(right), Storage(bias), Storage<Double>(count: groups.scratchCount)
    )
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.groupTransform(
        a.rows(E.self), all.0.pointer, b.rows(E.self), all.1.pointer, other != nil, all.2.pointer,
        a.x.shape.rows, groups, all.3.pointer, E.target(y))
    }
    withExtendedLifetime(all) { run(a.x.element) }
    return y
  }

  /// The eigenvalues of a symmetric matrix `[size, size]`, not sorted, and the eigenvectors, a row each.
  public static func symmetricEigenvalues(_ matrix: [Double], size: Int) -> (
    values: [Double], vectors: [Double]
  ) {
    precondition(matrix.count == size * size)
    let (a, vectors) = (Storage(matrix), Storage<Double>(count: size * size))
    jacobiEigenvalues(a.pointer, size, vectors.pointer)
    return ((0..<size).map { a[$0 * size + $0] }, vectors.copy(0..<size * size))
  }
}
