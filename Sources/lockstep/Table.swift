import Foundation
import Measurement

/// `value` with a fixed number of digits after the point.
func fixed(_ value: Double, _ digits: Int) -> String {
  value.formatted(
    .number.precision(.fractionLength(digits)).grouping(.never).locale(
      Locale(identifier: "en_US_POSIX")))
}

/// A count with thousands apart, and digits after the point only where it is not whole.
func counted(_ value: Double) -> String {
  value.formatted(
    .number.precision(.fractionLength(value == value.rounded() ? 0 : 1)).locale(
      Locale(identifier: "en_US")))
}

/// `value` with four significant digits.
func significant(_ value: Double) -> String {
  guard value.isFinite else { return "\(value)" }
  return value.formatted(
    .number.precision(.significantDigits(1...4)).grouping(.never).notation(
      abs(value) < 1e-3 && value != 0 || abs(value) >= 1e6 ? .scientific : .automatic
    ).locale(Locale(identifier: "en_US_POSIX")))
}

extension MedianInterval {
  /// "median [low, high]".
  func text(_ digits: Int) -> String {
    "\(fixed(median, digits)) [\(fixed(low, digits)), \(fixed(high, digits))]"
  }
}

/// Rows of text in columns: the first to the left, the others to the right.
struct Table {
  private var rows: [[String]]

  init(_ header: [String]) { rows = [header] }

  mutating func append(_ row: [String]) { rows.append(row) }

  var text: String {
    let widths = rows[0].indices.map { column in
      rows.map { $0[column].count }.max() ?? 0
    }
    var lines = rows.map { row in
      row.indices.map { column in
        let padding = String(repeating: " ", count: widths[column] - row[column].count)
        return column == 0 ? row[column] + padding : padding + row[column]
      }.joined(separator: "  ")
    }
    lines.insert(
      String(repeating: "─", count: widths.reduce(0, +) + 2 * (widths.count - 1)), at: 1)
    return lines.joined(separator: "\n")
  }
}
