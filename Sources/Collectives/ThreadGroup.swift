import Foundation

/// The meeting point of the ranks of a ``ThreadCommunicator`` group.
final class ThreadGroup: @unchecked Sendable {
  private struct Meeting {
    var operation: String
    var parts: [(any Sendable)?]
    var arrived = 0
    var left = 0
  }

  let size: Int
  private let root: ThreadGroup?
  private let condition: NSCondition
  private var meetings: [Int: Meeting] = [:]
  private var children: [[Int]: ThreadGroup] = [:]
  private var failure: CommunicationError?

  init(size: Int, root: ThreadGroup? = nil) {
    self.size = size
    self.root = root
    condition = root?.condition ?? NSCondition()
  }

  private var currentFailure: CommunicationError? { root?.failure ?? failure }

  /// Wakes every rank of this group, and of the groups split from it, with an error.
  func fail(_ error: CommunicationError) {
    condition.lock()
    defer { condition.unlock() }
    let top = root ?? self
    if top.failure == nil { top.failure = error }
    condition.broadcast()
  }

  func post(_ part: any Sendable, _ operation: String, from rank: Int, _ number: Int)
    throws(CommunicationError)
  {
    condition.lock()
    defer { condition.unlock() }
    if let error = currentFailure { throw error }
    var meeting =
      meetings[number] ?? Meeting(operation: operation, parts: Array(repeating: nil, count: size))
    guard meeting.operation == operation else {
      let error = CommunicationError(
        call: operation, code: 1,
        reason: "collective \(number) is \"\(meeting.operation)\" on another rank")
      (root ?? self).failure = error
      condition.broadcast()
      throw error
    }
    meeting.parts[rank] = part
    meeting.arrived += 1
    meetings[number] = meeting
    if meeting.arrived == size { condition.broadcast() }
  }

  func collect<Part: Sendable>(_ number: Int) throws(CommunicationError) -> [Part] {
    condition.lock()
    defer { condition.unlock() }
    while currentFailure == nil, (meetings[number]?.arrived ?? 0) < size { condition.wait() }
    if let error = currentFailure { throw error }
    let parts = meetings[number]?.parts.compactMap { $0 as? Part } ?? []
    precondition(parts.count == size, "collective \(number): parts of different types")
    leave(number)
    return parts
  }

  func isComplete(_ number: Int) throws(CommunicationError) -> Bool {
    condition.lock()
    defer { condition.unlock() }
    if let error = currentFailure { throw error }
    return meetings[number].map { $0.arrived == size } ?? false
  }

  /// Leaves a collective whose result nobody wants.
  func forget(_ number: Int) {
    condition.lock()
    defer { condition.unlock() }
    leave(number)
  }

  private func leave(_ number: Int) {
    meetings[number]?.left += 1
    if meetings[number]?.left == size { meetings[number] = nil }
  }

  /// The group of the ranks that gave `color` to the split with this number.
  func child(_ number: Int, _ color: Int, size: Int) -> ThreadGroup {
    condition.lock()
    defer { condition.unlock() }
    if let child = children[[number, color]] { return child }
    let child = ThreadGroup(size: size, root: root ?? self)
    children[[number, color]] = child
    return child
  }
}
