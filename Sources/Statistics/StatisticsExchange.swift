public import LockstepAutograd
public import LockstepCollectives
package import LockstepTensors

/// How the sums of a batch norm's backward pass travel, and what is computed while they do.
public struct StatisticsExchange {
  /// Whether the sums travel in float32.
  let isNarrow: Bool
  /// What the sums are for.
  let purpose: Purpose
  /// What nothing upstream waits for, computed while the sums are in flight; it is given what lets them make
  /// progress.
  let meanwhile: (Tape.Poll) throws -> Void

  /// An exchange in the numbers of `merge`.
  public init(
    _ merge: StatisticsMerge = .shiftedMoments, for purpose: Purpose = .control,
    meanwhile: @escaping (Tape.Poll) throws -> Void = { _ in }
  ) {
    isNarrow = merge == .float32Moments
    self.purpose = purpose
    self.meanwhile = meanwhile
  }

  package func sum(_ own: Storage<Double>, over communicator: any Communicator) throws -> Storage<
    Double
  > {
    guard isNarrow else { return try travel(own, over: communicator) }
    let narrow = Storage((0..<own.count).map { Float(own[$0]) })
    let sums = try travel(narrow, over: communicator)
    return Storage((0..<own.count).map { Double(sums[$0]) })
  }

  /// The call is the same whether anything is computed meanwhile or not, and so are the bits: Open MPI's
  /// blocking call sums in another order.
  private func travel<Element: Communicable>(
    _ own: Storage<Element>, over communicator: any Communicator
  ) throws -> Storage<Element> {
    let pending = try communicator.beginSum(own, for: purpose)
    try meanwhile { _ = try pending.test() }
    return try pending.wait()
  }
}
