#if ONEDNN
  import CDNNL
  import LockstepTensors

  /// A convolution by oneDNN's primitives, one a pass, made when first used.
  final class OneDNNConvolution: ConvolutionImplementation {
    private let geometry: ConvolutionGeometry
    private let input: Description
    private let output: Description
    private let plain: Description
    private let wanted: Description
    private let wantedGradient: Description
    private lazy var forwardPass = pass(CDNNL_FORWARD, hint: nil)
    private lazy var dataPass = pass(CDNNL_BACKWARD_DATA, hint: forwardPass)
    private lazy var weightsPass = pass(CDNNL_BACKWARD_WEIGHTS, hint: forwardPass)

    init(_ geometry: ConvolutionGeometry) {
      self.geometry = geometry
      let (x, y, w) = (geometry.input, geometry.output, geometry.weights.dimensions)
      let precision = geometry.precision
      // oneDNN names extents in the order N, C, H, W whatever the layout.
      input = Description([x[0], x[3], x[1], x[2]], precision, CDNNL_CHANNELS_LAST)
      output = Description([y[0], y[3], y[1], y[2]], precision, CDNNL_CHANNELS_LAST)
      plain = Description(w, .float32, CDNNL_PLAIN)
      wanted = Description(w, precision, CDNNL_ANY)
      wantedGradient = Description(w, .float32, CDNNL_ANY)
    }

    private func pass(_ pass: cdnnl_pass, hint: WeightedPass?) -> WeightedPass {
      let weights = pass == CDNNL_BACKWARD_WEIGHTS ? wantedGradient : wanted
      let primitive = Primitive("convolution", geometry) {
        cdnnl_convolution(
          &$0, engine, pass, input.handle, weights.handle, output.handle,
          Int64(geometry.stride), Int64(geometry.padding), hint?.primitive.description)
      }
      return WeightedPass(primitive, pass, plain: plain)
    }

    func forward(_ x: Tensor, weights: Tensor, version: Int, into y: Tensor) {
      cdnnl_use_one_thread()
      let packed = forwardPass.packed(weights, version)
      forwardPass.primitive.run(
        [
          (cdnnl_arg_src(), input.handle, x),
          (cdnnl_arg_weights(), forwardPass.weights, packed),
          (cdnnl_arg_dst(), output.handle, y),
        ])
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

    func weightGradient(_ x: Tensor, _ dy: Tensor, into gradient: Tensor) {
      cdnnl_use_one_thread()
      weightsPass.unpacked(into: gradient) { packed in
        weightsPass.primitive.run(
          [
            (cdnnl_arg_src(), input.handle, x),
            (cdnnl_arg_diff_dst(), output.handle, dy),
            (cdnnl_arg_diff_weights(), weightsPass.weights, packed),
          ])
      }
    }
  }
#endif
