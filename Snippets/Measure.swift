import Lockstep

MPI.run { world in
  let recorder = try Recorder(
    over: world, at: "runs/own-loop",
    RunDescription(name: "own-loop", norm: "none", synchronizes: false, samplesPerRank: 1))
  for number in 1...100 {
    try recorder.step(number) {
      var values = (0..<10_000).map { Double($0 + world.rank) }
      try world.sum(&values, for: .gradients(bucket: 0))
    }
  }
  try recorder.finish()
  if world.rank == 0 {
    let split = StepSplit(try RecordedRun(path: "runs/own-loop").records)
    print("a step takes \(split.ranks[0].stepMilliseconds.median) ms")
  }
}
