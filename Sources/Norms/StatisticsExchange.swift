public import Autograd
import Collectives
import Tensors

/// How the sums of a batch norm's backward pass travel, and what is computed while they do.
///
/// With and without overlap the call is the same, and so are the bits: without, the rank waits first,
/// and then computes all that was put off.
public struct StatisticsExchange {
  /// Whether the sums travel in float32.
  let isNarrow: Bool
  /// Whether ``meanwhile`` runs while the sums are in flight, or ``afterwards`` when they have come.
  let overlaps: Bool
  /// What nothing upstream waits for; it is given what lets the sums make progress, and tells whether
  /// they are in flight.
  let meanwhile: (Tape.Poll) throws -> Void
  /// The same, with nothing in flight.
  let afterwards: () throws -> Void

  /// An exchange in the numbers of `merge`.
  public init(
    _ merge: StatisticsMerge = .shiftedMoments, overlaps: Bool = true,
    meanwhile: @escaping (Tape.Poll) throws -> Void = { _ in },
    afterwards: @escaping () throws -> Void = {}
  ) {
    isNarrow = merge == .float32Moments
    self.overlaps = overlaps
    self.meanwhile = meanwhile
    self.afterwards = afterwards
  }

  func sum(_ own: Storage<Double>, over communicator: any Communicator) throws -> Storage<Double> {
    guard isNarrow else { return try travel(own, over: communicator) }
    let narrow = Storage((0..<own.count).map { Float(own[$0]) })
    let sums = try travel(narrow, over: communicator)
    return Storage((0..<own.count).map { Double(sums[$0]) })
  }

  private func travel<Element: Communicable>(
    _ own: Storage<Element>, over communicator: any Communicator
  ) throws -> Storage<Element> {
    let pending = try communicator.beginSum(own)
    if overlaps {
      // A single rank waits for nobody, and does all of it here: so what it records is what a rank among
      // others may do meanwhile, and predictions are made from that.
      let isAlone = communicator.size == 1
      try meanwhile { try !pending.test() || isAlone }
      return try pending.wait()
    }
    let sums = try pending.wait()
    try afterwards()
    return sums
  }
}
