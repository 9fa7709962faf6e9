import LockstepDataParallel
import LockstepFiles
import LockstepTensors

/// The `parallel` section.
struct ParallelSection: DescribedSection {
  var buckets = BucketSettings()
  var overlap = true
  var watchdogSeconds = 60
  var gradients = Precision.float32

  private static let megabyte = 1_048_576.0
  private static let sizes = 0.000_001...1024.0

  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    var first = Double(buckets.firstBytes) / Self.megabyte
    var other = Double(buckets.bytes) / Self.megabyte
    try coder.double("firstBucketMegabytes", &first, in: Self.sizes)
    try coder.double("bucketMegabytes", &other, in: Self.sizes)
    // A byte, written as megabytes, would be too small to be read again.
    func bytes(_ megabytes: Double) -> Int { max(2, Int(megabytes * Self.megabyte)) }
    buckets = BucketSettings(firstBytes: bytes(first), bytes: bytes(other))
    try coder.bool("overlap", &overlap)
    try coder.choice("gradients", &gradients)
    try coder.int("watchdogSeconds", &watchdogSeconds, in: 2...86_400)
  }
}
