import LockstepFloatLoops
import LockstepKernelLoops
import Testing

/// The vector forms of an LSTM's step agree with their references on every instruction set.
@Suite struct LSTMLoopsTests {
  @Test(arguments: vectorTables, awkwardChannels)
  func aStepAndItsWayBackFollowTheReferences(table: KernelTable, width: Int) {
    for rows in [0, 1, 3] {
      let (gates, cell) = (
        random(4 * rows * width, seed: 1).map { 3 * $0 }, random(rows * width, seed: 2)
      )
      let (dh, dnext) = (random(rows * width, seed: 3), random(rows * width, seed: 4))
      func run(_ table: KernelTable) -> [[Float]] {
        var (s, next) = (gates + room(0), room(cell.count))
        table.lstmCell(&s, cell, rows, width, &next)
        var (bent, h) = (room(cell.count), room(cell.count))
        table.lstmOutput(s, next, rows, width, &bent, &h)
        var (da, dz) = (room(gates.count), room(cell.count))
        table.lstmOutputGradient(s, bent, dh, rows, width, &da, &dz)
        var dcell = dnext + room(0)
        table.lstmCellGradient(s, cell, dz, rows, width, &da, &dcell)
        return [s, next, bent, h, da, dz, dcell]
      }
      for (i, (found, expected)) in zip(run(table), run(reference)).enumerated() {
        expectClose(found, expected, tolerance: 4e-6, "result \(i) of \(rows) rows of \(width)")
        #expect(found.suffix(16) == room(0)[...], "overrun of result \(i)")
      }
    }
  }
}
