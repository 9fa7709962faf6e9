import Foundation

/// `value` with a fixed number of digits after the point; a dash for NaN.
public func fixed(_ value: Double, _ digits: Int) -> String {
  guard !value.isNaN else { return "–" }
  return value.formatted(
    .number.precision(.fractionLength(digits)).grouping(.never).locale(
      Locale(identifier: "en_US_POSIX")))
}

/// A count with thousands separated, and a digit after the point only if it is not whole.
public func counted(_ value: Double) -> String {
  value.formatted(
    .number.precision(.fractionLength(value == value.rounded() ? 0 : 1)).locale(
      Locale(identifier: "en_US")))
}

/// `value` with four significant digits.
public func significant(_ value: Double) -> String {
  guard value.isFinite else { return "\(value)" }
  return value.formatted(
    .number.precision(.significantDigits(1...4)).grouping(.never).notation(
      abs(value) < 1e-3 && value != 0 || abs(value) >= 1e6 ? .scientific : .automatic
    ).locale(Locale(identifier: "en_US_POSIX")))
}

/// `value` with its sign and a fixed number of digits after the point.
public func signed(_ value: Double, _ digits: Int) -> String {
  (value < 0 ? "−" : "+") + fixed(abs(value), digits)
}
