import Norms
import Tensors

/// The norms of each sample's channels.
extension ParityCase {
  func groupNorm(_ file: SafetensorsFile, _ x: Tensor, groups: Int) throws(StateError)
    -> [String: [Float]]
  {
    let channels = x.shape[1]
    let gain = optional("weight", file, channels, 1)
    let (y, saved) = GroupNorm.forward(
      x.channelsLast(), groups: groups, gain: gain, bias: optional("bias", file, channels, 0),
      epsilon: epsilon ?? 1e-5)
    let (dx, dgain, dbias) = GroupNorm.backward(
      try tensor("dy", file).channelsLast(), gain: gain, saved: saved)
    return [
      "y": y.channelsFirst().elements, "dx": dx.channelsFirst().elements,
      "dweight": dgain.map(Float.init), "dbias": dbias.map(Float.init),
    ]
  }

  func adaptiveInstanceNorm(_ file: SafetensorsFile, _ x: Tensor) throws(StateError)
    -> [String: [Float]]
  {
    let (y, saved) = AdaptiveInstanceNorm.forward(
      x.channelsLast(), style: try tensor("style", file).channelsLast(), epsilon: epsilon ?? 1e-5)
    let (dx, dstyle) = AdaptiveInstanceNorm.backward(
      try tensor("dy", file).channelsLast(), saved: saved)
    return [
      "y": y.channelsFirst().elements, "dx": dx.channelsFirst().elements,
      "dstyle": dstyle.channelsFirst().elements,
    ]
  }
}
