import LockstepNorms
import LockstepTensors
import Testing

/// Layer norm whose statistics are constants in the backward pass.
@Suite struct DetachedLayerNormTests {
  @Test(arguments: [[3, 6] as Shape, [17, 16], [2, 3, 40]])
  func onlyTheScaleIsLeftOfTheInputsGradient(shape: Shape) throws {
    let passes = try [false, true].map { detached in
      var settings = NormSettings(.layer)
      settings.detached = detached
      let layer = makeNorm(
        NormSite("norm", channels: shape.channels), settings, NormScope(synchronized: .thisRank))
      randomize(layer)
      return try Pass(layer, random(shape, mean: 2, seed: 1), random(shape, seed: 2))
    }
    #expect(passes[0].y == passes[1].y && passes[0].gradients == passes[1].gradients)
    let (x, dy) = (random(shape, mean: 2, seed: 1).elements, random(shape, seed: 2).elements)
    let gain = random([shape.channels], mean: 1, seed: 5).elements
    let width = shape.channels
    let expected = x.indices.map { i in
      let row = x[i / width * width..<(i / width + 1) * width].map(Double.init)
      let mean = row.reduce(0, +) / Double(width)
      let squares = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
      return Double(gain[i % width] * dy[i]) / (squares / Double(width) + 1e-5).squareRoot()
    }
    expectClose(passes[1].dx, expected, tolerance: 1e-5, "dx")
  }
}
