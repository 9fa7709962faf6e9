import Foundation
public import LockstepFiles

/// What a network does for all-reduces, as a file that a prediction starts from.
///
/// `latency_us` and `bandwidth_gbit` are α and 1/β of ``AllReduceCost``, fitted as ``FabricFit`` says to
/// the medians between computing (`between_us`) of the all-reduces over the fewest ranks measured, so
/// that as little as can be depends on the algorithm; γ is 1 / `reduction_gb_per_s`. A file may as well
/// be written by hand, from a data sheet.
public struct Fabric: Codable, Hashable, Sendable {
  /// A measured all-reduce.
  public struct Point: Codable, Hashable, Sendable {
    /// Over how many ranks.
    public let ranks: Int
    /// The bytes that each rank gave.
    public let bytes: Int
    /// Between computing, as a step meets it: from the last rank's arrival to the last rank's end, the
    /// median.
    public let between_us: Double
    /// One after another in a tight loop, the median.
    public let tight_us: Double
    /// Begun without blocking and waited for at once, between computing, the median.
    public let nonblocking_us: Double

    /// Puts a point together.
    public init(
      ranks: Int, bytes: Int, between_us: Double, tight_us: Double, nonblocking_us: Double
    ) {
      (self.ranks, self.bytes) = (ranks, bytes)
      (self.between_us, self.tight_us) = (between_us, tight_us)
      self.nonblocking_us = nonblocking_us
    }
  }

  /// What to call it.
  public let name: String
  /// How it came about: the command, the ranks and the library, or the data sheet.
  public let source: String
  /// The ranks of the measurement.
  public let ranks: Int
  /// α: the time of one message between two ranks, in microseconds.
  public let latency_us: Double
  /// 1/β: what one rank sends in one direction, in Gbit/s.
  public let bandwidth_gbit: Double
  /// 1/γ: the bytes of addends that a rank adds to others, in GB/s; nil where that is counted in the
  /// bandwidth.
  public let reduction_gb_per_s: Double?
  /// The measured all-reduces, in the order of their ranks, then of their bytes.
  public let points: [Point]?

  /// Puts a fabric together.
  public init(
    name: String, source: String, ranks: Int, latency_us: Double, bandwidth_gbit: Double,
    reduction_gb_per_s: Double? = nil, points: [Point]? = nil
  ) {
    (self.name, self.source, self.ranks) = (name, source, ranks)
    (self.latency_us, self.bandwidth_gbit) = (latency_us, bandwidth_gbit)
    (self.reduction_gb_per_s, self.points) = (reduction_gb_per_s, points)
  }

  /// Fits measured all-reduces, where a rank adds `reduction_gb_per_s` GB/s.
  ///
  /// Adding that would take half of the time of the largest size or more was measured on other memory
  /// than the all-reduce's: then it is counted in the bandwidth.
  ///
  /// - Returns: nil if the times do not grow with the sizes, or there are fewer than two of those.
  public init?(
    name: String, source: String, ranks: Int, points: [Point], reduction_gb_per_s: Double
  ) {
    let fewest = points.map(\.ranks).min() ?? 0
    let fitted = points.filter { $0.ranks == fewest }
    guard fewest > 1, let largest = fitted.max(by: { $0.bytes < $1.bytes }) else { return nil }
    let samples = fitted.map {
      FabricFit.Sample(bytes: Double($0.bytes), microseconds: $0.between_us)
    }
    // A GB/s is a thousand bytes in a microsecond.
    let gamma = 1e-3 / reduction_gb_per_s
    let counted = gamma * Double(largest.bytes) < largest.between_us / 2
    guard let fit = FabricFit(samples, ranks: fewest, gamma: counted ? gamma : 0) else {
      return nil
    }
    self.init(
      name: name, source: source, ranks: ranks, latency_us: fit.alpha,
      bandwidth_gbit: 8e-3 / fit.beta, reduction_gb_per_s: counted ? reduction_gb_per_s : nil,
      points: points.sorted { ($0.ranks, $0.bytes) < ($1.ranks, $1.bytes) })
  }

  /// Writes the fabric to `path`, where there may be no file yet.
  ///
  /// - Throws: ``InputFileError`` where there is one, or the file cannot be written.
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

  /// Throws unless a fabric can be written to `path`: there is no file, and its folder exists.
  public static func checkIsFree(_ path: String) throws(InputFileError) {
    guard !FileManager.default.fileExists(atPath: path) else {
      throw InputFileError(
        file: path, problem: "exists, and is not overwritten",
        remedy: "name another file, or remove this one")
    }
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    guard FileManager.default.isWritableFile(atPath: folder) else {
      throw InputFileError(
        file: path, problem: "\(folder) is no folder that can be written to",
        remedy: "make it, or name another file")
    }
  }
}
