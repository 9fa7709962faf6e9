#if ONEDNN
  import CDNNL
  import LockstepOneDNNPrimitives
  import LockstepTensors

  /// A convolution by oneDNN's primitives, one a pass, made when first used.
  final class OneDNNConvolution: ConvolutionImplementation {
    /// A pass, and its two images in the layouts that its algorithm takes.
    private struct Pass {
      let weighted: WeightedPass
      let input: PrimitiveOperand
      let output: PrimitiveOperand
    }

    private let geometry: ConvolutionGeometry
    private let input: [Int]
    private let output: [Int]
    private let plain: Description
    private let wanted: Description
    private let wantedGradient: Description
    private lazy var forwardPass = pass(CDNNL_FORWARD, cdnnl_arg_src(), cdnnl_arg_dst(), hint: nil)
    private lazy var dataPass = pass(
      CDNNL_BACKWARD_DATA, cdnnl_arg_diff_src(), cdnnl_arg_diff_dst(), hint: forwardPass)
    private lazy var weightsPass = pass(
      CDNNL_BACKWARD_WEIGHTS, cdnnl_arg_src(), cdnnl_arg_diff_dst(), hint: forwardPass)

    init(_ geometry: ConvolutionGeometry) {
      self.geometry = geometry
      let (x, y, w) = (geometry.input, geometry.output, geometry.weights.dimensions)
      // oneDNN names extents in the order N, C, H, W whatever the layout.
      input = [x[0], x[3], x[1], x[2]]
      output = [y[0], y[3], y[1], y[2]]
      plain = Description(w, .float32, CDNNL_PLAIN)
      wanted = Description(w, geometry.precision, CDNNL_ANY)
      wantedGradient = Description(w, .float32, CDNNL_ANY)
    }

    private func pass(
      _ pass: cdnnl_pass, _ inputArgument: Int32, _ outputArgument: Int32, hint: Pass?
    ) -> Pass {
      let weights = pass == CDNNL_BACKWARD_WEIGHTS ? wantedGradient : wanted
      let (geometry, input, output) = (geometry, input, output)
      func make(
        _ made: inout dnnl_primitive_desc_t?, _ algorithm: cdnnl_algorithm, _ layout: cdnnl_layout
      ) -> dnnl_status_t {
        let x = Description(input, geometry.precision, layout)
        let y = Description(output, geometry.precision, layout)
        func make(_ made: inout dnnl_primitive_desc_t?, by name: String?) -> dnnl_status_t {
          withExtendedLifetime((x, y)) {
            cdnnl_convolution(
              &made, engine, pass, algorithm, x.handle, weights.handle, y.handle,
              Int64(geometry.stride), Int64(geometry.padding),
              hint?.weighted.primitive.description, name)
          }
        }
        let status = make(&made, by: nil)
        // What oneDNN takes first multiplies a small matrix for each row of pixels and weight of the filter. With few
        // input channels what it takes next is faster: 0.65 to 0.9 of the time with 3 to 32.
        var better: dnnl_primitive_desc_t?
        if pass == CDNNL_FORWARD, (3...32).contains(geometry.weights[1]), status == dnnl_success,
          let first = made,
          String(cString: cdnnl_implementation(first)) == "brgconv:avx512_core_bf16",
          make(&better, by: "jit_bf16:") == dnnl_success
        {
          dnnl_primitive_desc_destroy(first)
          made = better
        }
        return status
      }
      // oneDNN has Winograd's algorithm for one layout of its own, and not in every version.
      let winograd =
        WinogradAlgorithm.suits(geometry, isWeightGradient: pass == CDNNL_BACKWARD_WEIGHTS)
        ? Primitive.ifPossible { make(&$0, CDNNL_WINOGRAD, CDNNL_ANY) } : nil
      let primitive =
        winograd
        ?? Primitive("convolution", geometry) { make(&$0, CDNNL_DIRECT, CDNNL_CHANNELS_LAST) }
      func image(_ extents: [Int], _ argument: Int32) -> PrimitiveOperand {
        PrimitiveOperand(
          primitive, argument,
          held: Description(extents, geometry.precision, CDNNL_CHANNELS_LAST))
      }
      return Pass(
        weighted: WeightedPass(primitive, pass, plain: plain),
        input: image(input, inputArgument), output: image(output, outputArgument))
    }

    func forward(_ x: Tensor, weights: Tensor) -> Tensor {
      cdnnl_use_one_thread()
      let pass = forwardPass
      let (x, packed) = (pass.input.read(x), pass.weighted.weights.read(weights))
      return pass.output.written(
        geometry.output, geometry.precision, over: pass.input.isTakenAsHeld ? nil : x.tensor
      ) {
        pass.weighted.primitive.run([x, packed, $0])
      }
    }

    func inputGradient(_ dy: Tensor, weights: Tensor) -> Tensor {
      cdnnl_use_one_thread()
      let pass = dataPass
      let (dy, packed) = (pass.output.read(dy), pass.weighted.weights.read(weights))
      return pass.input.written(
        geometry.input, geometry.precision, over: pass.output.isTakenAsHeld ? nil : dy.tensor
      ) {
        pass.weighted.primitive.run([dy, packed, $0])
      }
    }

    func weightGradient(_ x: Tensor, _ dy: Tensor, into gradient: Tensor) {
      cdnnl_use_one_thread()
      let pass = weightsPass
      let (x, dy) = (pass.input.read(x), pass.output.read(dy))
      pass.weighted.weights.write(into: gradient) { pass.weighted.primitive.run([x, dy, $0]) }
    }
  }
#endif
