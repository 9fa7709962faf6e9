import Foundation
import LockstepSafetensors
import LockstepTensors

/// A file's bytes.
func readSafetensors(_ input: [UInt8]) {
  guard let file = try? SafetensorsFile(Data(input), path: "input") else { return }
  var bytes = 0
  for value in file.tensors.values {
    switch value {
    case .float32(let tensor): bytes += 4 * tensor.count
    case .int64(let elements, let shape):
      precondition(elements.count == shape.count)
      bytes += 8 * elements.count
    case .uint8(let elements, let shape):
      precondition(elements.count == shape.count)
      bytes += elements.count
    }
  }
  precondition(bytes + 8 <= input.count, "more was read than there is")
  guard let again = try? SafetensorsFile.encode(file.tensors, metadata: file.metadata),
    let copy = try? SafetensorsFile(again, path: "copy")
  else { preconditionFailure("what was read cannot be written and read again") }
  precondition(copy.metadata == file.metadata && copy.tensors.count == file.tensors.count)
  for (name, value) in file.tensors {
    guard let other = copy.tensors[name] else { preconditionFailure("\(name) is lost") }
    precondition(isSame(value, other), "\(name) changed")
  }
}

private func isSame(_ a: SafetensorsFile.Value, _ b: SafetensorsFile.Value) -> Bool {
  guard a.shape == b.shape else { return false }
  switch (a, b) {
  case (.float32(let x), .float32(let y)):
    return x.elements.map(\.bitPattern) == y.elements.map(\.bitPattern)
  case (.int64(let x, _), .int64(let y, _)): return x == y
  case (.uint8(let x, _), .uint8(let y, _)): return x == y
  default: return false
  }
}

func safetensorsSeeds() throws -> [[UInt8]] {
  let tensors: [[String: SafetensorsFile.Value]] = [
    [:], ["weight": .float32(Tensor([1, -2, 3, 0.5, 0, 7], shape: [2, 3]))],
    [
      "a.bias": .float32(Tensor([.nan, .infinity], shape: [2])),
      "n": .int64([.min], shape: []), "empty": .float32(.zeros([0, 4])),
      "random \"state\" é": .uint8([1, 2, 3], shape: [3, 1]),
    ],
  ]
  return try tensors.map { [UInt8](try SafetensorsFile.encode($0, metadata: ["format": "pt"])) }
}
