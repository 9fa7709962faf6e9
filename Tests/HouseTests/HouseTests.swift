import Foundation
import Spawning
import Testing

/// The rules of the house that the compiler does not hold.
@Suite struct HouseTests {
  /// Every Swift file below Sources, with its module.
  private static var files: [(module: String, path: String, text: String)] {
    get throws {
      let sources = packageRoot + "/Sources"
      return try FileManager.default.subpathsOfDirectory(atPath: sources)
        .filter { $0.hasSuffix(".swift") }
        .map {
          let module = String($0.prefix { $0 != "/" })
          return (module, $0, try String(contentsOfFile: "\(sources)/\($0)", encoding: .utf8))
        }
    }
  }

  private static func imports(_ module: String, in text: String) -> Bool {
    text.split(separator: "\n").contains {
      let words = $0.split(separator: " ")
      return words.contains("import") && words.last == Substring(module)
        && ["import", "public", "internal", "private", "package", "fileprivate"].contains(words[0])
    }
  }

  @Test func onlyTheMPIBackendImportsMPI() throws {
    let importers = Set(try Self.files.filter { Self.imports("CMPI", in: $0.text) }.map(\.module))
    #expect(importers == ["MPIBackend"])
  }

  @Test func onlyTheCommandLineChoosesTheMPIBackend() throws {
    let importers = Set(
      try Self.files.filter { Self.imports("LockstepMPIBackend", in: $0.text) }.map(\.module))
    #expect(importers == ["Command"])
  }

  @Test func amongTheNormsOnlyThoseWithBatchStatisticsCommunicate() throws {
    let importers = try Self.files.filter {
      ["Norms", "Statistics"].contains($0.module)
        && Self.imports("LockstepCollectives", in: $0.text)
    }
    #expect(
      Set(importers.map(\.path)) == [
        "Norms/BatchNorm.swift", "Norms/BatchNormLayer.swift", "Norms/BatchRenorm.swift",
        "Norms/Whitening.swift",
        "Statistics/StatisticsExchange.swift", "Statistics/StatisticsMerge.swift",
      ])
  }

  /// The rooms, top to bottom: a module imports only those above it.
  private static let rooms = [
    "Tensors", "Vectors", "KernelLoops", "FloatLoops", "KernelsBaseline", "KernelsV3", "KernelsV4",
    "KernelsV4BFloat16", "OneDNNPrimitives", "Kernels", "WhiteningKernels", "Files",
    "Collectives", "Recording", "Analysis", "Machine", "Prediction", "MPIBackend", "Autograd",
    "Layers", "Optimizers", "Datasets", "Statistics", "Norms",
    "WeightNorms", "Models", "DataParallel", "Safetensors",
    "Checkpoints", "TensorBoard", "Training", "Configuration", "Runs", "Benchmarks", "Parity",
    "Reports", "Claims", "Command", "Lockstep", "Program",
  ]

  @Test func aModuleImportsOnlyThoseAboveIt() throws {
    for file in try Self.files where file.module != "delay-relay" {
      guard let place = Self.rooms.firstIndex(of: file.module) else {
        Issue.record("\(file.module) is no room of the house")
        continue
      }
      for below in Self.rooms[place...] {
        #expect(!Self.imports("Lockstep\(below)", in: file.text), "\(file.path) imports \(below)")
      }
    }
  }

  @Test func theTrainerNeverSeesAConfigurationFile() throws {
    for file in try Self.files where Self.imports("Yams", in: file.text) {
      #expect(file.module == "Configuration", "\(file.path)")
    }
  }

  @Test func reportsSeeRunsAndNotWhatMadeThem() throws {
    let unseen = ["Benchmarks", "Parity", "MPIBackend", "Autograd", "Norms", "Models"]
    for file in try Self.files where file.module == "Reports" {
      for module in unseen { #expect(!Self.imports("Lockstep\(module)", in: file.text)) }
    }
  }

  @Test func roomsAndFilesAreOfAComfortableSize() throws {
    var lines: [String: Int] = [:]
    for file in try Self.files where !file.path.hasSuffix(".pb.swift") {
      let count = file.text.count { $0 == "\n" }
      #expect(count <= 350, "\(file.path) has \(count) lines")
      lines[file.module, default: 0] += count
    }
    for (module, count) in lines where module != "Claims" && module != "Reports" {
      #expect(count <= 2700, "\(module) has \(count) lines")
    }
  }

  @Test func rawPointersLiveInFewPlaces() throws {
    for file in try Self.files where file.text.contains("Unsafe") {
      let mayHold =
        file.path == "Tensors/Storage.swift" || file.module.hasPrefix("Kernel")
        || ["Vectors", "FloatLoops", "WhiteningKernels", "OneDNNPrimitives"].contains(file.module)
        || file.module == "MPIBackend"
      // zlib's stream is filled by address, in the one file that reads files; the relay's packets
      // and addresses are the kernel's to read and write.
      let mayToo = file.path == "Datasets/FileContents.swift" || file.module == "delay-relay"
      #expect(mayHold || mayToo, "\(file.path)")
    }
  }

  @Test func codeInArticlesIsWhatSnippetsCompile() throws {
    let folder = packageRoot + "/Sources/Lockstep/Lockstep.docc"
    let snippets = try FileManager.default.contentsOfDirectory(atPath: packageRoot + "/Snippets")
    let code = try snippets.map {
      try String(contentsOfFile: "\(packageRoot)/Snippets/\($0)", encoding: .utf8)
    }
    var blocks = 0
    for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
      let text = try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
      for block in text.components(separatedBy: "```swift\n").dropFirst() {
        let swift = block.components(separatedBy: "```")[0]
        #expect(code.contains(swift), "\(name): no snippet is\n\(swift)")
        blocks += 1
      }
    }
    #expect(blocks >= snippets.count)
  }

  @Test func theReadmeNamesNoFileOutsideOfTheRepository() throws {
    let text = try String(contentsOfFile: packageRoot + "/README.md", encoding: .utf8)
    #expect(!text.contains("../"))
    for word in text.components(separatedBy: "](").dropFirst() {
      let path = word.prefix { $0 != ")" && $0 != "#" }
      guard !path.hasPrefix("http") else { continue }
      #expect(FileManager.default.fileExists(atPath: "\(packageRoot)/\(path)"), "\(path)")
    }
  }

  @Test func theInstructionSetsShareOneSource() throws {
    for module in ["KernelsV3", "KernelsV4", "KernelsV4BFloat16"] {
      let target = try FileManager.default.destinationOfSymbolicLink(
        atPath: "\(packageRoot)/Sources/\(module)/VectorKernels.swift")
      #expect(target == "../KernelsBaseline/VectorKernels.swift")
    }
  }
}
