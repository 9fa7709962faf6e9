import Foundation
import LockstepFiles
import Spawning
import Testing

/// Files that a user names.
@Suite struct OutputFileTests {
  private func write(_ text: String, to path: String) throws {
    let file = try OutputFile.named(path)
    try file.write(Data(text.utf8))
    try file.finish()
  }

  private func contents(_ path: String) throws -> String {
    try String(contentsOfFile: path, encoding: .utf8)
  }

  @Test func aFileIsReplacedAsAWhole() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/file"
      try write("first", to: path)
      do {
        let file = try OutputFile.named(path)
        try file.write(Data("sec".utf8))
        #expect(try contents(path) == "first")
      }
      #expect(try contents(path) == "first", "a file that was not finished changed nothing")
      try write("second", to: path)
      #expect(try contents(path) == "second")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["file"])
    }
  }

  @Test func aLinkStaysAndLeadsToTheNewFile() throws {
    try withTemporaryFolder { folder in
      let files = FileManager.default
      try files.createDirectory(atPath: "\(folder)/there", withIntermediateDirectories: true)
      for (link, target) in [("a", "there/a"), ("b", "\(folder)/there/b"), ("c", "a")] {
        try files.createSymbolicLink(atPath: "\(folder)/\(link)", withDestinationPath: target)
        // Where there is no file yet, and where there is one.
        for text in ["one", "two"] {
          try write(text, to: "\(folder)/\(link)")
          #expect(try contents("\(folder)/\(link)") == text)
          #expect(try files.destinationOfSymbolicLink(atPath: "\(folder)/\(link)") == target)
        }
      }
    }
  }

  @Test func aChainOfLinksIsFollowedToItsEndAndALoopIsAnError() throws {
    try withTemporaryFolder { folder in
      let files = FileManager.default
      for (link, target) in [
        ("first", "second"), ("second", "file"), ("round", "about"), ("about", "round"),
      ] {
        try files.createSymbolicLink(atPath: "\(folder)/\(link)", withDestinationPath: target)
      }
      try write("text", to: "\(folder)/first")
      #expect(try files.destinationOfSymbolicLink(atPath: "\(folder)/second") == "file")
      #expect(try contents("\(folder)/file") == "text")
      #expect(throws: OutputError.self) { try write("text", to: "\(folder)/round") }
    }
  }

  @Test func whoMightReadAFileMayReadTheNewOne() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/file"
      try write("one", to: path)
      #expect(unsafe chmod(path, 0o640) == 0)
      try write("two", to: path)
      let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
      #expect((mode as? NSNumber)?.intValue == 0o640)
    }
  }

  @Test func aFileOfManyPiecesIsWhole() throws {
    try withTemporaryFolder { folder in
      let data = Data((0..<1_000_003).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) })
      let file = try OutputFile.named("\(folder)/file")
      try file.write(data[1...])
      try file.finish()
      #expect(file.size == data.count - 1)
      #expect(FileManager.default.contents(atPath: "\(folder)/file") == data[1...])
    }
  }

  @Test func aPipeIsWrittenTo() throws {
    try withTemporaryFolder { folder in
      let pipe = "\(folder)/pipe"
      #expect(try spawn(["mkfifo", pipe]).status == 0)
      // Opened for both ways, it waits for nobody.
      let reader = try #require(FileHandle(forUpdatingAtPath: pipe))
      try write("through a pipe", to: pipe)
      #expect(try reader.read(upToCount: 14) == Data("through a pipe".utf8))
      let kind = try FileManager.default.attributesOfItem(atPath: pipe)[.type] as? FileAttributeType
      #expect(kind != .typeRegular)
    }
  }

  @Test(.enabled(if: geteuid() == 0, "needs root, which makes devices"))
  func aDeviceStaysOne() throws {
    try withTemporaryFolder { folder in
      let device = "\(folder)/null"
      #expect(try spawn(["mknod", device, "c", "1", "3"]).status == 0)
      try write("nothing", to: device)
      let kind =
        try FileManager.default.attributesOfItem(atPath: device)[.type] as? FileAttributeType
      #expect(kind == .typeCharacterSpecial)
    }
  }

  @Test func whatCannotBeWrittenToIsSaidAndWhetherItWasBegun() throws {
    try withTemporaryFolder { folder in
      for (path, expected, hasBegun) in [
        (folder, "it is a folder; name a file", false),
        ("", "it is not the name of a file", false),
        ("\(folder)/new/", "it is not the name of a file", false),
        ("\(folder)/no/file", "there is no folder \(folder)/no", false),
        ("/dev/full", "No space left on device", true),
      ] {
        let error = #expect(throws: OutputError.self) { try write("text", to: path) }
        #expect(error?.reason.contains(expected) == true, "\(String(describing: error))")
        #expect(error?.hasBegun == hasBegun)
      }
    }
  }

  @Test func standardOutputIsKnownByItsNames() {
    for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
      #expect(OutputFile.isStandardOutput(path))
    }
    for path in ["/dev/null", "/dev/stderr", "/dev/fd/x", "stdout"] {
      #expect(!OutputFile.isStandardOutput(path))
    }
  }
}
