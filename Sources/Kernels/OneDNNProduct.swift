#if ONEDNN
  import CDNNL
  import LockstepOneDNNPrimitives
  import LockstepTensors

  /// Products of as many matrices, c = a · b or c + a · b, by a primitive of oneDNN's.
  final class BatchedProduct {
    /// How the matrices of one operand lie in memory.
    struct Layout: Hashable {
      /// How far apart matrices are, in elements.
      let head: Int
      /// How far apart rows are.
      let row: Int
      /// How far apart columns are.
      let column: Int
      /// What the elements are.
      let precision: Precision
    }

    /// a `[batch, m, k]`, b `[batch, k, n]`, c `[batch, m, n]`.
    struct Geometry: Hashable {
      let batch: Int
      let m: Int
      let n: Int
      let k: Int
      let a: Layout
      let b: Layout
      let c: Layout
      let accumulates: Bool
    }

    private let a: Description
    private let b: Description
    private let c: Description
    private let primitive: Primitive

    init(_ geometry: Geometry) {
      let (batch, m, n, k) = (geometry.batch, geometry.m, geometry.n, geometry.k)
      let a = Description([batch, m, k], geometry.a)
      let b = Description([batch, k, n], geometry.b)
      let c = Description([batch, m, n], geometry.c)
      primitive = Primitive("matrix product", geometry) {
        cdnnl_matmul(&$0, engine, a.handle, b.handle, c.handle, geometry.accumulates ? 1 : 0)
      }
      (self.a, self.b, self.c) = (a, b, c)
    }

    /// Multiplies what lies at three addresses.
    func run(
      _ left: UnsafeMutableRawPointer, _ right: UnsafeMutableRawPointer,
      into result: UnsafeMutableRawPointer
    ) {
      primitive.run(at: [
        (cdnnl_arg_src(), a.handle, left), (cdnnl_arg_weights(), b.handle, right),
        (cdnnl_arg_dst(), c.handle, result),
      ])
    }
  }

  extension Description {
    /// Matrices that lie in memory as `layout` says.
    fileprivate convenience init(_ extents: [Int], _ layout: BatchedProduct.Layout) {
      self.init(extents, layout.precision, strides: [layout.head, layout.row, layout.column])
    }
  }
#endif
