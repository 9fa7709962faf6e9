public import LockstepAutograd
public import LockstepCollectives
import LockstepKernels
public import LockstepTensors

/// Sums gradients over all ranks, a bucket at a time, while the backward pass goes on.
///
/// A bucket is sent once its gradients and all buckets before it are ready. So buckets are always
/// sent in bucket order, and not in order of readiness, which may differ between ranks. Gradients are
/// seeded with their final weight, so nothing is divided here.
public final class GradientSynchronizer {
  private let parameters: [Parameter]
  private let communicator: any Communicator
  private let buckets: [Bucket]
  private let overlaps: Bool
  private let precision: Precision
  private var bucketOf: [ObjectIdentifier: Int] = [:]
  private var missing: [Int] = []
  private var inFlight: [any BucketInFlight] = []

  /// Takes over the memory of the parameters' gradients.
  ///
  /// With `overlaps`, buckets are sent while the backward pass goes on; otherwise all are sent at its end.
  /// They travel in float32, or rounded to bfloat16, which halves the bytes.
  public init(
    _ parameters: [Parameter], over communicator: any Communicator,
    settings: BucketSettings = BucketSettings(), overlaps: Bool = true,
    precision: Precision = .float32
  ) {
    self.parameters = parameters
    self.communicator = communicator
    self.overlaps = overlaps
    self.precision = precision
    buckets = settings.buckets(parameters).map(Bucket.init)
    for (index, bucket) in buckets.enumerated() {
      for parameter in bucket.parameters { bucketOf[ObjectIdentifier(parameter)] = index }
    }
  }

  /// The number of buckets, and so of collectives, per window.
  public var bucketCount: Int { buckets.count }

  /// Begins a window of at least one micro-batch, for which no gradient is ready yet.
  public func beginWindow() {
    for parameter in parameters { parameter.clearGradient() }
    missing = buckets.map(\.parameters.count)
    inFlight = []
  }

  /// Notes that a parameter's gradient is final; the tape of the last micro-batch calls it.
  public func gradientReady(_ parameter: Parameter) throws(CommunicationError) {
    guard let bucket = bucketOf[ObjectIdentifier(parameter)] else { return }
    missing[bucket] -= 1
    guard overlaps else { return }
    try progress()
    while inFlight.count < buckets.count, missing[inFlight.count] == 0 { try sendNext() }
  }

  /// Lets the buckets in flight make progress, since MPI makes none by itself while this rank computes.
  public func progress() throws(CommunicationError) {
    for sum in inFlight { try sum.test() }
  }

  private func sendNext() throws(CommunicationError) {
    let bucket = buckets[inFlight.count]
    for parameter in bucket.parameters { parameter.completeGradient() }
    let purpose = Purpose.gradients(bucket: inFlight.count)
    switch precision {
    case .float32:
      inFlight.append(InFlight(try communicator.beginSum(bucket.gradients, for: purpose)))
    case .bfloat16:
      let rounded = Storage<BFloat16>(count: bucket.gradients.count)
      let shape: Shape = [rounded.count]
      Kernel.convert(
        Tensor(bucket.gradients, shape: shape), into: Tensor(rounded, shape: shape))
      inFlight.append(
        RoundedInFlight(try communicator.beginSum(rounded, for: purpose), into: bucket.gradients))
    }
    // Open MPI's call sends nothing if the first round of its algorithm is a copy; the test sends.
    try inFlight.last?.test()
  }

  /// Ends a window: sends the buckets that are left, with zeros for missing gradients, and waits for all.
  ///
  /// - Returns: the gradients summed over all ranks, in the parameters' order.
  public func finishWindow() throws(CommunicationError) -> [Tensor] {
    while inFlight.count < buckets.count { try sendNext() }
    var sums: [ObjectIdentifier: Tensor] = [:]
    for (bucket, sum) in zip(buckets, inFlight) {
      let storage = try sum.wait()
      for (parameter, offset) in zip(bucket.parameters, bucket.offsets) {
        sums[ObjectIdentifier(parameter)] = Tensor(
          storage, offset: offset, shape: parameter.value.shape)
      }
    }
    inFlight = []
    return parameters.map { parameter in
      if let sum = sums[ObjectIdentifier(parameter)] { return sum }
      parameter.completeGradient()
      return parameter.gradient
    }
  }
}

/// A bucket's pending sum; it cannot be copied, so an array keeps an object that holds it.
private protocol BucketInFlight: AnyObject {
  func test() throws(CommunicationError)
  func wait() throws(CommunicationError) -> Storage<Float>
}

/// A sum in float32.
private final class InFlight: BucketInFlight {
  private var pending: PendingSum<Float>?
  init(_ pending: consuming PendingSum<Float>) { self.pending = consume pending }

  func test() throws(CommunicationError) { _ = try pending?.test() }

  func wait() throws(CommunicationError) -> Storage<Float> {
    guard let sum = pending.take() else { preconditionFailure("a bucket was waited for twice") }
    return try sum.wait()
  }
}

/// A sum in bfloat16, which is written back to the gradients' own memory.
private final class RoundedInFlight: BucketInFlight {
  private var pending: PendingSum<BFloat16>?
  private let gradients: Storage<Float>

  init(_ pending: consuming PendingSum<BFloat16>, into gradients: Storage<Float>) {
    self.pending = consume pending
    self.gradients = gradients
  }

  func test() throws(CommunicationError) { _ = try pending?.test() }

  func wait() throws(CommunicationError) -> Storage<Float> {
    guard let sum = pending.take() else { preconditionFailure("a bucket was waited for twice") }
    let sums = try sum.wait()
    let shape: Shape = [sums.count]
    Kernel.convert(Tensor(sums, shape: shape), into: Tensor(gradients, shape: shape))
    return gradients
  }
}
