// swift-tools-version: 6.3
import PackageDescription

// A package that depends on Lockstep as a stranger's would.
let package = Package(
  name: "external",
  dependencies: [.package(name: "lockstep", path: "../..")],
  targets: [
    .executableTarget(
      name: "own-model", dependencies: [.product(name: "Lockstep", package: "lockstep")]),
    .executableTarget(
      name: "own-norm", dependencies: [.product(name: "Lockstep", package: "lockstep")]),
  ],
  swiftLanguageModes: [.v6]
)
