public import LockstepCollectives

/// Something that all ranks have to begin a run with alike.
public struct StartItem: Sendable {
  /// What it is, as messages name it.
  public let name: String
  /// This rank's: a digest, or a short text.
  public let value: String
  /// What to do where ranks differ.
  public let remedy: String

  /// Describes an item.
  public init(_ name: String, _ value: String, remedy: String) {
    (self.name, self.value, self.remedy) = (name, value, remedy)
  }
}

/// Throws on every rank unless `items`, of the same names on each, have the same values on all.
///
/// The message names the first item that differs, the ranks on which it is not what it is on rank 0, and
/// what it is there.
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
