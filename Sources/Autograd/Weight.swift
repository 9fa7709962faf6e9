public import LockstepTensors

/// A layer's weight: a parameter itself, or a function of parameters, such as weight norm's
/// g · v / ‖v‖.
public struct Weight {
  /// The weight's shape.
  public let shape: Shape
  /// What is trained.
  public let parameters: [Parameter]
  private let function: ((Tape) throws -> Variable)?

  /// The parameter itself.
  public init(_ parameter: Parameter) {
    shape = parameter.value.shape
    parameters = [parameter]
    function = nil
  }

  /// A function of `parameters`, which it records on the tape as a layer does.
  public init(
    _ shape: Shape, of parameters: [Parameter], _ function: @escaping (Tape) throws -> Variable
  ) {
    self.shape = shape
    self.parameters = parameters
    self.function = function
  }

  /// The weight in one use by one layer.
  public struct Use {
    /// The value.
    public let value: Tensor
    /// The parameters whose gradients the layer's own pullbacks contribute to: none where the weight
    /// is a function of them.
    public let parameters: [Parameter]
    private let computed: Gradient?

    fileprivate init(_ parameter: Parameter) {
      value = parameter.value
      parameters = [parameter]
      computed = nil
    }

    fileprivate init(_ variable: Variable) {
      value = variable.value
      parameters = []
      computed = variable.gradient
    }

    /// Whether the gradient goes to parameters, and no entry of the tape waits for it.
    public var isParameter: Bool { computed == nil }

    /// Lets `body` write the weight's gradient, or add to it where `accumulating`.
    public func contribute(_ body: (_ gradient: Tensor, _ accumulating: Bool) -> Void) {
      for parameter in parameters { parameter.contribute(body) }
      if let computed {
        let gradient = Tensor.uninitialized(value.shape)
        body(gradient, false)
        computed.add(gradient)
      }
    }
  }

  /// The weight as a layer uses it on `tape`, before it records itself.
  public func use(on tape: Tape) throws -> Use {
    if let function { return Use(try function(tape)) }
    return Use(parameters[0])
  }
}
