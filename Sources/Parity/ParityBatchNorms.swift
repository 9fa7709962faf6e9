import LockstepAutograd
import LockstepCheckpoints
import LockstepCollectives
import LockstepDataParallel
import LockstepDatasets
import LockstepFiles
import LockstepKernels
import LockstepNorms
import LockstepSafetensors
import LockstepTensors

/// The norms with statistics over the batch.
extension ParityCase {
  func counts(_ file: SafetensorsFile) throws(StateError) -> [Int] {
    guard case .int64(let counts, _)? = file.tensors["\(name).counts"] else {
      throw StateError(description: "\(file.path): case \(name) has no int64 tensor \"counts\"")
    }
    guard counts.allSatisfy({ $0 >= 0 }), try counts.reduce(0, +) == tensor("x", file).shape[0]
    else {
      throw StateError(
        description: "\(file.path): case \(name): counts do not add up to x's samples")
    }
    return counts.map(Int.init)
  }

  /// One rank's part of the results of a batch norm.
  private struct Part: Sendable {
    let y: [Float]
    let dx: [Float]
    let dgain: [Float]
    let dbias: [Float]
    let mean: [Float]
    let variance: [Float]
  }

  /// Replays batch renorm with the samples shared out over the ranks of this job.
  ///
  /// The result does not depend on how many ranks share the batch.
  func batchRenorm(_ file: SafetensorsFile, _ context: RankContext) throws -> [String: [Float]] {
    let samples = try tensor("x", file).shape[0]
    let counts = (0..<context.size).map { share($0, of: context.size, in: 0..<samples).count }
    return try batchNorm(file, counts: counts, context)
  }

  /// Replays batch norm over the ranks of this job if they are as many as `counts`, else over thread ranks.
  func batchNorm(_ file: SafetensorsFile, counts: [Int], _ context: RankContext) throws
    -> [String: [Float]]
  {
    let parts: [Part]
    if counts.count == 1 {
      parts = [try part(file, counts: counts, over: Solo())]
    } else if counts.count == context.size {
      let mine = try part(file, counts: counts, over: context.statistics)
      let all = try (
        context.control.allGather(mine.y), context.control.allGather(mine.dx)
      )
      parts = zip(all.0, all.1).map {
        Part(
          y: $0, dx: $1, dgain: mine.dgain, dbias: mine.dbias, mean: mine.mean,
          variance: mine.variance)
      }
    } else {
      parts = try withThreadRanks(counts.count) { try part(file, counts: counts, over: $0) }
    }
    return [
      "y": try whole(parts.flatMap(\.y), file), "dx": try whole(parts.flatMap(\.dx), file),
      "dweight": parts[0].dgain, "dbias": parts[0].dbias, "running_mean_out": parts[0].mean,
      "running_var_out": parts[0].variance,
    ]
  }

  /// The elements of all samples, converted from channels-last back to the file's order.
  private func whole(_ elements: [Float], _ file: SafetensorsFile) throws(StateError) -> [Float] {
    let shape = try tensor("x", file).shape
    guard masked != true, shape.rank > 2 else { return elements }
    let d = shape.dimensions
    return Tensor(elements, shape: Shape([d[0]] + d[2...] + [d[1]])).channelsFirst().elements
  }

  private func part(
    _ file: SafetensorsFile, counts: [Int], over communicator: any Communicator
  ) throws -> Part {
    let first = counts[..<communicator.rank].reduce(0, +)
    let samples = first..<first + counts[communicator.rank]
    func mine(_ tensor: Tensor) -> Tensor {
      (masked == true ? tensor : tensor.channelsLast()).samples(samples)
    }
    let x = mine(try tensor("x", file))
    let dy = mine(try tensor("dy", file))
    let channels = x.shape.channels
    let gain = optional("weight", file, channels, 1)
    let bias = optional("bias", file, channels, 0)
    if layer == "whitening" {
      return try whiteningPart(x, dy, file, gain: gain, bias: bias, over: communicator)
    }
    let running = RunningStatistics("norm", channels: channels)
    running.mean.value.write(optional("running_mean", file, channels, 0))
    running.variance.value.write(optional("running_var", file, channels, 1))
    let rows = try validRows(file, samples)
    let input = rows.map { Kernel.gatherRows(x, $0) } ?? x
    let output: Tensor
    let gradients: BatchNorm.Gradients
    var summed: (gain: [Double], bias: [Double])
    let seed = rows.map { Kernel.gatherRows(dy, $0) } ?? dy
    if layer == "batch-renorm" {
      let (y, saved, moments) = try BatchRenorm.forward(
        input, running, gain: gain, bias: bias, epsilon: epsilon ?? 1e-5,
        limits: BatchRenorm.Limits(scale: maximumScale ?? 3, shift: maximumShift ?? 5),
        over: communicator)
      running.update(moments, momentum: momentum)
      output = y
      gradients = try BatchRenorm.backward(OutputGradient(seed), saved: saved, over: communicator)
      summed = gradients.summed
    } else if training ?? true {
      let (y, saved, moments) = try BatchNorm.forward(
        input, shift: running.mean.value, gain: gain, bias: bias, epsilon: epsilon ?? 1e-5,
        over: communicator)
      running.update(moments, momentum: momentum)
      output = y
      gradients = try BatchNorm.backward(
        OutputGradient(seed), gain: gain, saved: saved, over: communicator)
      summed = gradients.summed
    } else {
      let (y, saved) = BatchNorm.normalize(
        input, running, gain: gain, bias: bias, epsilon: epsilon ?? 1e-5)
      output = y
      gradients = try BatchNorm.backward(
        OutputGradient(seed), gain: gain, saved: saved, over: communicator)
      // By running statistics a rank knows of its own rows alone.
      summed = gradients.own
      try communicator.sum(&summed.gain)
      try communicator.sum(&summed.bias)
    }
    func spread(_ tensor: Tensor) -> [Float] {
      (rows.map { Kernel.scatterRows(tensor, $0, shape: x.shape) } ?? tensor).elements
    }
    return Part(
      y: spread(output), dx: spread(gradients.dx), dgain: summed.gain.map(Float.init),
      dbias: summed.bias.map(Float.init), mean: running.mean.value.elements,
      variance: running.variance.value.elements)
  }

  private func whiteningPart(
    _ x: Tensor, _ dy: Tensor, _ file: SafetensorsFile, gain: Tensor, bias: Tensor,
    over communicator: any Communicator
  ) throws -> Part {
    let settings = try settings(.whitening, file)
    let site = NormSite("norm", channels: x.shape.channels)
    if let problem = settings.norm.problem(at: site, settings) {
      throw StateError(description: "\(file.path): case \(name): \(problem.text)")
    }
    let (y, saved, moments) = try Whitening.forward(
      x, shift: .zeros(gain.shape), groups: settings.groups, gain: gain, bias: bias,
      epsilon: settings.epsilon, over: communicator)
    let gradients = try Whitening.backward(dy, saved: saved, over: communicator)
    return Part(
      y: y.elements, dx: gradients.dx.elements, dgain: gradients.summed.gain.map(Float.init),
      dbias: gradients.summed.bias.map(Float.init), mean: moments.means.map(Float.init),
      variance: [])
  }

  /// The rows that the mask keeps; nil if there is no mask.
  private func validRows(_ file: SafetensorsFile, _ samples: Range<Int>) throws(StateError)
    -> [Int]?
  {
    guard masked == true else { return nil }
    guard case .uint8(let mask, let shape)? = file.tensors["\(name).mask"], shape.rank == 2 else {
      throw StateError(description: "\(file.path): case \(name) has no uint8 tensor \"mask\"")
    }
    let length = shape[1]
    return (0..<samples.count * length).filter { mask[samples.lowerBound * length + $0] != 0 }
  }
}
