import Foundation
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepFiles
import LockstepMPIBackend
import LockstepRuns

// Trains a small network over MPI while one rank does something wrong:
//
//   faulty-ranks none|stop|skip|count|type|order|silent SEED STEPS
//
// Skipped and wrong collectives are tried with checks of every collective; `silent`, of which MPI need
// notice nothing, without. The status is that of `lockstep train`.

func printError(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }

let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count == 3, let kind = FaultKind(rawValue: arguments[0]),
  let seed = UInt64(arguments[1]), let steps = Int(arguments[2]), steps > 0
else {
  printError("usage: faulty-ranks none|stop|skip|count|type|order|silent SEED STEPS")
  exit(2)
}

let world = try MPIRuntime.start()
// Without checks one bucket: where others wait is certain then. With checks some.
let bucket = kind.isChecked ? 0.01 : 1
do {
  let configuration = try RunConfiguration(
    yaml: """
      name: faulty
      seed: 3
      model:
        {kind: resnet, blocks: [1, 1], widths: [8, 16], activation: gelu, norm: {kind: sync-batch}}
      data: {kind: synthetic, imageSize: 8, channels: 3, classes: 5, samples: 38}
      batch: 7
      steps: \(steps)
      optimizer: {kind: sgd, learningRate: 0.01}
      parallel: {watchdogSeconds: 4, firstBucketMegabytes: \(bucket), bucketMegabytes: \(bucket)}
      """, name: "faulty.yaml")
  let fault = Fault(kind, seed: seed, in: world)
  let context = try RankContext(
    FaultyCommunicator(kind.isChecked ? try CheckedCommunicator(world) : world, fault))
  let run = try TrainingRun(configuration, data: try configuration.loadData(), context: context)
  while run.stepsTaken < run.totalSteps {
    fault.beginStep(run.stepsTaken + 1)
    _ = try run.step()
  }
  try run.verifyReplicas()
  if world.rank == 0 { print("ok", run.stepsTaken) }
} catch let error as CommunicationError where error.isSharedByAllRanks {
  if world.rank == 0 { printError("Error: \(error)") }
  MPIRuntime.finish()
  exit(3)
} catch {
  printError("Error: rank \(world.rank): \(error)")
  MPIRuntime.abort(world, status: 3)
}
MPIRuntime.finish()
