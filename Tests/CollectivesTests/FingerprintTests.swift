import LockstepCollectives
import LockstepTensors
import Testing

/// The running hash of a communicator's collectives.
@Suite struct FingerprintTests {
  private static let site = EventName("layer1.0.bn1")
  private static let usual = [
    CollectiveSignature(.allReduce, 33, of: .float64, for: .statistics(site, .forward)),
    CollectiveSignature(.begunAllReduce, 32, of: .float64, for: .statistics(site, .backward)),
    CollectiveSignature(.begunAllReduce, 500, of: .float32, for: .gradients(bucket: 0)),
    CollectiveSignature(.broadcast, 4, of: .byte, root: 1),
  ]

  private func fingerprint(_ collectives: [CollectiveSignature]) -> Fingerprint {
    var history = CollectiveHistory()
    for collective in collectives { history.append(collective) }
    return history.fingerprint
  }

  @Test func equalSequencesHaveEqualFingerprints() {
    #expect(fingerprint(Self.usual) == fingerprint(Self.usual))
  }

  @Test func everyDifferenceChangesTheFingerprint() {
    let usual = Self.usual
    let (other, first) = (EventName("layer1.0.bn2"), usual[0])
    let wrong: [[CollectiveSignature]] = [
      Array(usual.dropFirst()), Array(usual.dropLast()), usual + [first],
      [usual[1], usual[0], usual[2], usual[3]],
      [CollectiveSignature(.allReduce, 34, of: .float64, for: first.purpose)] + usual.dropFirst(),
      [CollectiveSignature(.allReduce, 33, of: .float32, for: first.purpose)] + usual.dropFirst(),
      [CollectiveSignature(.begunAllReduce, 33, of: .float64, for: first.purpose)]
        + usual.dropFirst(),
      [CollectiveSignature(.allReduce, 33, of: .float64, for: .statistics(other, .forward))]
        + usual.dropFirst(),
      [CollectiveSignature(.allReduce, 33, of: .float64, for: .statistics(Self.site, .backward))]
        + usual.dropFirst(),
      Array(usual[..<2]) + [CollectiveSignature(.begunAllReduce, 500, of: .float32)] + usual[3...],
      Array(usual[..<2])
        + [CollectiveSignature(.begunAllReduce, 500, of: .float32, for: .gradients(bucket: 1))]
        + usual[3...],
      Array(usual[..<3]) + [CollectiveSignature(.broadcast, 4, of: .byte, root: 2)],
    ]
    let all = Set(wrong.map(fingerprint) + [fingerprint(usual)])
    #expect(all.count == wrong.count + 1)
  }

  @Test(arguments: [CollectiveKind.gather, .allGatherOfAny])
  func countsThatMayDifferAreNoDifference(kind: CollectiveKind) {
    let (few, many) = (
      CollectiveSignature(kind, 1, of: .byte), CollectiveSignature(kind, 9, of: .byte)
    )
    #expect(fingerprint([few]) == fingerprint([many]))
    #expect(few.text == many.text, "nor in words")
  }

  @Test func aNameIsHashedByItsTextAndNotByItsNumber() {
    // FNV-1a's published value of "a".
    #expect(EventName("a").stableHash == 0xaf63_dc4c_8601_ec8c)
    #expect(EventName("foobar").stableHash == 0x8594_4171_f739_67e8)
  }

  @Test func theOrderAcrossCommunicatorsIsNoDifference() throws {
    let fingerprints = try withThreadRanks(3) { ranks -> [Fingerprint] in
      let parts = try (0..<2).map { _ in try ranks.duplicate() }
      // Some ranks begin with one, some with the other.
      let order = ranks.rank == 1 ? [parts[1], parts[0]] : parts
      let addends = Storage<Float>(count: 5, filledWith: 0)
      let first = try order[0].beginSum(addends, for: .gradients(bucket: 0))
      let second = try order[1].beginSum(addends, for: .gradients(bucket: 0))
      _ = try first.wait()
      _ = try second.wait()
      return parts.map(\.meter.history.fingerprint)
    }
    #expect(fingerprints.allSatisfy { $0 == fingerprints[0] })
    #expect(fingerprints[0][0] == fingerprints[0][1])
  }

  @Test func aHistoryKeepsTheLastCollectivesByNumber() {
    var history = CollectiveHistory()
    #expect(history.numbers == nil)
    for count in 1...1000 { history.append(CollectiveSignature(.allReduce, count, of: .float32)) }
    #expect(history.numbers == 1000 - CollectiveHistory.capacity + 1...1000)
    #expect(history[1000].elements == 1000 && history[900].elements == 900)
  }
}

/// The comparison of fingerprints within a sum.
@Suite struct FingerprintDigitsTests {
  private func sums(_ fingerprints: [Fingerprint]) -> [Double] {
    fingerprints.map(FingerprintDigits.addends).reduce([Double](repeating: 0, count: 8)) {
      zip($0, $1).map { $0 + $1 }
    }
  }

  private func some(_ count: Int) -> Fingerprint {
    var fingerprint = Fingerprint()
    for number in 0..<count {
      fingerprint.add(CollectiveSignature(.allReduce, 1, of: .float32), number: number)
    }
    return fingerprint
  }

  @Test(arguments: [1, 2, 3, 7, 64])
  func equalFingerprintsAgree(ranks: Int) {
    for count in 0..<50 {
      let all = Array(repeating: some(count), count: ranks)
      #expect(FingerprintDigits.agree(sums(all), ranks: ranks))
    }
  }

  @Test(arguments: [2, 3, 7, 64])
  func oneRankThatDiffersIsSeen(ranks: Int) {
    for count in 0..<50 {
      var all = Array(repeating: some(count), count: ranks)
      all[ranks / 2] = some(count + 1)
      #expect(!FingerprintDigits.agree(sums(all), ranks: ranks))
    }
  }

  @Test(arguments: [Double.nan, .infinity, -1, 0.5, 1e300])
  func numbersThatAreNoSumsOfFingerprintsAreNoAgreement(number: Double) {
    var all = sums([some(1), some(1)])
    all[3] = number
    #expect(!FingerprintDigits.agree(all, ranks: 2))
  }

  @Test func aMillionRanksAddUpExactly() {
    // All digits at their largest, then one of one rank a bit smaller.
    let (ranks, most) = (1 << 20, 65535.0)
    let all = (0..<8).map { $0 % 2 == 0 ? most * Double(ranks) : most * most * Double(ranks) }
    #expect(FingerprintDigits.agree(all, ranks: ranks))
    var one = all
    one[2] -= 1
    one[3] -= most * most - (most - 1) * (most - 1)
    #expect(!FingerprintDigits.agree(one, ranks: ranks))
  }
}
