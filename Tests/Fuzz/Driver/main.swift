import Foundation
import FuzzTargets

// With LOCKSTEP_FUZZ_SEEDS=FOLDER, writes each target's seeds into FOLDER/TARGET. Else gives the reader
// that LOCKSTEP_FUZZ_TARGET names what libFuzzer makes up, whose options the arguments are. Files go
// through LOCKSTEP_FUZZ_FOLDER.

@_silgen_name("LLVMFuzzerRunDriver")
func runDriver(
  _ count: UnsafeMutablePointer<CInt>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
  _ callback: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

enum Settings {
  static func variable(_ name: String) -> String? { ProcessInfo.processInfo.environment[name] }

  static let target: FuzzTarget = {
    guard let target = variable("LOCKSTEP_FUZZ_TARGET").flatMap(FuzzTarget.init(rawValue:)) else {
      print("LOCKSTEP_FUZZ_TARGET names none of \(FuzzTarget.allCases.map(\.rawValue))")
      exit(2)
    }
    return target
  }()
  static let folder = variable("LOCKSTEP_FUZZ_FOLDER") ?? NSTemporaryDirectory()
}

/// What libFuzzer calls with each input.
func test(_ bytes: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  Settings.target.read(
    Array(UnsafeBufferPointer(start: bytes, count: size)), in: Settings.folder)
  return 0
}

if let seeds = Settings.variable("LOCKSTEP_FUZZ_SEEDS") {
  for target in FuzzTarget.allCases {
    let folder = "\(seeds)/\(target.rawValue)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for (number, seed) in try target.seeds(in: Settings.folder).enumerated() {
      try Data(seed).write(to: URL(fileURLWithPath: "\(folder)/seed-\(number)"))
    }
  }
  exit(0)
}

var count = CommandLine.argc
var arguments = CommandLine.unsafeArgv
exit(runDriver(&count, &arguments, test))
