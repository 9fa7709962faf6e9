import Norms
import Tensors

/// The norms of rows, of activations or of weights.
extension ParityCase {
  func rowNorm(_ file: SafetensorsFile, _ x: Tensor) throws(StateError) -> [String: [Float]] {
    let dy = try tensor("dy", file)
    let gain = optional("weight", file, x.shape.channels, 1)
    let bias = optional("bias", file, x.shape.channels, 0)
    if layer == "rms" {
      let (y, saved) = RMSNorm.forward(x, gain: gain, rule: rule)
      let (dx, dgain) = RMSNorm.backward(dy, gain: gain, saved: saved)
      return ["y": y.elements, "dx": dx.elements, "dweight": dgain.map(Float.init)]
    }
    let (y, saved) = LayerNorm.forward(x, gain: gain, bias: bias, rule: rule)
    let (dx, dgain, dbias) = LayerNorm.backward(dy, gain: gain, saved: saved)
    return [
      "y": y.elements, "dx": dx.elements, "dweight": dgain.map(Float.init),
      "dbias": dbias.map(Float.init),
    ]
  }

  func unitRows(_ file: SafetensorsFile, _ x: Tensor) throws(StateError) -> [String: [Float]] {
    let dy = try tensor("dy", file)
    if layer == "l2" {
      let (y, saved) = L2Norm.forward(x, epsilon: epsilon ?? 1e-12)
      return ["y": y.elements, "dx": L2Norm.backward(dy, saved: saved).elements]
    }
    let gain = try tensor("weight", file)
    let (y, saved) = ScaleNorm.forward(x, gain: gain, epsilon: epsilon ?? 1e-5)
    let (dx, dgain) = ScaleNorm.backward(dy, gain: gain, saved: saved)
    return ["y": y.elements, "dx": dx.elements, "dweight": dgain.map(Float.init)]
  }

  func weightNorm(_ file: SafetensorsFile, _ v: Tensor) throws(StateError) -> [String: [Float]] {
    let gain = try tensor("weight", file)
    let (w, saved) = WeightNorm.forward(v, gain: gain)
    let (dv, dgain) = WeightNorm.backward(try tensor("dy", file), gain: gain, saved: saved)
    return ["y": w.elements, "dx": dv.elements, "dweight": dgain.map(Float.init)]
  }
}
