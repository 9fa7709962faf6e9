import Lockstep

MPI.run { world in
  // A sum, the largest value, and every rank's values.
  var values = [Double(world.rank), 1]
  try world.sum(&values)
  let slowest = try world.maximum(Double(world.rank))
  let all = try world.allGather([Float](repeating: 1, count: world.rank))

  // A nonblocking sum: compute while it is in flight.
  let pending = try world.beginSum(
    Storage([Float](repeating: 1, count: 1000)), for: .gradients(bucket: 0))
  while try !pending.test() {}
  let sums = try pending.wait()

  // The ranks of one node.
  let node = try world.splitByNode()
  if world.rank == 0 {
    print(values, slowest, all.map(\.count), sums[0], node.size, world.traffic.bytes)
  }
}
