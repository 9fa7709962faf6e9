public import LockstepAutograd
import LockstepKernels
import LockstepTensors

/// Drops elements at random in training and scales the others, so that the mean stays.
///
///     y = x · m / (1 − p),  m = 0 with probability p, else 1
///
/// What is dropped follows the sample's slot in the global batch, not the rank that holds it.
///
/// - Source: Srivastava et al., 2014, section 4.
public struct Dropout: Layer {
  private let probability: Float
  private let index: Int

  /// Drops with `probability`; `index` tells the dropouts of one model apart.
  public init(_ probability: Double, index: Int) {
    self.probability = Float(probability)
    self.index = index
  }

  /// Drops elements in training; the identity in evaluation.
  public func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
    guard tape.mode == .training, probability > 0 else { return x }
    let factors = mask(x.value.shape, tape.origin)
    return tape.record(
      Kernel.product(x.value, factors),
      inputPullback: { [gradient = x.gradient] dy, _ in
        gradient?.add(Kernel.product(dy, factors))
      })
  }

  private func mask(_ shape: Shape, _ origin: SampleOrigin) -> Tensor {
    let kept = 1 / (1 - probability)
    let result = Tensor.uninitialized(shape)
    let each = shape.count / max(shape[0], 1)
    result.storage.withMutableSpan(result.range) { span in
      for sample in 0..<shape[0] {
        var random = RandomStream(
          seed: origin.seed, site: .dropout, step: origin.step, slot: origin.firstSlot + sample,
          part: index)
        for i in sample * each..<(sample + 1) * each {
          span[i] = random.uniform() < probability ? 0 : kept
        }
      }
    }
    return result
  }
}
