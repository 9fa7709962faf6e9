import Autograd
public import Collectives
import Tensors

/// Over which ranks a batch norm takes its statistics.
public struct StatisticsScope {
  /// The ranks whose batches are one.
  public let communicator: any Communicator
  /// Whether these are all ranks, so that what is summed over them is final.
  public let coversAllRanks: Bool

  /// Statistics over the ranks of `communicator`.
  public init(_ communicator: any Communicator, coversAllRanks: Bool) {
    self.communicator = communicator
    self.coversAllRanks = coversAllRanks
  }

  /// Per-rank statistics.
  public static var thisRank: StatisticsScope { StatisticsScope(Solo(), coversAllRanks: false) }

  /// Whether statistics over these ranks are communicated, if only with this rank itself.
  var communicates: Bool { !(communicator is Solo) }
}

extension BatchNorm {
  /// The norm as a layer of a model; with `limits`, it is ``BatchRenorm``.
  struct Module: Layer {
    private let affine: Affine
    private let running: RunningStatistics
    private let scope: StatisticsScope
    private let settings: NormSettings
    private let limits: BatchRenorm.Limits?
    private let site: EventName

    var parameters: [Parameter] { affine.parameters }
    var buffers: [Buffer] { [running.mean, running.variance] }
    var counters: [Counter] { [running.batches] }

    init(
      _ name: String, channels: Int, _ settings: NormSettings, _ scope: StatisticsScope,
      limits: BatchRenorm.Limits? = nil
    ) {
      affine = Affine(
        name, channels: channels, affine: settings.affine, isSummedByLayer: scope.coversAllRanks)
      running = RunningStatistics(name, channels: channels)
      self.scope = scope
      self.settings = settings
      self.limits = limits
      site = EventName(name)
    }

    func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
      guard tape.mode == .training else {
        return tape.record(
          BatchNorm.normalize(
            x.value, running, gain: affine.gainValue, bias: affine.biasValue,
            epsilon: settings.epsilon
          ).y, inputPullback: { _, _ in })
      }
      scope.communicator.meter.purpose = .statistics(site, .forward)
      let (y, moments, backward) = try normalize(x.value)
      running.update(moments, momentum: settings.momentum)
      return tape.record(
        y, uses: parameters,
        inputPullback: {
          // The tape owns this closure, and runs it.
          [affine, scope, site, settings, gradient = x.gradient, unowned tape] dy, overwriting in
          scope.communicator.meter.purpose = .statistics(site, .backward)
          let exchange = StatisticsExchange(
            settings.merge, meanwhile: { [unowned tape] in try tape.computeDeferred($0) })
          let gradients = try backward(dy, exchange, overwriting)
          gradient?.add(gradients.dx)
          let own = scope.coversAllRanks ? gradients.summed : gradients.own
          affine.gain?.contribute(own.gain[...])
          affine.bias?.contribute(own.bias[...])
        }, waitsForRanks: scope.communicates)
    }

    private typealias Backward = (
      _ dy: Tensor, _ exchange: StatisticsExchange, _ overwriting: Bool
    ) throws -> Gradients

    private func normalize(_ x: Tensor) throws -> (y: Tensor, moments: Moments, Backward) {
      let (gain, bias, communicator) = (affine.gainValue, affine.biasValue, scope.communicator)
      if let limits {
        let (y, saved, moments) = try BatchRenorm.forward(
          x, running, gain: gain, bias: bias, epsilon: settings.epsilon, limits: limits,
          merge: settings.merge, over: communicator)
        return (
          y, moments,
          {
            try BatchRenorm.backward(
              $0, saved: saved, over: communicator, exchange: $1, overwriting: $2)
          }
        )
      }
      let (y, saved, moments) = try BatchNorm.forward(
        x, shift: running.mean.value, gain: gain, bias: bias, epsilon: settings.epsilon,
        merge: settings.merge, over: communicator)
      return (
        y, moments,
        {
          try BatchNorm.backward(
            $0, gain: gain, saved: saved, over: communicator, exchange: $1, overwriting: $2)
        }
      )
    }
  }
}
