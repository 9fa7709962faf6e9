/// Rows of text in columns, the first aligned to the left and the others to the right.
package struct Table {
  private var rows: [[String]]

  package init(_ header: [String]) { rows = [header] }

  package mutating func append(_ row: [String]) { rows.append(row) }

  package var text: String {
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
