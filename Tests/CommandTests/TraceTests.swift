import Foundation
import Spawning
import Testing

/// Traces of real runs, as a viewer reads them.
@Suite(.serialized, .enabled(if: hasMPIRun, "mpirun is not installed"))
struct TraceTests {
  private static func document(_ path: String) throws -> [[String: Any]] {
    let data = try #require(FileManager.default.contents(atPath: path))
    let document = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
    return try #require(document["traceEvents"] as? [[String: Any]])
  }

  /// Trains with synchronized statistics on two ranks.
  private static func train(batch: Int, in directory: String, _ more: [String] = []) throws {
    let finished = try mpirun(
      2, "lockstep",
      [
        "train", "Configs/digits-resnet.yaml", "--set", "epochs=3", "--set", "batch=\(batch)",
        "--run-dir", directory,
      ] + more)
    #expect(finished.status == 0, "\(finished.errors)")
  }

  @Test func everyRankIsAProcessWhoseRowsNest() throws {
    try withTemporaryFolder { folder in
      try Self.train(batch: 128, in: folder + "/run")
      let finished = try mpirun(
        2, "lockstep", ["trace", folder + "/run", "--steps", "3", "--json"])
      #expect(finished.status == 0, "\(finished.errors)")
      let summary = try #require(
        JSONSerialization.jsonObject(with: Data(finished.output.utf8)) as? [String: Any])
      #expect(summary["first_step"] as? Int == 34 && summary["last_step"] as? Int == 36)
      #expect(summary["complete"] as? Bool == true && summary["steps_cut"] as? Int == 0)

      let events = try Self.document(folder + "/run/trace.json")
      #expect(summary["events"] as? Int == events.count)
      let names = events.filter { $0["name"] as? String == "process_name" }.compactMap {
        ($0["args"] as? [String: Any])?["name"] as? String
      }
      #expect(names.count == 2 && names[0].hasPrefix("rank 0 on "))
      #expect(events.count { $0["cat"] as? String == "step" } == 2 * 3)
      let statistics = events.filter { ($0["name"] as? String ?? "").hasPrefix("statistics ") }
      #expect(statistics.count == 2 * 3 * 18, "blocked or in flight, never both")
      #expect(
        statistics.allSatisfy { event in
          let arguments = event["args"] as? [String: Any] ?? [:]
          return ["layer", "pass", "bytes", "elements", "skew_us", "transfer_us", "last_rank"]
            .allSatisfy { arguments[$0] != nil }
        })
      let arrows = ["s", "f"].map { phase in events.count { $0["ph"] as? String == phase } }
      #expect(arrows[0] > 0 && arrows[0] == arrows[1])

      let rows = Dictionary(grouping: events.filter { $0["ph"] as? String == "X" }) {
        $0["tid"] as? Int ?? 0
      }
      for (row, slices) in rows {
        let times = slices.map { slice in
          (begin: slice["ts"] as? Double ?? .nan, length: slice["dur"] as? Double ?? .nan)
        }.sorted { $0.begin < $1.begin }
        for (a, b) in zip(times, times.dropFirst()) {
          #expect(a.begin + a.length <= b.begin + 1e-4, "row \(row)")
        }
      }
      #expect(rows.count >= 2 * 4, "steps, computing, blocked, in flight")
    }
  }

  @Test func aTraceThatWouldBeTooLargeIsCutAndSaysSo() throws {
    try withTemporaryFolder { folder in
      try Self.train(batch: 64, in: folder + "/run")
      let finished = try mpirun(
        1, "lockstep",
        [
          "trace", folder + "/run", "--steps", "1000", "--megabytes", "1", "--output",
          folder + "/cut.json",
        ])
      #expect(finished.status == 0)
      #expect(finished.errors.contains("steps are left out"), "\(finished.errors)")
      let events = try Self.document(folder + "/cut.json")
      #expect((1..<66).contains(events.count { $0["cat"] as? String == "step" } / 2))
      let size = try FileManager.default.attributesOfItem(atPath: folder + "/cut.json")[.size]
      #expect((size as? Int ?? .max) <= 1_000_000)
      #expect(!exists(folder + "/run/trace.json"))
    }
  }

  /// Kills all ranks in mid-run, and tears the last event of one off besides.
  @Test func aRunThatWasKilledCanBeTraced() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/run"
      let process = try ChildProcess(
        mpirunCommand(
          2, "lockstep",
          ["train", "Configs/digits-resnet.yaml", "--set", "epochs=100000", "--run-dir", path]))
      defer { process.stop() }
      let files = (0...1).map { "\(path)/events/rank-\($0).0.events" }
      // Several steps of each rank.
      let deadline = Date().addingTimeInterval(300)
      while Date() < deadline,
        files.contains(where: { (FileManager.default.contents(atPath: $0)?.count ?? 0) < 50_000 })
      {
        Thread.sleep(forTimeInterval: 0.05)
      }
      let ranks = try spawn(["pgrep", "-f", "^\(executable("lockstep")) .*\(path)"]).output
        .split(separator: "\n").compactMap { pid_t($0) }
      #expect(ranks.count == 2)
      for id in ranks { kill(id, SIGKILL) }
      #expect(process.wait(seconds: 60) != nil)
      #expect(!exists(path + "/summary.json"))

      let torn = try #require(FileHandle(forUpdatingAtPath: files[1]))
      try torn.truncate(atOffset: torn.seekToEnd() - 13)
      try torn.close()
      let finished = try mpirun(1, "lockstep", ["trace", path])
      #expect(finished.status == 0, "\(finished.errors)")
      #expect(finished.errors.contains("did not end by itself"))
      let steps = try Self.document(path + "/trace.json").filter { $0["cat"] as? String == "step" }
      let byRank = Dictionary(grouping: steps) { $0["pid"] as? Int ?? 0 }
      #expect(byRank.count == 2 && byRank[1]?.count == byRank[2]?.count)
    }
  }

  @Test func aRunThatDivergedCanBeTraced() throws {
    try withTemporaryFolder { folder in
      let run = folder + "/run"
      let diverged = try mpirun(
        2, "lockstep",
        [
          "train", "Configs/digits-mlp.yaml", "--set", "optimizer.learningRate=1e6", "--run-dir",
          run,
        ])
      #expect(diverged.status != 0 && diverged.errors.contains("step"), "\(diverged.errors)")
      let traced = try mpirun(2, "lockstep", ["trace", run, "--json"])
      #expect(traced.status == 0, "\(diverged.errors)\(traced.errors)")
    }
  }

  @Test func whatCannotBeTracedIsSaidOnce() throws {
    try withTemporaryFolder { folder in
      let paths = ["a", "b", "none"].map { "\(folder)/\($0)" }
      for path in paths {
        try Self.train(batch: 512, in: path, path == paths[2] ? ["--no-events"] : [])
      }
      func expectRefusal(_ arguments: [String], _ expected: String) throws {
        let refused = try mpirun(2, "lockstep", ["trace"] + arguments)
        #expect(refused.status == 2 && refused.output.isEmpty)
        #expect(
          refused.errors.components(separatedBy: expected).count == 2,
          "\(arguments): \(refused.errors)")
      }
      try expectRefusal([folder + "/nowhere"], "nowhere: no such run directory")
      try expectRefusal([paths[2]], "holds no events; train without --no-events")
      try expectRefusal([folder], "holds several runs; name one of them: a, b")
      try expectRefusal([paths[0], "--output", folder + "/no/t.json"], "there is no folder")
      try expectRefusal([paths[0], "--steps", "0"], "--steps is 0, expected 1 to 1000000")
      try expectRefusal(
        [paths[0], "--format", "smpi", "--megabytes", "9"], "--megabytes needs --format perfetto")
      let other = paths.map { $0 + "/events/rank-1.json" }
      try FileManager.default.removeItem(atPath: other[1])
      try expectRefusal([paths[1]], "the events of rank 1 are missing")
      try FileManager.default.copyItem(atPath: other[0], toPath: other[1])
      try expectRefusal([paths[1]], "these events belong to another run than rank 0's")
      let left = try FileManager.default.contentsOfDirectory(atPath: paths[0])
      #expect(!left.contains { $0.contains("trace") || $0.contains("partial") }, "\(left)")
    }
  }
}
