import LockstepCollectives
import LockstepNorms
import LockstepTensors

extension CollectiveProbe {
  /// The moments of one row on each rank, so that the merge and its collectives take nearly all of the time.
  ///
  /// There is one channel for every 16 bytes, which is what the default merge sends for a channel.
  static func moments(
    by merge: StatisticsMerge, bytes: Int, over communicator: any Communicator
  ) -> CollectiveProbe {
    let channels = max(1, bytes / 16)
    let (size, rank) = (communicator.size, communicator.rank)
    let x = Tensor((0..<channels).map { Float($0 % 7 + rank) }, shape: [1, channels])
    let shift = Tensor.zeros([channels])
    // In channel c, rank r holds c mod 7 + r: the numbers 0 to p − 1, shifted.
    let middle = Double(size - 1) / 2
    let variance = Double(size * size - 1) / 12
    let tolerance = merge == .float32Moments ? 1e-4 : 1e-9
    var moments: BatchNorm.Moments?
    return CollectiveProbe(
      bytes: merge.bytes(channels: channels), channels: channels,
      prepare: { moments = nil },
      run: { () throws(CommunicationError) in
        moments = try BatchNorm.moments(x, shift: shift, merge: merge, over: communicator)
      },
      firstWrong: { _ in
        guard let moments else { return "there are no moments" }
        guard moments.count == Double(size) else {
          return "the count is \(moments.count), expected \(size)"
        }
        for c in 0..<channels {
          let figures = [
            ("mean", moments.means[c], Double(c % 7) + middle),
            ("variance", moments.variances[c], variance),
          ]
          for (name, found, right) in figures
          where !(abs(found - right) <= tolerance * max(1, right)) {
            return "the \(name) of channel \(c) is \(found), expected \(right)"
          }
        }
        return nil
      })
  }
}
