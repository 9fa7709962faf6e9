import Foundation

/// A reader of what others wrote or sent, given any bytes.
///
/// A reader may refuse its input with one of its typed errors. It may not trap, run on, or take memory
/// without measure; what it accepts has to keep what its documentation promises.
public enum FuzzTarget: String, CaseIterable, Sendable {
  case safetensors, idx, cifar10, tokens, configuration, run, fabric, status

  /// Gives the reader `input`, by way of files in `folder` where it reads those; the folder is the
  /// caller's own and may hold what the last input left.
  public func read(_ input: [UInt8], in folder: String) {
    switch self {
    case .safetensors: readSafetensors(input)
    case .idx: readIDX(input, in: folder)
    case .cifar10: readCIFAR10(input, in: folder)
    case .tokens: readTokens(input, in: folder)
    case .configuration: readConfiguration(input)
    case .run: readRun(input, in: folder)
    case .fabric: readFabric(input, in: folder)
    case .status: readStatus(input)
    }
  }

  /// Inputs that the reader accepts, made by the project's own writers where it has them.
  public func seeds(in folder: String) throws -> [[UInt8]] {
    switch self {
    case .safetensors: try safetensorsSeeds()
    case .idx: imageSeeds()
    case .cifar10: [Array(repeating: 1, count: 12) + Array(repeating: 3, count: 40)]
    case .tokens: tokenSeeds()
    case .configuration: try configurationSeeds()
    case .run: [try runSeed(in: folder)]
    case .fabric: [try fabricSeed(in: folder)]
    case .status: statusSeeds()
    }
  }
}

/// What stands between the files of one input: bytes that no text has.
let separator: [UInt8] = [0xf7, 0x2f, 0xf7]

/// The `count` files of an input, of which the last ones may be missing.
func files(_ input: [UInt8], count: Int) -> [[UInt8]] {
  var files: [[UInt8]] = []
  var file: [UInt8] = []
  for byte in input {
    file.append(byte)
    if files.count < count - 1, file.suffix(3).elementsEqual(separator) {
      files.append(file.dropLast(3))
      file = []
    }
  }
  files.append(file)
  return files + Array(repeating: [], count: count - files.count)
}

/// The input of `files`.
func input(_ files: [[UInt8]]) -> [UInt8] { Array(files.joined(separator: separator)) }

/// Writes `bytes` to `path`; nothing, where there are none, stands for no file.
func put(_ bytes: [UInt8], _ path: String) {
  if bytes.isEmpty {
    try? FileManager.default.removeItem(atPath: path)
  } else {
    do {
      try Data(bytes).write(to: URL(fileURLWithPath: path))
    } catch { fatalError("\(path) cannot be written: \(error)") }
  }
}
