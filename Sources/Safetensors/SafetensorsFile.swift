public import LockstepTensors

/// A file in the safetensors format: eight bytes with the length of a JSON header, the header,
/// and the tensors' bytes, all little-endian.
///
/// Source: the format's specification, <https://github.com/huggingface/safetensors>.
public struct SafetensorsFile: Sendable {
  /// A tensor of one of the supported types.
  public enum Value: Sendable {
    /// `F32`; elements of `F64`, `F16` and `BF16` are converted to it when read.
    case float32(Tensor)
    /// `I64`.
    case int64([Int64], shape: Shape)
    /// `U8`.
    case uint8([UInt8], shape: Shape)

    /// The extents.
    public var shape: Shape {
      switch self {
      case .float32(let tensor): tensor.shape
      case .int64(_, let shape), .uint8(_, let shape): shape
      }
    }
  }

  /// Where the file was read from, for messages.
  public let path: String
  /// The tensors by name.
  public let tensors: [String: Value]
  /// The header's `__metadata__`.
  public let metadata: [String: String]
}
