import Foundation
import FuzzTargets

// libFuzzer brings the main function, and calls these two.

private func variable(_ name: String) -> String? { ProcessInfo.processInfo.environment[name] }

private let target: FuzzTarget = {
  guard let target = variable("LOCKSTEP_FUZZ_TARGET").flatMap(FuzzTarget.init(rawValue:)) else {
    print("LOCKSTEP_FUZZ_TARGET names none of \(FuzzTarget.allCases.map(\.rawValue))")
    exit(2)
  }
  return target
}()

private let folder = variable("LOCKSTEP_FUZZ_FOLDER") ?? NSTemporaryDirectory()

/// Writes each target's seeds into FOLDER/TARGET and ends, where `LOCKSTEP_FUZZ_SEEDS` names FOLDER.
@_cdecl("LLVMFuzzerInitialize")
public func begin(
  _ count: UnsafeMutablePointer<CInt>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>
) -> CInt {
  guard let seeds = variable("LOCKSTEP_FUZZ_SEEDS") else { return 0 }
  do {
    for target in FuzzTarget.allCases {
      let place = "\(seeds)/\(target.rawValue)"
      try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
      for (number, seed) in try target.seeds(in: folder).enumerated() {
        try Data(seed).write(to: URL(fileURLWithPath: "\(place)/seed-\(number)"))
      }
    }
  } catch {
    print("\(seeds): \(error)")
    exit(1)
  }
  exit(0)
}

/// Gives the reader that `LOCKSTEP_FUZZ_TARGET` names what libFuzzer made up.
///
/// Files go through `LOCKSTEP_FUZZ_FOLDER`.
@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ bytes: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  target.read(Array(UnsafeBufferPointer(start: bytes, count: size)), in: folder)
  return 0
}
