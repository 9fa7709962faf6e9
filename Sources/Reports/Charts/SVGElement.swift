/// An element of an SVG drawing, whose attributes and text are escaped when it is written.
struct SVGElement {
  private let name: String
  private var attributes: [(name: String, value: String)]
  private var children: [SVGElement]
  private var text: String

  init(
    _ name: String, _ attributes: KeyValuePairs<String, String> = [:],
    _ children: [SVGElement] = [], text: String = ""
  ) {
    self.name = name
    self.attributes = attributes.map { ($0.key, $0.value) }
    (self.children, self.text) = (children, text)
  }

  /// The element with a title, which browsers show when the pointer rests on it.
  func titled(_ title: String) -> SVGElement {
    var copy = self
    copy.children.insert(SVGElement("title", text: title), at: 0)
    return copy
  }

  /// The element as markup.
  var markup: String {
    var result = "<\(name)"
    for (name, value) in attributes { result += " \(name)=\"\(Self.escaped(value))\"" }
    guard !children.isEmpty || !text.isEmpty else { return result + "/>" }
    result += ">" + Self.escaped(text)
    for child in children { result += child.markup }
    return result + "</\(name)>"
  }

  private static func escaped(_ text: String) -> String {
    var result = ""
    for character in text.unicodeScalars {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      default: result.unicodeScalars.append(character)
      }
    }
    return result
  }
}

extension SVGElement {
  /// A rectangle; `x` and `width` are shares of the drawing's width, and `y` and `height` are in pixels.
  ///
  /// A rectangle that is too narrow to be seen is drawn as a hairline.
  static func bar(
    _ style: String, x: Double, width: Double, y: Double, height: Double, title: String
  ) -> SVGElement {
    SVGElement(
      "rect",
      [
        "class": "mark \(style)", "x": percent(x), "width": percent(max(0.0005, width)),
        "y": number(y),
        "height": number(height),
      ]
    ).titled(title)
  }

  /// Text with its baseline at `y` pixels; `anchor` says whether its start, middle or end is at `x`, a share
  /// of the width.
  static func label(
    _ text: String, x: Double = 0, y: Double, anchor: String = "start", style: String = "label"
  ) -> SVGElement {
    SVGElement(
      "text", ["class": style, "x": percent(x), "y": number(y), "text-anchor": anchor], text: text)
  }

  /// A vertical line.
  static func gridline(x: Double, from top: Double, to bottom: Double) -> SVGElement {
    SVGElement(
      "line",
      [
        "class": "grid", "x1": percent(x), "x2": percent(x), "y1": number(top),
        "y2": number(bottom),
      ])
  }

  /// A horizontal line.
  static func gridline(y: Double) -> SVGElement {
    SVGElement(
      "line", ["class": "grid", "x1": "0", "x2": "100%", "y1": number(y), "y2": number(y)])
  }

  static func percent(_ share: Double) -> String { number(100 * share) + "%" }

  /// The number as text, rounded to hundredths, which are finer than anyone can see.
  static func number(_ value: Double) -> String {
    let rounded = (value * 100).rounded() / 100
    return Int(exactly: rounded).map { "\($0)" } ?? "\(rounded)"
  }
}
