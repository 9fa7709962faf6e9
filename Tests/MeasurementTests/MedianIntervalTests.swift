import LockstepAnalysis
import Testing

@Suite struct MedianIntervalTests {
  /// The samples 1 to n in a fixed disorder, so that a value is its own rank.
  private static func ranks(_ n: Int) -> MedianInterval {
    MedianInterval((0..<n).map { Double($0 * 7919 % n + 1) })
  }

  /// The ranks that tables of the binomial sign interval give for 95%.
  @Test(arguments: [
    (6, 1, 6), (8, 1, 8), (9, 2, 8), (20, 6, 15), (50, 18, 33), (100, 40, 61), (1000, 469, 532),
  ])
  func theIntervalIsTheSignTests(n: Int, low: Int, high: Int) {
    let interval = Self.ranks(n)
    #expect(interval.low == Double(low), "the lower end of \(n) samples")
    #expect(interval.high == Double(high), "the upper end of \(n) samples")
  }

  @Test(arguments: 1...5)
  func fewerThanSixSamplesGiveAllTheyHave(n: Int) {
    let interval = Self.ranks(n)
    #expect(interval.low == 1 && interval.high == Double(n))
  }

  @Test func theMedianIsTheMiddleOrTheMeanOfTheTwoInIt() {
    #expect(MedianInterval([5, 1, 9]).median == 5)
    #expect(MedianInterval([9, 1, 4, 6]).median == 5)
    #expect(MedianInterval([3]).median == 3)
  }
}
