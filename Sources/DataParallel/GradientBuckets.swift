public import LockstepAutograd
import LockstepTensors

/// How parameters' gradients are grouped into buckets.
public struct BucketSettings: Hashable, Sendable {
  /// The largest size of the first bucket in bytes; it is small so that sending begins early.
  public var firstBytes: Int
  /// The largest size of every other bucket in bytes.
  public var bytes: Int

  /// 1 MiB, then 25 MiB: PyTorch's defaults.
  public init(firstBytes: Int = 1 << 20, bytes: Int = 25 << 20) {
    self.firstBytes = firstBytes
    self.bytes = bytes
  }

  /// Cuts `parameters` into buckets in reverse registration order, nearly the order in which
  /// gradients become ready.
  ///
  /// A parameter larger than a bucket gets a bucket of its own. A parameter whose layer sums its
  /// gradient is in no bucket.
  public func buckets(_ parameters: [Parameter]) -> [[Parameter]] {
    var buckets: [[Parameter]] = []
    var room = 0
    for parameter in parameters.reversed() where !parameter.isSummedByLayer {
      let size = parameter.value.count * MemoryLayout<Float>.stride
      if size > room || buckets.isEmpty {
        room = buckets.isEmpty ? firstBytes : bytes
        buckets.append([])
      }
      buckets[buckets.count - 1].append(parameter)
      room -= size
    }
    return buckets
  }
}

/// Parameters whose gradients lie side by side in memory.
final class Bucket {
  let parameters: [Parameter]
  let gradients: Storage<Float>
  private(set) var offsets: [Int] = []

  init(_ parameters: [Parameter]) {
    self.parameters = parameters
    var count = 0
    for parameter in parameters {
      offsets.append(count)
      count += parameter.value.count
    }
    gradients = Storage(count: count, filledWith: 0)
    for (parameter, offset) in zip(parameters, offsets) {
      parameter.moveGradient(
        to: Tensor(gradients, offset: offset, shape: parameter.value.shape))
    }
  }
}
