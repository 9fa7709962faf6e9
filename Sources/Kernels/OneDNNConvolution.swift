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
    private lazy var forwardPass = Pass(self, CDNNL_FORWARD, hint: nil)
    private lazy var dataPass = Pass(self, CDNNL_BACKWARD_DATA, hint: forwardPass)
    private lazy var weightsPass = Pass(self, CDNNL_BACKWARD_WEIGHTS, hint: forwardPass)

    init(_ geometry: ConvolutionGeometry) {
      self.geometry = geometry
      let (x, y) = (geometry.input, geometry.output)
      // oneDNN names extents in the order N, C, H, W whatever the layout.
      input = Description([x[0], x[3], x[1], x[2]], CDNNL_NHWC)
      output = Description([y[0], y[3], y[1], y[2]], CDNNL_NHWC)
      plain = Description(geometry.weights.dimensions, CDNNL_OIHW)
      wanted = Description(geometry.weights.dimensions, CDNNL_ANY)
    }

    func forward(_ x: Tensor, weights: Tensor, version: Int, into y: Tensor) {
      cdnnl_use_one_thread()
      let packed = forwardPass.packed(weights, version, from: plain)
      forwardPass.primitive.run(
        [
          (cdnnl_arg_src(), input.handle, x),
          (cdnnl_arg_weights(), forwardPass.weights, packed),
          (cdnnl_arg_dst(), output.handle, y),
        ])
    }

    func inputGradient(_ dy: Tensor, weights: Tensor, version: Int, into dx: Tensor) {
      cdnnl_use_one_thread()
      let packed = dataPass.packed(weights, version, from: plain)
      dataPass.primitive.run(
        [
          (cdnnl_arg_diff_dst(), output.handle, dy),
          (cdnnl_arg_weights(), dataPass.weights, packed),
          (cdnnl_arg_diff_src(), input.handle, dx),
        ])
    }

    func weightGradient(_ x: Tensor, _ dy: Tensor, into gradient: Tensor) {
      cdnnl_use_one_thread()
      let direct = cdnnl_desc_equal(weightsPass.weights, plain.handle) != 0
      let packed = direct ? gradient : weightsPass.room
      weightsPass.primitive.run(
        [
          (cdnnl_arg_src(), input.handle, x),
          (cdnnl_arg_diff_dst(), output.handle, dy),
          (cdnnl_arg_diff_weights(), weightsPass.weights, packed),
        ])
      if !direct {
        weightsPass.unpack.run(
          [
            (cdnnl_arg_src(), weightsPass.weights, packed),
            (cdnnl_arg_dst(), plain.handle, gradient),
          ])
      }
    }

    /// One pass's primitive, with the reorder of its weights and the packed weights.
    private final class Pass {
      let primitive: Primitive
      let weights: cdnnl_desc
      private let plain: Description
      private var packedWeights: Tensor?
      private var packedVersion = Int.min
      private lazy var pack = Primitive("reorder", ["weights"]) {
        cdnnl_reorder(&$0, engine, self.plain.handle, self.weights)
      }
      lazy var unpack = Primitive("reorder", ["weight gradient"]) {
        cdnnl_reorder(&$0, engine, self.weights, self.plain.handle)
      }

      init(_ owner: OneDNNConvolution, _ pass: cdnnl_pass, hint: Pass?) {
        let geometry = owner.geometry
        plain = owner.plain
        primitive = Primitive("convolution", geometry) {
          cdnnl_convolution(
            &$0, engine, pass, owner.input.handle, owner.wanted.handle, owner.output.handle,
            Int64(geometry.stride), Int64(geometry.padding), hint?.primitive.description)
        }
        weights = cdnnl_weights_desc(primitive.description, pass)
      }

      /// Memory for weights in this pass's layout.
      var room: Tensor { .uninitialized([(cdnnl_desc_bytes(weights) + 3) / 4]) }

      /// The weights in this pass's layout.
      func packed(_ plainWeights: Tensor, _ version: Int, from plain: Description) -> Tensor {
        if cdnnl_desc_equal(weights, plain.handle) != 0 { return plainWeights }
        if let packedWeights, packedVersion == version { return packedWeights }
        let packed = packedWeights ?? room
        pack.run(
          [
            (cdnnl_arg_src(), plain.handle, plainWeights),
            (cdnnl_arg_dst(), weights, packed),
          ])
        packedWeights = packed
        packedVersion = version
        return packed
      }
    }

  }

  /// The processor, as oneDNN's engine.
  nonisolated(unsafe) private let engine: dnnl_engine_t = {
    var made: dnnl_engine_t?
    let status = dnnl_engine_create(&made, dnnl_cpu, 0)
    guard status == dnnl_success, let made else {
      fatalError("dnnl_engine_create: status \(status.rawValue)")
    }
    return made
  }()

  /// A tensor's extents and layout in oneDNN's terms.
  private final class Description {
    let handle: cdnnl_desc

    init(_ extents: [Int], _ layout: cdnnl_layout) {
      var made: cdnnl_desc?
      let status = cdnnl_desc_create(&made, extents.map(Int64.init), layout)
      guard status == dnnl_success, let made else {
        fatalError("a oneDNN description of \(extents): status \(status.rawValue)")
      }
      handle = made
    }

    deinit { cdnnl_desc_destroy(handle) }
  }

  /// A compiled operation and the stream that it runs on.
  private final class Primitive {
    let description: dnnl_primitive_desc_t
    private let primitive: dnnl_primitive_t
    private let stream: dnnl_stream_t
    private let scratchpad: cdnnl_desc
    private let scratchBytes: Int

    init(
      _ kind: String, _ what: Any, _ make: (inout dnnl_primitive_desc_t?) -> dnnl_status_t
    ) {
      var description: dnnl_primitive_desc_t?
      var primitive: dnnl_primitive_t?
      var stream: dnnl_stream_t?
      guard
        make(&description) == dnnl_success, let description,
        dnnl_primitive_create(&primitive, description) == dnnl_success, let primitive,
        dnnl_stream_create(&stream, engine, UInt32(dnnl_stream_default_flags.rawValue))
          == dnnl_success, let stream
      else { fatalError("oneDNN cannot make a \(kind) for \(what)") }
      self.description = description
      self.primitive = primitive
      self.stream = stream
      scratchpad = cdnnl_scratchpad_desc(description)
      scratchBytes = cdnnl_desc_bytes(scratchpad)
    }

    deinit {
      dnnl_stream_destroy(stream)
      dnnl_primitive_destroy(primitive)
      dnnl_primitive_desc_destroy(description)
    }

    /// Runs on `arguments` and waits.
    func run(
      _ arguments: [(kind: Int32, description: cdnnl_desc, tensor: Tensor)]
    ) {
      let scratch = scratchBytes > 0 ? Storage<Float>(count: (scratchBytes + 3) / 4) : nil
      var bound: [dnnl_exec_arg_t] = []
      bound.reserveCapacity(arguments.count + 1)
      func bind(_ kind: Int32, _ description: cdnnl_desc, _ address: UnsafeMutableRawPointer) {
        var memory: dnnl_memory_t?
        let status = dnnl_memory_create(&memory, description, engine, address)
        precondition(status == dnnl_success, "dnnl_memory_create: status \(status.rawValue)")
        bound.append(dnnl_exec_arg_t(arg: kind, memory: memory))
      }
      for argument in arguments {
        bind(argument.kind, argument.description, argument.tensor.output)
      }
      if let scratch { bind(cdnnl_arg_scratchpad(), scratchpad, scratch.pointer) }
      var status = dnnl_primitive_execute(primitive, stream, Int32(bound.count), bound)
      if status == dnnl_success { status = dnnl_stream_wait(stream) }
      precondition(status == dnnl_success, "dnnl_primitive_execute: status \(status.rawValue)")
      for argument in bound { dnnl_memory_destroy(argument.memory) }
      // The tensors behind the addresses have to outlive the operation.
      withExtendedLifetime((arguments, scratch)) {}
    }
  }
#endif
