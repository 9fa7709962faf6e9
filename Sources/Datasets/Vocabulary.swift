/// Which characters a text's tokens stand for, in the order of the tokens' numbers.
public struct Vocabulary: Hashable, Sendable, Codable {
  /// The character of each token.
  public let characters: [String]

  /// The characters of a text, sorted by code point.
  public init(of text: String) {
    characters = Set(text.unicodeScalars).sorted { $0.value < $1.value }.map(String.init)
  }

  /// The vocabulary of given characters.
  public init(characters: [String]) { self.characters = characters }

  /// The vocabulary of all 256 bytes.
  public static let bytes = Vocabulary(characters: (0..<256).map { "byte \($0)" })

  /// The tokens of a text, or its first character that has no token.
  public func encode(_ text: String) -> Result<[UInt16], UnknownCharacter> {
    if self == .bytes { return .success(text.utf8.map(UInt16.init)) }
    // By code point, because Swift's texts take the ångström sign and the letter Å as equal.
    var numbers: [Unicode.Scalar: UInt16] = [:]
    for (number, character) in zip(0...UInt16.max, characters)
    where character.unicodeScalars.count == 1 {
      if let scalar = character.unicodeScalars.first { numbers[scalar] = number }
    }
    var tokens: [UInt16] = []
    for scalar in text.unicodeScalars {
      guard let token = numbers[scalar] else {
        return .failure(UnknownCharacter(character: String(scalar)))
      }
      tokens.append(token)
    }
    return .success(tokens)
  }

  /// The text of tokens, in which bytes that are not UTF-8 are replaced.
  public func decode(_ tokens: [Int]) -> String {
    if self == .bytes { return String(decoding: tokens.map { UInt8($0) }, as: UTF8.self) }
    return tokens.map { characters[$0] }.joined()
  }
}

/// A character that a vocabulary does not have.
public struct UnknownCharacter: Error, Hashable, Sendable {
  /// The character.
  public let character: String

  /// Names the character.
  public init(character: String) { self.character = character }
}
