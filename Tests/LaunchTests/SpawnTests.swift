import Spawning
import Testing

/// How the tests run other programs.
struct SpawnTests {
  @Test func whatDoesNotEndIsKilledAndShownWithAllThatRuns() throws {
    let finished = try spawn(
      ["sh", "-c", "echo begun >&2; sleep $1 & wait", "sh", "1000"], seconds: 5)
    #expect(finished.status == nil)
    #expect(finished.errors.hasPrefix("begun\n"))
    if try spawn(["which", "ps"]).status == 0 {
      #expect(finished.errors.contains("sleep 1000"), "\(finished.errors)")
    }
  }
}
