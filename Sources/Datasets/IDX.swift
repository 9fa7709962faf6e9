import LockstepTensors

/// Files in the IDX format of the MNIST database.
///
/// A file has a magic number with the type and the number of axes, then the extents, then the bytes.
/// All numbers are big-endian.
///
/// Source: LeCun, Cortes & Burges, "The MNIST database of handwritten digits".
extension ImageDataset {
  /// MNIST, or a data set in its format: `FILES-images-idx3-ubyte` and
  /// `FILES-labels-idx1-ubyte` in a folder, each plain or with `.gz`.
  ///
  /// The prefix `files` is `train` or `t10k`; floats are normalized as those of `reference`.
  public static func mnist(
    in folder: String, files: String, normalizedAs reference: ImageDataset? = nil
  ) throws(DatasetError) -> ImageDataset {
    let imagesPath = try existing("\(folder)/\(files)-images-idx3-ubyte")
    let labelsPath = try existing("\(folder)/\(files)-labels-idx1-ubyte")
    let images = try idx(fileContents(imagesPath), path: imagesPath, axes: 3)
    let labels = try idx(fileContents(labelsPath), path: labelsPath, axes: 1)
    guard images.extents[0] == labels.extents[0] else {
      throw DatasetError(
        labelsPath,
        "\(labels.extents[0]) labels, but \(imagesPath) has \(images.extents[0]) images")
    }
    guard images.extents[1] > 0, images.extents[2] > 0, images.extents[0] > 0 else {
      throw DatasetError(imagesPath, "extents \(images.extents): there is no image")
    }
    if let wrong = labels.bytes.firstIndex(where: { $0 > 9 }) {
      throw DatasetError(
        labelsPath,
        "label \(wrong - labels.bytes.startIndex) is \(labels.bytes[wrong]), expected 0 to 9")
    }
    return ImageDataset(
      shape: [images.extents[1], images.extents[2], 1], classes: 10,
      labels: Array(labels.bytes), bytes: Array(images.bytes), normalizedAs: reference)
  }

  /// The path, or the path with `.gz`, whichever is there.
  private static func existing(_ path: String) throws(DatasetError) -> String {
    if fileExists(path) { return path }
    if fileExists(path + ".gz") { return path + ".gz" }
    throw DatasetError(path, "no such file, and none with .gz")
  }

  /// Reads an IDX file of bytes with `axes` axes.
  static func idx(_ file: [UInt8], path: String, axes: Int) throws(DatasetError)
    -> (extents: [Int], bytes: ArraySlice<UInt8>)
  {
    let header = 4 + 4 * axes
    guard file.count >= header else {
      throw DatasetError(path, "\(file.count) bytes, but the header alone has \(header)")
    }
    guard file[..<4].elementsEqual([0, 0, 8, UInt8(axes)]) else {
      let found = file[..<4].map { String($0, radix: 16) }.joined(separator: " ")
      throw DatasetError(
        path, "begins with \(found), expected 0 0 8 \(axes): bytes with \(axes) axes")
    }
    let extents = (0..<axes).map { axis in
      file[4 + 4 * axis..<8 + 4 * axis].reduce(0) { $0 << 8 | Int($1) }
    }
    var expected = header
    var count = 1
    for extent in extents {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard !overflow else { throw DatasetError(path, "extents \(extents) overflow") }
      count = product
    }
    let (total, overflow) = expected.addingReportingOverflow(count)
    expected = total
    guard !overflow, file.count == expected else {
      throw DatasetError(
        path, "\(file.count) bytes, but extents \(extents) need \(header) + \(count)")
    }
    return (extents, file[header...])
  }
}
