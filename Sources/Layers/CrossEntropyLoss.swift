public import LockstepAutograd
import LockstepKernels
public import LockstepTensors

/// Softmax cross-entropy against labels, summed over rows, in float32 whatever the logits' precision.
public struct CrossEntropyLoss {
  /// The sum of the rows' losses, after what was given; no mean is taken, since the batch may be spread over ranks.
  public let sum: Double
  /// How many rows' largest logit is their label's.
  public let correct: Double
  private let logits: Gradient?
  private let probabilities: Tensor
  private let precision: Precision
  private let labels: Storage<Int32>

  /// Computes the loss of `logits` `[rows, classes]`; a label below 0 leaves its row out.
  ///
  /// The rows' losses are added to `sum` one by one, so that the sum over batches does not depend on how rows
  /// are dealt out to them.
  public init(_ logits: Variable, labels: Storage<Int32>, after sum: Double = 0) {
    self.logits = logits.gradient
    self.labels = labels
    precision = logits.value.precision
    (probabilities, self.sum, correct) = Kernel.crossEntropy(
      Kernel.converted(logits.value, to: .float32), labels: labels, after: sum)
  }

  /// Samples whose counted labels are all predicted correctly, of `samples` with as many rows each; a sample
  /// without a counted label is none.
  ///
  /// Where the rows are a sequence's tokens, that is what greedy decoding writes without an error: as
  /// long as all tokens before were right, it reads what the labels say.
  public func exactMatches(of samples: Int) -> Int {
    let (elements, classes) = (probabilities.elements, probabilities.shape.channels)
    let rows = probabilities.shape.rows / max(samples, 1)
    return (0..<samples).count { sample in
      let counted = (sample * rows..<(sample + 1) * rows).filter { labels[$0] >= 0 }
      return !counted.isEmpty
        && counted.allSatisfy { row in
          let these = elements[row * classes..<(row + 1) * classes]
          // Of equals the first is taken, as greedy decoding does.
          return these.max().flatMap(these.firstIndex) == row * classes + Int(labels[row])
        }
    }
  }

  /// Runs the tape backward from the loss.
  ///
  /// `weight` is 1 / (rows of the whole window over all ranks): the only weight there is, so that
  /// everything after it is a plain sum. `onGradientReady` is called once per parameter, as soon as its
  /// gradient is final.
  public func backward(
    weight: Float, on tape: Tape,
    onGradientReady: @escaping (Parameter) throws -> Void = { _ in }
  ) throws {
    try tape.backward(
      from: logits,
      seed: Kernel.converted(
        Kernel.crossEntropyGradient(probabilities, labels: labels, seed: weight), to: precision),
      onGradientReady: onGradientReady)
  }
}
