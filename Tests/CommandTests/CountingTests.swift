import Foundation
import LockstepCollectives
import LockstepRecording
import Spawning
import Testing

/// What a run records of its collectives, against what MPI's own profiling interface sees.
@Suite(.serialized, .enabled(if: Launcher.current?.compiler != nil, "no mpirun or mpicc"))
struct CountingTests {
  @Test(arguments: ["shifted-moments", "welford", "all-gather", "two-pass", "float32-moments"])
  func everyRecordedCollectiveIsOneThatMPIWasCalledFor(merge: String) throws {
    try withTemporaryFolder { folder in
      let library = "\(folder)/counter.so"
      let built = try spawn([
        try #require(Launcher.current?.compiler), "-shared", "-fPIC", "-o", library,
        "\(packageRoot)/Tests/pmpi-counter/counter.c",
      ])
      #expect(built.status == 0, "\(built.errors)")
      let finished = try mpirun(
        2, "lockstep",
        [
          "train", "\(packageRoot)/Configs/digits-resnet.yaml", "--set", "epochs=1", "--set",
          "model.norm.merge=\(merge)", "--set", "model.norm.statisticsGroup=2", "--run-dir",
          "\(folder)/run",
        ], environment: ["LD_PRELOAD": library, "PMPI_COUNTER": "\(folder)/calls"])
      #expect(finished.status == 0, "\(finished.errors)")
      let run = try RecordedRun(path: "\(folder)/run")
      for (rank, record) in run.records.enumerated() {
        let calls = try Self.calls("\(folder)/calls.\(rank)")
        let collectives = Dictionary(
          grouping: record.entries.filter { $0.kind == .collective }, by: \.key.communicator)
        #expect(collectives.count == 3, "control, gradients and the group's statistics")
        for (communicator, entries) in collectives {
          let sorted = entries.sorted { $0.key.number < $1.key.number }
          let first = try #require(sorted.first).key.number
          // What MPI saw of one communicator, from the first recorded collective on.
          let matches = calls.values.contains { bytes in
            bytes.count >= first - 1 + sorted.count
              && sorted.enumerated().allSatisfy { place, entry in
                entry.key.number == first + place && bytes[first - 1 + place] == entry.bytes
              }
          }
          #expect(matches, "communicator \(communicator) of rank \(rank)")
          #expect(sorted.count >= 12, "\(sorted.count) collectives in 12 steps")
        }
        let recorded = collectives.values.joined().reduce(0) { $0 + $1.bytes }
        #expect(recorded > 12 * 4 * 10_000, "gradients among them")
      }
    }
  }

  /// The bytes of each call, in order, by communicator.
  private static func calls(_ path: String) throws -> [Int: [Int]] {
    var calls: [Int: [Int]] = [:]
    for line in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") {
      let words = line.split(separator: " ")
      let (communicator, bytes) = (
        try #require(Int(words[0])), try #require(Int(words[1]))
      )
      calls[communicator, default: []].append(bytes)
    }
    return calls
  }
}
