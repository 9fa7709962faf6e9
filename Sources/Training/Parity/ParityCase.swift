import Autograd
import Collectives
import Foundation
import KernelLoops
import Kernels
import Norms
import Tensors

/// One layer's inputs with the outputs and gradients that another framework gives for them.
struct ParityCase: Decodable, Sendable {
  let name: String
  let layer: String
  private let epsilon: Double?
  private let momentum: Double?
  private let training: Bool?
  private let groups: Int?
  private let epsilonPlacement: String?
  private let unbiased: Bool?
  private let masked: Bool?

  /// The tensors of a case that are given; every other one is expected.
  private static let inputs: Set<String> = [
    "x", "weight", "bias", "dy", "running_mean", "running_var", "style", "counts", "mask",
  ]

  static func decode(_ json: String, path: String) throws(StateError) -> [ParityCase] {
    do {
      return try JSONDecoder().decode([ParityCase].self, from: Data(json.utf8))
    } catch {
      throw StateError(description: "\(path): the metadata's \"cases\" are not a list of cases")
    }
  }

  private var rule: RowRule {
    RowRule(
      epsilon: Float(epsilon ?? 1e-5), outside: epsilonPlacement == "outside",
      unbiased: unbiased ?? false)
  }

  /// Replays the case.
  ///
  /// - Returns: the error that passes, and the error of every expected tensor.
  func replay(_ file: SafetensorsFile, context: RankContext) throws -> (
    tolerance: Double, errors: [String: Double]
  ) {
    let x = try tensor("x", file)
    let outputs: [String: [Float]] =
      switch layer {
      case "layer", "rms": try rowNorm(file, x)
      case "group": try groupNorm(file, x, groups: groups ?? 1)
      case "instance": try groupNorm(file, x, groups: x.shape[1])
      case "batch": try batchNorm(file, counts: [x.shape[0]], context)
      case "sync-batch": try batchNorm(file, counts: counts(file), context)
      default:
        throw StateError(description: "\(file.path): case \(name) is of unknown layer \"\(layer)\"")
      }
    var errors: [String: Double] = [:]
    let prefix = "\(name)."
    for (key, value) in file.tensors where key.hasPrefix(prefix) {
      let short = String(key.dropFirst(prefix.count))
      guard !Self.inputs.contains(short), case .float32(let expected) = value else { continue }
      errors[short] = parityError(outputs[short] ?? [], expected.elements)
    }
    return (tolerance(x), errors)
  }

  /// Looser where the mean of x is far from 0 in units of its deviation.
  private func tolerance(_ x: Tensor) -> Double {
    let values = x.elements.map(Double.init)
    let mean = values.reduce(0, +) / Double(values.count)
    let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    let deviation = (squares / Double(values.count)).squareRoot()
    return abs(mean) > 50 * deviation ? 2e-4 : 1e-5
  }

  private func tensor(_ short: String, _ file: SafetensorsFile) throws(StateError) -> Tensor {
    guard case .float32(let tensor)? = file.tensors["\(name).\(short)"] else {
      throw StateError(description: "\(file.path): case \(name) has no float32 tensor \"\(short)\"")
    }
    return tensor
  }

  private func optional(_ short: String, _ file: SafetensorsFile, _ channels: Int, _ value: Float)
    -> Tensor
  {
    if case .float32(let tensor)? = file.tensors["\(name).\(short)"] { return tensor }
    return .filled([channels], with: value)
  }

  private func rowNorm(_ file: SafetensorsFile, _ x: Tensor) throws(StateError) -> [String: [Float]]
  {
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

  private func groupNorm(_ file: SafetensorsFile, _ x: Tensor, groups: Int) throws(StateError)
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

  private func counts(_ file: SafetensorsFile) throws(StateError) -> [Int] {
    guard case .int64(let counts, _)? = file.tensors["\(name).counts"] else {
      throw StateError(description: "\(file.path): case \(name) has no int64 tensor \"counts\"")
    }
    guard counts.allSatisfy({ $0 >= 0 }), try counts.reduce(0, +) == tensor("x", file).shape[0]
    else {
      throw StateError(
        description: "\(file.path): case \(name): counts do not add up to x's samples")
    }
    return counts.map(Int.init)
  }

  /// One rank's part of what a batch norm gives.
  private struct Part: Sendable {
    let y: [Float]
    let dx: [Float]
    let dgain: [Float]
    let dbias: [Float]
    let mean: [Float]
    let variance: [Float]
  }

  /// Runs over the ranks of this world if there are as many as counts, else over thread ranks.
  private func batchNorm(_ file: SafetensorsFile, counts: [Int], _ context: RankContext) throws
    -> [String: [Float]]
  {
    let parts: [Part]
    if counts.count == 1 {
      parts = [try part(file, counts: counts, over: Solo())]
    } else if counts.count == context.size {
      let mine = try part(file, counts: counts, over: context.statistics)
      let all = try (
        context.control.allGather(mine.y), context.control.allGather(mine.dx)
      )
      parts = zip(all.0, all.1).map {
        Part(
          y: $0, dx: $1, dgain: mine.dgain, dbias: mine.dbias, mean: mine.mean,
          variance: mine.variance)
      }
    } else {
      parts = try withThreadRanks(counts.count) { try part(file, counts: counts, over: $0) }
    }
    return [
      "y": try whole(parts.flatMap(\.y), file), "dx": try whole(parts.flatMap(\.dx), file),
      "dweight": parts[0].dgain, "dbias": parts[0].dbias, "running_mean_out": parts[0].mean,
      "running_var_out": parts[0].variance,
    ]
  }

  /// All samples' elements, back from channels-last to the file's order.
  private func whole(_ elements: [Float], _ file: SafetensorsFile) throws(StateError) -> [Float] {
    let shape = try tensor("x", file).shape
    guard masked != true, shape.rank > 2 else { return elements }
    let d = shape.dimensions
    return Tensor(elements, shape: Shape([d[0]] + d[2...] + [d[1]])).channelsFirst().elements
  }

  private func part(
    _ file: SafetensorsFile, counts: [Int], over communicator: any Communicator
  ) throws -> Part {
    let first = counts[..<communicator.rank].reduce(0, +)
    let samples = first..<first + counts[communicator.rank]
    func mine(_ tensor: Tensor) -> Tensor {
      (masked == true ? tensor : tensor.channelsLast()).samples(samples)
    }
    let x = mine(try tensor("x", file))
    let dy = mine(try tensor("dy", file))
    let channels = x.shape.channels
    let gain = optional("weight", file, channels, 1)
    let bias = optional("bias", file, channels, 0)
    let running = RunningStatistics("norm", channels: channels)
    running.mean.value.write(optional("running_mean", file, channels, 0))
    running.variance.value.write(optional("running_var", file, channels, 1))
    let rows = try validRows(file, samples)
    let input = rows.map { Kernel.gatherRows(x, $0) } ?? x
    let output: Tensor
    let saved: BatchNorm.Saved
    if training ?? true {
      let moments: BatchNorm.Moments
      (output, saved, moments) = try BatchNorm.forward(
        input, shift: running.mean.value, gain: gain, bias: bias, epsilon: epsilon ?? 1e-5,
        over: communicator)
      running.update(moments, momentum: momentum)
    } else {
      (output, saved) = BatchNorm.normalize(
        input, means: running.mean.value.elements.map(Double.init),
        variances: running.variance.value.elements.map(Double.init), count: nil, gain: gain,
        bias: bias, epsilon: epsilon ?? 1e-5)
    }
    let gradients = try BatchNorm.backward(
      rows.map { Kernel.gatherRows(dy, $0) } ?? dy, gain: gain, saved: saved, over: communicator)
    func spread(_ tensor: Tensor) -> [Float] {
      (rows.map { Kernel.scatterRows(tensor, $0, shape: x.shape) } ?? tensor).elements
    }
    return Part(
      y: spread(output), dx: spread(gradients.dx), dgain: gradients.summed.gain.map(Float.init),
      dbias: gradients.summed.bias.map(Float.init), mean: running.mean.value.elements,
      variance: running.variance.value.elements)
  }

  /// The rows that the mask leaves, or nil where there is no mask.
  private func validRows(_ file: SafetensorsFile, _ samples: Range<Int>) throws(StateError)
    -> [Int]?
  {
    guard masked == true else { return nil }
    guard case .uint8(let mask, let shape)? = file.tensors["\(name).mask"], shape.rank == 2 else {
      throw StateError(description: "\(file.path): case \(name) has no uint8 tensor \"mask\"")
    }
    let length = shape[1]
    return (0..<samples.count * length).filter { mask[samples.lowerBound * length + $0] != 0 }
  }
}
