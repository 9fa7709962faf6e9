import Foundation

// Damages checkpoints, and makes their writing fail, in every way that Tests/Faults/storage names. What
// must hold: no crash, nothing wrong loaded, and the older checkpoint still there.

let arguments = Array(CommandLine.arguments.dropFirst())

func run() throws -> Bool {
  guard arguments.count > 1 else { return false }
  let faults = try CheckpointFaults(run: arguments[1])
  switch (arguments[0], arguments.count) {
  case ("damage", 4):
    guard let seed = UInt64(arguments[2]), let share = Int(arguments[3]), share > 0 else {
      return false
    }
    try faults.cut(seed: seed, share: share)
    try faults.flip(seed: seed, share: share)
  case ("stop", 3):
    guard let share = Int(arguments[2]), share > 0 else { return false }
    try faults.stopAtEveryByte(share: share)
  case ("full", 2): try faults.fillTheFileSystem()
  case ("read-only", 2): try faults.writeWhereNothingCanBeWritten()
  default: return false
  }
  return true
}

do {
  guard try run() else {
    let usage =
      "usage: checkpoint-faults (damage RUN SEED SHARE | stop RUN SHARE | full RUN | read-only RUN)\n"
    FileHandle.standardError.write(Data(usage.utf8))
    exit(2)
  }
} catch {
  FileHandle.standardError.write(Data("checkpoint-faults: \(error)\n".utf8))
  exit(1)
}
