import LockstepCollectives
import LockstepTensors

/// What a sum that was begun on `addends` comes to.
func begunSum(_ addends: [Double], over communicator: any Communicator) throws -> [Double] {
  let storage = Storage(addends)
  let sums = try communicator.beginSum(storage).wait()
  return sums.copy(0..<sums.count)
}

/// The error that `body` throws, if it is of communication.
func communicationError(_ body: () throws -> Void) throws -> CommunicationError? {
  do {
    try body()
    return nil
  } catch let error as CommunicationError {
    return error
  }
}
