public import Autograd
import Kernels
public import Tensors

/// Softmax cross-entropy against labels, summed over rows.
public struct CrossEntropyLoss {
  /// The sum of the rows' losses; no mean is taken, since the batch may be spread over ranks.
  public let sum: Double
  /// How many rows' largest logit is their label's.
  public let correct: Double
  private let logits: Gradient?
  private let probabilities: Tensor
  private let labels: Storage<Int32>

  /// Computes the loss of `logits` `[rows, classes]`; a label below 0 leaves its row out.
  public init(_ logits: Variable, labels: Storage<Int32>) {
    self.logits = logits.gradient
    self.labels = labels
    (probabilities, sum, correct) = Kernel.crossEntropy(logits.value, labels: labels)
  }

  /// Runs the tape backward from the loss.
  ///
  /// `weight` is 1 / (rows of the whole window over all ranks): the only weight there is, so that
  /// everything after it is a plain sum.
  public func backward(weight: Float, on tape: Tape) throws {
    try tape.backward(
      from: logits,
      seed: Kernel.crossEntropyGradient(probabilities, labels: labels, seed: weight))
  }
}
