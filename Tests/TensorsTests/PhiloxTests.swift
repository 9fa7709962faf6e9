import LockstepTensors
import Testing

@Suite struct PhiloxTests {
  /// The known answers of Random123's `kat_vectors` for Philox-4×32 with ten rounds.
  @Test func givesThePublishedWords() {
    let zero = Philox(seed: 0)(.zero)
    #expect(zero == [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8])
    let ones = Philox(seed: .max)(SIMD4(repeating: .max))
    #expect(ones == [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd])
    let pi = Philox(seed: 0x299f_31d0_a409_3822)(
      [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344])
    #expect(pi == [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1])
  }
}

@Suite struct RandomStreamTests {
  private static func words(
    seed: UInt64 = 1, site: RandomSite = .synthetic, step: Int = 0, slot: Int = 0
  ) -> [UInt32] {
    var stream = RandomStream(seed: seed, site: site, step: step, slot: slot)
    return (0..<9).map { _ in stream.nextWord() }
  }

  @Test func aPlaceAlwaysGivesTheSameNumbers() {
    let first = Self.words(step: 3, slot: 4)
    #expect(first == Self.words(step: 3, slot: 4), "a stream depends on its place alone")
    #expect(Set(first).count == first.count, "the words of one stream differ: \(first)")
  }

  @Test func placesThatDifferInOneRespectShareNothing() {
    let streams = [
      Self.words(), Self.words(seed: 2), Self.words(seed: 1 << 32 | 1),
      Self.words(site: .augmentation), Self.words(site: .permutation),
      Self.words(site: .initialization), Self.words(step: 1), Self.words(slot: 1),
    ]
    let all = Set(streams.joined())
    #expect(all.count == streams.count * 9, "\(streams.count * 9 - all.count) words occur twice")
  }

  @Test func uniformNumbersFillTheUnitInterval() {
    var stream = RandomStream(seed: 5, site: .synthetic)
    let numbers = (0..<20_000).map { _ in stream.uniform() }
    #expect(numbers.allSatisfy { $0 >= 0 && $0 < 1 })
    let mean = numbers.reduce(0) { $0 + Double($1) } / 20_000
    #expect(abs(mean - 0.5) < 0.01, "their mean is \(mean)")
  }

  @Test func normalNumbersHaveTheMomentsOfTheNormalDistribution() {
    var stream = RandomStream(seed: 6, site: .synthetic)
    let numbers = (0..<20_000).map { _ in Double(stream.normal()) }
    func moment(_ power: Int) -> Double {
      numbers.reduce(0) { sum, x in sum + (0..<power).reduce(1.0) { p, _ in p * x } } / 20_000
    }
    #expect(numbers.allSatisfy { $0.isFinite })
    #expect(abs(moment(1)) < 0.03 && abs(moment(2) - 1) < 0.05, "\(moment(1)), \(moment(2))")
    #expect(abs(moment(3)) < 0.15 && abs(moment(4) - 3) < 0.3, "\(moment(3)), \(moment(4))")
  }

  @Test func numbersBelowABoundReachAllOfIt() {
    var stream = RandomStream(seed: 7, site: .synthetic)
    let numbers = Set((0..<200).map { _ in stream.below(5) })
    #expect(numbers == Set(0..<5))
  }
}
