import Foundation
import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepDatasets
import LockstepFiles
import LockstepRecording
import LockstepTensorBoard
public import LockstepTraining

/// A run's checkpoints: when they are begun, which are the best, and how their writing ends.
extension RunFiles {
  /// How long rank 0 waits for a write before it meets the others again, in seconds: less than half of the
  /// shortest limit of the watchdog.
  private static let beat = 0.25

  /// Waits on all ranks until nothing is being written.
  ///
  /// They meet again and again, so that a long write is not taken for a rank that does not come.
  ///
  /// Collective.
  ///
  /// - Returns: why the last checkpoint could not be written, if so; the same on all ranks.
  func awaitWriter() throws -> String? {
    var isBusy: [Int64]
    repeat {
      isBusy = [writer?.isBusy(after: Self.beat) == true ? 1 : 0]
      try context.control.broadcast(&isBusy, from: 0)
    } while isBusy[0] == 1
    return try noticeWrite()
  }

  /// Takes notice of how the last checkpoint's writing ended, where it has.
  ///
  /// Collective.
  ///
  /// - Returns: why it could not be written, if so and if it was not said before; the same on all ranks.
  func noticeWrite() throws -> String? {
    let isOver = writer?.isBusy() == false
    let problem = isOver ? writer?.wait() : nil
    let notice = try context.control.broadcast(
      isOver ? "ended\(problem ?? "")" : "", from: 0)
    guard !notice.isEmpty else { return nil }
    let text = String(notice.dropFirst("ended".count))
    guard text.isEmpty else {
      best = written
      return text
    }
    written = best
    return nil
  }

  /// Waits for the checkpoint that is being written, where all ranks end with an error.
  ///
  /// Collective.
  public func abandon() throws {
    if let problem = try awaitWriter() { warn(problem) }
    marker?.finish(removing: false)
    directory?.release()
  }

  /// The best evaluations with one after `step` steps taken among them if it is.
  func taking(_ evaluation: Evaluation?, step: Int) -> [(step: Int, loss: Double)] {
    guard let evaluation else { return best }
    let all = (best + [(step, evaluation.loss)]).sorted { ($0.loss, $0.step) < ($1.loss, $1.step) }
    return Array(all.prefix(settings.keepBest))
  }

  /// What may be done about a failure in a step, on rank 0, if there is an earlier checkpoint.
  ///
  /// Nothing is being written any more.
  public func wayBack(from failure: TrainingFailure) -> String? {
    guard let directory else { return nil }
    let steps = directory.checkpoints.steps.filter { $0 < failure.step ?? .max }
    guard let newest = steps.first else { return nil }
    let bestStep = best.map(\.step).first(where: steps.contains)
    let list = steps.map { "\($0)\($0 == bestStep ? " (the best evaluation)" : "")" }
    return
      "go on with it from an earlier step with --run-dir \(LaunchRecord.quoted(path)) --resume --from "
      + "\(bestStep ?? newest); there \(steps.count == 1 ? "is a checkpoint" : "are checkpoints") of "
      + "\(list.joined(separator: ", "))"
  }

  /// Begins to write a checkpoint of `run` as it is, after the one before has been written, if it `isDue` or the
  /// `evaluation` of this step is among the best that are kept.
  ///
  /// Where the one before could not be written, this is said and the run goes on: older ones are still there.
  ///
  /// Collective.
  ///
  /// - Throws: ``TrainingFailure`` on all ranks if the network has values that are not finite.
  public func checkpoint(_ run: TrainingRun, isDue: Bool = true, evaluation: Evaluation? = nil)
    throws
  {
    func warnOfFailure(_ problem: String?) {
      if let problem { warn("the run goes on without a checkpoint: \(problem)") }
    }
    // One that failed is not among the best any more.
    if evaluation != nil { warnOfFailure(try noticeWrite()) }
    let isBest = taking(evaluation, step: run.stepsTaken).contains { $0.step == run.stepsTaken }
    guard isDue || isBest else { return }
    let start = monotonicNanoseconds()
    warnOfFailure(try awaitWriter())
    let checkpoint = try run.checkpoint()
    best = taking(evaluation, step: run.stepsTaken)
    if let checkpoint, let directory {
      writer?.begin(
        checkpoint, best: Set(best.map(\.step)), metrics: directory.metricsDescriptor)
    }
    lastCheckpoint = monotonicNanoseconds()
    blocked += lastCheckpoint - start
  }

  /// Waits until the last checkpoint is written.
  ///
  /// Collective.
  ///
  /// - Throws: ``TrainingFailure`` on all ranks if it, or the metrics before it, could not be.
  package func settle() throws {
    let start = monotonicNanoseconds()
    let unwritten = try awaitWriter()
    blocked += monotonicNanoseconds() - start
    if let unwritten {
      throw TrainingFailure(
        description: "the last checkpoint: \(unwritten); \(remedy)")
    }
    let problem = try context.control.broadcast(problem ?? "", from: 0)
    guard problem.isEmpty else { throw TrainingFailure(description: "\(problem); \(remedy)") }
  }
}
