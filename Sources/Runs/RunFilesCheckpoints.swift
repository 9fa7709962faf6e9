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

/// A run's checkpoints: when their writing begins, which are the best, and how their writing ends.
extension RunFiles {
  /// How long rank 0 waits for a write before it meets the others again, in seconds.
  ///
  /// This is less than half of the watchdog's shortest limit, after which the watchdog warns.
  private static let beat = 0.25

  /// Waits on all ranks until nothing is being written.
  ///
  /// They meet again and again, so that the watchdog does not mistake a long write for a missing rank.
  ///
  /// Collective.
  ///
  /// - Returns: Why the last checkpoint could not be written, the same on all ranks; nil if it was written.
  func awaitWriter() throws -> String? {
    var isBusy: [Int64]
    repeat {
      isBusy = [writer?.isBusy(after: Self.beat) == true ? 1 : 0]
      try context.control.broadcast(&isBusy, from: 0)
    } while isBusy[0] == 1
    return try noticeWrite()
  }

  /// Notes how the writing of the last checkpoint ended, if it has ended.
  ///
  /// Collective.
  ///
  /// - Returns: Why it could not be written, the same on all ranks; nil if there is nothing new to report.
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

  /// Writes the events of the last steps and waits for the checkpoint that is being written, before all ranks
  /// end with an error.
  ///
  /// Collective.
  public func abandon() throws {
    if let problem = try awaitWriter() { warn(problem) }
    pause()
    marker?.finish(removing: false)
    directory?.release()
  }

  /// The best evaluations, including the one after `step` steps if it is among them.
  func taking(_ evaluation: Evaluation?, step: Int) -> [(step: Int, loss: Double)] {
    guard let evaluation else { return best }
    let others = best.filter { $0.step != step }
    let all = (others + [(step, evaluation.loss)]).sorted {
      ($0.loss, $0.step) < ($1.loss, $1.step)
    }
    return Array(all.prefix(settings.keepBest))
  }

  /// Advice after a failure in a step, on rank 0; nil if there is no earlier checkpoint.
  ///
  /// It has to be called after all writing has ended.
  public func wayBack(from failure: TrainingFailure) -> String? {
    guard let directory else { return nil }
    let steps = directory.checkpoints.steps.filter { $0 < failure.step ?? .max }
    guard let newest = steps.first else { return nil }
    let bestStep = best.map(\.step).first(where: steps.contains)
    let list = steps.map { "\($0)\($0 == bestStep ? " (the best evaluation)" : "")" }
    return
      "continue the run from an earlier step with --run-dir \(LaunchRecord.quoted(path)) --resume --from "
      + "\(bestStep ?? newest); there \(steps.count == 1 ? "is a checkpoint" : "are checkpoints") of "
      + "\(list.joined(separator: ", "))"
  }

  /// Begins to write a checkpoint of `run` if it `isDue`, or if this step's `evaluation` is among the best.
  ///
  /// Collective. It first waits until the previous checkpoint is written. If that fails, it warns and the
  /// run goes on, since older checkpoints are still there.
  ///
  /// - Throws: ``TrainingFailure`` on all ranks if the network has values that are not finite.
  public func checkpoint(_ run: TrainingRun, isDue: Bool = true, evaluation: Evaluation? = nil)
    throws
  {
    func warnOfFailure(_ problem: String?) {
      if let problem { warn("the run goes on without a checkpoint: \(problem)") }
    }
    // A checkpoint that could not be written is no longer among the best.
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
  /// - Throws: ``TrainingFailure`` on all ranks if the checkpoint or the metrics could not be written.
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
