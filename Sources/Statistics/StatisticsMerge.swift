package import LockstepCollectives
import LockstepKernels
package import LockstepTensors

/// How ranks agree on a batch's moments.
///
/// For C channels, with K the running mean, which is the same on all ranks:
public enum StatisticsMerge: String, CaseIterable, Sendable {
  /// One all-reduce of [Σ (x − K), Σ (x − K)², n] in float64: 2·C + 1 numbers.
  case shiftedMoments = "shifted-moments"
  /// One all-reduce of (n, μ, M₂) a channel by Chan's merge, as a reduction of its own: 3·C float64.
  case welford
  /// One all-gather of (n, μ, M₂) a channel, merged on every rank in rank order: 3·C float64 of each
  /// rank.
  case allGather = "all-gather"
  /// Two all-reduces: [Σ (x − K), n], then Σ (x − μ)² about the mean of all ranks, by a second pass over
  /// the samples: C + 1 and C float64.
  case twoPass = "two-pass"
  /// As ``shiftedMoments``, in float32: half the bytes, here and in the backward pass.
  case float32Moments = "float32-moments"

  /// How many collectives agree on the moments.
  public var collectives: Int { self == .twoPass ? 2 : 1 }

  /// The bytes that a rank gives to them, for `channels` channels.
  public func bytes(channels: Int) -> Int {
    switch self {
    case .shiftedMoments, .twoPass: 8 * (2 * channels + 1)
    case .welford, .allGather: 8 * MomentsTriple.width * channels
    case .float32Moments: 4 * (2 * channels + 1)
    }
  }

  /// The rows of all ranks, and the mean less K and the variance of each channel over them.
  package func moments(
    _ x: Tensor, shift: Tensor, over communicator: any Communicator, for purpose: Purpose
  ) throws(CommunicationError) -> (count: Double, offsets: [Double], variances: [Double]) {
    let channels = x.shape.channels
    let rows = Double(x.shape.rows)
    let sums = Storage<Double>(count: 2 * channels + 1, filledWith: 0)
    Kernel.addColumnMoments(x, shift: shift, to: sums)
    sums[2 * channels] = rows
    switch self {
    case .shiftedMoments: return Self.moments(try Self.sum(sums, over: communicator, for: purpose))
    case .float32Moments:
      let narrow = try Self.sum(
        Storage((0..<sums.count).map { Float(sums[$0]) }), over: communicator, for: purpose)
      return Self.moments(Storage((0..<sums.count).map { Double(narrow[$0]) }))
    case .welford, .allGather:
      let triples = Storage<Double>(count: MomentsTriple.width * channels)
      for c in 0..<channels {
        let mean = sums[c] / max(rows, 1)
        triples.write(
          MomentsTriple(
            count: rows, mean: mean, squares: max(0, sums[channels + c] - mean * sums[c])),
          at: c)
      }
      return Self.moments(try merged(triples, over: communicator, for: purpose))
    case .twoPass:
      let first = try Self.sum(
        Storage(sums.copy(0..<channels) + [rows]), over: communicator, for: purpose)
      let offsets = (0..<channels).map { first[$0] / max(first[channels], 1) }
      let squares = try Self.sum(
        Self.squares(x, about: zip(shift.elements, offsets).map { Double($0) + $1 }),
        over: communicator, for: purpose)
      return (
        first[channels], offsets, (0..<channels).map { squares[$0] / max(first[channels], 1) }
      )
    }
  }

  private func merged(
    _ triples: Storage<Double>, over communicator: any Communicator, for purpose: Purpose
  ) throws(CommunicationError) -> [MomentsTriple] {
    let channels = triples.count / MomentsTriple.width
    guard self == .allGather else {
      try communicator.mergeMoments(triples, for: purpose)
      return (0..<channels).map { triples.triple(at: $0) }
    }
    let all = Storage<Double>(count: communicator.size * triples.count)
    try communicator.allGather(triples, into: all, for: purpose)
    return (0..<channels).map { c in
      (1..<communicator.size).reduce(all.triple(at: c)) {
        $0.merged(with: all.triple(at: $1 * channels + c))
      }
    }
  }

  private static func sum<Element: Communicable>(
    _ values: Storage<Element>, over communicator: any Communicator, for purpose: Purpose
  ) throws(CommunicationError) -> Storage<Element> {
    try values.withMutableSpan(0..<values.count) { span throws(CommunicationError) in
      try communicator.sum(&span, for: purpose)
    }
    return values
  }

  /// The moments of [Σ (x − K), Σ (x − K)², n].
  private static func moments(_ sums: Storage<Double>) -> (
    count: Double, offsets: [Double], variances: [Double]
  ) {
    let channels = sums.count / 2
    let n = max(sums[2 * channels], 1)
    let offsets = (0..<channels).map { sums[$0] / n }
    return (
      sums[2 * channels], offsets,
      (0..<channels).map { max(0, sums[channels + $0] / n - offsets[$0] * offsets[$0]) }
    )
  }

  private static func moments(_ triples: [MomentsTriple]) -> (
    count: Double, offsets: [Double], variances: [Double]
  ) {
    (
      triples.first?.count ?? 0, triples.map(\.mean),
      triples.map { $0.squares / max($0.count, 1) }
    )
  }

  /// Σ (x − μ)² over this rank's rows: about what a float holds of μ, and corrected for the rest.
  private static func squares(_ x: Tensor, about means: [Double]) -> Storage<Double> {
    let center = ColumnCenter(means)
    let sums = Storage<Double>(count: 2 * means.count, filledWith: 0)
    Kernel.addColumnMoments(x, shift: center.center, to: sums)
    let rest = center.offset.elements.map(Double.init)
    return Storage(
      means.indices.map { c in
        max(
          0,
          sums[means.count + c] - 2 * rest[c] * sums[c] + Double(x.shape.rows) * rest[c] * rest[c])
      })
  }
}
