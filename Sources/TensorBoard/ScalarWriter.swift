public import Foundation
import SwiftProtobuf

#if ISAL
  import CISAL
#endif

/// An event file for TensorBoard, with one or more scalars per step.
///
/// A file is a sequence of records. A record has the length of the data in 8 bytes, the masked CRC32C of
/// the length, the data, and the masked CRC32C of the data. The data are an `Event` of protocol buffers.
/// All numbers are little-endian.
///
/// - Source: TensorFlow, `tensorflow/core/lib/io/record_writer.cc` for the records, `event.proto` and
///   `summary.proto` for the data.
public final class ScalarWriter {
  private let file: FileHandle

  /// Whether this build can write event files: their check sums come from ISA-L, which is optional.
  public static var isAvailable: Bool {
    #if ISAL
      true
    #else
      false
    #endif
  }

  /// Creates an event file in `folder`, which is made if it is not there.
  ///
  /// If a run goes on, this file replaces what earlier files say from the step `first` on. TensorBoard then
  /// shows only the new values of these steps.
  ///
  /// - Throws: the file system's errors.
  public init(folder: String, host: String, replacingFrom first: Int? = nil, time: Date = Date())
    throws
  {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    // TensorBoard looks for such names.
    let name = "\(folder)/events.out.tfevents.\(Int(time.timeIntervalSince1970)).\(host)"
    // A run that was resumed within a second already has a file of that name.
    var path = name
    var number = 0
    while FileManager.default.fileExists(atPath: path) {
      number += 1
      path = "\(name).\(number)"
    }
    try Data().write(to: URL(fileURLWithPath: path))
    file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    var event = Tensorboard_Event()
    event.wallTime = time.timeIntervalSince1970
    event.fileVersion = "brain.Event:2"
    try append(event)
    guard let first else { return }
    var start = Tensorboard_Event()
    start.wallTime = time.timeIntervalSince1970
    start.step = Int64(first)
    start.sessionLog.status = .start
    try append(start)
  }

  /// Adds the values of `scalars`, by tag, for `step`.
  public func append(_ scalars: [(tag: String, value: Double)], step: Int, time: Date = Date())
    throws
  {
    var event = Tensorboard_Event()
    event.wallTime = time.timeIntervalSince1970
    event.step = Int64(step)
    event.summary.value = scalars.map { scalar in
      var value = Tensorboard_Summary.Value()
      value.tag = scalar.tag
      value.simpleValue = Float(scalar.value)
      return value
    }
    try append(event)
  }

  private func append(_ event: Tensorboard_Event) throws {
    let data = [UInt8](try event.serializedData() as Data)
    let length = littleEndian(UInt64(data.count))
    try file.write(
      contentsOf: Data(length + littleEndian(maskedChecksum(length)) + data)
        + Data(littleEndian(maskedChecksum(data))))
  }
}

private func littleEndian(_ word: some FixedWidthInteger) -> [UInt8] {
  stride(from: 0, to: word.bitWidth, by: 8).map { UInt8(truncatingIfNeeded: word >> $0) }
}

/// The masked CRC32C of `bytes`: rotated by 15 bits, plus a constant.
///
/// Data that hold check sums and of which a check sum is taken should hold masked ones, not plain ones.
func maskedChecksum(_ bytes: [UInt8]) -> UInt32 {
  let sum = checksum(bytes)
  return (sum >> 15 | sum << 17) &+ 0xa282_ead8
}

/// The CRC32C (Castagnoli) of `bytes`.
func checksum(_ bytes: [UInt8]) -> UInt32 {
  #if ISAL
    var bytes = bytes
    return ~(unsafe crc32_iscsi(&bytes, CInt(bytes.count), ~0))
  #else
    preconditionFailure("check sums need ISA-L")
  #endif
}
