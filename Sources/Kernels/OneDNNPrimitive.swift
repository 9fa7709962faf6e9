#if ONEDNN
  import CDNNL
  import LockstepTensors

  /// The processor, as oneDNN's engine.
  nonisolated(unsafe) let engine: dnnl_engine_t = {
    var made: dnnl_engine_t?
    let status = dnnl_engine_create(&made, dnnl_cpu, 0)
    guard status == dnnl_success, let made else {
      fatalError("dnnl_engine_create: status \(status.rawValue)")
    }
    return made
  }()

  /// A tensor's extents and layout in oneDNN's terms.
  final class Description {
    let handle: cdnnl_desc

    init(_ extents: [Int], _ precision: Precision, _ layout: cdnnl_layout) {
      var made: cdnnl_desc?
      let type = precision == .bfloat16 ? CDNNL_BFLOAT16 : CDNNL_FLOAT32
      let status = cdnnl_desc_create(
        &made, Int32(extents.count), extents.map(Int64.init), type, layout)
      guard status == dnnl_success, let made else {
        fatalError("a oneDNN description of \(extents): status \(status.rawValue)")
      }
      handle = made
    }

    /// Extents whose elements lie as far apart as `strides` says.
    init(_ extents: [Int], _ precision: Precision, strides: [Int]) {
      var made: cdnnl_desc?
      let type = precision == .bfloat16 ? CDNNL_BFLOAT16 : CDNNL_FLOAT32
      let status = cdnnl_desc_create_strided(
        &made, Int32(extents.count), extents.map(Int64.init), strides.map(Int64.init), type)
      guard status == dnnl_success, let made else {
        fatalError("a oneDNN description of \(extents): status \(status.rawValue)")
      }
      handle = made
    }

    deinit { cdnnl_desc_destroy(handle) }
  }

  /// A compiled operation and the stream that it runs on.
  final class Primitive {
    let description: dnnl_primitive_desc_t
    private let primitive: dnnl_primitive_t
    private let stream: dnnl_stream_t
    private let scratchpad: cdnnl_desc
    private let scratchBytes: Int

    convenience init(
      _ kind: String, _ what: Any, _ make: (inout dnnl_primitive_desc_t?) -> dnnl_status_t
    ) {
      guard let made = Self.made(make) else {
        fatalError("oneDNN cannot make a \(kind) for \(what)")
      }
      self.init(made.description, made.primitive, made.stream)
    }

    /// An operation, or nil if oneDNN cannot make it on this processor.
    static func ifPossible(_ make: (inout dnnl_primitive_desc_t?) -> dnnl_status_t)
      -> Primitive?
    {
      made(make).map { Primitive($0.description, $0.primitive, $0.stream) }
    }

    private typealias Made = (
      description: dnnl_primitive_desc_t, primitive: dnnl_primitive_t, stream: dnnl_stream_t
    )

    private static func made(_ make: (inout dnnl_primitive_desc_t?) -> dnnl_status_t) -> Made? {
      // The thread that makes a primitive is not always one that has run one.
      cdnnl_use_one_thread()
      var description: dnnl_primitive_desc_t?
      var primitive: dnnl_primitive_t?
      var stream: dnnl_stream_t?
      guard
        make(&description) == dnnl_success, let description,
        dnnl_primitive_create(&primitive, description) == dnnl_success, let primitive,
        dnnl_stream_create(&stream, engine, UInt32(dnnl_stream_default_flags.rawValue))
          == dnnl_success, let stream
      else { return nil }
      return (description, primitive, stream)
    }

    private init(
      _ description: dnnl_primitive_desc_t, _ primitive: dnnl_primitive_t, _ stream: dnnl_stream_t
    ) {
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
      run(at: arguments.map { ($0.kind, $0.description, $0.tensor.address) })
      // The tensors behind the addresses have to outlive the operation.
      withExtendedLifetime(arguments) {}
    }

    /// Runs on what lies at the addresses of `arguments` and waits.
    func run(
      at arguments: [(kind: Int32, description: cdnnl_desc, address: UnsafeMutableRawPointer)]
    ) {
      cdnnl_use_one_thread()
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
        bind(argument.kind, argument.description, argument.address)
      }
      if let scratch { bind(cdnnl_arg_scratchpad(), scratchpad, scratch.pointer) }
      var status = dnnl_primitive_execute(primitive, stream, Int32(bound.count), bound)
      if status == dnnl_success { status = dnnl_stream_wait(stream) }
      precondition(status == dnnl_success, "dnnl_primitive_execute: status \(status.rawValue)")
      for argument in bound { dnnl_memory_destroy(argument.memory) }
      withExtendedLifetime(scratch) {}
    }
  }

  /// A primitive that reads a layer's weights, or writes their gradient, in a precision and layout of its own.
  ///
  /// A copy of the weights in that layout is kept until their version changes, once a step; or it is made for
  /// each use, which takes no more time where there is one use a step, and gives its memory back.
  final class WeightedPass {
    let primitive: Primitive
    /// The weights as the primitive takes them.
    let weights: cdnnl_desc
    private let plain: Description
    private var packedWeights: Tensor?
    private var packedVersion = Int.min
    private lazy var pack = Primitive("reorder", ["weights"]) {
      cdnnl_reorder(&$0, engine, self.plain.handle, self.weights)
    }
    private lazy var unpack = Primitive("reorder", ["weight gradient"]) {
      cdnnl_reorder(&$0, engine, self.weights, self.plain.handle)
    }

    /// A pass of `primitive`; `plain` says how the layer holds its weights.
    init(_ primitive: Primitive, _ pass: cdnnl_pass, plain: Description) {
      self.primitive = primitive
      self.plain = plain
      weights = cdnnl_weights_desc(primitive.description, pass)
    }

    /// Whether the primitive takes the weights as the layer holds them.
    private var isPlain: Bool { cdnnl_desc_equal(weights, plain.handle) != 0 }

    /// Memory for weights in this pass's layout.
    private var room: Tensor { .uninitialized([(cdnnl_desc_bytes(weights) + 3) / 4]) }

    /// The weights in this pass's precision and layout, kept until `version` changes; with no version they are not
    /// kept.
    func packed(_ plainWeights: Tensor, _ version: Int? = nil) -> Tensor {
      if isPlain { return plainWeights }
      if let packedWeights, packedVersion == version { return packedWeights }
      let packed = packedWeights ?? room
      pack.run(
        [
          (cdnnl_arg_src(), plain.handle, plainWeights),
          (cdnnl_arg_dst(), weights, packed),
        ])
      if let version { (packedWeights, packedVersion) = (packed, version) }
      return packed
    }

    /// Lets `body` write a weight gradient in this pass's layout, and brings it into the layer's.
    func unpacked(into gradient: Tensor, _ body: (Tensor) -> Void) {
      if isPlain { return body(gradient) }
      let packed = room
      body(packed)
      unpack.run(
        [
          (cdnnl_arg_src(), weights, packed),
          (cdnnl_arg_dst(), plain.handle, gradient),
        ])
    }
  }
#endif
