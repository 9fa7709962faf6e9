import Foundation
import LockstepAnalysis
import LockstepCollectives
public import LockstepFiles
public import LockstepRecording

/// What takes the processor away from a rank now and then: other processes, the system, the hypervisor.
///
/// Detours come at random while a rank computes, independently on each rank, as in Hoefler, Schneider &
/// Lumsdaine, "Characterizing the influence of system noise on large-scale applications by simulation", 2010.
public struct MachineNoise: Codable, Hashable, Sendable {
  /// What it is called.
  public let name: String
  /// Where its figures come from.
  public let source: String
  /// How many detours there are in a second of computing, on average.
  public let detoursPerSecond: Double
  /// How long the detours took, in microseconds; all are equally likely.
  public let detourMicroseconds: [Double]

  private enum CodingKeys: String, CodingKey {
    case name, source
    case detoursPerSecond = "detours_per_s"
    case detourMicroseconds = "detour_us"
  }

  /// Creates a noise from observed detours.
  public init(name: String, source: String, detoursPerSecond: Double, detourMicroseconds: [Double])
  {
    (self.name, self.source) = (name, source)
    (self.detoursPerSecond, self.detourMicroseconds) = (detoursPerSecond, detourMicroseconds)
  }

  /// The noise of a machine without detours.
  public static let none = MachineNoise(
    name: "none", source: "left out", detoursPerSecond: 0, detourMicroseconds: [])

  /// The noise of the machine on which steps were recorded.
  ///
  /// Each step that was disturbed on a rank is a detour, but for the first few steps, which take longer for other
  /// reasons. It took as long as that rank computed longer than in its median undisturbed step.
  ///
  /// - Parameter records: What each rank recorded, with the numbers of the steps with a whole batch, which alone
  ///   count; nil for all.
  public init(recordedIn records: [(record: RankRecord, steps: Set<Int>?)]) {
    var (detours, seconds): ([Double], Double) = ([], 0)
    for (record, whole) in records {
      let steps = StepSamples.steady(record).filter { whole?.contains($0.key.number) ?? true }
      let programs = StepSamples.programs(steps, record.entries)
      let sums = programs.map { $0.computing.reduce(0, +) }
      let clean = zip(steps, sums).filter { $0.0.disturbance.isEmpty }.map(\.1)
      guard !clean.isEmpty else { continue }
      let usual = MedianInterval(clean).median
      seconds += usual * Double(steps.count) / 1e9
      detours += zip(steps, sums).filter { !$0.0.disturbance.isEmpty && $0.1 > usual }
        .map { ($0.1 - usual) / 1e3 }
    }
    self.init(
      name: "recorded", source: "\(detours.count) disturbed steps of the recorded runs",
      detoursPerSecond: seconds > 0 ? Double(detours.count) / seconds : 0,
      detourMicroseconds: detours)
  }

  /// Reads a file that `lockstep doctor --noise FILE` wrote.
  ///
  /// - Throws: ``InputFileError`` with the field, if one is missing, unknown or of another type.
  public static func read(_ path: String) throws(InputFileError) -> MachineNoise {
    let remedy = "`lockstep doctor --noise FILE` on the machine writes one"
    guard let data = FileManager.default.contents(atPath: path) else {
      throw InputFileError(
        file: path, problem: "is neither \"none\" nor \"recorded\", and there is no such file",
        remedy: remedy)
    }
    guard let value = try? JSONDecoder().decode(JSONValue.self, from: data) else {
      throw InputFileError(file: path, problem: "is not a JSON document", remedy: remedy)
    }
    let top = try JSONSection(
      value, file: path, path: "", fields: ["name", "source", "detours_per_s", "detour_us"])
    let rate = try top.number("detours_per_s", from: 0)
    let detours = try top.numbers("detour_us")
    guard rate == 0 || !detours.isEmpty else {
      throw InputFileError(
        file: path, problem: "detour_us is empty",
        remedy: "give how long detours take, or detours_per_s as 0")
    }
    let mean = detours.reduce(0, +) / Double(max(1, detours.count))
    // Detours lie outside the second of computing in which they are counted: they may take longer than it.
    guard rate * mean < 1e9 else {
      throw InputFileError(
        file: path, problem: "its detours take over 99.9% of the time", remedy: remedy)
    }
    return MachineNoise(
      name: try top.text("name"), source: try top.text("source"), detoursPerSecond: rate,
      detourMicroseconds: detours)
  }
}
