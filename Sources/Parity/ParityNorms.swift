import LockstepAutograd
import LockstepCheckpoints
import LockstepFiles
import LockstepNorms
import LockstepSafetensors
import LockstepTensors
import LockstepWeightNorms

/// The norms that the registry knows, and the norms of weights and styles.
extension ParityCase {
  /// Replays the layer of a norm, with parameters found by their names.
  func norm(_ kind: NormKind, _ file: SafetensorsFile, _ x: Tensor) throws -> [String: [Float]] {
    let settings = try settings(kind, file)
    let isImage = [.sample, .batch].contains(settings.norm.statistics)
    func read(_ tensor: Tensor) -> Tensor { isImage ? tensor.channelsLast() : tensor }
    func write(_ tensor: Tensor) -> [Float] {
      isImage ? tensor.channelsFirst().elements : tensor.elements
    }
    let input = read(x)
    let site = NormSite(
      "norm", channels: input.shape.channels, positions: input.shape.positions)
    // A case may have one channel, although a network must not.
    if let problem = settings.norm.problem(at: site, settings), problem.setting != nil {
      throw StateError(description: "\(file.path): case \(name): \(problem.text)")
    }
    let layer = makeNorm(site, settings)
    for parameter in layer.parameters {
      let short = String(parameter.name.dropFirst(site.name.count + 1))
      guard case .float32(let given)? = file.tensors["\(name).\(short)"] else { continue }
      guard given.count == parameter.value.count else {
        throw StateError(
          description: "\(file.path): case \(name): \(short) has \(given.count) elements, expected "
            + "\(parameter.value.count)")
      }
      parameter.value.write(given)
    }
    for buffer in layer.buffers {
      let short = String(buffer.name.dropFirst(site.name.count + 1))
      if case .float32(let given)? = file.tensors["\(name).\(short)"] { buffer.value.write(given) }
    }
    let tape = Tape(.training)
    var dx = Tensor.zeros(input.shape)
    let y = try layer(tape.record(input, inputPullback: { dy, _ in dx = dy.copy() }), on: tape)
    var outputs = ["y": write(y.value)]
    try tape.backward(from: y.gradient, seed: read(try tensor("dy", file)).copy())
    outputs["dx"] = write(dx)
    for parameter in layer.parameters {
      let short = String(parameter.name.dropFirst(site.name.count + 1))
      outputs["d\(short)"] = parameter.gradient.elements
    }
    for buffer in layer.buffers {
      let short = String(buffer.name.dropFirst(site.name.count + 1))
      outputs["\(short)_out"] = buffer.value.elements
    }
    return outputs
  }

  func weightStandardization(_ file: SafetensorsFile, _ v: Tensor) throws(StateError)
    -> [String: [Float]]
  {
    let (w, saved) = WeightStandardization.forward(v, epsilon: epsilon ?? 1e-5)
    let dv = WeightStandardization.backward(try tensor("dy", file), saved: saved)
    return ["y": w.elements, "dx": dv.elements]
  }

  func weightNorm(_ file: SafetensorsFile, _ v: Tensor) throws(StateError) -> [String: [Float]] {
    let gain = try tensor("weight", file)
    let (w, saved) = WeightNorm.forward(v, gain: gain)
    let (dv, dgain) = WeightNorm.backward(try tensor("dy", file), gain: gain, saved: saved)
    return ["y": w.elements, "dx": dv.elements, "dweight": dgain.map(Float.init)]
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
