package import CDNNL
package import LockstepTensors

/// The processor, as oneDNN's engine.
package nonisolated(unsafe) let engine: dnnl_engine_t = {
  var made: dnnl_engine_t?
  let status = dnnl_engine_create(&made, dnnl_cpu, 0)
  guard status == dnnl_success, let made else {
    fatalError("dnnl_engine_create: status \(status.rawValue)")
  }
  return made
}()

/// A tensor's extents and layout in oneDNN's terms.
package final class Description {
  /// oneDNN's own description, which lives as long as this one.
  package let handle: cdnnl_desc

  /// Extents in one of the layouts that have a name.
  package convenience init(_ extents: [Int], _ precision: Precision, _ layout: cdnnl_layout) {
    self.init(extents) {
      cdnnl_desc_create(
        &$0, Int32(extents.count), extents.map(Int64.init), precision.type, layout)
    }
  }

  /// Extents whose elements lie as far apart as `strides` says.
  package convenience init(_ extents: [Int], _ precision: Precision, strides: [Int]) {
    self.init(extents) {
      cdnnl_desc_create_strided(
        &$0, Int32(extents.count), extents.map(Int64.init), strides.map(Int64.init),
        precision.type)
    }
  }

  private init(_ extents: [Int], _ make: (inout cdnnl_desc?) -> dnnl_status_t) {
    var made: cdnnl_desc?
    let status = make(&made)
    guard status == dnnl_success, let made else {
      fatalError("a oneDNN description of \(extents): status \(status.rawValue)")
    }
    handle = made
  }

  deinit { cdnnl_desc_destroy(handle) }
}

extension Precision {
  fileprivate var type: cdnnl_type { self == .bfloat16 ? CDNNL_BFLOAT16 : CDNNL_FLOAT32 }
}
