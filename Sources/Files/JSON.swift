import Foundation

/// One JSON document as the command line prints it.
public func jsonDocument(_ value: some Encodable) throws -> String {
  try encoded(value, [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
}

/// One JSON object on one line.
package func jsonLine(_ value: some Encodable) throws -> String {
  try encoded(value, [.sortedKeys, .withoutEscapingSlashes])
}

private func encoded(_ value: some Encodable, _ formatting: JSONEncoder.OutputFormatting) throws
  -> String
{
  let encoder = JSONEncoder()
  encoder.outputFormatting = formatting
  // JSON has no infinity, but the loss of a diverged run is infinite.
  encoder.nonConformingFloatEncodingStrategy = .convertToString(
    positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
  return String(decoding: try encoder.encode(value), as: UTF8.self)
}
