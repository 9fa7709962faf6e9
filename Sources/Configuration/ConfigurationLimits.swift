/// Ranges of whole numbers: wider than any run needs, and narrow enough that products of them never overflow.
package enum ConfigurationLimits {
  /// Extents of tensors.
  static let extent = 1...(1 << 24)
  /// Extents of images, and their channels.
  static let pixels = 1...4_096
  /// Counts of samples and steps.
  package static let count = 1...(1 << 32)
  /// Layers and blocks.
  static let depth = 1...1_000

  /// The longest document, in bytes.
  static let document = 1 << 20
  /// The largest number of values in a document.
  static let values = 100_000
}
