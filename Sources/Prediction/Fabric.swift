import Foundation
public import LockstepFiles

/// A network's performance in all-reduces, as a file from which a prediction starts.
///
/// `latencyMicroseconds` and `bandwidthGigabits` are α and 1/β of ``AllReduceCost``, and
/// `reductionGbPerSecond` is 1/γ. ``FabricFit`` fits α and β to the medians between computing
/// (`betweenMicroseconds`) of the all-reduces over the fewest ranks measured, so that they depend as little
/// as possible on the algorithm. A file may also be written by hand, from a data sheet.
public struct Fabric: Codable, Hashable, Sendable {
  /// A measured all-reduce.
  public struct Point: Codable, Hashable, Sendable {
    /// The number of ranks.
    public let ranks: Int
    /// The bytes that each rank gave.
    public let bytes: Int
    /// The median between computing, as in a step: from the last rank's arrival to the last rank's end.
    public let betweenMicroseconds: Double
    /// The median of all-reduces one after another in a tight loop.
    public let tightMicroseconds: Double
    /// The median of nonblocking all-reduces that are waited for at once, between computing.
    public let nonblockingMicroseconds: Double

    private enum CodingKeys: String, CodingKey {
      case ranks, bytes
      case betweenMicroseconds = "between_us"
      case tightMicroseconds = "tight_us"
      case nonblockingMicroseconds = "nonblocking_us"
    }

    /// Creates a point.
    public init(
      ranks: Int, bytes: Int, betweenMicroseconds: Double, tightMicroseconds: Double,
      nonblockingMicroseconds: Double
    ) {
      (self.ranks, self.bytes) = (ranks, bytes)
      (self.betweenMicroseconds, self.tightMicroseconds) = (betweenMicroseconds, tightMicroseconds)
      self.nonblockingMicroseconds = nonblockingMicroseconds
    }
  }

  /// The fabric's name.
  public let name: String
  /// Where the figures come from: the command, the ranks and the library, or the data sheet.
  public let source: String
  /// The number of ranks in the measurement.
  public let ranks: Int
  /// α: the time of one message between two ranks, in microseconds.
  public let latencyMicroseconds: Double
  /// 1/β: what one rank sends in one direction, in Gbit/s.
  public let bandwidthGigabits: Double
  /// 1/γ: how many bytes of addends a rank adds, in GB/s; nil if adding is counted in the bandwidth.
  public let reductionGbPerSecond: Double?
  /// The measured all-reduces, in the order of their ranks, then of their bytes.
  public let points: [Point]?

  private enum CodingKeys: String, CodingKey {
    case name, source, ranks, points
    case latencyMicroseconds = "latency_us"
    case bandwidthGigabits = "bandwidth_gbit"
    case reductionGbPerSecond = "reduction_gb_per_s"
  }

  /// Creates a fabric.
  public init(
    name: String, source: String, ranks: Int, latencyMicroseconds: Double,
    bandwidthGigabits: Double,
    reductionGbPerSecond: Double? = nil, points: [Point]? = nil
  ) {
    (self.name, self.source, self.ranks) = (name, source, ranks)
    (self.latencyMicroseconds, self.bandwidthGigabits) = (latencyMicroseconds, bandwidthGigabits)
    (self.reductionGbPerSecond, self.points) = (reductionGbPerSecond, points)
  }

  /// Fits measured all-reduces, where a rank adds `reductionGbPerSecond` GB/s.
  ///
  /// If adding would take half of the largest size's time or more, it was measured on other memory than the
  /// all-reduce uses. Then adding is counted in the bandwidth.
  ///
  /// - Returns: nil if the times do not grow with the sizes, or there are fewer than two sizes.
  public init?(
    name: String, source: String, ranks: Int, points: [Point], reductionGbPerSecond: Double
  ) {
    let fewest = points.map(\.ranks).min() ?? 0
    let fitted = points.filter { $0.ranks == fewest }
    guard fewest > 1, let largest = fitted.max(by: { $0.bytes < $1.bytes }) else { return nil }
    let samples = fitted.map {
      FabricFit.Sample(bytes: Double($0.bytes), microseconds: $0.betweenMicroseconds)
    }
    // 1 GB/s is 1,000 bytes per microsecond.
    let gamma = 1e-3 / reductionGbPerSecond
    let counted = gamma * Double(largest.bytes) < largest.betweenMicroseconds / 2
    guard let fit = FabricFit(samples, ranks: fewest, gamma: counted ? gamma : 0) else {
      return nil
    }
    self.init(
      name: name, source: source, ranks: ranks, latencyMicroseconds: fit.alpha,
      bandwidthGigabits: 8e-3 / fit.beta,
      reductionGbPerSecond: counted ? reductionGbPerSecond : nil,
      points: points.sorted { ($0.ranks, $0.bytes) < ($1.ranks, $1.bytes) })
  }

  /// Writes the fabric to `path`, where no file may exist yet.
  ///
  /// - Throws: ``InputFileError`` if there is one, or the file cannot be written.
  public func write(to path: String) throws(InputFileError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      try Self.checkIsFree(path)
      try encoder.encode(self).write(to: URL(fileURLWithPath: path), options: .withoutOverwriting)
    } catch let error as InputFileError {
      throw error
    } catch {
      throw InputFileError(
        file: path, problem: "cannot be written: \(error.localizedDescription)",
        remedy: "name a file in a folder that you may write to")
    }
  }

  /// Throws unless a fabric can be written to `path` and read from it again: there is no file, its folder exists,
  /// and it is not what a fabric of ``named`` is called.
  public static func checkIsFree(_ path: String) throws(InputFileError) {
    guard !named.contains(where: { $0.name == path }) else {
      throw InputFileError(
        file: path, problem: "is the name of a fabric that is built in, and would be read as that",
        remedy: "name another file, such as \(path).json")
    }
    guard !path.isEmpty, !path.hasSuffix("/") else {
      throw InputFileError(
        file: path.isEmpty ? "the fabric" : path, problem: "names no file", remedy: "name one")
    }
    guard !FileManager.default.fileExists(atPath: path) else {
      throw InputFileError(
        file: path, problem: "exists, and is not overwritten",
        remedy: "name another file, or remove this one")
    }
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    guard FileManager.default.isWritableFile(atPath: folder) else {
      throw InputFileError(
        file: path, problem: "\(folder) is not a folder that can be written to",
        remedy: "make it, or name another file")
    }
  }
}
