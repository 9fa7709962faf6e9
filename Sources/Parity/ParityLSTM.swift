import LockstepAutograd
import LockstepCheckpoints
import LockstepFiles
import LockstepKernels
import LockstepModels
import LockstepNorms
import LockstepSafetensors
import LockstepTensors

/// Recurrent layers.
extension ParityCase {
  /// Replays an LSTM, with norms inside the cell or without.
  func lstm(_ file: SafetensorsFile, _ x: Tensor) throws -> [String: [Float]] {
    let settings = try settings(NormKind(rawValue: norm ?? NormKind.none.rawValue), file)
    if let problem = LSTM.problem(settings.kind) {
      throw StateError(description: "\(file.path): case \(name): \(problem)")
    }
    let (weight, dy) = (try tensor("weight_hh", file), try tensor("dy", file))
    let hidden = weight.shape.channels
    guard x.shape.rank == 3, x.shape[1] > 0, hidden > 0, weight.shape == [4 * hidden, hidden],
      try tensor("weight_ih", file).shape == [4 * hidden, x.shape[2]],
      dy.shape == [x.shape[0], x.shape[1], hidden]
    else {
      throw StateError(
        description: "\(file.path): case \(name): expected x [N, T, C], weight_ih [4·H, C], "
          + "weight_hh [4·H, H] and dy [N, T, H]")
    }
    var random = RandomStream(seed: 0, site: .initialization)
    let layer = LSTM(
      "lstm", inputs: x.shape[2], hidden: hidden, context: x.shape[1], norm: settings,
      using: &random)
    // An unnormalized layer has two biases, of which the case gives the sum.
    for parameter in layer.parameters where parameter.name == "lstm.bias_hh_l0" {
      parameter.value.fill(with: 0)
    }
    let given = layer.parameters.compactMap { parameter in
      Self.shortName(parameter.name).map { (parameter, $0) }
    }
    for (parameter, short) in given {
      let value = try tensor(short, file)
      guard value.count == parameter.value.count else {
        throw StateError(
          description: "\(file.path): case \(name): \(short) has \(value.count) elements, expected "
            + "\(parameter.value.count)")
      }
      parameter.value.write(value)
    }
    let tape = Tape(.training)
    var dx = Tensor.zeros(x.shape)
    let y = try layer(tape.record(x, inputPullback: { dy, _ in dx = dy.copy() }), on: tape)
    var outputs = ["y": y.value.elements]
    try tape.backward(from: y.gradient, seed: dy.copy())
    outputs["dx"] = dx.elements
    for (parameter, short) in given { outputs["d\(short)"] = parameter.gradient.elements }
    return outputs
  }

  /// The name of a layer's parameter in a case; nil for one that no case gives.
  private static func shortName(_ name: String) -> String? {
    switch name {
    case "lstm.weight_ih_l0": "weight_ih"
    case "lstm.weight_hh_l0": "weight_hh"
    case "lstm.bias_l0", "lstm.bias_ih_l0": "bias"
    case "lstm.norm_ih_l0.weight": "gain_ih"
    case "lstm.norm_ih_l0.bias": "shift_ih"
    case "lstm.norm_hh_l0.weight": "gain_hh"
    case "lstm.norm_hh_l0.bias": "shift_hh"
    case "lstm.norm_c_l0.weight": "gain_c"
    case "lstm.norm_c_l0.bias": "shift_c"
    default: nil
    }
  }
}
