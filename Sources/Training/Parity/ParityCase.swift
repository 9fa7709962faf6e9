import Foundation
import KernelLoops
import Tensors

/// One layer's inputs with the outputs and gradients that another framework gives for them.
struct ParityCase: Decodable, Sendable {
  let name: String
  let layer: String
  let epsilon: Double?
  let momentum: Double?
  let training: Bool?
  private let groups: Int?
  private let epsilonPlacement: String?
  private let unbiased: Bool?
  let masked: Bool?
  let maximumScale: Double?
  let maximumShift: Double?

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

  var rule: RowRule {
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
      case "scale", "l2": try unitRows(file, x)
      case "weight": try weightNorm(file, x)
      case "group": try groupNorm(file, x, groups: groups ?? 1)
      case "instance": try groupNorm(file, x, groups: x.shape[1])
      case "adaptive-instance": try adaptiveInstanceNorm(file, x)
      case "batch": try batchNorm(file, counts: [x.shape[0]], context)
      case "sync-batch": try batchNorm(file, counts: counts(file), context)
      case "batch-renorm": try batchRenorm(file, context)
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

  func tensor(_ short: String, _ file: SafetensorsFile) throws(StateError) -> Tensor {
    guard case .float32(let tensor)? = file.tensors["\(name).\(short)"] else {
      throw StateError(description: "\(file.path): case \(name) has no float32 tensor \"\(short)\"")
    }
    return tensor
  }

  func optional(_ short: String, _ file: SafetensorsFile, _ channels: Int, _ value: Float)
    -> Tensor
  {
    if case .float32(let tensor)? = file.tensors["\(name).\(short)"] { return tensor }
    return .filled([channels], with: value)
  }
}
