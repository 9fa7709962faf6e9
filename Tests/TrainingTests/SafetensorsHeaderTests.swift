import Foundation
import LockstepCheckpoints
import LockstepFiles
import LockstepSafetensors
import LockstepTensors
import Spawning
import Testing

/// Headers of safetensors files, each wrong in one way.
@Suite struct SafetensorsHeaderTests {
  /// What is wrong with a file, and what the error has to say.
  struct Fault: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let file: Data
    let words: String
  }

  /// A file of `header` and a body of `bytes` bytes.
  private static func file(_ header: String, bytes: Int = 4, length: UInt64? = nil) -> Data {
    file(Array(header.utf8), bytes: bytes, length: length)
  }

  private static func file(_ header: [UInt8], bytes: Int = 4, length: UInt64? = nil) -> Data {
    let count = length ?? UInt64(header.count)
    let start = (0..<8).map { UInt8(truncatingIfNeeded: count >> (8 * UInt64($0))) }
    return Data(start + header + Array(repeating: 0, count: bytes))
  }

  private static func one(
    name: String = "a", type: String = #""F32""#, shape: String = "[1]",
    offsets: String = "[0,4]", more: String = ""
  ) -> String {
    #"{"\#(name)":{"dtype":\#(type),"shape":\#(shape),"data_offsets":\#(offsets)\#(more)}}"#
  }

  private static func two(_ first: ClosedRange<Int>, _ second: ClosedRange<Int>) -> String {
    let entries = zip(["a", "b"], [first, second]).map { name, range in
      let (start, end) = (range.lowerBound, range.upperBound)
      return
        #""\#(name)":{"dtype":"U8","shape":[\#(end - start)],"data_offsets":[\#(start),\#(end)]}"#
    }
    return "{\(entries.joined(separator: ","))}"
  }

  private static func fault(_ what: String, _ file: Data, _ words: String) -> Fault {
    Fault(testDescription: what, file: file, words: words)
  }

  private static let deep = String(repeating: "[", count: 1_000_000)

  private static let layout = [
    fault("overlapping", file(two(0...3, 2...4)), "overlap or leave a hole at byte 3"),
    fault("the same bytes twice", file(two(0...4, 0...4)), "overlap"),
    fault("a hole", file(two(0...1, 2...4)), "a hole at byte 1"),
    fault("a hole at the start", file(one(shape: "[0]", offsets: "[4,4]")), "a hole at byte 0"),
    fault(
      "end before begin", file(one(shape: "[0]", offsets: "[4,0]")),
      "ends at byte 0, before its beginning at 4"),
    fault("trailing bytes", file(one(), bytes: 5), "1 bytes belong to no tensor"),
    fault("cut", file(one(), bytes: 3), "lies outside of the file"),
    fault("empty", Data(), "0 bytes"),
    fault("a length of 2^63", file(one(), length: 1 << 63), "said to have 9223372036854775808"),
    fault("a length of 2^64 - 1", file(one(), length: .max), "said to have 18446744073709551615"),
    fault(
      "a length beyond the file", file(one(), length: 1000), "said to have 1000 bytes"),
  ]

  private static let shapes = [
    fault(
      "a shape that overflows", file(one(shape: "[4611686018427387904,4611686018427387904]")),
      "whose product overflows"),
    fault(
      "a shape that wraps to 4 bytes", file(one(shape: "[4611686018427387905]")),
      "whose product overflows"),
    fault(
      "an overflow beside a 0",
      file(one(shape: "[0,4611686018427387904,4611686018427387904]", offsets: "[0,0]"), bytes: 0),
      "whose product overflows"),
    fault("an extent of 2^64", file(one(shape: "[18446744073709551616]")), "a whole number"),
    fault(
      "too many axes",
      file(one(shape: "[\(Array(repeating: "1", count: 65).joined(separator: ","))]")),
      "no more than 64"),
    fault("another size than the bytes", file(one(shape: "[2]")), "has 4 bytes"),
    fault(
      "2^40 elements", file(one(shape: "[1099511627776]", offsets: "[0,4398046511104]")),
      "outside of the file"),
  ]

  private static let types = [
    fault("floats as offsets", file(one(offsets: "[0.0,4.0]")), "expected \"]\""),
    fault("an exponent", file(one(shape: "[1e0]")), "expected \"]\""),
    fault("a negative offset", file(one(offsets: "[-4,0]")), "a whole number"),
    fault("a negative zero", file(one(offsets: "[-0,4]")), "a whole number"),
    fault("a leading zero", file(one(shape: "[01]")), "a whole number"),
    fault("a bool", file(one(shape: "[true]")), "a whole number"),
    fault("a text as extent", file(one(shape: #"["1"]"#)), "a whole number"),
    fault("null as shape", file(one(shape: "null")), "expected \"[\""),
    fault("three offsets", file(one(offsets: "[0,4,4]")), "no more than 2"),
    fault("one offset", file(one(offsets: "[0]")), "two data_offsets"),
    fault("no type", file(#"{"a":{"shape":[1],"data_offsets":[0,4]}}"#), "has no dtype"),
    fault("a list as entry", file(#"{"a":["F32",[1],[0,4]]}"#), "expected \"{\""),
    fault(
      "an unknown type", file(one(type: #""F31""#)), "expected one of F32, F64, F16, BF16, I64, U8"),
    fault("a number as type", file(one(type: "32")), "expected \"\"\""),
    fault("a sub-byte type", file(one(type: #""F4""#, shape: "[8]")), "type \"F4\""),
    fault("a misaligned type", file(one(type: #""F6_E2M3""#, shape: "[5]")), "type \"F6_E2M3\""),
    fault("an unknown field", file(one(more: #","x":1"#)), "has a field \"x\""),
    fault("a number as metadata", file(#"{"__metadata__":{"a":1}}"#, bytes: 0), "expected"),
    fault("a list as metadata", file(#"{"__metadata__":[]}"#, bytes: 0), "expected \"{\""),
  ]

  private static let texts = [
    fault("a path up", file(one(name: "../../x")), "is not a tensor name"),
    fault("a path up within", file(one(name: "a/../../x")), "is not a tensor name"),
    fault("a path up with backslashes", file(one(name: #"..\\x"#)), "is not a tensor name"),
    fault("a path from the root", file(one(name: "/etc/passwd")), "is not a tensor name"),
    fault("a NUL", file(one(name: #"a\u0000"#)), "is not a tensor name"),
    fault("a terminal's escape", file(one(name: #"\u001b[2J"#)), "is not a tensor name"),
    fault("a raw control character", file(one(name: "a\u{1}")), "no control character"),
    fault(
      "a name twice", file(two(0...2, 2...4).replacing("\"b\"", with: "\"a\"")),
      "\"a\" appears twice"),
    fault(
      "a name twice in two forms",
      file(
        two(0...2, 2...4).replacing("\"a\"", with: "\"\u{e9}\"").replacing(
          "\"b\"", with: "\"e\u{301}\"")), "appears twice"),
    fault(
      "metadata twice", file(#"{"__metadata__":{},"__metadata__":{}}"#, bytes: 0),
      "\"__metadata__\" appears twice"),
    fault(
      "a metadata key twice", file(#"{"__metadata__":{"a":"b","a":"c"}}"#, bytes: 0),
      "\"a\" appears twice"),
    fault("a field twice", file(one(more: #","dtype":"F32""#)), "\"dtype\" appears twice"),
    fault("no UTF-8 in a name", file(Array(#"{""#.utf8) + [0xff] + Array(#"":{}}"#.utf8)), "UTF-8"),
    fault("a surrogate alone", file(one(name: #"\ud800"#)), "UTF-8"),
    fault("a wrong escape", file(one(name: #"\x41"#)), "UTF-8"),
    fault("a text without end", file(#"{"a"#, bytes: 0), "ends within a text"),
    fault("an escape without end", file(#"{"a\"#, bytes: 0), "ends within a text"),
    fault("a trailing comma", file(#"{"__metadata__":{},}"#, bytes: 0), "expected"),
    fault("no end", file(String(one().dropLast())), "expected \"}\""),
    fault("two documents", file(one() + "{}"), "expected the end"),
    fault("a byte after the document", file(one() + "\0"), "expected the end"),
    fault("another beginning", file("[]", bytes: 0), "does not begin with"),
    fault("a space before it", file(" " + one()), "does not begin with"),
    fault("a byte order mark", file("\u{feff}" + one()), "does not begin with"),
    fault("deep lists", file(deep), "does not begin with"),
    fault("deep lists as an entry", file(#"{"a":"# + deep), "expected \"{\""),
    fault("deep objects", file(String(repeating: #"{"a":"#, count: 300_000)), "has a field"),
    fault("deep lists as a shape", file(one(shape: deep)), "a whole number"),
    fault("deep lists as metadata", file(#"{"__metadata__":{"a":"# + deep), "expected"),
  ]

  @Test(arguments: layout + shapes + types + texts)
  func aWrongFileIsRefusedWithOneMessage(fault: Fault) throws {
    let error = #expect(throws: StateError.self) {
      _ = try SafetensorsFile(fault.file, path: "x.safetensors")
    }
    let text = error?.description ?? ""
    #expect(text.hasPrefix("x.safetensors: not a safetensors file: "), "\(text)")
    #expect(text.contains(fault.words), "\(text)")
    #expect(text.utf8.count < 2000 && !text.contains("\n"), "\(text.utf8.count)")
    try withTemporaryFolder { folder in
      try fault.file.write(to: URL(fileURLWithPath: folder + "/x"))
      #expect(throws: StateError.self) { _ = try SafetensorsFile(path: folder + "/x") }
    }
  }

  @Test func whatTheFormatAllowsIsRead() throws {
    let escaped = Self.file(Self.one(name: #"\u00e9\"\/\ud83d\ude00"#) + " \n\t ")
    #expect(try SafetensorsFile(escaped, path: "x").tensors.keys.first == "é\"/😀")
    #expect(try SafetensorsFile(Self.file("{}", bytes: 0), path: "x").tensors.isEmpty)
    let empty = Self.file(Self.one(shape: "[0,3]", offsets: "[0,0]"), bytes: 0)
    #expect(try SafetensorsFile(empty, path: "x").tensors["a"]?.shape == [0, 3])
    let scalar = Self.file(Self.one(name: "a..b/c", shape: "[]"))
    #expect(try SafetensorsFile(scalar, path: "x").tensors["a..b/c"]?.shape == [])
    let meta = Self.file(#"{"__metadata__":{"a":"line\nline \u0000"}}"#, bytes: 0)
    #expect(try SafetensorsFile(meta, path: "x").metadata == ["a": "line\nline \0"])
  }

  /// What is claimed is more than any machine's address space, or than this machine's memory.
  @Test func nothingIsAllocatedForAFileThatIsTooShort() throws {
    for count in [1 << 30, 1 << 40, 1 << 60] {
      let header = Self.one(shape: "[\(count)]", offsets: "[0,\(4 * count)]")
      let before = residentBytes()
      #expect(throws: StateError.self) { _ = try SafetensorsFile(Self.file(header), path: "x") }
      #expect(residentBytes() - before < 100 << 20)
    }
  }

  /// A file at `path` that begins with `start` and has holes up to `size`; nil where the file system has
  /// none that large.
  private func sparse(_ start: Data, size: Int, path: String) throws -> String? {
    try start.write(to: URL(fileURLWithPath: path))
    let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    defer { try? file.close() }
    return (try? file.truncate(atOffset: UInt64(size))).map { path }
  }

  @Test func aFileLargerThanTheMemoryIsRefusedBeforeItIsRead() throws {
    try withTemporaryFolder { folder in
      let elements = 1 << 41
      let start = Self.file(
        Self.one(shape: "[\(elements)]", offsets: "[0,\(4 * elements)]"), bytes: 0)
      let size = start.count + 4 * elements
      guard let path = try sparse(start, size: size, path: folder + "/x") else { return }
      let error = #expect(throws: StateError.self) { _ = try SafetensorsFile(path: path) }
      #expect(error?.description.contains("this machine's memory") ?? false, "\(error as Any)")
    }
  }

  @Test func aHeaderOverTheLimitIsRefusedBeforeItIsRead() throws {
    try withTemporaryFolder { folder in
      let start = Self.file("{}", bytes: 0, length: 100_000_001)
      guard let path = try sparse(start, size: 100_000_009, path: folder + "/x") else { return }
      let error = #expect(throws: StateError.self) { _ = try SafetensorsFile(path: path) }
      #expect(error?.description.contains("no more than 100000000") ?? false, "\(error as Any)")
    }
  }

  @Test func whatIsNoFileIsRefused() throws {
    try withTemporaryFolder { folder in
      for (path, words) in [
        (folder, "is a folder, a pipe"), ("/dev/zero", "is a folder, a pipe or a device"),
        (folder + "/none", "no such file"),
      ] {
        let error = #expect(throws: StateError.self) { _ = try SafetensorsFile(path: path) }
        #expect(error?.description.contains(words) ?? false, "\(error as Any)")
      }
    }
  }

  /// The memory of this process that is in use, in bytes.
  private func residentBytes() -> Int {
    let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
    let fields = text.split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4096 : 0
  }
}
