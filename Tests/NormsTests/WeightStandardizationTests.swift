import LockstepAutograd
import LockstepNorms
import LockstepTensors
import LockstepWeightNorms
import Testing

/// Weights less their mean, divided by their deviation.
@Suite struct WeightStandardizationTests {
  @Test(arguments: [[4, 27], [3, 2], [5, 3, 3, 3]])
  func outputAndGradientFollowTheFormula(dimensions: [Int]) throws {
    let shape = Shape(dimensions)
    let (v, dw) = (random(shape, mean: 0.3, seed: 1), random(shape, seed: 2))
    let width = shape.count / dimensions[0]
    func w(_ v: [Double]) -> [Double] {
      stride(from: 0, to: v.count, by: width).flatMap { start -> [Double] in
        let row = v[start..<start + width]
        let mean = row.reduce(0, +) / Double(width)
        let squares = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        let deviation = (squares / Double(width - 1)).squareRoot()
        return row.map { ($0 - mean) / (deviation + 1e-5) }
      }
    }
    let vs = v.elements.map(Double.init)
    let (found, saved) = WeightStandardization.forward(v)
    #expect(found.shape == shape)
    expectClose(found.elements, w(vs), tolerance: 1e-5, "w")
    let dv = WeightStandardization.backward(dw, saved: saved)
    expectClose(
      dv.elements, slopes(vs, dw.elements.map(Double.init)) { w($0) }, tolerance: 5e-5, "dv")
  }

  @Test func aLayerTrainsTheWeightUnderItsOwnName() throws {
    let initial = random([3, 2, 2, 2], seed: 1)
    let weight = WeightStandardization.weight("conv1", initial)
    #expect(weight.parameters.map(\.name) == ["conv1.weight"])
    let tape = Tape(.training)
    let use = try weight.use(on: tape)
    #expect(!use.isParameter, "the gradient flows through the function")
    let rows = use.value.elements
    for output in 0..<3 {
      #expect(abs(rows[8 * output..<8 * output + 8].reduce(0, +)) < 1e-5)
    }
  }
}
