import LockstepAutograd
import LockstepCollectives
import LockstepKernels
import LockstepNorms
import LockstepTensors

/// The gradients of a norm's input, gain and shift.
struct StepGradients {
  let dx: Tensor
  let gain: ArraySlice<Double>
  let shift: ArraySlice<Double>
}

/// Takes dy, which it does not write over.
typealias StepPullback = (_ dy: Tensor, _ backward: Backward) throws -> StepGradients

/// A norm that a recurrent layer applies at every step, with one gain and shift for all steps.
protocol StepNorm {
  /// Where it stands.
  var site: NormSite { get }
  /// Its gain and shift.
  var affine: Affine { get }
  /// Its running statistics, if it keeps any.
  var running: RunningStatistics? { get }
  /// Whether its passes wait for other ranks.
  var communicates: Bool { get }
  /// The norm of one step's rows `[N, C]`, with `addend` added.
  func forward(_ x: Tensor, adding addend: Tensor?, step: Int, of pass: StepPass) throws -> (
    y: Tensor, pullback: StepPullback
  )
  /// The norms of all steps' rows `[T, N, C]`.
  func forward(_ x: Tensor, of pass: StepPass) throws -> (y: Tensor, pullback: StepPullback)
}

extension StepNorm {
  var running: RunningStatistics? { nil }
  var communicates: Bool { false }
}

/// The norm of a kind that a recurrent layer knows; nil for none.
///
/// Batch norms have no shift but where `keepsShift`, since a bias follows, and their gains begin at 0.1, as
/// in Cooijmans et al., 2016.
func stepNorm(
  _ site: NormSite, _ settings: NormSettings, _ scope: StatisticsScope, steps: Int,
  keepsShift: Bool
) -> (any StepNorm)? {
  switch settings.kind {
  case .none: nil
  case .layer, .rms: RowStepNorm(site, settings)
  case .batch: BatchStepNorm(site, settings, .thisRank, steps: steps, hasShift: keepsShift)
  case .syncBatch: BatchStepNorm(site, settings, scope, steps: steps, hasShift: keepsShift)
  default: preconditionFailure(LSTM.problem(settings.kind) ?? "")
  }
}

/// Layer or RMS norm, to which a step is like any other.
struct RowStepNorm: StepNorm {
  let site: NormSite
  let affine: Affine
  private let normalize: (Tensor, NormEpilogue) -> (Tensor, StepPullback)

  init(_ site: NormSite, _ settings: NormSettings) {
    let isLayer = settings.kind == .layer
    let affine = Affine(
      site, affine: settings.affine, hasBias: isLayer,
      isZeroCentered: !isLayer && settings.zeroCentered)
    (self.site, self.affine) = (site, affine)
    let (rule, detached) = (settings.rowRule, settings.detached)
    normalize =
      isLayer
      ? { x, epilogue in
        let (y, saved) = LayerNorm.forward(
          x, gain: affine.gainValue, bias: affine.biasValue, rule: rule, epilogue: epilogue)
        return (
          y,
          { dy, _ in
            let (dx, gain, shift) = LayerNorm.backward(
              OutputGradient(dy), gain: affine.gainValue, saved: saved, detached: detached)
            return StepGradients(dx: dx, gain: gain, shift: shift)
          }
        )
      }
      : { x, epilogue in
        let (y, saved) = RMSNorm.forward(
          x, gain: affine.gainValue, rule: rule, epilogue: epilogue)
        return (
          y,
          { dy, _ in
            let (dx, gain) = RMSNorm.backward(
              OutputGradient(dy), gain: affine.gainValue, saved: saved)
            return StepGradients(dx: dx, gain: gain, shift: [])
          }
        )
      }
  }

  func forward(_ x: Tensor, adding addend: Tensor?, step: Int, of pass: StepPass) -> (
    y: Tensor, pullback: StepPullback
  ) { normalize(x, NormEpilogue(adding: addend)) }

  func forward(_ x: Tensor, of pass: StepPass) -> (y: Tensor, pullback: StepPullback) {
    normalize(x, .none)
  }
}

/// Batch norm with the statistics of each step by itself.
///
/// - Communication: one all-reduce a step and direction, or what the ``StatisticsMerge`` says; one for all
///   steps together where their rows are known together, but of padded sequences.
struct BatchStepNorm: StepNorm {
  let site: NormSite
  let affine: Affine
  let statistics: RunningStatistics
  /// Those of each step; steps after the last use the last's.
  private let each: [RunningStatistics]
  private let settings: NormSettings
  private let scope: StatisticsScope
  private let epsilon: Double
  private let momentum: Double?
  private let merge: StatisticsMerge

  var running: RunningStatistics? { statistics }
  var communicates: Bool { scope.communicates }

  init(
    _ site: NormSite, _ settings: NormSettings, _ scope: StatisticsScope, steps: Int, hasShift: Bool
  ) {
    (self.site, self.settings, self.scope) = (site, settings, scope)
    (epsilon, momentum) = (settings.epsilon, settings.momentum)
    merge = scope.communicates ? settings.merge : .shiftedMoments
    affine = Affine(
      site, affine: settings.affine, hasBias: hasShift, isSummedByLayer: scope.coversAllRanks)
    affine.gain?.value.fill(with: 0.1)
    let all = RunningStatistics(site.name, channels: steps * site.channels)
    statistics = all
    each = (0..<steps).map { all.part($0, of: steps) }
  }

  /// The statistics of a step.
  private func part(_ step: Int) -> RunningStatistics { each[min(step, each.count - 1)] }

  /// Takes in a step's moments: all steps of a pass are one batch.
  private func update(_ own: RunningStatistics, _ moments: BatchNorm.Moments, _ pass: StepPass) {
    own.batches.value = pass.batches
    own.update(moments, momentum: momentum)
    statistics.batches.value = max(statistics.batches.value, own.batches.value)
  }

  private func pullback(_ saved: BatchNorm.Saved, gain: Tensor) -> StepPullback {
    { [scope, site, merge] dy, backward in
      let exchange = StatisticsExchange(
        merge, for: .statistics(site.layerName.event, .backward),
        meanwhile: backward.computeDeferred)
      let found = try BatchNorm.backward(
        OutputGradient(dy), gain: gain, saved: saved, over: scope.communicator, exchange: exchange)
      let sums = scope.coversAllRanks ? found.summed : found.own
      return StepGradients(dx: found.dx, gain: sums.gain[...], shift: sums.bias[...])
    }
  }

  func forward(_ x: Tensor, adding addend: Tensor?, step: Int, of pass: StepPass) throws -> (
    y: Tensor, pullback: StepPullback
  ) {
    let own = part(pass.first + step)
    let epilogue = NormEpilogue(adding: addend)
    guard pass.mode == .training else {
      let (y, saved) = BatchNorm.normalize(
        x, own, gain: affine.gainValue, bias: affine.biasValue, epsilon: epsilon,
        epilogue: epilogue)
      return (y, pullback(saved, gain: affine.gainValue))
    }
    let rows = settings.masked ? pass.rows?[step] : nil
    let (y, saved, moments) = try BatchNorm.forward(
      rows.map { Kernel.gatherRows(x, $0) } ?? x, shift: own.mean.value, gain: affine.gainValue,
      bias: affine.biasValue, epsilon: epsilon, epilogue: rows == nil ? epilogue : .none,
      merge: merge, over: scope.communicator,
      for: .statistics(site.layerName.event, .forward))
    update(own, moments, pass)
    let pullback = pullback(saved, gain: affine.gainValue)
    guard let rows else { return (y, pullback) }
    let all = Kernel.scatterRows(y, rows, shape: x.shape)
    return (
      addend.map { Kernel.add(all, $0) } ?? all,
      { dy, backward in
        let found = try pullback(Kernel.gatherRows(dy, rows), backward)
        return StepGradients(
          dx: Kernel.scatterRows(found.dx, rows, shape: dy.shape), gain: found.gain,
          shift: found.shift)
      }
    )
  }

  func forward(_ x: Tensor, of pass: StepPass) throws -> (y: Tensor, pullback: StepPullback) {
    guard pass.mode == .training, pass.rows == nil || !settings.masked else {
      return try oneByOne(x, pass)
    }
    let (order, steps, channels) = (pass.order, pass.order.steps, site.channels)
    let all: Shape = [steps * channels]
    func repeated(_ row: Tensor) -> Tensor {
      let row = row.elements
      return Tensor((0..<steps).flatMap { _ in row }, shape: all)
    }
    // A channel of one step is a channel by itself.
    let wide = order.samplesFirst(x).reshaped([order.samples, all.count])
    let own = (0..<steps).map { part(pass.first + $0) }
    let gain = repeated(affine.gainValue)
    let (y, saved, moments) = try BatchNorm.forward(
      wide, shift: Tensor(own.flatMap(\.mean.value.elements), shape: all), gain: gain,
      bias: repeated(affine.biasValue), epsilon: epsilon, merge: merge, over: scope.communicator,
      for: .statistics(site.layerName.event, .forward))
    for (step, own) in own.enumerated() {
      let channels = step * channels..<(step + 1) * channels
      update(
        own,
        BatchNorm.Moments(
          count: moments.count, means: Array(moments.means[channels]),
          variances: Array(moments.variances[channels])), pass)
    }
    let pullback = pullback(saved, gain: gain)
    return (
      order.timeFirst(y.reshaped([order.samples, steps, channels])),
      { dy, backward in
        let found = try pullback(
          order.samplesFirst(dy).reshaped([order.samples, all.count]), backward)
        var (gain, shift) = (StepSums(channels), StepSums(channels))
        for step in 0..<steps {
          gain.add(found.gain[step * channels..<(step + 1) * channels])
          shift.add(found.shift[step * channels..<(step + 1) * channels])
        }
        return StepGradients(
          dx: order.timeFirst(found.dx.reshaped([order.samples, steps, channels])),
          gain: gain.sums[...], shift: shift.sums[...])
      }
    )
  }

  private func oneByOne(_ x: Tensor, _ pass: StepPass) throws -> (y: Tensor, StepPullback) {
    let rows: Shape = [pass.order.samples, site.channels]
    let y = Tensor.uninitialized(x.shape)
    var pullbacks: [StepPullback] = []
    for step in 0..<pass.order.steps {
      let (own, pullback) = try forward(
        x.part(step, shape: rows), adding: nil, step: step, of: pass)
      y.part(step, shape: rows).write(own)
      pullbacks.append(pullback)
    }
    return (
      y,
      { [pullbacks, channels = site.channels] dy, backward in
        let dx = Tensor.uninitialized(dy.shape)
        var (gain, shift) = (StepSums(channels), StepSums(channels))
        for (step, pullback) in pullbacks.enumerated().reversed() {
          let found = try pullback(dy.part(step, shape: rows), backward)
          dx.part(step, shape: rows).write(found.dx)
          gain.add(found.gain)
          shift.add(found.shift)
        }
        return StepGradients(dx: dx, gain: gain.sums[...], shift: shift.sums[...])
      }
    )
  }
}
