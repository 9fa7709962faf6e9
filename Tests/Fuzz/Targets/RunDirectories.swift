import Foundation
import LockstepAnalysis
import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepFiles
import LockstepMachine
import LockstepPrediction
import LockstepRecording
import LockstepReports
import LockstepRuns

/// A run directory's files, in the order of an input.
private let names = [
  "config.yaml", "metrics.jsonl", "summary.json", "launch.json", "events/rank-0.json",
  "events/rank-0.0.events", "events/rank-0.1.events", "events/rank-1.json",
  "events/rank-1.0.events", "vocabulary.json",
]

/// The files of a run directory, for all that reads one: the report, the trace, the predictions.
func readRun(_ input: [UInt8], in folder: String) {
  let run = "\(folder)/run"
  try? FileManager.default.createDirectory(
    atPath: "\(run)/events", withIntermediateDirectories: true)
  for (name, bytes) in zip(names, files(input, count: names.count)) { put(bytes, "\(run)/\(name)") }
  expectingMessage {
    let report = try RunReport(paths: [run], predictingOn: [])
    _ = try jsonDocument(report)
    let page = try ReportPage(report)
    precondition(!page.html.isEmpty, "a report has no page")
  }
  expectingMessage {
    var trace = Trace(try RecordedRun(path: run), last: 3)
    _ = try trace.write(to: "\(folder)/trace.json", limit: 1 << 20)
  }
  expectingMessage {
    let sources = try PredictionSources.read([run])
    let fabric = Fabric(
      name: "any", source: "none", ranks: 2, latencyMicroseconds: 1, bandwidthGigabits: 100)
    _ = try jsonDocument(
      Prediction(
        sources, on: NetworkModel(fabric, library: .openMPI), ranks: [2, 4],
        noise: MachineNoise(recordedIn: sources.flatMap(\.wholeBatches)), price: 1))
    _ = try ReplayTrace(sources[0], ranks: 3, steps: 2, to: "\(folder)/smpi")
  }
  expectingMessage {
    let sampler = try TextSampler(run: run)
    _ = try sampler.text(prompt: "a", count: 1, temperature: 0, seed: 0)
  }
}

/// Runs `body`, which may refuse its input with an error that is a message for the user.
private func expectingMessage(_ body: () throws -> Void) {
  do {
    try body()
  } catch {
    let isMessage =
      error is ConfigurationError || error is RecordingError || error is OutputError
      || error is StateError
    precondition(isMessage, "an error without a message: \(error)")
  }
}

/// What a real run of three steps leaves.
func runSeed(in folder: String) throws -> [UInt8] {
  let configuration = try RunConfiguration(
    yaml: """
      model: {kind: mlp, hidden: [4], norm: {kind: sync-batch}}
      data: {kind: synthetic, imageSize: 2, channels: 1, classes: 3, samples: 20}
      batch: 5
      steps: 3
      evaluate: {everySteps: 2}
      optimizer: {kind: sgd, learningRate: 0.1}
      """, name: "seed.yaml")
  let path = "\(folder)/seed-run"
  try? FileManager.default.removeItem(atPath: path)
  let context = try RankContext(Solo())
  context.record(in: EventLog(capacity: 1 << 10))
  let run = try TrainingRun(configuration, data: configuration.loadData(), context: context)
  let files = try RunFiles(at: path, configuration, vocabulary: nil, context: context)
  let summary = try train(
    run, ranks: 1, onStep: { try files.append($0) },
    onEvaluation: { try files.append($0, step: $1) },
    onCheckpoint: { try files.checkpoint(run, isDue: $0, evaluation: $1) })
  if let summary { _ = try files.finish(summary) }
  return input(
    names.map { name in
      FileManager.default.contents(atPath: "\(path)/\(name)").map { [UInt8]($0) } ?? []
    })
}

/// A noise file.
private func readNoise(_ path: String) {
  guard let noise = try? MachineNoise.read(path) else { return }
  precondition(
    noise.detoursPerSecond == 0 || !noise.detourMicroseconds.isEmpty, "detours of no length")
  precondition(noise.detourMicroseconds.allSatisfy { $0 > 0 && $0.isFinite }, "a detour of no time")
}

/// A fabric file.
func readFabric(_ input: [UInt8], in folder: String) {
  let path = "\(folder)/fabric.json"
  put(input, path)
  readNoise(path)
  guard let fabric = try? Fabric.read(path) else { return }
  for library in MPILibrary.allCases {
    let network = NetworkModel(fabric, library: library)
    for (bytes, ranks) in [(8, 2), (100_000, 7), (1 << 30, 4096)] {
      let cost = network.allReduce(bytes: bytes, ranks: ranks, world: ranks, blocking: bytes > 8)
      precondition(cost.microseconds.isFinite && cost.occupied.isFinite)
    }
  }
  let copy = "\(folder)/copy.json"
  try? FileManager.default.removeItem(atPath: copy)
  do {
    try fabric.write(to: copy)
    let again = try Fabric.read(copy)
    precondition(again == fabric, "a fabric changed")
  } catch { preconditionFailure("a fabric cannot be written and read again: \(error)") }
}

func fabricSeed(in folder: String) throws -> [UInt8] {
  let path = "\(folder)/seed.json"
  try? FileManager.default.removeItem(atPath: path)
  let points = [64, 4096, 1 << 20].map {
    Fabric.Point(
      ranks: 2, bytes: $0, betweenMicroseconds: 5 + Double($0) / 1e3, tightMicroseconds: 4,
      nonblockingMicroseconds: 6)
  }
  try Fabric(
    name: "seed", source: "made up", ranks: 2, latencyMicroseconds: 1.5, bandwidthGigabits: 10,
    reductionGbPerSecond: 4, points: points
  ).write(to: path)
  return [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
}
