public import LockstepCollectives

/// Something that has to be the same on all ranks when a run begins.
public struct StartItem: Sendable {
  /// The item's name in messages.
  public let name: String
  /// This rank's value, which is a digest or a short text.
  public let value: String
  /// What to do if ranks differ.
  public let remedy: String

  /// Describes an item.
  public init(_ name: String, _ value: String, remedy: String) {
    (self.name, self.value, self.remedy) = (name, value, remedy)
  }
}

/// Throws on every rank unless `items` have the same values on all ranks.
///
/// All ranks pass items of the same names in the same order. The message names the first item that
/// differs, the ranks on which it differs from rank 0's, and both values.
///
/// Collective.
///
/// - Throws: `AgreedError`, the same on all ranks.
public func agreeOnStart(_ items: [StartItem], over communicator: any Communicator) throws {
  let values = try items.map { try communicator.allGather($0.value) }
  for (item, values) in zip(items, values) {
    let others = values.indices.filter { values[$0] != values[0] }
    guard let first = others.first else { continue }
    throw AgreedError(
      description: "\(item.name) of \(CollectiveDifference.ranks(others)) is not that of rank 0: "
        + "\(values[first]), not \(values[0]); \(item.remedy)")
  }
}
