import LockstepDatasets
import LockstepTensors
import Testing

@Suite struct CIFAR10Tests {
  private static let plane = 32 * 32
  private let folder: Folder

  /// A record whose red, green and blue planes are told apart by their bytes.
  private static func record(_ label: UInt8) -> [UInt8] {
    [label] + (0..<3 * plane).map { UInt8($0 / plane * 80 + $0 % 16) }
  }

  init() throws {
    folder = try Folder()
    for i in 1...5 {
      try folder.write(
        Self.record(UInt8(i)) + Self.record(UInt8(10 - i)), to: "data_batch_\(i).bin")
    }
    try folder.write(Self.record(0), to: "test_batch.bin")
  }

  private func read() throws -> (train: ImageDataset, test: ImageDataset) {
    try ImageDataset.cifar10(in: folder.path)
  }

  @Test func recordsBecomeChannelsLastImages() throws {
    let (train, test) = try read()
    #expect(train.shape == [32, 32, 3] && train.labels == [1, 9, 2, 8, 3, 7, 4, 6, 5, 5])
    #expect(test.labels == [0])
    // Each plane counts 0 to 15 again and again, whatever it is shifted by.
    let deviation = (255 / 12.0).squareRoot()
    let pixels = test.batch([0]).input.elements
    for (i, found) in pixels.enumerated() {
      let expected = (Double(i / 3 % 16) - 7.5) / deviation
      guard abs(Double(found) - expected) > 1e-6 else { continue }
      Issue.record("pixel \(i / 3), channel \(i % 3): \(found), not \(expected)")
      return
    }
  }

  @Test func filesThatAreNotWholeRecordsAreNamed() throws {
    let name = "data_batch_3.bin"
    try folder.write(Self.record(1) + [0], to: name)
    expectError(at: name, saying: ["3074 bytes", "records of 3073"]) { _ = try read() }
    try folder.write([], to: name)
    expectError(at: name, saying: ["0 bytes"]) { _ = try read() }
  }

  @Test func aLabelAboveNineIsNamed() throws {
    try folder.write(Self.record(1) + Self.record(10), to: "test_batch.bin")
    expectError(at: "test_batch.bin", saying: ["record 1 has label 10", "0 to 9"]) {
      _ = try read()
    }
  }

  @Test func aMissingFileIsNamed() throws {
    expectError(at: "nowhere/data_batch_1.bin", saying: ["no such file"]) {
      _ = try ImageDataset.cifar10(in: "\(folder.path)/nowhere")
    }
  }
}
