import Autograd

/// The samples by whose parts a weight gradient is computed: all at once where nothing waits for a
/// collective, else cut so that it makes progress in between.
///
/// The cuts are the same whether there is anything in flight or not, and so are the sums' bits.
func weightGradientParts(samples: Int, _ progress: Tape.Progress?) -> [Range<Int>] {
  guard progress != nil, samples > 1 else { return [0..<samples] }
  let parts = min(samples, 4)
  return (0..<parts).map { samples * $0 / parts..<samples * ($0 + 1) / parts }
}
