import LockstepFloatLoops
import LockstepKernelLoops
public import LockstepTensors

extension Kernel {
  /// Softmax cross-entropy of `logits` `[rows, classes]`; a label below 0 leaves its row out.
  ///
  /// - Returns: the probabilities, `loss` and the rows' losses added to it one by one, and how many rows'
  ///   largest logit is their label's.
  public static func crossEntropy(
    _ logits: Tensor, labels: Storage<Int32>, after loss: Double = 0
  ) -> (probabilities: Tensor, loss: Double, correct: Double) {
    let (rows, classes) = (logits.shape.rows, logits.shape.channels)
    precondition(labels.count == rows, "\(labels.count) labels for \(rows) rows")
    for row in 0..<rows { precondition(labels[row] < classes, "label \(labels[row])") }
    let probabilities = Tensor.uninitialized(logits.shape)
    let sums = Storage([loss, 0])
    table.crossEntropy(
      logits.input, labels.pointer, rows, classes, probabilities.output, sums.pointer)
    return (probabilities, sums[0], sums[1])
  }

  /// seed · (probabilities − one-hot label).
  public static func crossEntropyGradient(
    _ probabilities: Tensor, labels: Storage<Int32>, seed: Float
  ) -> Tensor {
    let dx = Tensor.uninitialized(probabilities.shape)
    table.crossEntropyGradient(
      probabilities.input, labels.pointer, dx.shape.rows, dx.shape.channels, seed, dx.output)
    return dx
  }
}
