#if ONEDNN
  import CDNNL
  import LockstepOneDNNPrimitives
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
    // In the layer's layout: a layout of the primitive's own would have to be reordered.
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
      return WeightedPass(primitive, pass, plain: plain)
    }

    func forward(_ x: Tensor, weights: Tensor, bias: Tensor?, into y: Tensor) {
      cdnnl_use_one_thread()
      let packed = forwardPass.weights.read(weights)
      forwardPass.primitive.run(
        [
          (cdnnl_arg_src(), input.handle, x),
          packed,
          (cdnnl_arg_dst(), output.handle, y),
        ] + (bias.map { [(cdnnl_arg_bias(), self.bias.handle, $0)] } ?? []))
    }

    func inputGradient(_ dy: Tensor, weights: Tensor, into dx: Tensor) {
      cdnnl_use_one_thread()
      let packed = dataPass.weights.read(weights)
      dataPass.primitive.run(
        [
          (cdnnl_arg_diff_dst(), output.handle, dy),
          packed,
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
      weightsPass.weights.write(into: sum) { packed in
        weightsPass.primitive.run(
          [
            (cdnnl_arg_src(), input.handle, x),
            (cdnnl_arg_diff_dst(), output.handle, dy),
            packed,
          ] + (biasSum.map { [(cdnnl_arg_diff_bias(), self.bias.handle, $0)] } ?? []))
      }
      if accumulating { Kernel.add(gradient, sum, into: gradient) }
      if accumulatingBias, let bias, let biasSum { Kernel.add(bias, biasSum, into: bias) }
    }
  }

  extension OneDNN {
    /// Whether oneDNN can compute all that training in bfloat16 needs on this processor, be it by emulation.
    ///
    /// Some processors and versions have the forward passes alone.
    static let canUseBFloat16: Bool = {
      let x = Description([16, 16], .bfloat16, CDNNL_PLAIN)
      let (narrow, wide) = (
        Description([16, 16], .bfloat16, CDNNL_ANY), Description([16, 16], .float32, CDNNL_PLAIN)
      )
      let image = Description([1, 16, 4, 4], .bfloat16, CDNNL_CHANNELS_LAST)
      let (filter, filterGradient) = (
        Description([16, 16, 3, 3], .bfloat16, CDNNL_ANY),
        Description([16, 16, 3, 3], .float32, CDNNL_ANY)
      )
      func areAll(_ make: (inout dnnl_primitive_desc_t?, cdnnl_pass, Primitive?) -> dnnl_status_t)
        -> Bool
      {
        guard let forward = Primitive.ifPossible({ make(&$0, CDNNL_FORWARD, nil) }) else {
          return false
        }
        return [CDNNL_BACKWARD_DATA, CDNNL_BACKWARD_WEIGHTS].allSatisfy { pass in
          Primitive.ifPossible { make(&$0, pass, forward) } != nil
        }
      }
      let hasLinearMaps = areAll { made, pass, hint in
        let weights = pass == CDNNL_BACKWARD_WEIGHTS ? wide : narrow
        return cdnnl_inner_product(
          &made, engine, pass, x.handle, weights.handle, nil, x.handle, hint?.description)
      }
      let hasConvolutions = areAll { made, pass, hint in
        let weights = pass == CDNNL_BACKWARD_WEIGHTS ? filterGradient : filter
        return cdnnl_convolution(
          &made, engine, pass, CDNNL_DIRECT, image.handle, weights.handle, image.handle, 1, 1,
          hint?.description, nil)
      }
      let product = Primitive.ifPossible {
        cdnnl_matmul(&$0, engine, x.handle, x.handle, wide.handle, 1)
      }
      return hasLinearMaps && hasConvolutions && product != nil
    }()
  }
#endif
