// swift-tools-version: 6.3
import Foundation
import PackageDescription

/// Settings every Swift target builds with.
///
/// Warnings about `unsafe` are errors, so a raw pointer cannot appear anywhere unmarked.
let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatWarning("StrictMemorySafety", as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

/// The numeric loops: raw pointers throughout, and optimized in debug builds too,
/// since unoptimized ones are too slow to test with.
let features: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]
let loops: [SwiftSetting] = features + [.unsafeFlags(["-Ounchecked"])]

func instructionSet(_ flags: String...) -> [SwiftSetting] {
  loops + [.unsafeFlags(flags.flatMap { ["-Xcc", $0] }, .when(platforms: [.linux]))]
}

// MPI. LOCKSTEP_MPI chooses it; headers and library always come from the same one:
//   nothing      what pkg-config's mpi-c says, else what mpicc says
//   openmpi      the system's Open MPI (pkg-config's ompi-c)
//   mpich        the system's MPICH (pkg-config's mpich)
//   PREFIX       an MPI with PREFIX/include/mpi.h and its library in PREFIX/lib
//   abi:PREFIX   the same through the standard ABI of MPI 5 (mpi_abi.h, libmpi_abi.so)
struct MPI {
  /// The flags for Clang, by which Swift reads the headers.
  var compiler: [String] = []
  var linker: [String] = []

  static func chosen(by setting: String) -> MPI {
    switch setting {
    case "":
      if let known = MPI(knownToPkgConfigAs: "mpi-c") { return known }
      // MPICH and Intel MPI know this option of mpicc alone, and Open MPI knows it too.
      if let shown = prints(["mpicc", "-show"]) { return MPI(flags: shown) }
      // What fails is not kept by the package manager, so that an MPI that is installed now is found next.
      fail(
        "is not set, and there is no MPI: install libopenmpi-dev and openmpi-bin, or libmpich-dev and mpich (and "
          + "pkg-config)")
    case "openmpi", "mpich":
      let (file, package) =
        setting == "mpich" ? ("mpich", "libmpich-dev") : ("ompi-c", "libopenmpi-dev")
      if let known = MPI(knownToPkgConfigAs: file) { return known }
      fail(
        "is \(setting), but pkg-config knows no \(file); install \(package) (and pkg-config), or give the "
          + "folder that its include and lib are in")
    default:
      let isABI = setting.hasPrefix("abi:")
      let prefix = isABI ? String(setting.dropFirst(4)) : setting
      guard prefix.hasPrefix("/") else {
        fail(
          "is \"\(setting)\"; give openmpi, mpich, or the folder that an MPI's include and lib are in"
        )
      }
      let header = isABI ? "mpi_abi.h" : "mpi.h"
      let names = isABI ? ["mpi_abi"] : ["mpi", "mpich"]
      let headers = ["include", "include/mpich", "include/openmpi"].map { "\(prefix)/\($0)" }
      guard let include = headers.first(where: { exists("\($0)/\(header)") }) else {
        fail("is \(setting), but there is no \(header) in \(headers.joined(separator: ", "))")
      }
      let folders = ["lib", "lib/release", "lib64", "lib/x86_64-linux-gnu"].map {
        "\(prefix)/\($0)"
      }
      for folder in folders {
        for name in names where exists("\(folder)/lib\(name).so") {
          return MPI(
            compiler: ["-I\(include)"] + (isABI ? ["-DLOCKSTEP_MPI_ABI"] : []),
            linker: ["-L\(folder)", "-Xlinker", "-rpath=\(folder)", "-l\(name)"])
        }
      }
      fail(
        "is \(setting), but there is no lib\(names.joined(separator: ".so or lib")).so in "
          + folders.joined(separator: ", "))
    }
  }

  private init(compiler: [String], linker: [String]) {
    // Clang keeps compiled headers, and does not tell those of different folders apart, but definitions.
    let name = compiler.joined().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" }
    self.compiler = compiler + ["-DLOCKSTEP_MPI_HEADERS=\(String(name))"]
    self.linker = linker
  }

  private init?(knownToPkgConfigAs file: String) {
    guard let flags = Self.prints(["pkg-config", "--cflags", "--libs", file]) else { return nil }
    self.init(flags: flags)
  }

  /// Takes the folders and libraries from the flags for a C compiler.
  private init(flags: String) {
    let words = flags.filter { $0 != "\"" }.split(whereSeparator: \.isWhitespace).map(String.init)
    var linker = words.filter { $0.hasPrefix("-L") || $0.hasPrefix("-l") }
    for word in linker where word.hasPrefix("-L/") && !word.hasPrefix("-L/usr/lib") {
      linker += ["-Xlinker", "-rpath=\(word.dropFirst(2))"]
    }
    self.init(compiler: words.filter { $0.hasPrefix("-I") }, linker: linker)
  }

  private static func exists(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: path)
  }

  /// What a command prints; nil if it cannot be run or fails.
  private static func prints(_ command: [String]) -> String? {
    let (process, output) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return process.terminationStatus == 0 ? String(decoding: data, as: UTF8.self) : nil
  }

  private static func fail(_ reason: String) -> Never {
    FileHandle.standardError.write(Data("LOCKSTEP_MPI \(reason)\n".utf8))
    exit(2)
  }
}
let mpi = MPI.chosen(by: Context.environment["LOCKSTEP_MPI"] ?? "")
// Only the module that calls MPI is compiled with its headers: what other modules inlined of it would need them
// too, and a package that depends on this one cannot have them.
let mpiSettings: [SwiftSetting] = [
  .unsafeFlags(mpi.compiler.flatMap { ["-Xcc", $0] } + ["-disable-cmo"])
]
let mpiLinker: [LinkerSetting] = mpi.linker.isEmpty ? [] : [.unsafeFlags(mpi.linker)]

// oneDNN is optional. LOCKSTEP_ONEDNN=off builds without it; LOCKSTEP_ONEDNN=PREFIX
// takes it from PREFIX/include and PREFIX/lib.
let oneDNNSetting = Context.environment["LOCKSTEP_ONEDNN"] ?? ""
let oneDNNPrefix = oneDNNSetting.hasPrefix("/") ? oneDNNSetting : "/usr"
let hasOneDNN =
  oneDNNSetting != "off"
  && ["/include/dnnl.h", "/include/oneapi/dnnl/dnnl.h"].contains {
    FileManager.default.fileExists(atPath: oneDNNPrefix + $0)
  }

// The wrappers around the loops: optimized too, but with their checks of shapes.
var kernels: [SwiftSetting] = features + [.unsafeFlags(["-O"])]
var kernelsLinker: [LinkerSetting] = []
var kernelsDependencies: [Target.Dependency] = [
  "LockstepTensors", "LockstepVectors", "LockstepKernelLoops", "LockstepFloatLoops",
  "LockstepKernelsBaseline",
]
var targets: [Target] = []

if hasOneDNN {
  kernels.append(.define("ONEDNN"))
  kernelsDependencies += ["CDNNL", "LockstepOneDNNPrimitives"]
  if oneDNNPrefix == "/usr" {
    targets.append(.systemLibrary(name: "CDNNL", providers: [.apt(["libdnnl-dev"])]))
  } else {
    targets.append(.systemLibrary(name: "CDNNL"))
    kernels.append(.unsafeFlags(["-Xcc", "-I\(oneDNNPrefix)/include"]))
    kernelsLinker.append(
      .unsafeFlags(["-L\(oneDNNPrefix)/lib", "-Xlinker", "-rpath=\(oneDNNPrefix)/lib"]))
  }
  targets.append(
    .target(
      name: "LockstepOneDNNPrimitives", dependencies: ["CDNNL", "LockstepTensors"],
      path: "Sources/OneDNNPrimitives", swiftSettings: kernels))
}

// ISA-L is optional too: it has the check sums of TensorBoard's event files.
var tensorBoardSettings = strict
var tensorBoardDependencies: [Target.Dependency] = [
  .product(name: "SwiftProtobuf", package: "swift-protobuf")
]
if FileManager.default.fileExists(atPath: "/usr/include/isa-l/crc.h") {
  targets.append(.systemLibrary(name: "CISAL", providers: [.apt(["libisal-dev"])]))
  tensorBoardDependencies.append("CISAL")
  tensorBoardSettings.append(.define("ISAL"))
}

#if arch(x86_64)
  for (name, flags) in [
    ("V3", instructionSet("-march=x86-64-v3")), ("V4", instructionSet("-march=x86-64-v4")),
    ("V4BFloat16", instructionSet("-march=x86-64-v4", "-mavx512bf16")),
  ] {
    targets.append(
      .target(
        name: "LockstepKernels\(name)",
        dependencies: ["LockstepVectors", "LockstepKernelLoops", "LockstepFloatLoops"],
        path: "Sources/Kernels\(name)", swiftSettings: flags))
    kernelsDependencies.append(.target(name: "LockstepKernels\(name)"))
  }
#endif

/// A module of the house; target names are unique among all packages of a program, so they carry a prefix,
/// and folders do not.
func house(
  _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = [],
  resources: [Resource] = [], settings: [SwiftSetting] = [], linker: [LinkerSetting] = []
) -> Target {
  .target(
    name: name, dependencies: dependencies, path: folder(of: name), exclude: exclude,
    resources: resources, swiftSettings: strict + settings, linkerSettings: linker)
}

func folder(of name: String) -> String {
  "Sources/" + (name == "Lockstep" ? name : String(name.dropFirst("Lockstep".count)))
}

/// A target of tests, which are not optimized themselves: that halves the time of their build, and they run little
/// longer.
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: dependencies,
    swiftSettings: strict + [.unsafeFlags(["-Onone"])])
}

targets += [
  .systemLibrary(name: "CMPI", providers: [.apt(["libopenmpi-dev"])]),
  .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
  .systemLibrary(name: "CIntrinsics"),
  house(
    "LockstepTensors",
    []),
  .target(
    name: "LockstepVectors", dependencies: ["CIntrinsics", "LockstepTensors"],
    path: "Sources/Vectors", swiftSettings: loops),
  .target(
    name: "LockstepKernelLoops",
    dependencies: ["CIntrinsics", "LockstepTensors", "LockstepVectors"],
    path: "Sources/KernelLoops",
    swiftSettings: loops),
  .target(
    name: "LockstepFloatLoops",
    dependencies: ["CIntrinsics", "LockstepTensors", "LockstepVectors", "LockstepKernelLoops"],
    path: "Sources/FloatLoops", swiftSettings: loops),
  .target(
    name: "LockstepKernelsBaseline",
    dependencies: ["LockstepVectors", "LockstepKernelLoops", "LockstepFloatLoops"],
    path: "Sources/KernelsBaseline", swiftSettings: loops),
  .target(
    name: "LockstepKernels", dependencies: kernelsDependencies, path: "Sources/Kernels",
    swiftSettings: kernels,
    linkerSettings: kernelsLinker),
  .target(
    name: "LockstepWhiteningKernels",
    dependencies: [
      "LockstepTensors", "LockstepKernelLoops", "LockstepFloatLoops", "LockstepKernels",
    ], path: "Sources/WhiteningKernels", swiftSettings: features + [.unsafeFlags(["-O"])]),
  house(
    "LockstepFiles",
    []),
  house(
    "LockstepCollectives",
    ["LockstepTensors", "LockstepFiles"]),
  house(
    "LockstepRecording",
    ["LockstepFiles", "LockstepCollectives"]),
  house(
    "LockstepAnalysis",
    ["LockstepTensors", "LockstepFiles", "LockstepCollectives", "LockstepRecording"]),
  house(
    "LockstepMachine",
    ["LockstepFiles", "LockstepCollectives", "LockstepRecording", "LockstepAnalysis"]),
  house(
    "LockstepPrediction",
    [
      "LockstepTensors", "LockstepFiles", "LockstepCollectives", "LockstepRecording",
      "LockstepAnalysis", "LockstepMachine",
    ]),
  house(
    "LockstepMPIBackend",
    ["LockstepTensors", "LockstepFiles", "LockstepCollectives", "CMPI"], settings: mpiSettings,
    linker: mpiLinker),
  house(
    "LockstepAutograd",
    ["LockstepTensors", "LockstepKernels", "LockstepCollectives"]),
  house(
    "LockstepLayers",
    ["LockstepTensors", "LockstepKernels", "LockstepAutograd"]),
  house(
    "LockstepOptimizers",
    ["LockstepTensors", "LockstepFloatLoops", "LockstepKernels", "LockstepAutograd"]),
  // In the program itself, so that it may be copied without a folder of resources beside it.
  house(
    "LockstepDatasets",
    ["LockstepTensors", "LockstepFiles", "CZlib"],
    exclude: ["Resources/digits.md"],
    resources: [.embedInCode("Resources/digits.csv.gz")]),
  house(
    "LockstepStatistics",
    ["LockstepTensors", "LockstepKernels", "LockstepCollectives", "LockstepAutograd"]),
  house(
    "LockstepNorms",
    [
      "LockstepTensors", "LockstepKernelLoops", "LockstepKernels", "LockstepWhiteningKernels",
      "LockstepFiles", "LockstepCollectives", "LockstepAutograd", "LockstepLayers",
      "LockstepStatistics",
    ]),
  house(
    "LockstepWeightNorms",
    [
      "LockstepTensors", "LockstepKernelLoops", "LockstepKernels", "LockstepAutograd",
    ]),
  house(
    "LockstepModels",
    [
      "LockstepTensors", "LockstepKernels", "LockstepFiles", "LockstepCollectives",
      "LockstepAutograd", "LockstepLayers", "LockstepNorms", "LockstepWeightNorms",
    ]),
  house(
    "LockstepDataParallel",
    [
      "LockstepTensors", "LockstepKernels", "LockstepFiles", "LockstepCollectives",
      "LockstepRecording",
      "LockstepAutograd", "LockstepNorms",
    ]),
  house(
    "LockstepSafetensors",
    ["LockstepTensors", "LockstepFiles"]),
  house(
    "LockstepCheckpoints",
    [
      "LockstepTensors", "LockstepFiles", "LockstepCollectives", "LockstepAutograd",
      "LockstepOptimizers", "LockstepModels", "LockstepDataParallel", "LockstepSafetensors",
      .product(name: "Crypto", package: "swift-crypto"),
    ]),
  .target(
    name: "LockstepTensorBoard", dependencies: tensorBoardDependencies,
    path: "Sources/TensorBoard", exclude: ["event.proto"],
    swiftSettings: tensorBoardSettings),
  house(
    "LockstepTraining",
    [
      "LockstepTensors", "LockstepFiles", "LockstepCollectives", "LockstepRecording",
      "LockstepAnalysis", "LockstepMachine", "LockstepAutograd", "LockstepLayers",
      "LockstepOptimizers", "LockstepDatasets", "LockstepNorms", "LockstepModels",
      "LockstepDataParallel", "LockstepCheckpoints",
    ]),
  house(
    "LockstepConfiguration",
    [
      "LockstepTensors", "LockstepFiles", "LockstepAutograd", "LockstepLayers",
      "LockstepOptimizers", "LockstepDatasets", "LockstepNorms", "LockstepModels",
      "LockstepDataParallel", "LockstepCheckpoints", "LockstepTraining",
      .product(name: "Yams", package: "Yams"),
    ]),
  house(
    "LockstepRuns",
    [
      "LockstepTensors", "LockstepFiles", "LockstepCollectives", "LockstepRecording",
      "LockstepAnalysis", "LockstepMachine", "LockstepPrediction", "LockstepAutograd",
      "LockstepLayers", "LockstepOptimizers", "LockstepDatasets", "LockstepNorms", "LockstepModels",
      "LockstepDataParallel", "LockstepCheckpoints", "LockstepTensorBoard", "LockstepTraining",
      "LockstepConfiguration", .product(name: "Crypto", package: "swift-crypto"),
    ]),
  house(
    "LockstepBenchmarks",
    [
      "LockstepTensors", "LockstepKernels", "LockstepFiles", "LockstepCollectives",
      "LockstepRecording", "LockstepAnalysis", "LockstepMachine", "LockstepPrediction",
      "LockstepAutograd", "LockstepLayers", "LockstepDatasets", "LockstepNorms", "LockstepModels",
      "LockstepDataParallel", "LockstepTraining", "LockstepConfiguration", "LockstepRuns",
    ]),
  house(
    "LockstepParity",
    [
      "LockstepTensors", "LockstepKernels", "LockstepFiles", "LockstepCollectives",
      "LockstepAutograd", "LockstepOptimizers", "LockstepDatasets", "LockstepNorms",
      "LockstepWeightNorms",
      "LockstepModels", "LockstepDataParallel", "LockstepSafetensors", "LockstepCheckpoints",
      "LockstepTraining", "LockstepConfiguration",
    ]),
  house(
    "LockstepReports",
    [
      "LockstepFiles", "LockstepCollectives", "LockstepRecording", "LockstepAnalysis",
      "LockstepPrediction", "LockstepConfiguration", "LockstepRuns",
      .product(name: "Mustache", package: "swift-mustache"),
    ],
    resources: [.embedInCode("Resources")]),
  house(
    "LockstepClaims",
    [
      "LockstepTensors", "LockstepKernelLoops", "LockstepKernels", "LockstepFiles",
      "LockstepCollectives", "LockstepAnalysis", "LockstepAutograd", "LockstepLayers",
      "LockstepDatasets", "LockstepNorms", "LockstepWeightNorms", "LockstepModels",
      "LockstepDataParallel",
      "LockstepCheckpoints", "LockstepTraining", "LockstepConfiguration", "LockstepRuns",
      "LockstepBenchmarks",
    ]),
  house(
    "LockstepCommand",
    [
      "LockstepTensors", "LockstepFloatLoops", "LockstepKernels", "LockstepFiles",
      "LockstepCollectives", "LockstepRecording", "LockstepAnalysis", "LockstepMachine",
      "LockstepPrediction", "LockstepMPIBackend", "LockstepDatasets", "LockstepNorms",
      "LockstepModels",
      "LockstepDataParallel", "LockstepSafetensors", "LockstepCheckpoints", "LockstepTraining",
      "LockstepConfiguration", "LockstepRuns", "LockstepBenchmarks", "LockstepParity",
      "LockstepReports", "LockstepClaims",
      .product(name: "ArgumentParser", package: "swift-argument-parser"),
      .product(name: "Logging", package: "swift-log"),
    ]),
  .executableTarget(
    name: "lockstep", dependencies: ["LockstepCommand"], path: "Sources/Program",
    swiftSettings: strict),
  house(
    "Lockstep",
    [
      "LockstepTensors", "LockstepKernels", "LockstepFiles", "LockstepCollectives",
      "LockstepRecording", "LockstepAnalysis", "LockstepAutograd", "LockstepLayers",
      "LockstepOptimizers", "LockstepDatasets", "LockstepNorms", "LockstepModels",
      "LockstepDataParallel", "LockstepCheckpoints", "LockstepTraining", "LockstepConfiguration",
      "LockstepRuns", "LockstepCommand",
    ]),
  // What Launch/local-cluster delays messages with.
  .executableTarget(name: "delay-relay", swiftSettings: strict),
  .executableTarget(
    name: "mpi-checks",
    dependencies: ["LockstepMPIBackend", "LockstepCollectives", "LockstepTensors"],
    path: "Tests/mpi-checks", swiftSettings: strict),
  .executableTarget(
    name: "faulty-ranks",
    dependencies: [
      "LockstepMPIBackend", "LockstepFiles", "LockstepSafetensors", "LockstepCheckpoints",
      "LockstepTraining", "LockstepConfiguration", "LockstepRuns",
      "LockstepBenchmarks", "LockstepParity", "LockstepCollectives", "LockstepTensors",
    ],
    path: "Tests/faulty-ranks", swiftSettings: strict),
  // What Tests/Faults/storage damages checkpoints with.
  .executableTarget(
    name: "checkpoint-faults",
    dependencies: [
      "LockstepFiles", "LockstepSafetensors", "LockstepCheckpoints", "LockstepTraining",
      "LockstepConfiguration", "LockstepRuns", "LockstepBenchmarks",
      "LockstepParity", "LockstepRecording", "LockstepAnalysis", "LockstepMachine",
      "LockstepPrediction",
    ],
    path: "Tests/checkpoint-faults", swiftSettings: strict),
  tests("Tensors", ["LockstepTensors"]),
  // The loops take raw pointers, and so does their test.
  .testTarget(
    name: "KernelsTests",
    dependencies: [
      "LockstepKernels", "LockstepWhiteningKernels", "LockstepVectors", "LockstepKernelLoops",
      "LockstepFloatLoops",
      "LockstepTensors",
    ],
    swiftSettings: loops),
  tests("Collectives", ["LockstepCollectives", "LockstepTensors"]),
  tests(
    "Layers",
    [
      "LockstepLayers", "LockstepAutograd", "LockstepCollectives", "LockstepKernels",
      "LockstepModels", "LockstepNorms", "LockstepWeightNorms", "LockstepTensors",
    ]),
  tests(
    "Norms",
    [
      "LockstepNorms", "LockstepWeightNorms", "LockstepWhiteningKernels", "LockstepAutograd",
      "LockstepLayers", "LockstepCollectives",
      "LockstepKernelLoops",
      "LockstepTensors",
    ]),
  tests("Optimizers", ["LockstepOptimizers", "LockstepAutograd", "LockstepTensors"]),
  tests("Datasets", ["LockstepDatasets", "LockstepTensors", "Spawning"]),
  tests(
    "DataParallel",
    ["LockstepDataParallel", "LockstepAutograd", "LockstepCollectives", "LockstepTensors"]),
  tests(
    "Measurement",
    [
      "LockstepRecording", "LockstepAnalysis", "LockstepMachine", "LockstepPrediction",
      "LockstepCollectives", "Spawning", "LockstepTensors",
    ]),
  tests(
    "Training",
    [
      "LockstepFiles", "LockstepSafetensors", "LockstepCheckpoints", "LockstepTraining",
      "LockstepConfiguration", "LockstepRuns", "LockstepBenchmarks",
      "LockstepParity", "LockstepCollectives", "LockstepDatasets", "LockstepDataParallel",
      "LockstepModels", "LockstepNorms", "LockstepTensors",
      "LockstepAutograd", "LockstepKernels", "LockstepLayers", "LockstepRecording",
      "LockstepAnalysis", "LockstepMachine", "LockstepPrediction", "Spawning",
      "safetensors-verdicts",
    ]),
  tests("TensorBoard", ["LockstepTensorBoard"]),
  tests(
    "Claims",
    [
      "LockstepClaims", "LockstepCollectives", "LockstepRecording", "LockstepAnalysis",
      "LockstepMachine", "LockstepPrediction", "LockstepTensors", "LockstepFiles",
      "LockstepSafetensors", "LockstepCheckpoints", "LockstepTraining", "LockstepConfiguration",
      "LockstepRuns", "LockstepBenchmarks", "LockstepParity",
    ]),
  // What the tests share to run programs with a time limit.
  .target(name: "Spawning", path: "Tests/Spawning", swiftSettings: strict),
  tests(
    "MPI", ["LockstepMPIBackend", "LockstepCollectives", "Spawning", "mpi-checks", "faulty-ranks"]),
  tests(
    "Command",
    [
      "Spawning", "lockstep", "LockstepRecording", "LockstepAnalysis", "LockstepMachine",
      "LockstepPrediction", "LockstepCollectives",
    ]),
  tests(
    "Launch",
    ["Spawning", "delay-relay", "lockstep", "mpi-checks", .product(name: "Yams", package: "Yams")]),
  tests(
    "Fault",
    [
      "Spawning", "lockstep", "checkpoint-faults", "LockstepFiles", "LockstepSafetensors",
      "LockstepCheckpoints",
      "LockstepTraining", "LockstepConfiguration", "LockstepRuns", "LockstepBenchmarks",
      "LockstepParity",
    ]),
  tests("House", ["Spawning"]),
  // The readers as fuzzers see them; the corpus is read in every test run.
  .target(
    name: "FuzzTargets",
    dependencies: [
      "LockstepCollectives", "LockstepDatasets", "LockstepMPIBackend", "LockstepRecording",
      "LockstepAnalysis", "LockstepMachine", "LockstepPrediction",
      "LockstepReports", "LockstepTensors", "LockstepFiles", "LockstepSafetensors",
      "LockstepCheckpoints", "LockstepTraining", "LockstepConfiguration",
      "LockstepRuns", "LockstepBenchmarks", "LockstepParity",
    ], path: "Tests/Fuzz/Targets", swiftSettings: strict),
  tests("Fuzz", ["FuzzTargets", "Spawning"]),
  .executableTarget(
    name: "safetensors-verdicts",
    dependencies: [
      "LockstepFiles", "LockstepSafetensors", "LockstepCheckpoints", "LockstepTraining",
      "LockstepConfiguration", "LockstepRuns", "LockstepBenchmarks",
      "LockstepParity",
    ], path: "Tests/safetensors-verdicts",
    swiftSettings: strict),
]

// Tests/Fuzz/run sets LOCKSTEP_FUZZ=on: the program needs libFuzzer, which only its build has.
if Context.environment["LOCKSTEP_FUZZ"] == "on" {
  targets.append(
    .executableTarget(
      name: "lockstep-fuzz", dependencies: ["FuzzTargets"], path: "Tests/Fuzz/Driver",
      swiftSettings: features))
}

let package = Package(
  name: "lockstep",
  products: [
    .executable(name: "lockstep", targets: ["lockstep"]),
    .library(
      name: "Lockstep", targets: ["Lockstep"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    // Makes the documentation's pages; no program has it.
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.1"),
  ],
  targets: targets,
  swiftLanguageModes: [.v6]
)
