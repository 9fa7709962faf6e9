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

func instructionSet(_ march: String) -> [SwiftSetting] {
  loops + [.unsafeFlags(["-Xcc", "-march=\(march)"], .when(platforms: [.linux]))]
}

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
var kernelsDependencies: [Target.Dependency] = ["Tensors", "KernelLoops", "KernelsBaseline"]
var targets: [Target] = []

if hasOneDNN {
  kernels.append(.define("ONEDNN"))
  kernelsDependencies.append("CDNNL")
  if oneDNNPrefix == "/usr" {
    targets.append(.systemLibrary(name: "CDNNL", providers: [.apt(["libdnnl-dev"])]))
  } else {
    targets.append(.systemLibrary(name: "CDNNL"))
    kernels.append(.unsafeFlags(["-Xcc", "-I\(oneDNNPrefix)/include"]))
    kernelsLinker.append(
      .unsafeFlags(["-L\(oneDNNPrefix)/lib", "-Xlinker", "-rpath=\(oneDNNPrefix)/lib"]))
  }
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
  targets += [
    .target(
      name: "KernelsV3", dependencies: ["KernelLoops"], swiftSettings: instructionSet("x86-64-v3")),
    .target(
      name: "KernelsV4", dependencies: ["KernelLoops"], swiftSettings: instructionSet("x86-64-v4")),
  ]
  kernelsDependencies += ["KernelsV3", "KernelsV4"]
#endif

func house(
  _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = [],
  resources: [Resource] = []
) -> Target {
  .target(
    name: name, dependencies: dependencies, exclude: exclude, resources: resources,
    swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: "\(name)Tests", dependencies: dependencies, swiftSettings: strict)
}

targets += [
  .systemLibrary(
    name: "CMPI", pkgConfig: "mpi-c", providers: [.apt(["libopenmpi-dev"])]),
  .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
  .systemLibrary(name: "CPrefetch"),
  house("Tensors", []),
  .target(name: "KernelLoops", dependencies: ["CPrefetch"], swiftSettings: loops),
  .target(name: "KernelsBaseline", dependencies: ["KernelLoops"], swiftSettings: loops),
  .target(
    name: "Kernels", dependencies: kernelsDependencies, swiftSettings: kernels,
    linkerSettings: kernelsLinker),
  house("Files", []),
  house("Collectives", ["Files", "Tensors"]),
  house("Recording", ["Files", "Collectives", "Tensors"]),
  house("Analysis", ["Files", "Collectives", "Recording"]),
  house("Machine", ["Files", "Collectives", "Recording", "Analysis"]),
  house("Prediction", ["Files", "Collectives", "Recording", "Analysis", "Machine"]),
  house("MPIBackend", ["Files", "Collectives", "Tensors", "CMPI"]),
  house("Autograd", ["Tensors", "Kernels", "Collectives"]),
  house("Layers", ["Autograd", "Kernels", "Tensors"]),
  house("Optimizers", ["Autograd", "Kernels", "KernelLoops", "Tensors"]),
  // In the program itself, so that it may be copied without a folder of resources beside it.
  house(
    "Datasets", ["Files", "Tensors", "CZlib"], exclude: ["Resources/digits.md"],
    resources: [.embedInCode("Resources/digits.csv.gz")]),
  house("Norms", ["Files", "Collectives", "Autograd", "Kernels", "KernelLoops", "Tensors"]),
  house("Models", ["Collectives", "Autograd", "Layers", "Norms", "Kernels", "Tensors"]),
  house(
    "DataParallel",
    ["Files", "Collectives", "Recording", "Autograd", "Norms", "Kernels", "Tensors"]),
  house("Safetensors", ["Files", "Tensors"]),
  house(
    "Checkpoints",
    [
      "Files", "Collectives", "Recording", "Safetensors", "Autograd", "Optimizers", "Models",
      "DataParallel", "Tensors", .product(name: "Crypto", package: "swift-crypto"),
    ]),
  .target(
    name: "TensorBoard", dependencies: tensorBoardDependencies, exclude: ["event.proto"],
    swiftSettings: tensorBoardSettings),
  house(
    "Training",
    [
      "Files", "Collectives", "Recording", "Analysis", "Machine", "Autograd", "Layers",
      "Optimizers", "Datasets", "Norms", "Models", "DataParallel", "Checkpoints", "Tensors",
    ]),
  house(
    "Configuration",
    [
      "Files", "Layers", "Optimizers", "Datasets", "Norms", "Models", "DataParallel", "Training",
      "Checkpoints", "Tensors", .product(name: "Yams", package: "Yams"),
    ]),
  house(
    "Runs",
    [
      "Files", "Collectives", "Recording", "Analysis", "Machine", "Prediction", "Autograd",
      "Optimizers", "Datasets", "Norms", "Models", "DataParallel", "Safetensors", "Checkpoints",
      "TensorBoard", "Training", "Configuration", "Kernels", "KernelLoops", "Tensors",
      .product(name: "Crypto", package: "swift-crypto"),
    ]),
  house(
    "Benchmarks",
    [
      "Files", "Collectives", "Recording", "Analysis", "Machine", "Prediction", "Autograd",
      "Datasets", "Norms", "Models", "DataParallel", "Training", "Configuration", "Runs", "Kernels",
      "Tensors",
    ]),
  house(
    "Parity",
    [
      "Files", "Collectives", "Autograd", "Optimizers", "Datasets", "Norms", "Models",
      "DataParallel", "Safetensors", "Checkpoints", "Training", "Configuration", "Tensors",
    ]),
  house(
    "Reports",
    [
      "Files", "Collectives", "Recording", "Analysis", "Prediction", "Training", "Configuration",
      "Runs", .product(name: "Mustache", package: "swift-mustache"),
    ],
    resources: [.embedInCode("Resources")]),
  house(
    "Claims",
    [
      "Files", "Collectives", "Recording", "Analysis", "Machine", "Autograd", "Layers",
      "Optimizers",
      "Datasets", "Norms", "Models", "DataParallel", "Checkpoints", "Training", "Configuration",
      "Runs", "Benchmarks", "Kernels", "KernelLoops", "Tensors",
    ]),
  house(
    "Command",
    [
      "Files", "Collectives", "Recording", "Analysis", "Machine", "Prediction", "MPIBackend",
      "Datasets", "Norms", "Models", "DataParallel", "Safetensors", "Checkpoints", "Training",
      "Configuration", "Runs", "Benchmarks", "Parity", "Reports", "Claims", "Kernels",
      "KernelLoops", "Tensors",
      .product(name: "ArgumentParser", package: "swift-argument-parser"),
      .product(name: "Logging", package: "swift-log"),
    ]),
  .executableTarget(
    name: "lockstep", dependencies: ["Command"], path: "Sources/Program", swiftSettings: strict),
  house(
    "Lockstep",
    [
      "Tensors", "Kernels", "Files", "Collectives", "Recording", "Analysis", "Autograd", "Layers",
      "Optimizers", "Datasets", "Norms", "Models", "DataParallel", "Checkpoints", "Training",
      "Configuration", "Runs", "Command",
    ]),
  // What Launch/local-cluster delays messages with.
  .executableTarget(name: "delay-relay", swiftSettings: strict),
  .executableTarget(
    name: "mpi-checks", dependencies: ["MPIBackend", "Collectives", "Tensors"],
    path: "Tests/mpi-checks", swiftSettings: strict),
  .executableTarget(
    name: "faulty-ranks",
    dependencies: [
      "MPIBackend", "Files", "Safetensors", "Checkpoints", "Training", "Configuration", "Runs",
      "Benchmarks", "Parity", "Collectives", "Tensors",
    ],
    path: "Tests/faulty-ranks", swiftSettings: strict),
  // What Tests/Faults/storage damages checkpoints with.
  .executableTarget(
    name: "checkpoint-faults",
    dependencies: [
      "Files", "Safetensors", "Checkpoints", "Training", "Configuration", "Runs", "Benchmarks",
      "Parity", "Recording", "Analysis", "Machine", "Prediction",
    ],
    path: "Tests/checkpoint-faults", swiftSettings: strict),
  tests("Tensors", ["Tensors"]),
  // The loops take raw pointers, and so does their test.
  .testTarget(
    name: "KernelsTests", dependencies: ["Kernels", "KernelLoops", "Tensors"],
    swiftSettings: loops),
  tests("Collectives", ["Collectives", "Tensors"]),
  tests(
    "Layers", ["Layers", "Autograd", "Collectives", "Kernels", "Models", "Norms", "Tensors"]),
  tests("Norms", ["Norms", "Autograd", "Collectives", "KernelLoops", "Tensors"]),
  tests("Optimizers", ["Optimizers", "Autograd", "Tensors"]),
  tests("Datasets", ["Datasets", "Tensors"]),
  tests("DataParallel", ["DataParallel", "Autograd", "Collectives", "Tensors"]),
  tests(
    "Measurement",
    ["Recording", "Analysis", "Machine", "Prediction", "Collectives", "Spawning", "Tensors"]),
  tests(
    "Training",
    [
      "Files", "Safetensors", "Checkpoints", "Training", "Configuration", "Runs", "Benchmarks",
      "Parity", "Collectives", "Datasets", "DataParallel", "Models", "Norms", "Tensors",
      "Autograd", "Kernels", "Layers", "Recording", "Analysis", "Machine", "Prediction", "Spawning",
      "safetensors-verdicts",
    ]),
  tests("TensorBoard", ["TensorBoard"]),
  tests(
    "Claims",
    [
      "Claims", "Collectives", "Recording", "Analysis", "Machine", "Prediction", "Tensors", "Files",
      "Safetensors", "Checkpoints", "Training", "Configuration", "Runs", "Benchmarks", "Parity",
    ]),
  // What the tests share to run programs with a time limit.
  .target(name: "Spawning", path: "Tests/Spawning", swiftSettings: strict),
  tests("MPI", ["MPIBackend", "Collectives", "Spawning", "mpi-checks", "faulty-ranks"]),
  tests(
    "Command",
    ["Spawning", "lockstep", "Recording", "Analysis", "Machine", "Prediction", "Collectives"]),
  tests(
    "Launch",
    ["Spawning", "delay-relay", "lockstep", "mpi-checks", .product(name: "Yams", package: "Yams")]),
  tests(
    "Fault",
    [
      "Spawning", "lockstep", "checkpoint-faults", "Files", "Safetensors", "Checkpoints",
      "Training", "Configuration", "Runs", "Benchmarks", "Parity",
    ]),
  tests("House", ["Spawning"]),
  // The readers as fuzzers see them; the corpus is read in every test run.
  .target(
    name: "FuzzTargets",
    dependencies: [
      "Collectives", "Datasets", "MPIBackend", "Recording", "Analysis", "Machine", "Prediction",
      "Reports", "Tensors", "Files", "Safetensors", "Checkpoints", "Training", "Configuration",
      "Runs", "Benchmarks", "Parity",
    ], path: "Tests/Fuzz/Targets", swiftSettings: strict),
  tests("Fuzz", ["FuzzTargets", "Spawning"]),
  .executableTarget(
    name: "safetensors-verdicts",
    dependencies: [
      "Files", "Safetensors", "Checkpoints", "Training", "Configuration", "Runs", "Benchmarks",
      "Parity",
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
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.1"),
  ],
  targets: targets,
  swiftLanguageModes: [.v6]
)
