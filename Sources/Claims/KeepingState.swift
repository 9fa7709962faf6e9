import LockstepCheckpoints
import LockstepModels

/// Runs `body`, and then restores the model's parameters and running statistics.
///
/// This is for passes in training mode after a run's last step, since they change running statistics.
func keepingState<Result>(of model: Model, _ body: () throws -> Result) throws -> Result {
  let state = StateDictionary(model)
  let result = try body()
  try state.load(into: model)
  return result
}
