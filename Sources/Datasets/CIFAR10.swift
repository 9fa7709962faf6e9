import LockstepTensors

/// Files in the binary format of CIFAR-10, whose records are a label and 3·32·32 bytes, plane by plane.
///
/// Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
extension ImageDataset {
  /// CIFAR-10: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin` in a folder.
  public static func cifar10(in folder: String) throws(DatasetError) -> (
    train: ImageDataset, test: ImageDataset
  ) {
    var records = CIFARRecords()
    for i in 1...5 { try records.read("\(folder)/data_batch_\(i).bin") }
    let train = records.dataset(normalizedAs: nil)
    var testRecords = CIFARRecords()
    try testRecords.read("\(folder)/test_batch.bin")
    return (train, testRecords.dataset(normalizedAs: train))
  }
}

struct CIFARRecords {
  private static let area = 32 * 32
  private var labels: [UInt8] = []
  private var bytes: [UInt8] = []

  mutating func read(_ path: String) throws(DatasetError) { try read(fileContents(path), path) }

  mutating func read(_ file: [UInt8], _ path: String) throws(DatasetError) {
    let length = 1 + 3 * Self.area
    guard !file.isEmpty, file.count % length == 0 else {
      throw DatasetError(path, "\(file.count) bytes are not whole records of \(length) bytes")
    }
    for start in stride(from: 0, to: file.count, by: length) {
      guard file[start] <= 9 else {
        throw DatasetError(
          path, "record \(start / length) has label \(file[start]), expected 0 to 9")
      }
      labels.append(file[start])
      for pixel in 0..<Self.area {
        for plane in 0..<3 { bytes.append(file[start + 1 + plane * Self.area + pixel]) }
      }
    }
  }

  func dataset(normalizedAs reference: ImageDataset?) -> ImageDataset {
    ImageDataset(
      shape: [32, 32, 3], classes: 10, labels: labels, bytes: bytes, normalizedAs: reference)
  }
}
