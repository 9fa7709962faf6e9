import Foundation
import LockstepTensorBoard
import Testing

/// Event files, read back byte by byte.
@Suite(.enabled(if: ScalarWriter.isAvailable, "built without ISA-L")) struct ScalarWriterTests {
  /// CRC32C, a bit at a time.
  private func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var sum = ~UInt32(0)
    for byte in bytes {
      sum ^= UInt32(byte)
      for _ in 0..<8 {
        let carry = sum & 1
        sum >>= 1
        if carry == 1 { sum ^= 0x82f6_3b78 }
      }
    }
    return ~sum
  }

  private func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  @Test func everyRecordHasItsLengthAndItsCheckSums() throws {
    #expect(checksum("123456789".utf8) == 0xe306_9283, "the polynomial's known answer")
    let folder = NSTemporaryDirectory() + "lockstep-" + UUID().uuidString
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let time = Date(timeIntervalSince1970: 1000)
    let writer = try ScalarWriter(folder: folder, host: "node", time: time)
    try writer.append([("loss", 0.5), ("accuracy", 0.25)], step: 7, time: time)
    let path = "\(folder)/events.out.tfevents.1000.node"
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    var records: [[UInt8]] = []
    var place = 0
    func masked(_ bytes: ArraySlice<UInt8>) -> UInt64 {
      let sum = checksum(bytes)
      let turned = (sum >> 15) | (sum << 17)
      return UInt64(turned &+ 0xa282_ead8)
    }
    while place < bytes.count {
      let length = Int(number(bytes[place..<place + 8]))
      let (data, end) = (place + 12, place + 12 + length)
      #expect(number(bytes[place + 8..<data]) == masked(bytes[place..<place + 8]))
      #expect(number(bytes[end..<end + 4]) == masked(bytes[data..<end]))
      records.append(Array(bytes[data..<end]))
      place = end + 4
    }
    // Field 1, wall_time, then field 3, file_version; field 2, step, and field 5, the summary.
    var clock: [UInt8] = [0x09]
    for shift in stride(from: 0, to: 64, by: 8) {
      clock.append(UInt8(truncatingIfNeeded: 1000.0.bitPattern >> shift))
    }
    #expect(records.count == 2)
    let version: [UInt8] = [0x1a, 13] + Array("brain.Event:2".utf8)
    #expect(records[0] == clock + version)
    let loss: [UInt8] = [0x0a, 4] + Array("loss".utf8) + [0x15, 0, 0, 0, 0x3f]
    let accuracy: [UInt8] = [0x0a, 8] + Array("accuracy".utf8) + [0x15, 0, 0, 0x80, 0x3e]
    var values: [UInt8] = [0x0a, UInt8(loss.count)] + loss
    values += [0x0a, UInt8(accuracy.count)] + accuracy
    let step: [UInt8] = [0x10, 7, 0x2a, UInt8(values.count)]
    #expect(records[1] == clock + step + values)
  }

  @Test func aFileThatReplacesStepsSaysFromWhichOneOn() throws {
    let folder = NSTemporaryDirectory() + "lockstep-" + UUID().uuidString
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let time = Date(timeIntervalSince1970: 1000)
    _ = try ScalarWriter(folder: folder, host: "node", time: time)
    let plain = try Data(
      contentsOf: URL(fileURLWithPath: "\(folder)/events.out.tfevents.1000.node"))
    _ = try ScalarWriter(folder: folder, host: "node", replacingFrom: 300, time: time)
    // The newer file comes after the older one by its name.
    let path = "\(folder)/events.out.tfevents.1000.node.1"
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    #expect(bytes.starts(with: plain))
    // Field 2, the step, as a varint; field 7, the session log, whose field 1, the status, is START.
    let start: [UInt8] = [0x10, 0xac, 0x02, 0x3a, 2, 0x08, 1]
    #expect(bytes.dropLast(4).suffix(start.count).elementsEqual(start))
  }
}
