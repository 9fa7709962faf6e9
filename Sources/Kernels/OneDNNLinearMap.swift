#if ONEDNN
  import CDNNL
  import LockstepTensors

  /// An affine map of rows by oneDNN's primitives, one a pass, made when first used.
  final class OneDNNLinearMap: LinearMapImplementation {
    private let geometry: LinearGeometry
    private let input: Description
    private let output: Description
    private let plain: Description
    private let wanted: Description
    private let bias: Description
    private lazy var forwardPass = pass(CDNNL_FORWARD, wanted, hint: nil)
    private lazy var dataPass = pass(CDNNL_BACKWARD_DATA, wanted, hint: forwardPass)
    // In the layer's layout: a layout of the primitive's own is 5% faster, and its reorder costs more.
    private lazy var weightsPass = pass(CDNNL_BACKWARD_WEIGHTS, plain, hint: forwardPass)

    init(_ geometry: LinearGeometry) {
      self.geometry = geometry
      let (rows, precision) = (geometry.rows, geometry.precision)
      input = Description([rows, geometry.inputs], precision, CDNNL_PLAIN)
      output = Description([rows, geometry.outputs], precision, CDNNL_PLAIN)
      plain = Description([geometry.outputs, geometry.inputs], .float32, CDNNL_PLAIN)
      wanted = Description([geometry.outputs, geometry.inputs], precision, CDNNL_ANY)
      bias = Description([geometry.outputs], .float32, CDNNL_PLAIN)
    }

    private func pass(_ pass: cdnnl_pass, _ weights: Description, hint: WeightedPass?)
      -> WeightedPass
    {
      let primitive = Primitive("linear map", geometry) {
        cdnnl_inner_product(
          &$0, engine, pass, input.handle, weights.handle, geometry.hasBias ? bias.handle : nil,
          output.handle, hint?.primitive.description)
      }
      return WeightedPass(primitive, pass, plain: plain, keepsCopy: false)
    }

    func forward(_ x: Tensor, weights: Tensor, bias: Tensor?, version: Int, into y: Tensor) {
      cdnnl_use_one_thread()
      let packed = forwardPass.packed(weights, version)
      forwardPass.primitive.run(
        [
          (cdnnl_arg_src(), input.handle, x),
          (cdnnl_arg_weights(), forwardPass.weights, packed),
          (cdnnl_arg_dst(), output.handle, y),
        ] + (bias.map { [(cdnnl_arg_bias(), self.bias.handle, $0)] } ?? []))
    }

    func inputGradient(_ dy: Tensor, weights: Tensor, version: Int, into dx: Tensor) {
      cdnnl_use_one_thread()
      let packed = dataPass.packed(weights, version)
      dataPass.primitive.run(
        [
          (cdnnl_arg_diff_dst(), output.handle, dy),
          (cdnnl_arg_weights(), dataPass.weights, packed),
          (cdnnl_arg_diff_src(), input.handle, dx),
        ])
    }

    func weightGradient(
      _ x: Tensor, _ dy: Tensor, into gradient: Tensor, accumulating: Bool, bias: Tensor?,
      accumulatingBias: Bool
    ) {
      cdnnl_use_one_thread()
      let sum = accumulating ? Tensor.uninitialized(gradient.shape) : gradient
      let biasSum = bias.map { accumulatingBias ? Tensor.uninitialized($0.shape) : $0 }
      weightsPass.unpacked(into: sum) { packed in
        weightsPass.primitive.run(
          [
            (cdnnl_arg_src(), input.handle, x),
            (cdnnl_arg_diff_dst(), output.handle, dy),
            (cdnnl_arg_diff_weights(), weightsPass.weights, packed),
          ] + (biasSum.map { [(cdnnl_arg_diff_bias(), self.bias.handle, $0)] } ?? []))
      }
      if accumulating { Kernel.add(gradient, sum, into: gradient) }
      if accumulatingBias, let bias, let biasSum { Kernel.add(bias, biasSum, into: bias) }
    }
  }

  extension OneDNN {
    /// Whether oneDNN can compute in bfloat16 on this processor, be it by emulation.
    static let canUseBFloat16: Bool = {
      let extents = [16, 16]
      let (x, w) = (
        Description(extents, .bfloat16, CDNNL_PLAIN), Description(extents, .bfloat16, CDNNL_ANY)
      )
      return Primitive.isPossible {
        cdnnl_inner_product(
          &$0, engine, CDNNL_FORWARD, x.handle, w.handle, nil, x.handle, nil)
      }
    }()
  }
#endif
