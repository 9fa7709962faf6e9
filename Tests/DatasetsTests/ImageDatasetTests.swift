import Foundation
import LockstepDatasets
import LockstepTensors
import Testing

@Suite struct ImageDatasetTests {
  @Test func digitsTestOnEveryFifthRow() throws {
    let (train, test) = try ImageDataset.digits()
    #expect(train.count == 1438 && test.count == 359, "1,797 in all")
    #expect(train.shape == [8, 8, 1] && train.classes == 10)
    // The set begins 0 1 2 3 4 | 5 6 7 8 9 | 0 …: the fifth of each five is for testing.
    #expect(train.labels[..<9] == [0, 1, 2, 3, 5, 6, 7, 8, 0] && test.labels[..<2] == [4, 9])
    #expect(Set(train.labels) == Set(0...9) && Set(test.labels) == Set(0...9))
  }

  @Test func trainingDataHaveMeanZeroAndVarianceOne() throws {
    let train = try ImageDataset.digits().train
    let pixels = train.batch(0..<train.count).input.elements.map(Double.init)
    let mean = pixels.reduce(0, +) / Double(pixels.count)
    let variance = pixels.reduce(0) { $0 + $1 * $1 } / Double(pixels.count)
    #expect(abs(mean) < 1e-6 && abs(variance - 1) < 1e-6, "mean \(mean), variance \(variance)")
  }

  /// MNIST beside the repository, as on the machines that develop it.
  private static let mnist = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().appendingPathComponent("../../../shared/data/mnist")
    .standardizedFileURL.path
  private static var hasMNIST: Bool {
    FileManager.default.fileExists(atPath: "\(mnist)/t10k-images-idx3-ubyte.gz")
  }

  @Test(.enabled(if: hasMNIST, "MNIST is not beside the repository"))
  func mnistIsReadAsItWasPublished() throws {
    let test = try ImageDataset.mnist(in: Self.mnist, files: "t10k")
    #expect(test.count == 10_000 && test.shape == [28, 28, 1])
    #expect(test.labels[..<10] == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])
    let counts = (0..<10).map { label in test.labels.count { $0 == label } }
    #expect(counts == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
  }

  /// One image of 2×3 pixels, and its floats.
  private static let image = ImageDataset(
    shape: [2, 3, 1], classes: 2, labels: [1], bytes: [0, 1, 2, 3, 4, 5])
  private static let pixels = image.batch([0]).input.elements

  @Test(arguments: [
    (0, 0, false, [0, 1, 2, 3, 4, 5]), (0, 0, true, [2, 1, 0, 5, 4, 3]),
    (1, 0, false, [3, 4, 5, nil, nil, nil]), (-1, 0, false, [nil, nil, nil, 0, 1, 2]),
    (0, 2, false, [2, nil, nil, 5, nil, nil]), (0, -1, true, [1, 0, nil, 4, 3, nil]),
  ])
  func aCropMovesPixelsAndFillsWithTheMean(
    vertical: Int, horizontal: Int, flipped: Bool, sources: [Int?]
  ) {
    var crop = Crop()
    (crop.vertical, crop.horizontal, crop.flipped) = (vertical, horizontal, flipped)
    let found = Self.image.batch([0]) { _ in crop }.input.elements
    #expect(found == sources.map { $0.map { Self.pixels[$0] } ?? 0 })
  }

  @Test func augmentationFollowsTheSlotAndNotTheRank() {
    let augmentation = Augmentation(crop: 2, flip: true)
    let crops = (0..<64).map { augmentation.draw(seed: 1, step: 5, slot: $0) }
    #expect(crops == (0..<64).map { augmentation.draw(seed: 1, step: 5, slot: $0) })
    #expect(Set(crops).count > 20, "slots are augmented each in their own way")
    #expect(Set(crops.map(\.vertical)) == Set(-2...2))
    #expect(Set(crops.map(\.horizontal)) == Set(-2...2))
    #expect(Set(crops.map(\.flipped)) == [false, true])
    #expect(crops != (0..<64).map { augmentation.draw(seed: 1, step: 6, slot: $0) }, "by step")
    #expect(crops != (0..<64).map { augmentation.draw(seed: 2, step: 5, slot: $0) }, "by seed")
    #expect(Augmentation().draw(seed: 1, step: 5, slot: 3) == .none)
  }

  @Test func syntheticImagesAreTheSameEveryTime() {
    let make = { ImageDataset.synthetic(shape: [3, 3, 3], classes: 4, count: 50, seed: $0) }
    let (a, b, c) = (make(1), make(1), make(2))
    let pixels = a.batch(0..<50).input.elements
    #expect(a.labels == b.labels && pixels == b.batch(0..<50).input.elements)
    #expect(pixels != c.batch(0..<50).input.elements)
    #expect(Set(a.labels) == Set(0..<4))
  }

  @Test func anEmptyBatchHasAShape() {
    let (images, labels) = Self.image.batch([]).parts
    #expect(images.shape == [0, 2, 3, 1] && labels.count == 0)
  }
}
