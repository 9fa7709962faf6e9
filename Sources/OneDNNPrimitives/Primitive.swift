package import CDNNL
package import LockstepTensors

/// A compiled operation and the stream that it runs on.
package final class Primitive {
  /// A tensor in the place of a DNNL_ARG, and how it lies in memory.
  package typealias Argument = (kind: Int32, description: cdnnl_desc, tensor: Tensor)

  /// What oneDNN chose.
  package let description: dnnl_primitive_desc_t
  private let primitive: dnnl_primitive_t
  private let stream: dnnl_stream_t
  private let scratchpad: cdnnl_desc
  private let scratchBytes: Int

  /// An operation that oneDNN has on every processor.
  package convenience init(
    _ kind: String, _ what: Any, _ make: (inout dnnl_primitive_desc_t?) -> dnnl_status_t
  ) {
    guard let made = Self.made(make) else {
      fatalError("oneDNN cannot make a \(kind) for \(what)")
    }
    self.init(made.description, made.primitive, made.stream)
  }

  /// An operation, or nil if oneDNN cannot make it on this processor.
  package static func ifPossible(_ make: (inout dnnl_primitive_desc_t?) -> dnnl_status_t)
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
    if make(&description) == dnnl_success, let description {
      if dnnl_primitive_create(&primitive, description) == dnnl_success, let primitive {
        let flags = UInt32(dnnl_stream_default_flags.rawValue)
        if dnnl_stream_create(&stream, engine, flags) == dnnl_success, let stream {
          return (description, primitive, stream)
        }
        dnnl_primitive_destroy(primitive)
      }
      dnnl_primitive_desc_destroy(description)
    }
    return nil
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
  package func run(_ arguments: [Argument]) {
    run(at: arguments.map { ($0.kind, $0.description, $0.tensor.address) })
    // The tensors behind the addresses have to outlive the operation.
    withExtendedLifetime(arguments) {}
  }

  /// Runs on what lies at the addresses of `arguments` and waits.
  package func run(
    at arguments: [(kind: Int32, description: cdnnl_desc, address: UnsafeMutableRawPointer)]
  ) {
    cdnnl_use_one_thread()
    // Some algorithms ask for megabytes and touch a tenth of them.
    let scratch = scratchBytes > 0 ? Storage<UInt8>(sparse: scratchBytes) : nil
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

extension Tensor {
  /// The first element's address, whatever its precision.
  package var address: UnsafeMutableRawPointer {
    switch precision {
    case .float32: UnsafeMutableRawPointer(storage.pointer + offset)
    case .bfloat16: UnsafeMutableRawPointer(narrowStorage.pointer + offset)
    }
  }
}
