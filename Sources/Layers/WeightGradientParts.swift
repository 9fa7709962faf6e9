/// `samples` samples cut into at most so many parts, and into one at least.
func weightGradientParts(samples: Int, _ parts: Int) -> [Range<Int>] {
  let parts = max(1, min(samples, parts))
  return (0..<parts).map { samples * $0 / parts..<samples * ($0 + 1) / parts }
}
