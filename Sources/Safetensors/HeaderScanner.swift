import Foundation
import LockstepFiles

/// Reads the JSON of a safetensors header, whose structure is fixed, from its first byte to its last.
///
/// Foundation's decoder silently takes the last of two equal keys. This scanner refuses equal keys,
/// numbers that are not whole, and anything nested deeper than its caller asks for. So it never recurses.
struct HeaderScanner {
  private let bytes: [UInt8]
  private let path: String
  private var place = 0

  /// Begins at the first of `bytes`; `path` is for messages.
  init(_ bytes: [UInt8], path: String) { (self.bytes, self.path) = (bytes, path) }

  /// An error that says what is wrong with the file.
  static func wrong(_ path: String, _ problem: String) -> StateError {
    StateError(description: "\(path): not a safetensors file: \(problem)")
  }

  /// A text from a file as a message shows it: in quotation marks, on one line, and not too long.
  static func shown(_ text: String) -> String {
    let start = String(text.unicodeScalars.prefix(80))
    return start.debugDescription + (start.utf8.count < text.utf8.count ? "…" : "")
  }

  private func expected(_ what: String) -> StateError {
    Self.wrong(path, "expected \(what) at byte \(place) of the header")
  }

  private mutating func skipSpace() {
    while place < bytes.count, [0x20, 0x09, 0x0a, 0x0d].contains(bytes[place]) { place += 1 }
  }

  /// Skips `character` if it comes next, and returns whether it did.
  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard place < bytes.count, bytes[place] == UInt8(ascii: character) else { return false }
    place += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws(StateError) {
    guard take(character) else { throw expected("\"\(character)\"") }
  }

  /// Reads an object; `member` gets each key, and reads its value.
  mutating func object(
    _ member: (inout Self, String) throws(StateError) -> Void
  ) throws(StateError) {
    try expect("{")
    if take("}") { return }
    var keys: Set<String> = []
    repeat {
      let key = try text()
      // Texts that look the same are equal here, as they are as keys of a dictionary.
      guard keys.insert(key).inserted else {
        throw Self.wrong(path, "the key \(Self.shown(key)) appears twice")
      }
      try expect(":")
      try member(&self, key)
    } while take(",")
    try expect("}")
  }

  /// Reads a text.
  mutating func text() throws(StateError) -> String {
    try expect("\"")
    let start = place
    var isEscaped = false
    while place < bytes.count, bytes[place] != UInt8(ascii: "\"") {
      guard bytes[place] >= 0x20 else { throw expected("no control character") }
      if bytes[place] == UInt8(ascii: "\\") {
        isEscaped = true
        place += 1
      }
      place += 1
    }
    guard place < bytes.count else { throw Self.wrong(path, "the header ends within a text") }
    place += 1
    let text =
      isEscaped
      ? try? JSONDecoder().decode(String.self, from: Data(bytes[start - 1..<place]))
      : String(validating: bytes[start..<place - 1], as: UTF8.self)
    guard let text else {
      place = start
      throw expected("a text in UTF-8")
    }
    return text
  }

  /// Reads a list of at most `most` whole numbers.
  mutating func wholeNumbers(most: Int) throws(StateError) -> [Int] {
    try expect("[")
    if take("]") { return [] }
    var numbers: [Int] = []
    repeat {
      guard numbers.count < most else { throw expected("no more than \(most) numbers") }
      numbers.append(try wholeNumber())
    } while take(",")
    try expect("]")
    return numbers
  }

  private mutating func wholeNumber() throws(StateError) -> Int {
    skipSpace()
    let digits = bytes[place...].prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    let isWhole =
      digits.count == 1 || digits.first.map { $0 != UInt8(ascii: "0") } ?? false
    // The caller refuses a fraction or an exponent, because it expects "," or "]" next.
    guard isWhole, digits.count < 20, let number = Int(String(decoding: digits, as: UTF8.self))
    else { throw expected("a whole number from 0 to \(Int.max)") }
    place = digits.endIndex
    return number
  }

  /// Throws unless only space is left.
  mutating func expectEnd() throws(StateError) {
    skipSpace()
    guard place == bytes.count else { throw expected("the end") }
  }
}
