/// The places of a configuration's values by path: a line and column of the file, or the option that replaced
/// the value.
package struct ConfigurationPlaces: Sendable {
  private let root: String
  private var places: [String: String] = [:]

  /// The places in a document.
  init(_ root: ConfigurationNode) {
    self.root = root.place
    note(root, path: "")
  }

  private mutating func note(_ node: ConfigurationNode, path: String) {
    guard case .mapping(let entries) = node.content else { return }
    for entry in entries {
      let key = path.isEmpty ? entry.key : "\(path).\(entry.key)"
      places[key] = entry.value.place
      note(entry.value, path: key)
    }
  }

  /// The place of a value; if it is not given, the place of the innermost section around it that is.
  package subscript(path: String) -> String {
    get {
      var path = path
      while places[path] == nil {
        guard let dot = path.lastIndex(of: ".") else { return root }
        path = String(path[..<dot])
      }
      return places[path] ?? root
    }
    set { places[path] = newValue }
  }

  /// Whether a value is given.
  func has(_ path: String) -> Bool { places[path] != nil }
}
