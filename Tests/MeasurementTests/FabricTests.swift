import Foundation
import LockstepFiles
import LockstepPrediction
import Spawning
import Testing

/// The fit of a network, and the file that holds it.
@Suite struct FabricTests {
  private static let sizes = [8, 64, 512, 4096, 32768, 262_144, 2_097_152]

  /// All-reduces that take what the cheapest algorithm takes.
  private func points(
    ranks: Int, alpha: Double, beta: Double, gamma: Double, sizes: [Int] = sizes
  ) -> [Fabric.Point] {
    sizes.map {
      let time = AllReduceCost.cheapest(
        ranks: ranks, bytes: Double($0), alpha: alpha, beta: beta, gamma: gamma)
      return Fabric.Point(
        ranks: ranks, bytes: $0, betweenMicroseconds: time, tightMicroseconds: time / 2,
        nonblockingMicroseconds: 2 * time)
    }
  }

  @Test(arguments: [2, 3, 4, 7, 16], [(0.5, 4e-4), (13.0, 8e-4), (40.0, 8e-5)])
  func theFitFindsTheNetworkThatMadeThePoints(ranks: Int, network: (Double, Double)) throws {
    let (alpha, beta) = network
    let fabric = try #require(
      Fabric(
        name: "made", source: "a formula", ranks: ranks,
        points: points(ranks: ranks, alpha: alpha, beta: beta, gamma: 2e-5),
        reductionGbPerSecond: 50)
    )
    #expect(abs(fabric.latencyMicroseconds / alpha - 1) < 1e-6, "\(fabric.latencyMicroseconds)")
    #expect(abs(fabric.bandwidthGigabits * beta / 8e-3 - 1) < 1e-6, "\(fabric.bandwidthGigabits)")
    #expect(fabric.reductionGbPerSecond == 50)
  }

  @Test func oneSizeThatWentWrongDoesNotTurnTheFit() throws {
    var samples = Self.sizes.map {
      FabricFit.Sample(bytes: Double($0), microseconds: 10 + 1e-3 * Double($0))
    }
    samples[3] = FabricFit.Sample(bytes: samples[3].bytes, microseconds: 900)
    let fit = try #require(FabricFit(samples, ranks: 2, gamma: 0))
    #expect(abs(fit.alpha - 10) < 1e-6 && abs(fit.beta - 1e-3) < 1e-9)
    #expect(fit.meanError > 0.1, "the size is counted")
  }

  @Test func theFewestRanksAreFitted() throws {
    let both =
      points(ranks: 4, alpha: 99, beta: 1e-2, gamma: 0)
      + points(ranks: 2, alpha: 5, beta: 1e-3, gamma: 0)
    let fabric = try #require(
      Fabric(name: "made", source: "a formula", ranks: 4, points: both, reductionGbPerSecond: 1e9))
    #expect(abs(fabric.latencyMicroseconds - 5) < 1e-6)
    let order = fabric.points?.map { [$0.ranks, $0.bytes] }
    #expect(order == Self.sizes.map { [2, $0] } + Self.sizes.map { [4, $0] })
  }

  @Test func addingThatTakesLongerThanTheAllReduceIsCountedInTheBandwidth() throws {
    let made = points(ranks: 2, alpha: 5, beta: 1e-3, gamma: 0)
    let fabric = try #require(
      Fabric(name: "made", source: "a formula", ranks: 2, points: made, reductionGbPerSecond: 1))
    #expect(fabric.reductionGbPerSecond == nil)
    #expect(abs(fabric.bandwidthGigabits - 8) < 1e-6)
  }

  @Test func timesThatDoNotGrowGiveNoFit() {
    let samples = [(8.0, 5.0), (64, 4), (512, 3)].map {
      FabricFit.Sample(bytes: $0.0, microseconds: $0.1)
    }
    #expect(FabricFit(samples, ranks: 2, gamma: 0) == nil)
    #expect(FabricFit(Array(samples[..<1]), ranks: 2, gamma: 0) == nil)
  }

  @Test func aFileHoldsTheFabricAndIsNotOverwritten() throws {
    try withTemporaryFolder { folder in
      let fabric = Fabric(
        name: "made", source: "a formula", ranks: 2, latencyMicroseconds: 5, bandwidthGigabits: 8,
        reductionGbPerSecond: 3, points: points(ranks: 2, alpha: 5, beta: 1e-3, gamma: 0))
      let path = folder + "/made.json"
      try fabric.write(to: path)
      let back = try Fabric.read(path)
      #expect(back == fabric)
      let again = #expect(throws: InputFileError.self) { try fabric.write(to: path) }
      #expect(again?.problem == "exists, and is not overwritten")
      let nowhere = #expect(throws: InputFileError.self) {
        try fabric.write(to: folder + "/nowhere/made.json")
      }
      #expect(nowhere?.problem.contains("is not a folder that can be written to") == true)
    }
  }

  @Test func aFileWithTheNetworkAloneIsEnough() throws {
    let read = try self.read(
      #"{"name": "wire", "source": "data sheet", "ranks": 2, "latency_us": 1.5, "bandwidth_gbit": 100, "points": null}"#
    )
    #expect(
      read
        == Fabric(
          name: "wire", source: "data sheet", ranks: 2, latencyMicroseconds: 1.5,
          bandwidthGigabits: 100))
  }

  private func read(_ text: String) throws -> Fabric {
    try withTemporaryFolder { folder in
      try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/fabric.json"))
      return try Fabric.read(folder + "/fabric.json")
    }
  }

  private static let point =
    #"{"ranks": 2, "bytes": 64, "between_us": 3, "tight_us": 1, "nonblocking_us": 4}"#
  private static let good =
    #"{"name": "wire", "source": "x", "ranks": 2, "latency_us": 1, "bandwidth_gbit": 9, "points": ["#
    + point + "]}"

  /// What is replaced by what in a good file, the problem, and the remedy.
  @Test(arguments: [
    (#""name": "wire", "#, "", "name is missing", "a text that is not empty"),
    (#""wire""#, "7", "name is 7.0", "a text that is not empty"),
    (#""x""#, #""""#, "source is the text \"\"", "a text that is not empty"),
    (#""source": "x", "ranks": 2"#, #""source": "x", "ranks": 0"#, "ranks is 0.0", "from 1 on"),
    (#""source": "x", "ranks": 2"#, #""source": "x", "ranks": 1.5"#, "ranks is 1.5", "from 1 on"),
    (#""latency_us": 1, "#, "", "latency_us is missing", "a number above 0"),
    (
      #""latency_us": 1"#, #""latency_us": "1""#, "latency_us is the text \"1\"", "a number above 0"
    ),
    (#""latency_us": 1"#, #""latency_us": true"#, "latency_us is true", "a number above 0"),
    (#""latency_us": 1"#, #""latency_us": 0"#, "latency_us is 0.0", "a number above 0"),
    (#""latency_us": 1"#, #""latency_us": 1e300"#, "latency_us is 1e+300", "from 1e-12 to 1e12"),
    (#""latency_us": 1"#, #""latency_us": 1e-300"#, "latency_us is 1e-300", "from 1e-12"),
    (#""bytes": 64"#, #""bytes": 1e18"#, "points[0].bytes is 1e+18", "a whole number up to"),
    (#""bandwidth_gbit": 9"#, #""bandwidth_gbit": -9"#, "bandwidth_gbit is -9.0", "above 0"),
    (
      #""bandwidth_gbit""#, #""reduction_gb_per_s": 0, "bandwidth_gbit""#,
      "reduction_gb_per_s is 0.0", "a number above 0"
    ),
    (#""bandwidth_gbit""#, #""bandwidth""#, "unknown field bandwidth", "bandwidth_gbit"),
    ("[" + point + "]", "[]", "points is empty", "leave it out"),
    ("[" + point + "]", "3", "points is 3.0", "a list"),
    (point, "5", "points[0] is 5.0", "an object with the fields ranks, bytes"),
    (#""bytes": 64"#, #""bytes": 0"#, "points[0].bytes is 0.0", "a whole number from 1 on"),
    (#"{"ranks": 2, "bytes""#, #"{"ranks": 1, "bytes""#, "points[0].ranks is 1.0", "from 2 on"),
    (#""tight_us": 1, "#, "", "points[0].tight_us is missing", "a number above 0"),
    (#""between_us": 3"#, #""between_us": -3"#, "points[0].between_us is -3.0", "above 0"),
    (#""nonblocking_us": 4"#, #""nonblocking_us": null"#, "points[0].nonblocking_us is null", "0"),
    (point, point + ", " + point, "points[1] has 64 bytes on 2 ranks, like the one", "keep one"),
    (
      point, point + ", " + point.replacingOccurrences(of: "64", with: "8"),
      "points[1] is out of order", "sort the points by ranks, then by bytes"
    ),
    ("{", "", "is not a JSON document", "write one object with the fields name, source"),
    (good, "[]", "the document is a list", "an object with the fields name, source"),
  ])
  func aBadFileIsNamedWithItsFieldAndARemedy(
    old: String, new: String, problem: String, remedy: String
  ) throws {
    let range = try #require(Self.good.range(of: old))
    let bad = Self.good.replacingCharacters(in: range, with: new)
    let error = #expect(throws: InputFileError.self) { try read(bad) }
    let message = error?.description ?? ""
    #expect(message.contains("/fabric.json: \(problem)"), "\(message)")
    #expect(message.components(separatedBy: "; ").last?.contains(remedy) == true, "\(message)")
  }

  @Test func aFileThatIsNotThereSaysHowToMakeOne() {
    let error = #expect(throws: InputFileError.self) { try Fabric.read("/nowhere/f.json") }
    #expect(error?.remedy.contains("lockstep bench collectives --fabric /nowhere/f.json") == true)
  }
}
