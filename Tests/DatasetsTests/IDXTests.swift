import LockstepDatasets
import LockstepTensors
import Testing

@Suite struct IDXTests {
  private static let imagesFile = "train-images-idx3-ubyte"
  private static let labelsFile = "train-labels-idx1-ubyte"
  /// Three images of 2×3 pixels.
  private static let images: [UInt8] = header([3, 2, 3]) + (0..<18).map { $0 * 10 }
  private static let labels: [UInt8] = header([3]) + [7, 0, 9]

  private static func header(_ extents: [UInt32]) -> [UInt8] {
    [0, 0, 8, UInt8(extents.count)]
      + extents.flatMap { e in
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: e >> UInt32($0)) }
      }
  }

  private let folder: Folder

  init() throws {
    folder = try Folder()
    try folder.write(Self.images, to: Self.imagesFile)
    try folder.write(Self.labels, to: Self.labelsFile)
  }

  private func read() throws -> ImageDataset {
    try ImageDataset.mnist(in: folder.path, files: "train")
  }

  private func expectWhole(_ data: ImageDataset) {
    #expect(data.shape == [2, 3, 1] && data.count == 3 && data.labels == [7, 0, 9])
    let (pixels, labels) = data.batch([1, 0]).parts
    #expect(labels.copy(0..<2) == [0, 7])
    // Mean 85; the variance of 0, 10 … 170 is 10² · (18² − 1) / 12.
    let deviation = (100 * 323 / 12.0).squareRoot()
    let expected = (6...11).map { (Double($0) * 10 - 85) / deviation }
    for (found, value) in zip(pixels.elements[..<6], expected) {
      #expect(abs(Double(found) - value) < 1e-6, "\(found), not \(value)")
    }
  }

  @Test func plainFilesAreRead() throws { expectWhole(try read()) }

  @Test func gzipFilesAreRead() throws {
    try folder.compress(Self.imagesFile)
    try folder.compress(Self.labelsFile)
    expectWhole(try read())
  }

  @Test func gzipFilesOfSeveralMembersAreRead() throws {
    try folder.write(Array(Self.images[..<20]), to: "a")
    try folder.write(Array(Self.images[20...]), to: "b")
    try folder.compress("a")
    try folder.compress("b")
    try folder.write(try folder.bytes("a.gz") + folder.bytes("b.gz"), to: Self.imagesFile)
    expectWhole(try read())
  }

  /// As gunzip reads them: zeros after the end, and between members.
  @Test func zerosAroundGzipMembersAreSkipped() throws {
    try folder.write(Array(Self.images[..<20]), to: "a")
    try folder.write(Array(Self.images[20...]), to: "b")
    try folder.compress("a")
    try folder.compress("b")
    let zeros = [UInt8](repeating: 0, count: 700)
    try folder.write(
      try folder.bytes("a.gz") + zeros + folder.bytes("b.gz") + zeros, to: Self.imagesFile)
    expectWhole(try read())
    try folder.write(try folder.bytes("a.gz") + zeros + [1], to: Self.imagesFile)
    #expect(throws: DatasetError.self) { try read() }
  }

  @Test func anotherSetIsNormalizedAsItsReference() throws {
    let reference = try read()
    try folder.write(
      Self.header([1, 2, 3]) + [0, 10, 20, 30, 40, 50], to: "t10k-images-idx3-ubyte")
    try folder.write(Self.header([1]) + [1], to: "t10k-labels-idx1-ubyte")
    let test = try ImageDataset.mnist(in: folder.path, files: "t10k", normalizedAs: reference)
    #expect(test.batch([0]).input.elements == reference.batch([0]).input.elements)
  }

  /// What can be wrong with a file, and what the error has to say.
  private struct Damage: CustomTestStringConvertible {
    let testDescription: String
    let file: String
    let bytes: [UInt8]
    let words: [String]

    init(_ what: String, _ file: String, _ bytes: [UInt8], _ words: [String]) {
      (testDescription, self.file, self.bytes, self.words) = (what, file, bytes, words)
    }
  }

  private static let damages = [
    Damage("truncated", imagesFile, images.dropLast(), ["33 bytes", "[3, 2, 3]", "16 + 18"]),
    Damage("bloated", imagesFile, images + [0], ["35 bytes", "16 + 18"]),
    Damage("cut in the header", imagesFile, Array(images[..<9]), ["9 bytes", "header", "16"]),
    Damage("empty", labelsFile, [], ["0 bytes", "header"]),
    Damage("of floats", imagesFile, [0, 0, 13, 3] + images[4...], ["0 0 d 3", "0 0 8 3"]),
    Damage("of other axes", labelsFile, images, ["0 0 8 3", "0 0 8 1"]),
    Damage(
      "of extents whose product overflows", imagesFile,
      header([.max, .max, .max]) + [0], ["overflow"]),
    Damage(
      "of extents beyond the file", imagesFile, header([.max, 2, 3]) + [0],
      ["17 bytes", "4294967295"]),
    Damage("without images", imagesFile, header([3, 0, 3]), ["no image", "[3, 0, 3]"]),
    Damage(
      "of a label too large", labelsFile, header([3]) + [7, 10, 9], ["label 1 is 10", "0 to 9"]),
    Damage("of fewer labels", labelsFile, header([2]) + [7, 0], ["2 labels", "3 images"]),
  ]

  @Test(arguments: damages)
  private func damagedFilesAreNamedWithWhatWasExpected(damage: Damage) throws {
    try folder.write(damage.bytes, to: damage.file)
    expectError(at: damage.file, saying: damage.words) { _ = try read() }
  }

  @Test func damagedGzipFilesAreNamed() throws {
    try folder.compress(Self.imagesFile)
    let file = "\(Self.imagesFile).gz"
    let whole = try folder.bytes(file)
    try folder.write(whole.dropLast(9), to: file)
    expectError(at: file, saying: ["end too early"]) { _ = try read() }
    try folder.write(whole + [1, 2, 3], to: file)
    expectError(at: file, saying: ["3 bytes follow"]) { _ = try read() }
    var flipped = whole
    flipped[whole.count - 6] ^= 0xff
    try folder.write(flipped, to: file)
    expectError(at: file, saying: ["damaged"]) { _ = try read() }
  }

  @Test func aMissingFileIsNamedWithItsOtherForm() throws {
    expectError(at: "none-images-idx3-ubyte", saying: ["no such file", ".gz"]) {
      _ = try ImageDataset.mnist(in: folder.path, files: "none")
    }
  }
}
