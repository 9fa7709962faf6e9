import Foundation
import LockstepFloatLoops
import LockstepKernelLoops
import Testing

@Suite struct CrossEntropyLoopTests {
  /// The float64 definition: probabilities, and the loss and hits of the rows with a label.
  private func definition(_ x: [Float], _ labels: [Int32], _ classes: Int) -> (
    probabilities: [Double], sums: [Double]
  ) {
    var (probabilities, sums): ([Double], [Double]) = ([], [0, 0])
    for (row, label) in labels.enumerated() {
      let logits = x[row * classes..<(row + 1) * classes].map(Double.init)
      guard label >= 0, let top = logits.max(), let best = logits.firstIndex(of: top) else {
        probabilities += logits.map { _ in 0 }
        continue
      }
      let sum = logits.reduce(0) { $0 + exp($1 - top) }
      probabilities += logits.map { exp($0 - top) / sum }
      sums[0] += log(sum) + top - logits[Int(label)]
      sums[1] += best == Int(label) ? 1 : 0
    }
    return (probabilities, sums)
  }

  /// Every third row has no label.
  ///
  /// Logits of 30 standard deviations reach the whole range of the exponential, those around 10⁴
  /// its shift by the maximum.
  @Test(arguments: [reference] + vectorTables, [(Float(1), Float(0)), (30, 0), (1, 1e4)])
  func probabilitiesLossAndHitsFollowTheDefinition(
    table: KernelTable, spread: (scale: Float, mean: Float)
  ) {
    for classes in awkwardChannels {
      for rows in [0, 1, 2, 33] {
        let x = random(rows * classes, seed: 1).map { $0 * spread.scale + spread.mean }
        let labels = (0..<rows).map { Int32($0 % 3 == 2 ? -1 : $0 * 7 % classes) }
        var (p, found) = (room(x.count), [0.0, 0.0])
        table.crossEntropy(x, labels, rows, classes, &p, &found)
        let expected = definition(x, labels, classes)
        let name = "\(rows) rows of \(classes) classes"
        expectClose(p.dropLast(16), expected.probabilities, tolerance: 1e-6, name)
        expectClose(found, expected.sums, tolerance: 2e-6, "loss and hits of \(name)")
        #expect(p.suffix(16) == room(0)[...], "overrun")
      }
    }
  }

  @Test(arguments: [reference] + vectorTables)
  func notANumberReachesTheLoss(table: KernelTable) {
    for classes in [10, 16] {
      var x = random(classes, seed: 1)
      x[3] = .nan
      var (p, found) = (room(classes), [0.0, 0.0])
      table.crossEntropy(x, [0], 1, classes, &p, &found)
      #expect(found[0].isNaN, "the loss of a row with a NaN is \(found[0])")
    }
  }

  @Test(arguments: [reference] + vectorTables)
  func theGradientIsTheSeedTimesProbabilitiesLessTheLabel(table: KernelTable) {
    let (rows, classes) = (7, 17)
    let p = random(rows * classes, seed: 1)
    let labels: [Int32] = [0, 16, -1, 3, 8, -1, 15]
    var dx = room(p.count)
    table.crossEntropyGradient(p, labels, rows, classes, 0.25, &dx)
    for i in p.indices {
      let hit: Float = Int(labels[i / classes]) == i % classes ? 1 : 0
      #expect(abs(dx[i] - 0.25 * (p[i] - hit)) < 1e-6, "row \(i / classes), class \(i % classes)")
    }
  }
}
