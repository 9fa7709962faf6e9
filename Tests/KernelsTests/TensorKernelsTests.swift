import LockstepFloatLoops
import LockstepKernelLoops
import LockstepKernels
import LockstepTensors
import Testing

/// The kernels on tensors that are more than a call of a loop.
@Suite struct TensorKernelsTests {
  @Test func gatheredRowsComeBackWhereTheyWere() {
    let x = Tensor(random(15, seed: 1), shape: [5, 3])
    let rows = Kernel.gatherRows(x, [4, 0, 2])
    let e = x.elements
    #expect(rows.elements == [12, 13, 14, 0, 1, 2, 6, 7, 8].map { e[$0] })
    let back = Kernel.scatterRows(rows, [4, 0, 2], shape: x.shape)
    let expected = e.indices.map { $0 / 3 % 2 == 0 ? e[$0] : 0 }
    #expect(back.elements == expected, "and 0 elsewhere")
  }

  @Test func aRowIsAddedToEveryRow() {
    let x = Tensor([1, 2, 3, 4, 5, 6], shape: [3, 2])
    Kernel.addRow(Tensor([10, 20], shape: [2]), to: x)
    #expect(x.elements == [11, 22, 13, 24, 15, 26])
  }

  @Test func aCenterKeepsMoreOfAMeanThanAFloat() {
    let means = [1e4 + 1e-5, -3, 0.1]
    let split = ColumnCenter(means)
    for (mean, (k, d)) in zip(means, zip(split.center.elements, split.offset.elements)) {
      #expect(k == Float(mean), "K is the mean as a float")
      #expect(abs(Double(k) + Double(d) - mean) < 1e-10, "K + d is \(Double(k) + Double(d))")
    }
  }

  @Test func theTableInUseIsTheBestOrTheOneAskedFor() {
    if let name = Kernel.requestedInstructionSet,
      Kernel.available.contains(where: { $0.name == name })
    {
      #expect(Kernel.table.name == name)
    } else {
      #expect(Kernel.table.name == Kernel.available.last?.name)
    }
    #expect(Kernel.available.first?.name == "reference")
  }
}
