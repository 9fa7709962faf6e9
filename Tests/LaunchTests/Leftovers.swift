import Foundation
import Spawning

/// Waits up to two minutes until no process has `LOCKSTEP_MARK=mark` in its environment and `others`
/// finds nothing, and returns what is still there.
func whatIsLeft(mark: String, others: () throws -> [String] = { [] }) throws -> [String] {
  var left: [String] = []
  for _ in 0..<1200 {
    left = try others()
    for process in try FileManager.default.contentsOfDirectory(atPath: "/proc") {
      // Most of them belong to others, and some have just ended.
      guard Int(process) != nil,
        let environment = FileManager.default.contents(atPath: "/proc/\(process)/environ")
      else { continue }
      if String(decoding: environment, as: UTF8.self).contains(mark) { left.append(process) }
    }
    if left.isEmpty { break }
    Thread.sleep(forTimeInterval: 0.1)
  }
  return left
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
