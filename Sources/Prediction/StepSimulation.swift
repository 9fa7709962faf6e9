import Foundation
import LockstepAnalysis
import LockstepCollectives
import LockstepMachine
import LockstepTensors

/// Simulates steps of many ranks from recorded steps.
///
/// Each simulated rank stands for the same recorded rank throughout, so that a slow rank stays slow. In
/// each step it computes what that rank computed in some recorded step, drawn at random, so that noise
/// is drawn anew. A collective begins when its last rank has started it. It then waits until earlier
/// collectives leave the link free, and ends after its own duration. A rank that waits for it then goes on.
///
/// If more ranks meet in a collective than there are samples, the last rank arrives
/// θ · ln(ranks / samples) later than the latest sample. This is the tail of an exponential distribution.
/// θ is the mean excess of the computing before the collective over its 90% quantile.
///
/// The recorded steps are undisturbed ones. If a noise is given, its detours come on top.
struct StepSimulation {
  /// Where the time of a step went, in nanoseconds; all but the step itself are means over ranks.
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
  /// By collective: the time, and the part of it for which the link is occupied, in nanoseconds.
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

  /// By collective: θ of the computing since the last wait in which at least as many ranks met.
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
      // The least number that nine tenths of all do not exceed.
      let quantile = sums[max(0, (sums.count * 9 + 9) / 10 - 1)]
      let excess = sums.filter { $0 > quantile }.map { $0 - quantile }
      tails[action.collective] =
        excess.isEmpty ? 0 : excess.reduce(0, +) / Double(excess.count)
    }
    return tails
  }

  /// The mean of θ over the collectives, in nanoseconds.
  var meanTail: Double {
    tails.isEmpty ? 0 : tails.reduce(0, +) / Double(tails.count)
  }

  /// Simulates `count` consecutive steps.
  func steps(_ count: Int, seed: UInt64) -> [Step] {
    var random = RandomStream(seed: seed, site: .simulation)
    // Recorded ranks take turns, so that each stands for about as many simulated ranks.
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
          // The computing left until the next detour, in nanoseconds.
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

  /// If more detours than this are expected between two collectives, their mean is precise enough.
  private static let mostDetours = 1000.0

  /// Draws the computing until the next detour from an exponential distribution, in nanoseconds.
  private func gap(_ random: inout RandomStream) -> Double {
    -log(1 - Double(random.uniform())) / noise.detoursPerSecond * 1e9
  }

  private var groups: Int { group > 1 ? (ranks + group - 1) / group : ranks }

  /// The groups of ranks that meet in a collective for `purpose`.
  private func meetings(_ purpose: Purpose) -> [Range<Int>] {
    guard case .statistics = purpose else { return [0..<ranks] }
    let size = max(group, 1)
    return stride(from: 0, to: ranks, by: size).map { $0..<min($0 + size, ranks) }
  }

  /// The time for which the last messages occupy a group's link.
  private struct Link {
    var begin = 0.0
    var end = 0.0

    /// When a message that is ready at `arrival` can be sent.
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
    // By collective and group: when the last rank has arrived, and when the collective is over.
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
