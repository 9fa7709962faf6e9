import Foundation
import LockstepCollectives
import LockstepMPIBackend
import LockstepTensors

// Checks of the MPI backend on real ranks. Each check is a name on the command line; a check that
// finds something wrong says so on standard error and ends with status 1.

struct Wrong: Error, CustomStringConvertible {
  let description: String
}

func expect(_ condition: Bool, _ what: String) throws {
  if !condition { throw Wrong(description: what) }
}

let checks: [String: (MPICommunicator) throws -> Void] = [
  "sum": { world in
    let n = world.size
    var floats: [Float] = [Float(world.rank), 42]
    try world.sum(&floats)
    try expect(floats == [Float(n * (n - 1) / 2), Float(42 * n)], "float sums \(floats)")
    var doubles = (0..<1001).map { Double($0 * (world.rank + 1)) }
    try world.sum(&doubles)
    try expect(
      doubles == (0..<1001).map { Double($0 * n * (n + 1) / 2) }, "double sums")
    var integers: [Int64] = [Int64(world.rank) + 1 << 40]
    try world.sum(&integers)
    try expect(integers == [Int64(n * (n - 1) / 2) + Int64(n) << 40], "integer sums \(integers)")
    try expect(world.traffic.collectives == 3, "\(world.traffic.collectives) collectives counted")
    try expect(world.traffic.bytes == 8 + 8008 + 8, "\(world.traffic.bytes) bytes counted")
  },
  "bfloat16-sum": { world in
    let n = world.size
    // Whole numbers that bfloat16 holds exactly, whatever the order of the sum.
    var small = (0..<1001).map { BFloat16(Float($0 % 16 + world.rank)) }
    try world.sum(&small)
    let expected = (0..<1001).map { Float(n * ($0 % 16) + n * (n - 1) / 2) }
    try expect(small.map(\.float) == expected, "bfloat16 sums")
    try expect(world.traffic.bytes == 2 * 1001, "\(world.traffic.bytes) bytes counted")
    let rough = (0..<70_000).map { BFloat16(Float(sin(Double($0 * 31 + world.rank * 7)))) }
    let sums = try world.beginSum(Storage(rough)).wait().copy(0..<70_000)
    let bits = sums.map { Int64($0.bitPattern) }
    let all = try world.allGather(bits)
    try expect(all.allSatisfy { $0 == all[0] }, "ranks hold different bits")
    try expect(sums.allSatisfy { $0.float.isFinite }, "a sum is not finite")
  },
  "same-bits": { world in
    // Numbers whose sum depends on the order of the operands.
    var values = (0..<257).map { sin(Double($0 * 31 + world.rank * 7)) * pow(10, Double($0 % 17)) }
    let addends = Storage(values)
    try world.sum(&values)
    let pending = try world.beginSum(addends)
    let begun = try pending.wait().copy(0..<257)
    for bits in [values, begun].map({ $0.map { Int64(bitPattern: $0.bitPattern) } }) {
      let all = try world.allGather(bits)
      try expect(all.allSatisfy { $0 == all[0] }, "ranks hold different bits")
    }
  },
  "begin-sum": { world in
    let n = world.size
    // Several in flight, waited for in another order than begun, polled in between.
    let first = try world.beginSum(Storage((0..<70_000).map { Float($0 % 100 + world.rank) }))
    let second = try world.beginSum(Storage<Double>([Double(world.rank)]))
    while try !second.test() {}
    let small = try second.wait()[0]
    try expect(small == Double(n * (n - 1) / 2), "second sum \(small)")
    let sums = try first.wait()
    for i in stride(from: 0, to: 70_000, by: 997) {
      let expected = Float(n * (i % 100) + n * (n - 1) / 2)
      try expect(sums[i] == expected, "element \(i) is \(sums[i]), expected \(expected)")
    }
    // Dropped without a wait: completes by itself, and its memory outlives it.
    do { _ = try world.beginSum(Storage<Float>(count: 1 << 20, filledWith: 1)) }
    try world.barrier()
  },
  "move": { world in
    let n = world.size
    var text = world.rank == n - 1 ? Array("from the last".utf8) : Array(repeating: 0, count: 13)
    try world.broadcast(&text, from: n - 1)
    try expect(String(decoding: text, as: UTF8.self) == "from the last", "broadcast")
    let mine = Array(repeating: Double(world.rank), count: world.rank)
    let everywhere = try world.allGather(mine)
    let expected = (0..<n).map { Array(repeating: Double($0), count: $0) }
    try expect(everywhere == expected, "all-gather \(everywhere)")
    let gathered = try world.gather(mine, to: n - 1)
    try expect(gathered == (world.rank == n - 1 ? expected : nil), "gather")
    let texts = try world.allGather("rank \(world.rank)")
    try expect(texts == (0..<n).map { "rank \($0)" }, "texts \(texts)")
  },
  "blocks": { world in
    let n = world.size
    let gathered = Storage<Int64>(count: 3 * n)
    try world.allGather(Storage((0..<3).map { Int64(10 * world.rank + $0) }), into: gathered)
    let expected = (0..<n).flatMap { rank in (0..<3).map { Int64(10 * rank + $0) } }
    try expect(gathered.copy(0..<3 * n) == expected, "all-gather of equal parts")
    let block = Storage<Double>(count: 2)
    try world.reduceScatter(
      Storage((0..<2 * n).map { Double($0 + world.rank) }), into: block)
    let ranks = Double(n * (n - 1) / 2)
    let sums = (0..<2).map { Double(n * (2 * world.rank + $0)) + ranks }
    try expect(block.copy(0..<2) == sums, "reduce-scatter \(block.copy(0..<2))")
    try expect(world.traffic.bytes == 24 + 16 * n, "\(world.traffic.bytes) bytes counted")
  },
  "merge": { world in
    // Enough channels that MPI cuts the reduction into pieces.
    let channels = 5000
    let triples = Storage<Double>(count: MomentsTriple.width * channels)
    for c in 0..<channels {
      triples.write(
        MomentsTriple(
          count: Double(world.rank), mean: Double(c + world.rank), squares: Double(c)), at: c)
    }
    let all = Storage<Double>(count: world.size * triples.count)
    try world.allGather(triples, into: all)
    try world.mergeMoments(triples)
    for c in 0..<channels {
      let expected = (1..<world.size).reduce(all.triple(at: c)) {
        $0.merged(with: all.triple(at: $1 * channels + c))
      }
      let found = triples.triple(at: c)
      try expect(
        found.count == expected.count && abs(found.mean - expected.mean) < 1e-9
          && abs(found.squares - expected.squares) < 1e-8,
        "channel \(c) is \(found), expected \(expected)")
    }
    let bits = triples.copy(0..<triples.count).map { Int64(bitPattern: $0.bitPattern) }
    let others = try world.allGather(bits)
    try expect(others.allSatisfy { $0 == others[0] }, "ranks hold different bits")
  },
  "split": { world in
    let n = world.size
    let parity = try world.split(color: world.rank % 2, key: -world.rank)
    var values = [Int64(world.rank)]
    try parity.sum(&values)
    let members = (0..<n).filter { $0 % 2 == world.rank % 2 }
    try expect(parity.size == members.count, "group of \(parity.size)")
    try expect(parity.rank == members.reversed().firstIndex(of: world.rank), "key order")
    try expect(values[0] == Int64(members.reduce(0, +)), "group sum \(values)")
    let node = try world.splitByNode()
    try expect(node.size == n, "ranks of this node: \(node.size)")
    let copy = try world.duplicate()
    try copy.sum(&values)
    try expect(copy.traffic.collectives == 1, "the duplicate counts for itself")
    try expect(world.traffic.collectives == 0, "the original counts nothing")
  },
  "throws": { world in
    // A root that does not exist: MPI returns an error, which is thrown with its message.
    var values: [Float] = [1]
    do {
      try world.broadcast(&values, from: world.size + 7)
      throw Wrong(description: "a broadcast from rank \(world.size + 7) succeeded")
    } catch let error as CommunicationError {
      try expect(error.call == "MPI_Bcast", "call \(error.call)")
      try expect(error.reason.lowercased().contains("root"), "reason \(error.reason)")
      try expect(
        error.collective?.contains("broadcast of 1 float32 from rank \(world.size + 7) for control")
          == true,
        "collective \(error.collective ?? "none")")
    }
  },
  "truncation": { world in
    // In each pair the first rank sends more than the second waits for.
    let pair = try world.split(color: world.rank / 2, key: world.rank)
    pair.meter.name = EventName("pair")
    var values = [Float](repeating: 1, count: pair.rank == 0 ? 1000 : 10)
    do {
      try pair.broadcast(&values, from: 0)
      try expect(pair.rank == 0, "a message longer than its receiver was taken")
    } catch let error as CommunicationError {
      try expect(
        error.description.contains(
          "in the broadcast of 10 float32 from rank 0 for control (number 1 on pair): ")
          && error.reason.contains("different collectives; `--check collectives`"), "\(error)")
    }
  },
  "watchdog-stop": { world in
    // The last rank is stopped; the others wait for it in a sum with a purpose.
    MPIRuntime.activity.limitSeconds = 4
    MPIRuntime.activity.beginStep(5)
    let copy = try world.duplicate()
    copy.meter.name = EventName("statistics")
    if world.rank == world.size - 1 { raise(SIGSTOP) }
    var values = [1.0, 2]
    try copy.sum(&values, for: .statistics(EventName("bn1"), .forward))
  },
  "watchdog-stop-first": { world in
    MPIRuntime.activity.limitSeconds = 4
    if world.rank == 0 { raise(SIGSTOP) }
    try world.barrier()
  },
  "watchdog-late": { world in
    // The last rank computes for ever; the others wait for a sum that they began.
    MPIRuntime.activity.limitSeconds = 4
    world.meter.name = EventName("gradients")
    try world.barrier()
    if world.rank == world.size - 1 { while true { usleep(1000) } }
    _ = try world.beginSum(
      Storage<Float>(count: 3, filledWith: 1), for: .gradients(bucket: 1)
    ).wait()
  },
  "watchdog-other": { world in
    // The last rank waits in another communicator's collective.
    MPIRuntime.activity.limitSeconds = 4
    let (left, right) = (try world.duplicate(), try world.duplicate())
    left.meter.name = EventName("left")
    right.meter.name = EventName("right")
    try world.rank == world.size - 1 ? right.barrier() : left.barrier()
  },
  "watchdog-end": { world in
    // The last rank ends, while the others wait for it.
    MPIRuntime.activity.limitSeconds = 4
    if world.rank < world.size - 1 { try world.barrier() }
  },
  "watchdog-part": { world in
    // In one half of the ranks one is stopped; the other half has ended its part.
    MPIRuntime.activity.limitSeconds = 4
    let half = try world.split(color: world.rank / 2, key: world.rank)
    half.meter.name = EventName("half")
    if world.rank == 3 { raise(SIGSTOP) }
    try half.barrier()
    while world.rank < 2 { usleep(1000) }
  },
  "watchdog-straggler": { world in
    // Two collectives come late, but before the time is over.
    MPIRuntime.activity.limitSeconds = 8
    let copy = try world.duplicate()
    copy.meter.name = EventName("control")
    for _ in 0..<2 {
      if world.rank == world.size - 1 { Thread.sleep(forTimeInterval: 5.5) }
      try copy.barrier()
    }
  },
  "watchdog-patient": { world in
    // A sum in flight is not waited for while a rank computes, or asks now and then; nor does a wait
    // count that is exempt.
    MPIRuntime.activity.limitSeconds = 4
    let pending = try world.beginSum(Storage([1.0]))
    if world.rank == 0 { Thread.sleep(forTimeInterval: 5) }
    while try !pending.test() { usleep(1000) }
    _ = try pending.wait()
    try MPIRuntime.activity.exempting {
      if world.rank == 0 { Thread.sleep(forTimeInterval: 5) }
      try world.barrier()
    }
    for _ in 0..<30 {
      Thread.sleep(forTimeInterval: 0.1)
      try world.barrier()
    }
  },
  "wait": { world in
    // Waits for ever, computing: for a launcher that dies.
    try world.barrier()
    if world.rank == 0 { FileHandle.standardError.write(Data("waiting\n".utf8)) }
    while true { usleep(1000) }
  },
  "abort": { world in
    // One rank fails; the others wait in a collective that it never joins.
    if world.rank == world.size - 1 {
      FileHandle.standardError.write(Data("rank \(world.rank) gives up\n".utf8))
      MPIRuntime.abort(world, status: 3)
    }
    try world.barrier()
  },
]

let names = CommandLine.arguments.dropFirst()
let world: MPICommunicator
do {
  world = try MPIRuntime.start()
} catch {
  FileHandle.standardError.write(Data("\(error)\n".utf8))
  exit(2)
}
for name in names {
  do {
    guard let check = checks[name] else { throw Wrong(description: "no check \"\(name)\"") }
    // Each of several checks counts the collectives of a communicator of its own.
    guard let own = (names.count == 1 ? world : try world.duplicate()) as? MPICommunicator else {
      throw Wrong(description: "a duplicate is of another type")
    }
    try check(own)
  } catch {
    FileHandle.standardError.write(Data("rank \(world.rank), \(name): \(error)\n".utf8))
    MPIRuntime.abort(world, status: 1)
  }
}
if world.rank == 0 { print("ok", world.size) }
MPIRuntime.finish()
