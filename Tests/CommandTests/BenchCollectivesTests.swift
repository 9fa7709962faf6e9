import Foundation
import Spawning
import Testing

/// `lockstep bench collectives` on real ranks.
@Suite(.serialized, .enabled(if: hasMPIRun, "mpirun is not installed"))
struct BenchCollectivesTests {
  private static let operations = [
    "all-reduce", "all-reduce-begun", "broadcast", "all-gather", "reduce-scatter", "barrier",
    "merge-shifted-moments", "merge-welford", "merge-all-gather", "merge-two-pass",
    "merge-float32-moments",
  ]
  private static let small = ["bench", "collectives", "--sizes", "64,4k", "--repetitions", "20"]

  @Test(arguments: [1, 2]) func everyOperationStandsInTheDocument(ranks: Int) throws {
    let finished = try mpirun(ranks, "lockstep", Self.small + ["--json"])
    #expect(finished.status == 0, "\(finished.errors)")
    let document = try #require(
      JSONSerialization.jsonObject(with: Data(finished.output.utf8)) as? [String: Any])
    #expect(document["ranks"] as? Int == ranks && document["type"] as? String == "float64")
    #expect((document["places"] as? [Any])?.count == ranks)
    #expect((document["reduction_gb_per_s"] as? Double ?? 0) > 0)
    #expect(document["clock_bound_us"] is Double)
    let results = try #require(document["results"] as? [[String: Any]])
    let found = results.compactMap { $0["operation"] as? String }
    #expect(found == Self.operations.flatMap { $0 == "barrier" ? [$0] : [$0, $0] })
    for result in results {
      let tight = try #require(result["tight_us"] as? [String: Double])
      #expect(Set(tight.keys) == ["minimum", "median", "low", "high"])
      #expect((tight["minimum"] ?? 0) > 0)
    }
    #expect(finished.errors.contains("one rank (P = 1)") == (ranks == 1), "\(finished.errors)")
  }

  @Test func rowsHaveAsManyColumnsAsTheHeader() throws {
    let finished = try mpirun(
      3, "lockstep",
      Self.small + ["--csv", "--operations", "all-reduce,barrier", "--type", "float32"])
    #expect(finished.status == 0, "\(finished.errors)")
    let rows = finished.output.split(separator: "\n").map {
      $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }
    #expect(rows.count == 1 + 2 * 3, "a header, and three rows over 2 and over 3 ranks")
    #expect(rows.allSatisfy { $0.count == rows[0].count })
    #expect(rows.dropFirst().map { $0[1] } == ["2", "2", "2", "3", "3", "3"])
    #expect(rows[0].first == "operation" && rows[0].contains("tight_median_us"))
  }

  @Test func aFabricIsWrittenOnce() throws {
    try withTemporaryFolder { folder in
      let command =
        Self.small + [
          "--operations", "all-reduce,all-reduce-begun", "--fabric", folder + "/f.json",
        ]
      let finished = try mpirun(2, "lockstep", command)
      // Ranks that share cores may miss every window, which has to be said.
      guard finished.status == 0 else {
        #expect(finished.status != 2 && finished.errors.contains("Error: no fabric: "))
        return
      }
      let fabric = try #require(
        JSONSerialization.jsonObject(
          with: Data(contentsOf: URL(fileURLWithPath: folder + "/f.json"))) as? [String: Any])
      #expect((fabric["latency_us"] as? Double ?? 0) > 0)
      #expect((fabric["points"] as? [Any])?.count == 2)
      let again = try mpirun(2, "lockstep", command)
      #expect(again.status == 2 && again.errors.contains("exists, and is not overwritten"))
    }
  }

  @Test(arguments: [
    (["--operations", "all-redcue"], "did you mean \"all-reduce\"?"),
    (["--operations", "barrier,barrier"], "an operation is repeated"),
    (["--sizes", "64,x"], "the size \"x\" is not a number of bytes"),
    (["--sizes", "2g"], "the size \"2g\" is not a number of bytes from 1 to 1g"),
    (["--sizes", "12"], "--sizes has 12 bytes, which is not a whole number of elements"),
    (["--sizes", "64,64"], "a size is repeated"),
    (["--ranks", "4"], "--ranks: 4 of only 2 rank(s)"),
    (["--ranks", "0"], "the rank count \"0\""),
    (["--repetitions", "0"], "--repetitions is 0"),
    (["--warmup", "0"], "--warmup is 0"),
    (["--type", "float16"], "float16"),
    (["--csv", "--json"], "--csv and --json cannot be given together"),
    (["--fabric", "/nowhere/f.json"], "/nowhere is not a folder that can be written to"),
    (["--fabric", "README.md"], "README.md: exists, and is not overwritten"),
    (["--fabric", "10gbe"], "10gbe: is the name of a fabric that is built in"),
    (["--fabric", "f.json", "--ranks", "1"], "--fabric: one rank has no network"),
    (["--fabric", "f.json", "--sizes", "64"], "--fabric needs two sizes or more"),
    (["--fabric", "f.json", "--operations", "all-reduce"], "--fabric needs all-reduce-begun"),
  ])
  func badUsageIsNamedOnce(arguments: [String], expected: String) throws {
    let finished = try mpirun(2, "lockstep", ["bench", "collectives"] + arguments)
    #expect(finished.status == 2, "\(finished.errors)")
    #expect(finished.output.isEmpty)
    #expect(finished.errors.components(separatedBy: expected).count == 2, "\(finished.errors)")
  }
}
