package import LockstepCollectives

extension RankContext {
  /// The communicators on which all ranks issue the same collectives, in the same order on all ranks.
  ///
  /// They include statistics groups of some of the ranks. Different ranks have different groups, but all
  /// groups issue the same collectives.
  private var comparable: [any Communicator] { [control, gradients] + statisticsCommunicators }

  /// The fingerprint of everything that this rank has issued.
  package var fingerprint: Fingerprint {
    var whole = Fingerprint()
    for communicator in comparable { whole.add(communicator.meter.history.fingerprint) }
    return whole
  }

  /// The error of ranks that have not issued the same collectives.
  ///
  /// For each communicator it names the first collective that differs, and the ranks.
  ///
  /// Collective. All ranks get the same error.
  package func fingerprintError() throws(CommunicationError) -> CommunicationError {
    // Taken before any further collective, so that all descriptions are of the same moment.
    let histories = comparable.map { ($0.meter.name.text, $0.meter.history) }
    var differences: [String] = []
    for (name, history) in histories {
      let lines = (history.numbers.map(Array.init) ?? []).map {
        "\($0)\t\(history[$0].text(number: $0, on: name))"
      }
      let all = try control.allGather(lines.joined(separator: "\n")).map(Self.parse)
      // A rank that is further has dropped more of the oldest collectives, and has later ones.
      let first = all.compactMap { $0.keys.min() }.max() ?? 1
      let last = all.compactMap { $0.keys.max() }.max() ?? 0
      let number = (first..<max(first, last + 1)).first { number in
        Set(all.map { $0[number] }).count > 1
      }
      guard let number else { continue }
      differences.append(
        CollectiveDifference.text(
          all.map { $0[number] ?? "no collective number \(number) on \(name)" },
          of: Array(0..<size)))
    }
    if differences.isEmpty {
      let mine = histories.map { "\($0.0) \($0.1.count)" }.joined(separator: ", ")
      let hashes = try control.allGather(String(fingerprint.value, radix: 16))
      let counts = try control.allGather(mine)
      differences = [
        CollectiveDifference.text(
          zip(hashes, counts).map { "fingerprint \($0) after \($1) collectives" },
          of: Array(0..<size))
          + "; they diverged more than \(CollectiveHistory.capacity) collectives ago"
      ]
    }
    return .mismatch(
      "collectives did not match: \(differences.joined(separator: "; ")); "
        + "`--check collectives` stops before such a collective",
      isSharedByAllRanks: true)
  }

  private static func parse(_ text: String) -> [Int: String] {
    var collectives: [Int: String] = [:]
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: "\t", maxSplits: 1)
      if parts.count == 2, let number = Int(parts[0]) { collectives[number] = String(parts[1]) }
    }
    return collectives
  }
}
