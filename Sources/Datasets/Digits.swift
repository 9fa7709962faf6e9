import LockstepTensors

extension ImageDataset {
  /// The embedded data set: 1,797 handwritten digits of 8×8 pixels.
  ///
  /// Every fifth row is for testing.
  public static func digits() throws(DatasetError) -> (train: ImageDataset, test: ImageDataset) {
    let name = "digits.csv.gz"
    let csv = try inflated(PackageResources.digits_csv_gz, name)
    return try digits(csv: csv, path: name).holdingOut(every: 5)
  }

  /// Reads rows of 64 integers from 0 to 16 and a label from 0 to 9.
  static func digits(csv: [UInt8], path: String) throws(DatasetError) -> ImageDataset {
    var bytes: [UInt8] = []
    var labels: [UInt8] = []
    for (number, line) in csv.split(separator: UInt8(ascii: "\n")).enumerated() {
      let values = line.split(separator: UInt8(ascii: ",")).map {
        UInt8(String(decoding: $0, as: UTF8.self)) ?? .max
      }
      guard values.count == 65, values[..<64].allSatisfy({ $0 <= 16 }), values[64] <= 9 else {
        throw DatasetError(
          path, "line \(number + 1): expected 64 integers from 0 to 16 and a label from 0 to 9")
      }
      bytes += values[..<64]
      labels.append(values[64])
    }
    return ImageDataset(shape: [8, 8, 1], classes: 10, labels: labels, bytes: bytes)
  }
}
