import LockstepCheckpoints
import LockstepModels

/// What `body` returns; parameters and running statistics are afterwards what they were.
///
/// For passes in training mode after a run's last step: they move running statistics.
func keepingState<Result>(of model: Model, _ body: () throws -> Result) throws -> Result {
  let state = StateDictionary(model)
  let result = try body()
  try state.load(into: model)
  return result
}
