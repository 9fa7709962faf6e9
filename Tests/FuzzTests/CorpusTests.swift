import Foundation
import FuzzTargets
import Spawning
import Testing

/// What the fuzzers found, and what they start from, without their instruments.
@Suite struct CorpusTests {
  private static func corpus(_ target: FuzzTarget) throws -> [String] {
    let folder = "\(packageRoot)/Tests/Fuzz/Corpus/\(target.rawValue)"
    return try FileManager.default.contentsOfDirectory(atPath: folder).sorted().map {
      "\(folder)/\($0)"
    }
  }

  @Test(arguments: FuzzTarget.allCases)
  func noInputOfTheCorpusStopsItsReader(target: FuzzTarget) throws {
    let files = try Self.corpus(target)
    #expect(!files.isEmpty)
    try withTemporaryFolder { folder in
      for file in files {
        target.read([UInt8](try Data(contentsOf: URL(fileURLWithPath: file))), in: folder)
      }
    }
  }

  @Test(arguments: FuzzTarget.allCases)
  func whatTheWritersMakeIsAcceptedCutAnywhereOrNot(target: FuzzTarget) throws {
    try withTemporaryFolder { folder in
      for seed in try target.seeds(in: folder) {
        target.read(seed, in: folder)
        for length in stride(from: 0, to: seed.count, by: max(1, seed.count / 100)) {
          target.read(Array(seed[..<length]), in: folder)
        }
      }
    }
  }

  @Test func theCorpusIsSmall() throws {
    for target in FuzzTarget.allCases {
      let sizes = try Self.corpus(target).map {
        try FileManager.default.attributesOfItem(atPath: $0)[.size] as? Int ?? .max
      }
      #expect(sizes.reduce(0, +) <= 200_000, "\(target)")
    }
  }
}
