/// What a field of a manifest may hold.
indirect enum ManifestField: Sendable {
  case string, integer, boolean
  /// An amount such as 1, 100m or 1Gi.
  case quantity
  /// One of these words.
  case word([String])
  /// A number, or a name that stands for one.
  case port
  case list(ManifestField)
  /// Any keys, the same for all.
  case dictionary(ManifestField)
  /// These keys and no others, of which `required` must be there.
  case object([String: ManifestField], required: [String] = [])
}

/// The fields of an MPIJob v2beta1 and its pods.
///
/// They are as the MPI Operator's custom resource definition (manifests/base/kubeflow.org_mpijobs.yaml
/// of kubeflow/mpi-operator, at b302019) and Kubernetes' API reference (core v1) publish them: of the
/// operator all, of pods those that a trainer may need. A name that is not here is a misspelt one, or
/// has to be looked up first.
enum KubernetesFields {
  static let mpiJob: ManifestField = .object(
    [
      "apiVersion": .word(["kubeflow.org/v2beta1"]), "kind": .word(["MPIJob"]),
      "metadata": metadata, "spec": mpiJobSpec,
    ], required: ["apiVersion", "kind", "metadata", "spec"])

  private static let metadata: ManifestField = .object([
    "name": .string, "namespace": .string, "labels": .dictionary(.string),
    "annotations": .dictionary(.string),
  ])

  private static let mpiJobSpec: ManifestField = .object(
    [
      "slotsPerWorker": .integer, "sshAuthMountPath": .string,
      "mpiImplementation": .word(["OpenMPI", "Intel"]), "runPolicy": runPolicy,
      // The definition takes any name; the operator knows these two.
      "mpiReplicaSpecs": .object(
        ["Launcher": replicas, "Worker": replicas], required: ["Launcher", "Worker"]),
    ], required: ["mpiReplicaSpecs"])

  private static let runPolicy: ManifestField = .object([
    "cleanPodPolicy": .word(["All", "Running", "None"]), "ttlSecondsAfterFinished": .integer,
    "activeDeadlineSeconds": .integer, "backoffLimit": .integer, "suspend": .boolean,
    "schedulingPolicy": .object([
      "minAvailable": .integer, "queue": .string, "minResources": .dictionary(.quantity),
      "priorityClass": .string, "scheduleTimeoutSeconds": .integer,
    ]),
  ])

  private static let replicas: ManifestField = .object([
    "replicas": .integer, "restartPolicy": .word(["Always", "OnFailure", "Never", "ExitCode"]),
    "template": .object(["metadata": metadata, "spec": podSpec]),
  ])

  private static let podSpec: ManifestField = .object(
    [
      "containers": .list(container), "initContainers": .list(container),
      "volumes": .list(volume), "terminationGracePeriodSeconds": .integer,
      "serviceAccountName": .string, "nodeSelector": .dictionary(.string),
      "priorityClassName": .string,
      "securityContext": .object([
        "runAsNonRoot": .boolean, "runAsUser": .integer, "runAsGroup": .integer,
        "fsGroup": .integer,
        "seccompProfile": .object(
          [
            "type": .word(["RuntimeDefault", "Unconfined", "Localhost"]),
            "localhostProfile": .string,
          ], required: ["type"]),
      ]),
    ], required: ["containers"])

  private static let container: ManifestField = .object(
    [
      "name": .string, "image": .string,
      "imagePullPolicy": .word(["Always", "IfNotPresent", "Never"]), "command": .list(.string),
      "args": .list(.string), "workingDir": .string,
      "env": .list(.object(["name": .string, "value": .string], required: ["name"])),
      "ports": .list(
        .object(
          ["name": .string, "containerPort": .integer, "protocol": .word(["TCP", "UDP", "SCTP"])],
          required: ["containerPort"])),
      "resources": .object([
        "requests": .dictionary(.quantity), "limits": .dictionary(.quantity),
      ]),
      "volumeMounts": .list(
        .object(
          ["name": .string, "mountPath": .string, "subPath": .string, "readOnly": .boolean],
          required: ["name", "mountPath"])),
      "lifecycle": .object(["preStop": handler, "postStart": handler]),
      "readinessProbe": .object([
        "exec": command, "tcpSocket": tcpSocket, "initialDelaySeconds": .integer,
        "periodSeconds": .integer, "failureThreshold": .integer,
      ]),
      "securityContext": .object([
        "allowPrivilegeEscalation": .boolean, "readOnlyRootFilesystem": .boolean,
        "runAsNonRoot": .boolean, "runAsUser": .integer, "runAsGroup": .integer,
        "capabilities": .object(["add": .list(.string), "drop": .list(.string)]),
      ]),
    ], required: ["name"])

  private static let command: ManifestField = .object(["command": .list(.string)])
  private static let tcpSocket: ManifestField = .object(
    ["port": .port, "host": .string], required: ["port"])
  private static let handler: ManifestField = .object(["exec": command])

  private static let volume: ManifestField = .object(
    [
      "name": .string,
      "emptyDir": .object(["medium": .string, "sizeLimit": .quantity]),
      "persistentVolumeClaim": .object(
        ["claimName": .string, "readOnly": .boolean], required: ["claimName"]),
    ], required: ["name"])
}
