import Foundation
import LockstepCheckpoints
import LockstepCollectives
public import LockstepDataParallel
import LockstepFiles
public import LockstepSafetensors

extension ParityReport {
  /// Replays the cases or the trajectory of every file on all ranks.
  ///
  /// Collective. Every reported error is the largest over all ranks.
  ///
  /// - Throws: ``StateError`` if a file holds neither cases nor a trajectory, or a case's layer is unknown.
  public static func replay(_ files: [SafetensorsFile], context: RankContext) throws -> ParityReport
  {
    var cases: [Case] = []
    for file in files {
      if let json = file.metadata["cases"] {
        for parityCase in try ParityCase.decode(json, path: file.path) {
          let (tolerance, errors) = try parityCase.replay(file, context: context)
          cases.append(
            Case(
              name: parityCase.name, layer: parityCase.layer, tolerance: tolerance,
              errors: try largest(errors, over: context.control)))
        }
      } else if let json = file.metadata["trajectory"] {
        let trajectory = try ParityTrajectory(json, file: file)
        cases.append(
          Case(
            name: URL(fileURLWithPath: file.path).deletingPathExtension().lastPathComponent,
            layer: trajectory.norm, tolerance: 1e-3, tolerances: ["losses": 1e-4],
            errors: try largest(trajectory.replay(context: context), over: context.control)))
      } else {
        throw StateError(
          description:
            "\(file.path): the header's metadata hold neither \"cases\" nor \"trajectory\"")
      }
    }
    return ParityReport(ranks: context.size, cases: cases)
  }

  private static func largest(_ errors: [String: Double], over control: any Communicator) throws
    -> [String: Double]
  {
    let names = errors.keys.sorted()
    let all = try control.allGather(names.map { errors[$0] ?? 0 })
    return Dictionary(
      uniqueKeysWithValues: names.enumerated().map { index, name in
        (name, all.map { $0[index] }.max() ?? 0)
      })
  }
}
