import Foundation
import Spawning
import Testing
import Yams

/// Launch/kubernetes, as far as it can be judged without a cluster.
struct KubernetesTests {
  private func text(_ name: String) throws -> String {
    try String(contentsOfFile: "\(packageRoot)/Launch/kubernetes/\(name)", encoding: .utf8)
  }

  /// What of `value` is not what `field` may hold, each with its place.
  private func problems(_ value: Any, _ field: ManifestField, at place: String = "") -> [String] {
    let wrong = ["\(place): \(value)"]
    switch field {
    case .string: return value is String ? [] : wrong
    case .integer: return value is Int ? [] : wrong
    case .boolean: return value is Bool ? [] : wrong
    case .port: return value is Int || value is String ? [] : wrong
    case .quantity:
      // The pattern of the operator's definition.
      let pattern =
        /(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]+))?/
      return "\(value)".wholeMatch(of: pattern) != nil ? [] : wrong
    case .word(let words): return (value as? String).map(words.contains) == true ? [] : wrong
    case .list(let element):
      guard let values = value as? [Any] else { return wrong }
      return values.enumerated().flatMap { problems($1, element, at: "\(place)[\($0)]") }
    case .dictionary(let element):
      guard let values = value as? [String: Any] else { return wrong }
      return values.flatMap { problems($1, element, at: "\(place).\($0)") }
    case .object(let fields, let required):
      guard let values = value as? [String: Any] else { return wrong }
      let missing = required.filter { values[$0] == nil }.map { "\(place).\($0): missing" }
      return missing
        + values.flatMap { key, value in
          fields[key].map { problems(value, $0, at: "\(place).\(key)") }
            ?? ["\(place).\(key): no such field"]
        }
    }
  }

  private func manifest(_ edit: (String) -> String = { $0 }) throws -> Any {
    try #require(try Yams.load(yaml: edit(try text("mpijob.yaml"))))
  }

  @Test func theManifestHasOnlyFieldsThatAreThereEachOfItsType() throws {
    #expect(problems(try manifest(), KubernetesFields.mpiJob) == [])
  }

  @Test(arguments: [
    ("slotsPerWorker: 1", "slotsPerWorkers: 1", ".spec.slotsPerWorkers: no such field"),
    ("backoffLimit: 10", "backoffLimit: ten", ".spec.runPolicy.backoffLimit: ten"),
    ("cleanPodPolicy: Running", "cleanPodPolicy: Some", ".spec.runPolicy.cleanPodPolicy: Some"),
    ("cpu: 100m", "cpu: some", ".requests.cpu: some"),
    ("claimName: lockstep-runs", "readOnly: true", ".persistentVolumeClaim.claimName: missing"),
  ])
  func aWrongManifestIsFoundOut(right: String, wrong: String, expected: String) throws {
    let found = problems(
      try manifest { $0.replacingOccurrences(of: right, with: wrong) }, KubernetesFields.mpiJob)
    #expect(found.contains { $0.hasSuffix(expected) }, "\(found)")
  }

  /// The value at `path` of the manifest.
  private func value<Value>(_ path: Any...) throws -> Value {
    var value = try manifest()
    for step in path {
      if let key = step as? String {
        value = try #require((value as? [String: Any])?[key])
      } else {
        value = try #require((value as? [Any])?[step as? Int ?? 0])
      }
    }
    return try #require(value as? Value)
  }

  @Test(arguments: ["Launcher", "Worker"]) func podsAreNotRoot(kind: String) throws {
    let pod: [String: Any] = try value(
      "spec", "mpiReplicaSpecs", kind, "template", "spec", "securityContext")
    let container: [String: Any] = try value(
      "spec", "mpiReplicaSpecs", kind, "template", "spec", "containers", 0, "securityContext")
    #expect(pod["runAsNonRoot"] as? Bool == true)
    #expect(container["allowPrivilegeEscalation"] as? Bool == false)
    // The user that the image was made for.
    let user = try #require(pod["runAsUser"] as? Int)
    let image = try text("Dockerfile")
    #expect(image.contains("useradd --create-home --uid \(user) lockstep"))
    #expect(image.contains("\nUSER \(user):\(user)\n"))
  }

  @Test func theManifestFindsWhatTheImageHas() throws {
    let keys: String = try value("spec", "sshAuthMountPath")
    let (server, client, image) = (
      try text("sshd_config"), try text("ssh_config"), try text("Dockerfile")
    )
    for key in ["HostKey \(keys)/id_rsa\n", "AuthorizedKeysFile \(keys)/authorized_keys\n"] {
      #expect(server.contains(key))
    }
    #expect(client.contains("IdentityFile \(keys)/id_rsa\n"))
    let arguments: [String] = try value(
      "spec", "mpiReplicaSpecs", "Worker", "template", "spec", "containers", 0, "args")
    #expect(image.contains("COPY Launch/kubernetes/sshd_config \(try #require(arguments.last))\n"))
    let port: Int = try value(
      "spec", "mpiReplicaSpecs", "Worker", "template", "spec", "containers", 0, "ports", 0,
      "containerPort")
    for file in [server, client] { #expect(file.contains("Port \(port)\n")) }
    // What is copied into the image is here.
    for line in image.split(separator: "\n") where line.hasPrefix("COPY ") {
      let source = String(line.split(separator: " ")[1])
      #expect(source.hasPrefix("--from") || exists("\(packageRoot)/\(source)"), "\(source)")
    }
  }

  @Test func theLauncherTrainsAConfigurationOfTheImageAndGoesOn() throws {
    let arguments: [String] = try value(
      "spec", "mpiReplicaSpecs", "Launcher", "template", "spec", "containers", 0, "args")
    let train = try #require(arguments.firstIndex(of: "train"))
    let folder = "/usr/local/share/lockstep/"
    #expect(arguments[train + 1].hasPrefix(folder))
    #expect(exists("\(packageRoot)/\(arguments[train + 1].dropFirst(folder.count))"))
    #expect(try text("Dockerfile").contains("COPY Configs \(folder)Configs\n"))
    #expect(arguments.contains("--resume"))
    let mounted: String = try value(
      "spec", "mpiReplicaSpecs", "Worker", "template", "spec", "containers", 0, "volumeMounts", 0,
      "mountPath")
    let run = try #require(arguments.firstIndex(of: "--run-dir"))
    #expect(arguments[run + 1].hasPrefix(mounted + "/"))
  }

  @Test func bothSayThatTheyWereNotRun() throws {
    #expect(try text("mpijob.yaml").contains("and not run."))
    #expect(try text("Dockerfile").contains("has not\n# been built or run"))
  }
}
