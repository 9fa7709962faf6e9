import Foundation
import Spawning
import Testing

/// How the tests run other programs.
struct SpawnTests {
  @Test func whatDoesNotEndIsKilledAndShownWithAllThatRuns() throws {
    // So many seconds that no other process sleeps as long.
    let mark = "100\(ProcessInfo.processInfo.processIdentifier)"
    let finished = try spawn(
      ["setsid", "-w", "sh", "-c", "echo begun >&2; sleep $1 & wait", "sh", mark], seconds: 5,
      isExpectedToHang: true)
    #expect(finished.status == nil)
    #expect(finished.errors.hasPrefix("begun\n"))
    if try spawn(["which", "ps"]).status == 0 {
      #expect(finished.errors.contains("sleep \(mark)"), "\(finished.errors)")
    }
    #expect(try spawn(["pgrep", "-f", "^sleep \(mark)"]).output.isEmpty)
  }
}
