/// "; did you mean …?" for the name nearest to `word`, or the list of names if none is near.
///
/// A word longer than 100 bytes is near none, since no name is so long.
public func suggestion(_ word: String, _ names: [String]) -> String {
  let isLong = word.utf8.count > 100
  let nearest = isLong ? nil : names.min { distance(word, $0) < distance(word, $1) }
  guard let nearest, distance(word, nearest) <= max(2, word.count / 3) else {
    return "; expected one of \(names.joined(separator: ", "))"
  }
  return "; did you mean \"\(nearest)\"?"
}

/// The number of letters to insert, delete or replace (Levenshtein, 1966), ignoring case.
private func distance(_ a: String, _ b: String) -> Int {
  let (a, b) = (Array(a.lowercased()), Array(b.lowercased()))
  var row = Array(0...b.count)
  for (i, letter) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, other) in b.enumerated() {
      let replaced = diagonal + (letter == other ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
    }
  }
  return row[b.count]
}
