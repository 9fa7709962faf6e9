import Foundation
import LockstepCheckpoints
import LockstepFiles

/// Something that must not happen.
struct Broken: Error, CustomStringConvertible {
  let description: String
}

/// A seeded sequence (SplitMix64; Steele, Lea & Flood, 2014).
struct Sequence64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }
}

/// A folder with two checkpoints, the newer of which meets with faults.
struct CheckpointFaults {
  private let folder: CheckpointFolder
  private let older: Data
  private let newer: Checkpoint
  private let bytes: Data
  private let url: URL

  /// Takes the run directory at `run`, which has two checkpoints at least.
  init(run: String) throws {
    folder = CheckpointFolder(run: run)
    let steps = folder.steps
    guard steps.count > 1 else { throw Broken(description: "\(run) has no two checkpoints") }
    newer = try folder.read(step: steps[0])
    url = URL(fileURLWithPath: folder.file(step: steps[0]))
    bytes = try newer.encoded()
    guard try bytes == Data(contentsOf: url) else {
      throw Broken(description: "a checkpoint that is encoded again has other bytes")
    }
    older = try folder.read(step: steps[1]).encoded()
  }

  /// Throws unless the newer checkpoint is refused and the older one taken.
  private func checkRefused(_ fault: String) throws {
    let (found, problems) = try folder.newest()
    guard let found, found.step < newer.step, problems.count == 1 else {
      throw Broken(description: "\(fault): step \(found?.step ?? -1) was loaded")
    }
    guard try found.encoded() == older else {
      throw Broken(description: "\(fault): the older checkpoint is not what it was")
    }
  }

  /// Throws unless the folder has the two checkpoints, or the older alone, and nothing else.
  private func checkWhole(_ fault: String, isWritten: Bool) throws {
    let (found, problems) = try folder.newest()
    guard problems.isEmpty, try found?.encoded() == (isWritten ? bytes : older) else {
      throw Broken(
        description: "\(fault): step \(found?.step ?? -1) was loaded, \(problems.first ?? "")")
    }
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    guard names.count == (isWritten ? 2 : 1) else {
      throw Broken(description: "\(fault): there are \(names.sorted())")
    }
  }

  /// Cuts the newer checkpoint at every length up to 4 KiB, or at every `share`-th, and at 200 random
  /// ones.
  func cut(seed: UInt64, share: Int) throws {
    var random = Sequence64(state: seed)
    let lengths =
      Array(stride(from: 0, through: min(4096, bytes.count - 1), by: share))
      + (0..<200 / min(share, 200)).map { _ in Int.random(in: 0..<bytes.count, using: &random) }
    for length in lengths {
      try bytes.prefix(length).write(to: url)
      try checkRefused("cut to \(length) bytes")
    }
    try bytes.write(to: url)
    print("cut at \(lengths.count) lengths, failures 0")
  }

  /// Flips every bit of the newer one's header, or every `share`-th, and 2,000 of its data.
  func flip(seed: UInt64, share: Int) throws {
    var random = Sequence64(state: seed)
    let header = 8 + bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let first = Int.random(in: 0..<share, using: &random)
    let inHeader = Array(stride(from: first, to: header * 8, by: share))
    let inData = (0..<max(1, 2000 / share)).map { _ in
      Int.random(in: header * 8..<bytes.count * 8, using: &random)
    }
    let file = try FileHandle(forUpdating: url)
    func write(_ byte: UInt8, at place: Int) throws {
      try file.seek(toOffset: UInt64(place))
      try file.write(contentsOf: Data([byte]))
    }
    for bit in inHeader + inData {
      let place = bit / 8
      try write(bytes[place] ^ 1 << (bit % 8), at: place)
      try checkRefused("bit \(bit) flipped")
      try write(bytes[place], at: place)
    }
    guard try Data(contentsOf: url) == bytes, try folder.newest().problems.isEmpty else {
      throw Broken(description: "the checkpoint is not what it was before")
    }
    print("flipped \(inHeader.count) bits of the header, \(inData.count) of the data, failures 0")
  }

  /// Lets the system refuse every write of the newer one beyond each of its bytes, or every `share`-th.
  func stopAtEveryByte(share: Int) throws {
    _ = signal(SIGXFSZ, SIG_IGN)
    var limit = rlimit()
    unsafe getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
    let before = limit.rlim_cur
    try FileManager.default.removeItem(at: url)
    let counts = stride(from: 0, to: bytes.count, by: share)
    for count in counts {
      limit.rlim_cur = rlim_t(count)
      unsafe setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
      let isRefused = refuses { try folder.write(newer, keep: 3) }
      limit.rlim_cur = before
      unsafe setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
      guard isRefused else { throw Broken(description: "\(count) bytes were enough") }
      try checkWhole("refused after \(count) bytes", isWritten: false)
    }
    try folder.write(newer, keep: 3)
    try checkWhole("written", isWritten: true)
    print("refused after \(Array(counts).count) of \(bytes.count) bytes, failures 0")
  }

  /// Writes the newer one again into a folder that is read-only.
  func writeWhereNothingCanBeWritten() throws {
    guard refuses({ try folder.write(newer, keep: 1) }) else {
      throw Broken(description: "\(folder.path) is not read-only")
    }
    try checkWhole("in a read-only folder", isWritten: true)
    print("refused in a read-only folder, failures 0")
  }

  private func refuses(_ body: () throws -> Void) -> Bool {
    do {
      try body()
      return false
    } catch {
      return true
    }
  }

  /// Leaves less and less room on the file system, down to none, and writes the newer one: as a run
  /// does, which looks for room before, and without looking, so that the room ends in the middle.
  func fillTheFileSystem() throws {
    try FileManager.default.removeItem(at: url)
    let filler = URL(fileURLWithPath: folder.path).deletingLastPathComponent()
      .appendingPathComponent("filler")
    func free() throws -> Int {
      let attributes = try FileManager.default.attributesOfFileSystem(forPath: folder.path)
      return (attributes[.systemFreeSize] as? NSNumber)?.intValue ?? 0
    }
    guard try free() < 1 << 22 else {
      throw Broken(description: "\(folder.path) is on a large file system, which is not filled")
    }
    var (sizes, written, refused) = (0, 0, 0)
    try Data().write(to: filler)
    let file = try FileHandle(forWritingTo: filler)
    while true {
      for looks in [true, false] {
        let isRefused = refuses { looks ? try folder.write(newer, keep: 3) : try writeBlindly() }
        try checkWhole("with \(try free()) bytes free", isWritten: !isRefused)
        if isRefused { refused += 1 } else { written += 1 }
        if !isRefused { try FileManager.default.removeItem(at: url) }
      }
      sizes += 1
      let left = try free()
      if left == 0 { break }
      // A page at a time where it matters: that is what such a file system has.
      let step = left > 2 * bytes.count ? left - 2 * bytes.count : min(left, 4096)
      try file.write(contentsOf: Data(count: step))
    }
    try file.close()
    guard written > 0, refused > 0 else {
      throw Broken(description: "the file system was never full, or always")
    }
    try FileManager.default.removeItem(at: filler)
    try folder.write(newer, keep: 3)
    try checkWhole("with room again", isWritten: true)
    print("\(sizes) amounts of free space, \(refused) writes refused, \(written) done, failures 0")
  }

  private func writeBlindly() throws {
    let file = try OutputFile(path: url.path, followsFolder: false)
    for start in stride(from: 0, to: bytes.count, by: 1000) {
      try file.write(bytes[start..<min(start + 1000, bytes.count)])
    }
    try file.finish()
  }
}
