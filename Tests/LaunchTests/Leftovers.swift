import Foundation
import Spawning

/// Waits up to two minutes until no process has `LOCKSTEP_MARK=mark` in its environment and `others`
/// finds nothing, and returns what is still there.
func whatIsLeft(mark: String, others: () throws -> [String] = { [] }) throws -> [String] {
  let deadline = ContinuousClock.now + .seconds(120)
  while true {
    let left = try others() + processes(withMark: mark).map(String.init)
    if left.isEmpty || ContinuousClock.now > deadline { return left }
    Thread.sleep(forTimeInterval: 0.1)
  }
}

/// Whether this machine has every one of `programs`, and lets namespaces be made.
func canMakeNamespaces(programs: [String]) -> Bool {
  let path = (ProcessInfo.processInfo.environment["PATH"] ?? "") + ":/usr/sbin:/sbin"
  let here = programs.allSatisfy {
    (try? spawn(["which", $0], environment: ["PATH": path]))?.status == 0
  }
  let unshare = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "true"]
  return here && (try? spawn(unshare))?.status == 0
}
