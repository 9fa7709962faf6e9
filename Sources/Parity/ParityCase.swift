import Foundation
import LockstepCheckpoints
import LockstepDataParallel
import LockstepFiles
import LockstepNorms
import LockstepSafetensors
import LockstepTensors

/// One layer's inputs, with the outputs and gradients that another framework computes from them.
package struct ParityCase: Decodable, Sendable {
  let name: String
  let layer: String
  let epsilon: Double?
  let momentum: Double?
  let training: Bool?
  let masked: Bool?
  let maximumScale: Double?
  let maximumShift: Double?
  let precision: String?
  /// The norm inside an LSTM.
  let norm: String?
  /// The norm settings that the case gives, as text.
  private var given: [String: String] = [:]

  private enum CodingKeys: CodingKey {
    case name, layer, epsilon, momentum, training, masked, maximumScale, maximumShift, precision,
      norm
  }

  /// The layers that are no norm of a model, or one with a setting.
  private static let otherLayers = [
    "weight", "adaptive-instance", "weight-standardization", "ghost-batch", "rms-zero-centered",
    "lstm",
  ]

  /// The tensors of a case that are inputs; all others are expected results.
  private static let inputs: Set<String> = [
    "x", "weight", "bias", "dy", "running_mean", "running_var", "style", "counts", "mask",
    "alpha",
    "weight_ih", "weight_hh", "gain_ih", "shift_ih", "gain_hh", "shift_hh", "gain_c", "shift_c",
  ]

  static func decode(_ json: String, path: String) throws(StateError) -> [ParityCase] {
    do {
      let (decoder, data) = (JSONDecoder(), Data(json.utf8))
      let settings = try decoder.decode([GivenSettings].self, from: data)
      return zip(try decoder.decode([ParityCase].self, from: data), settings).map {
        var found = $0
        found.given = $1.texts
        return found
      }
    } catch {
      throw StateError(description: "\(path): the metadata's \"cases\" are not a list of cases")
    }
  }

  /// The values that a case gives under the names of norm settings.
  private struct GivenSettings: Decodable {
    var texts: [String: String] = [:]

    private struct Key: CodingKey {
      let stringValue: String
      var intValue: Int? { nil }
      init(stringValue: String) { self.stringValue = stringValue }
      init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: Key.self)
      for setting in NormRegistry.settings {
        let key = Key(stringValue: setting.name)
        guard container.contains(key) else { continue }
        if let value = try? container.decode(Bool.self, forKey: key) {
          texts[setting.name] = "\(value)"
        } else if let value = try? container.decode(Int.self, forKey: key) {
          texts[setting.name] = "\(value)"
        } else if let value = try? container.decode(Double.self, forKey: key) {
          texts[setting.name] = "\(value)"
        } else {
          texts[setting.name] = try container.decode(String.self, forKey: key)
        }
      }
    }
  }

  /// The settings of a norm, with the values that the case gives.
  func settings(_ kind: NormKind, _ file: SafetensorsFile) throws(StateError) -> NormSettings {
    var settings = NormSettings(kind)
    for setting in NormRegistry.settings {
      guard let text = given[setting.name] else { continue }
      guard setting.store(text, in: &settings) else {
        throw StateError(
          description: "\(file.path): case \(name): \(setting.name) is \(text), expected "
            + setting.expected)
      }
    }
    return settings
  }

  /// Throws unless `precision` is float32, or not given.
  static func check(_ precision: String?, _ place: String) throws(StateError) {
    guard let precision, precision != Precision.float32.rawValue else { return }
    throw StateError(
      description: "\(place): precision is \(precision), but parity allows errors of 1e-5, "
        + "which float32 alone can keep; leave precision out")
  }

  /// Replays the case.
  ///
  /// - Returns: The largest error that passes, and the error of every expected tensor.
  func replay(_ file: SafetensorsFile, context: RankContext) throws -> (
    tolerance: Double, errors: [String: Double]
  ) {
    try Self.check(precision, "\(file.path): case \(name)")
    let x = try tensor("x", file)
    let outputs: [String: [Float]] =
      switch layer {
      case "weight": try weightNorm(file, x)
      case "adaptive-instance": try adaptiveInstanceNorm(file, x)
      case "weight-standardization": try weightStandardization(file, x)
      case "ghost-batch": try norm(.batch, file, x)
      case "rms-zero-centered": try norm(.rms, file, x)
      case "batch": try batchNorm(file, counts: [x.shape[0]], context)
      case "sync-batch", "whitening": try batchNorm(file, counts: counts(file), context)
      case "batch-renorm": try batchRenorm(file, context)
      case "lstm": try lstm(file, x)
      case let kind where NormRegistry.names.contains(kind):
        try norm(NormKind(rawValue: kind), file, x)
      default:
        throw StateError(
          description: "\(file.path): case \(name) is of unknown layer \"\(layer)\""
            + suggestion(layer, NormRegistry.names + Self.otherLayers))
      }
    var errors: [String: Double] = [:]
    let prefix = "\(name)."
    for (key, value) in file.tensors where key.hasPrefix(prefix) {
      let short = String(key.dropFirst(prefix.count))
      guard !Self.inputs.contains(short) else { continue }
      guard case .float32(let expected) = value else {
        throw StateError(
          description:
            "\(file.path): case \(name) expects \"\(short)\", which is not float32; leave it out, "
            + "or store it as float32")
      }
      errors[short] = parityError(outputs[short] ?? [], expected.elements)
      // Files of whitening may hold the images that the layer gave as they lay in the other framework's memory,
      // channels last, whatever their shape says.
      if layer == "whitening", ["y", "dx"].contains(short), expected.shape.rank > 2 {
        let found = Tensor(outputs[short] ?? [], shape: expected.shape).channelsLast().elements
        errors[short] = min(errors[short] ?? .infinity, parityError(found, expected.elements))
      }
    }
    return (tolerance(x), errors)
  }

  /// The largest error that passes; it is looser if x's mean is far from 0 in units of its deviation.
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
