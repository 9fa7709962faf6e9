import Foundation
import LockstepAnalysis
import LockstepCollectives
import LockstepMachine
import LockstepTensors

/// Steps of many ranks, put together from recorded ones.
///
/// Each rank of the simulation is one of the recorded ranks for good, so that what is slow about a rank
/// stays; in each step it computes what that rank did in some recorded step, drawn at random, so that
/// what is noise is drawn anew. A collective begins when its last rank has begun it, waits until the
/// link is free of those before it, and ends its time later: a rank that waits for it goes on then.
///
/// Where more ranks meet than there are samples, the last arrives θ · ln(ranks / samples) later than the
/// last sample: the tail of an exponential distribution, θ being the mean excess of the computing before
/// the meeting over its 90% quantile.
///
/// What takes the processor away from ranks is no part of the recorded steps, which are undisturbed ones: it
/// comes on top, where a noise is given.
struct StepSimulation {
  /// Where a step went, in nanoseconds; all but the step are means over ranks.
  struct Step {
    var step = 0.0
    var computing = 0.0
    var statisticsSkew = 0.0
    var statisticsTransfer = 0.0
    var gradients = 0.0
    var control = 0.0
  }

  private let samples: StepSamples
  private let network: NetworkModel
  private let ranks: Int
  /// The ranks that share statistics; 0 where nothing is synchronized.
  private let group: Int
  /// By collective: the time, and the part of it for which the link is taken, in nanoseconds.
  private let times: [(time: Double, occupied: Double)]
  /// By collective: θ of the computing before it.
  private let tails: [Double]
  private let noise: MachineNoise

  init(
    _ samples: StepSamples, _ network: NetworkModel, ranks: Int, group: Int,
    noise: MachineNoise = .none
  ) {
    self.noise = noise
    self.samples = samples
    self.network = network
    self.ranks = ranks
    self.group = min(group, ranks)
    let collectives = samples.shape.collectives
    let meeting = { (purpose: Purpose) in
      if case .statistics = purpose { min(group, ranks) } else { ranks }
    }
    times = collectives.map { collective in
      let size = meeting(collective.purpose)
      guard size > 1 else { return (0, 0) }
      let cost = network.allReduce(
        bytes: collective.bytes, ranks: size, world: ranks, blocking: collective.isBlocking)
      return (cost.microseconds * 1e3, cost.occupied * 1e3)
    }
    tails = Self.tails(samples, meeting)
  }

  /// θ of the computing between the last time that the ranks of a meeting met and their arrival.
  private static func tails(_ samples: StepSamples, _ meeting: (Purpose) -> Int) -> [Double] {
    let shape = samples.shape
    var tails = [Double](repeating: 0, count: shape.collectives.count)
    for (place, action) in shape.actions.enumerated() where !action.isWait {
      let size = meeting(shape.collectives[action.collective].purpose)
      let last = shape.actions[..<place].lastIndex {
        $0.isWait && meeting(shape.collectives[$0.collective].purpose) >= size
      }
      let sums = samples.ranks.joined().map { computing in
        computing[((last ?? -1) + 1)...place].reduce(0, +)
      }.sorted()
      let quantile = sums[min(sums.count - 1, sums.count * 9 / 10)]
      let excess = sums.filter { $0 > quantile }.map { $0 - quantile }
      tails[action.collective] =
        excess.isEmpty ? 0 : excess.reduce(0, +) / Double(excess.count)
    }
    return tails
  }

  /// The mean over collectives of θ, in nanoseconds.
  var meanTail: Double {
    tails.isEmpty ? 0 : tails.reduce(0, +) / Double(tails.count)
  }

  /// Simulates `count` steps that follow one another.
  func steps(_ count: Int, seed: UInt64) -> [Step] {
    var random = RandomStream(seed: seed, site: .simulation)
    // Recorded ranks take turns, so that each stands for as many.
    let kinds = (0..<ranks).map { samples.ranks[$0 % samples.ranks.count] }
    var clocks = [Double](repeating: 0, count: ranks)
    var links = [Link](repeating: Link(), count: groups)
    var begin = 0.0
    let meanDetour =
      1e3 * noise.detourMicroseconds.reduce(0, +) / Double(max(1, noise.detourMicroseconds.count))
    var detours = noise.detoursPerSecond > 0 ? (0..<ranks).map { _ in gap(&random) } : []
    return (0..<count).map { _ in
      var draws = kinds.map { $0[random.below($0.count)] }
      for rank in detours.indices {
        for place in draws[rank].indices {
          let expected = draws[rank][place] / 1e9 * noise.detoursPerSecond
          if expected > Self.mostDetours {
            draws[rank][place] += expected * meanDetour
            continue
          }
          // What is left until the next detour, in nanoseconds of computing.
          detours[rank] -= draws[rank][place]
          while detours[rank] < 0 {
            draws[rank][place] +=
              1e3 * noise.detourMicroseconds[random.below(noise.detourMicroseconds.count)]
            detours[rank] += gap(&random)
          }
        }
      }
      var step = self.step(draws, &clocks, &links)
      let end = clocks.max() ?? 0
      step.step = end - begin
      begin = end
      return step
    }
  }

  /// More detours than these between two meetings are as good as their mean.
  private static let mostDetours = 1000.0

  /// The computing between two detours, in nanoseconds: exponentially distributed.
  private func gap(_ random: inout RandomStream) -> Double {
    -log(1 - Double(random.uniform())) / noise.detoursPerSecond * 1e9
  }

  private var groups: Int { group > 1 ? (ranks + group - 1) / group : ranks }

  /// The ranks of each meeting for `purpose`.
  private func meetings(_ purpose: Purpose) -> [Range<Int>] {
    guard case .statistics = purpose else { return [0..<ranks] }
    let size = max(group, 1)
    return stride(from: 0, to: ranks, by: size).map { $0..<min($0 + size, ranks) }
  }

  /// For how long a group's link is taken by what was sent last.
  private struct Link {
    var begin = 0.0
    var end = 0.0

    /// When something that comes at `arrival` can be sent.
    func start(_ arrival: Double) -> Double { arrival >= begin ? max(arrival, end) : arrival }

    mutating func take(_ start: Double, _ time: Double) {
      guard time > 0 else { return }
      if start > end { begin = start }
      end = start + time
    }
  }

  private func step(_ draws: [[Double]], _ clocks: inout [Double], _ links: inout [Link]) -> Step {
    var result = Step()
    let shape = samples.shape
    // When the last rank of each meeting has come, and when the collective is over.
    var last = [[Double]](repeating: [], count: shape.collectives.count)
    var over = last
    let known = log(Double(samples.count))
    for (place, action) in shape.actions.enumerated() {
      for rank in 0..<ranks { clocks[rank] += draws[rank][place] }
      let (index, collective) = (action.collective, shape.collectives[action.collective])
      let meetings = meetings(collective.purpose)
      guard action.isWait else {
        for (meeting, members) in meetings.enumerated() {
          var arrival = members.reduce(0) { max($0, clocks[$1]) }
          arrival += tails[index] * max(0, log(Double(members.count)) - known)
          let own = meetings.count == 1 ? links.indices : meeting..<meeting + 1
          let start = own.reduce(arrival) { max($0, links[$1].start(arrival)) }
          for link in own { links[link].take(start, times[index].occupied) }
          last[index].append(arrival)
          over[index].append(start + times[index].time)
        }
        continue
      }
      for (meeting, members) in meetings.enumerated() where members.count > 1 {
        for rank in members where over[index][meeting] > clocks[rank] {
          let skew = max(0, last[index][meeting] - clocks[rank])
          let transfer = over[index][meeting] - clocks[rank] - skew
          clocks[rank] = over[index][meeting]
          result.add(collective.purpose, skew: skew, transfer: transfer)
        }
      }
    }
    for rank in 0..<ranks {
      clocks[rank] += draws[rank][shape.actions.count]
      result.computing += draws[rank].reduce(0, +)
    }
    return result.divided(by: Double(ranks))
  }
}

extension StepSimulation.Step {
  fileprivate mutating func add(_ purpose: Purpose, skew: Double, transfer: Double) {
    switch purpose {
    case .statistics:
      statisticsSkew += skew
      statisticsTransfer += transfer
    case .gradients: gradients += skew + transfer
    case .control, .computing: control += skew + transfer
    }
  }

  fileprivate func divided(by ranks: Double) -> Self {
    Self(
      step: step, computing: computing / ranks, statisticsSkew: statisticsSkew / ranks,
      statisticsTransfer: statisticsTransfer / ranks, gradients: gradients / ranks,
      control: control / ranks)
  }
}
