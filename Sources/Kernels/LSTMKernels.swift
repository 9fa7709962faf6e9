import LockstepFloatLoops
public import LockstepTensors

// Float32 alone: gates `[rows, 4 · width]` in the order i, f, g, o, all else `[rows, width]`.

extension Kernel {
  /// i, f, o = σ(a) and g = tanh a, written over a in `gates`, and `next` = f · cell + i · g.
  public static func lstmCell(_ gates: Tensor, _ cell: Tensor, into next: Tensor) {
    check(gates, cell, next)
    table.lstmCell(gates.output, cell.input, cell.shape.rows, cell.shape.channels, next.output)
  }

  /// `bent` = tanh z and h = o · tanh z.
  public static func lstmOutput(_ gates: Tensor, _ z: Tensor, into bent: Tensor, _ h: Tensor) {
    check(gates, z, bent, h)
    table.lstmOutput(
      gates.input, z.input, z.shape.rows, z.shape.channels, bent.output, h.output)
  }

  /// The backward pass of ``lstmOutput(_:_:into:_:)``: o's part of `da`, and dz.
  public static func lstmOutputGradient(
    _ gates: Tensor, _ bent: Tensor, _ dh: Tensor, into da: Tensor, _ dz: Tensor
  ) {
    check(gates, bent, dh, dz)
    precondition(da.count == gates.count)
    table.lstmOutputGradient(
      gates.input, bent.input, dh.input, dh.shape.rows, dh.shape.channels, da.output, dz.output)
  }

  /// The backward pass of ``lstmCell(_:_:into:)``: the parts of `da` that belong to i, f and g; `dcell`, of the
  /// next cell, has `dz` added and becomes that of `cell`.
  public static func lstmCellGradient(
    _ gates: Tensor, _ cell: Tensor, _ dz: Tensor, into da: Tensor, _ dcell: Tensor
  ) {
    check(gates, cell, dz, dcell)
    precondition(da.count == gates.count)
    table.lstmCellGradient(
      gates.input, cell.input, dz.input, cell.shape.rows, cell.shape.channels, da.output,
      dcell.output)
  }

  private static func check(_ gates: Tensor, _ others: Tensor...) {
    precondition(others.allSatisfy { 4 * $0.count == gates.count && $0.shape == others[0].shape })
  }
}
