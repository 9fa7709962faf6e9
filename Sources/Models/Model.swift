public import LockstepAutograd
import LockstepKernels
import LockstepLayers
public import LockstepNorms
public import LockstepTensors

/// A network for classification: samples in, logits out, one row of them for each label.
public struct Model: Layer {
  private let layers: [any Layer]
  private let constraints: [Constraint]
  /// The network again where it can go on from a state.
  let recurrent: LSTMNetwork?
  /// How many logits it puts out, where that is known.
  public let outputs: Int?
  /// Its norms, in order.
  public let norms: [PlacedNorm]
  /// All parameters, in registration order; one that layers share is there once.
  public let parameters: [Parameter]
  /// All running statistics.
  public let buffers: [Buffer]
  /// All counts.
  public let counters: [Counter]

  /// A network of `layers` whose norms, all of them, are `norms`.
  init(
    _ layers: [any Layer], norms: [PlacedNorm], constraints: [Constraint] = [],
    outputs: Int? = nil, recurrent: LSTMNetwork? = nil
  ) {
    self.outputs = outputs
    self.layers = layers
    self.recurrent = recurrent
    self.constraints = constraints
    self.norms = norms
    var known: Set<ObjectIdentifier> = []
    // A tied parameter belongs to two layers.
    parameters = layers.flatMap(\.parameters).filter { known.insert(ObjectIdentifier($0)).inserted }
    buffers = layers.flatMap(\.buffers)
    counters = layers.flatMap(\.counters)
  }

  /// Brings the parameters back to where the model wants them, after each update: nGPT's weights to
  /// unit length.
  public func applyConstraints() {
    for constraint in constraints { constraint.apply() }
  }

  /// Applies the network: `[N, …]` to `[N, classes]`.
  public func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    try Sequential(layers)(x, on: tape)
  }

  /// The outputs of its outermost layers, in order: in a transformer the embeddings, the residual stream after
  /// every block, the last norm, and the logits.
  package func outputsOfLayers(_ x: Variable, on tape: Tape) throws -> [Tensor] {
    var y = x
    return try layers.map { layer in
      y = try layer(y, on: tape)
      return y.value
    }
  }
}

/// A norm of a model: where it stands, and what it is.
public struct PlacedNorm {
  /// The place.
  public let site: NormSite
  /// The norm.
  public let settings: NormSettings
  /// How many ranks its statistics are over.
  public let ranks: Int
  /// Whether its statistics are over all ranks, if they are over a batch.
  public let coversAllRanks: Bool
  /// For each rank of the job, the first of those that share its statistics, as in ``StatisticsScope``.
  public let firstRanks: [Int]
}

extension Model {
  /// Where its norms stand, in order.
  public var normSites: [NormSite] { norms.map(\.site) }

  /// Whether any of its norms takes its statistics over several ranks.
  public var synchronizesStatistics: Bool { norms.contains { $0.settings.synchronizes } }

  /// Whether weight gradients are computed while statistics are in flight, as its first synchronized norm
  /// says.
  public var statisticsOverlap: StatisticsOverlap {
    norms.first { $0.settings.synchronizes }?.settings.overlap ?? .automatic
  }

  /// Whether ranks have running statistics of their own.
  public var hasOwnStatistics: Bool {
    norms.contains { $0.settings.usesBatchStatistics && !$0.coversAllRanks }
  }

  /// Which ranks share running statistics, once for each way in which its norms group ranks: for each rank the
  /// first of its group.
  public var statisticsGroups: [[Int]] {
    norms.reduce(into: []) { groups, norm in
      guard norm.settings.usesBatchStatistics, !norm.firstRanks.isEmpty else { return }
      if !groups.contains(norm.firstRanks) { groups.append(norm.firstRanks) }
    }
  }
}

/// A parameter whose rows, or columns, are kept at unit length.
struct Constraint {
  let parameter: Parameter
  let byColumns: Bool

  func apply() {
    Kernel.makeUnit(parameter.value, byColumns: byColumns)
  }
}

/// What every model has to be told.
public struct ModelContext {
  /// `[height, width, channels]` of one image, or `[T]` of one sequence of tokens.
  public let input: Shape
  /// How many logits.
  public let classes: Int
  /// Keys the initial values.
  public let seed: UInt64
  /// The norm at every norm site.
  public let norm: NormSettings
  /// Whether the weights of linear layers and convolutions are trained by direction and length.
  public let weightNorm: Bool
  /// Whether the weights of convolutions are standardized.
  public let weightStandardization: Bool
  /// Over which ranks sync-batch norms take their statistics.
  public let synchronized: StatisticsScope

  /// Puts the context together.
  public init(
    input: Shape, classes: Int, seed: UInt64, norm: NormSettings, weightNorm: Bool = false,
    weightStandardization: Bool = false, synchronized: StatisticsScope = .thisRank
  ) {
    self.input = input
    self.classes = classes
    self.seed = seed
    self.norm = norm
    self.weightNorm = weightNorm
    self.weightStandardization = weightStandardization
    self.synchronized = synchronized
  }
}
