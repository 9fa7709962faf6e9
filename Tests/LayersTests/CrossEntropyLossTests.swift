import LockstepAutograd
import LockstepLayers
import LockstepTensors
import Testing

@Suite struct CrossEntropyLossTests {
  private func loss(_ logits: Tensor, _ labels: [Int32]) -> CrossEntropyLoss {
    CrossEntropyLoss(Tape(.evaluation).input(logits), labels: Storage(labels))
  }

  /// What flows back to the logits.
  private func gradient(_ logits: Tensor, _ labels: [Int32], weight: Float) throws -> [Float] {
    let (tape, probe) = (Tape(.training), Probe())
    let loss = CrossEntropyLoss(probe.input(logits, on: tape), labels: Storage(labels))
    try loss.backward(weight: weight, on: tape)
    return try #require(probe.gradient).elements
  }

  @Test func itsGradientAgreesWithDifferences() throws {
    let (logits, labels): (Tensor, [Int32]) = (random([4, 5]), [0, 3, -1, 4])
    let analytic = try gradient(logits, labels, weight: 0.25)
    let before = logits.elements
    for i in before.indices {
      func sum(_ shift: Float) -> Double {
        var moved = before
        moved[i] += shift
        return loss(Tensor(moved, shape: logits.shape), labels).sum
      }
      let numeric = 0.25 * (sum(1e-2) - sum(-1e-2)) / 2e-2
      #expect(abs(numeric - Double(analytic[i])) < 1e-4, "logit \(i): \(numeric), \(analytic[i])")
    }
  }

  @Test func anAnswerIsRightIfAllItsLabelsAre() {
    let logits = Tensor([9, 0, 0, 9, 9, 0, 9, 0, 0, 9, 0, 9, 0, 9, 9, 0], shape: [8, 2])
    // Right as a whole; wrong in one label; right where it counts; nothing counts.
    let labels: [Int32] = [0, 1, 0, 1, -1, 1, -1, -1]
    #expect(loss(logits, labels).exactMatches(of: 4) == 2)
    #expect(loss(logits, labels).exactMatches(of: 1) == 0)
    #expect(loss(.zeros([2, 3]), [0, 1]).exactMatches(of: 2) == 1, "of equals the first")
    #expect(loss(Tensor([], shape: [0, 2]), []).exactMatches(of: 0) == 0)
  }

  @Test func aLabelBelowZeroLeavesItsRowOut() throws {
    let logits = random([3, 4])
    let all = loss(logits, [1, -1, 2])
    let kept = loss(
      Tensor(
        logits.samples(0..<1).elements + logits.samples(2..<3).elements,
        shape: [2, 4]), [1, 2])
    #expect(abs(all.sum - kept.sum) < 1e-9 && all.correct == kept.correct)
    let dx = try gradient(logits, [1, -1, 2], weight: 1)
    #expect(dx[4..<8].allSatisfy { $0 == 0 }, "nothing flows back through the row")
    #expect(dx[..<4].contains { $0 != 0 } && dx[8...].contains { $0 != 0 })
  }

  @Test func hitsAreTheRowsWhoseLabelIsTheLargestLogit() {
    let logits = Tensor([3, 1, 2, 0, 5, 5, -1, -3, -2], shape: [3, 3])
    #expect(loss(logits, [0, 1, 0]).correct == 3, "of equals the first counts")
    #expect(loss(logits, [1, 2, -1]).correct == 0)
  }
}
