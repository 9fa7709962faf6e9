import Models
import Training

/// What `body` returns; parameters and running statistics are afterwards what they were.
///
/// For a forward pass in training mode, which moves running statistics.
func keepingState<Result>(of model: Model, _ body: () throws -> Result) throws -> Result {
  let state = StateDictionary(model)
  let result = try body()
  try state.load(into: model)
  return result
}
