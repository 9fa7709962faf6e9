import Glibc
import LockstepAutograd
import LockstepKernels
import LockstepLayers
import LockstepTensors
import Testing

/// Causal attention against its definition, in float64.
@Suite struct AttentionTests {
  private static let geometry = AttentionGeometry(heads: 2, size: 4, scale: 0.5)

  /// softmax(scale · q kᵀ) v, position by position.
  private func definition(_ qkv: Tensor, _ g: AttentionGeometry) -> [Double] {
    let (n, t, width) = (qkv.shape[0], qkv.shape[1], g.heads * g.size)
    let x = qkv.elements.map(Double.init)
    var y = [Double](repeating: 0, count: n * t * width)
    for sample in 0..<n {
      for head in 0..<g.heads {
        func at(_ part: Int, _ position: Int, _ c: Int) -> Double {
          x[(sample * t + position) * 3 * width + part * width + head * g.size + c]
        }
        for i in 0..<t {
          let scores = (0...i).map { j in
            let s = (0..<g.size).reduce(0) { $0 + at(0, i, $1) * at(1, j, $1) } * Double(g.scale)
            return g.cap > 0 ? Double(g.cap) * tanh(s / Double(g.cap)) : s
          }
          let top = scores.max() ?? 0
          let weights = scores.map { exp($0 - top) }
          let sum = weights.reduce(0, +)
          for c in 0..<g.size {
            y[(sample * t + i) * width + head * g.size + c] =
              weights.indices.reduce(0) { $0 + weights[$1] * at(2, $1, c) } / sum
          }
        }
      }
    }
    return y
  }

  @Test(arguments: [1, 5, 16, 128, 130, 300], [Float(0), 2])
  func tilesGiveWhatTheDefinitionGives(length: Int, cap: Float) {
    let g = AttentionGeometry(heads: 2, size: 4, scale: 0.5, cap: cap)
    let qkv = random([2, length, 24], seed: UInt64(length))
    let tape = Tape(.evaluation)
    let y = tape.attention(tape.input(qkv), Attention(g)).value
    for (a, b) in zip(y.elements, definition(qkv, g)) { #expect(abs(Double(a) - b) < 2e-5) }
  }

  @Test(arguments: [Float(0), 1.5])
  func gradientsAgreeWithDifferences(cap: Float) throws {
    let g = AttentionGeometry(heads: 2, size: 4, scale: 0.5, cap: cap)
    try expectGradients(of: { $1.attention($0, Attention(g)) }, at: random([2, 6, 24]))
  }

  @Test func gradientsAgreeWithDifferencesAcrossTiles() throws {
    let g = AttentionGeometry(heads: 1, size: 1, scale: 1)
    try expectGradients(of: { $1.attention($0, Attention(g)) }, at: random([1, 131, 3]))
  }

  @Test func separateOperandsGiveTheSameAsThoseSideBySide() throws {
    let g = Self.geometry
    let x = random([2, 5, 24])
    let whole: Function = { $1.attention($0, Attention(g)) }
    let parts: Function = { x, tape in
      let qkv = tape.split(x, into: 3)
      return tape.attention(qkv[0], qkv[1], qkv[2], Attention(g))
    }
    let tape = Tape(.evaluation)
    #expect(
      try whole(tape.input(x), tape).value.elements
        == parts(tape.input(x), tape).value.elements)
    try expectGradients(of: parts, at: x)
  }

  @Test func aFutureTokenChangesNothingBefore() {
    let x = random([1, 140, 24])
    var elements = x.elements
    for i in 100 * 24..<140 * 24 { elements[i] += 3 }
    let tape = Tape(.evaluation)
    let (a, b) = (
      tape.attention(tape.input(x), Attention(Self.geometry)).value.elements,
      tape.attention(tape.input(Tensor(elements, shape: x.shape)), Attention(Self.geometry)).value
        .elements
    )
    #expect(a[..<(100 * 8)] == b[..<(100 * 8)])
    #expect(a[(100 * 8)...] != b[(100 * 8)...])
  }

  @Test func rotationKeepsLengthsAndTurnsBack() throws {
    let angles = rotaryAngles(length: 7, size: 4)
    let x = random([2, 7, 8])
    let tape = Tape(.evaluation)
    let y = tape.rotate(tape.input(x), size: 4, angles: angles).value
    let lengths = [x, y].map { $0.elements.reduce(0) { $0 + Double($1) * Double($1) } }
    #expect(abs(lengths[0] - lengths[1]) < 1e-4)
    #expect(x.elements[..<8] == y.elements[..<8])
    try expectGradients(of: { $1.rotate($0, size: 4, angles: angles) }, at: x)
  }

  @Test func gatesAndTemperaturesAgreeWithDifferences() throws {
    try expectGradients(
      of: { x, tape in
        let parts = tape.split(x, into: 2)
        return tape.swiGLU(parts[0], parts[1])
      }, at: random([3, 40]))
    let temperature = Temperature("temperature")
    try expectGradients(
      of: temperature.callAsFunction, at: random([3, 4]), parameters: temperature.parameters)
    try expectGradients(of: Activation.geluTanh.callAsFunction, at: random([3, 37]))
  }

  @Test func embeddingsSumTheGradientsOfEqualTokens() throws {
    let embedding = Embedding("wte", Weight(Parameter("wte", random([5, 3], seed: 2))))
    let tokens = Tensor([1, 4, 1, 0], shape: [2, 2])
    try expectGradients(
      of: { x, tape in tape.add(x, try embedding(tape.input(tokens), on: tape)) },
      at: random([2, 2, 3]), parameters: embedding.parameters)
    let positions = PositionEmbedding("wpe", random([4, 3], seed: 3))
    try expectGradients(
      of: positions.callAsFunction, at: random([2, 4, 3]), parameters: positions.parameters)
  }

  @Test func dropoutFollowsTheSampleAndKeepsTheMean() {
    let dropout = Dropout(0.25, index: 3)
    func masks(_ first: Int, _ count: Int) -> [Float] {
      let tape = Tape(.training, origin: SampleOrigin(seed: 5, step: 2, firstSlot: first))
      return dropout(tape.input(.filled([count, 1000], with: 1)), on: tape).value.elements
    }
    let whole = masks(0, 8)
    #expect(whole == masks(0, 3) + masks(3, 5))
    let kept: Float = 4 / 3
    #expect(Set(whole) == [0, kept])
    #expect(abs(whole.reduce(0, +) / 8000 - 1) < 0.05)
    let tape = Tape(.evaluation)
    #expect(
      dropout(tape.input(.filled([1, 9], with: 2)), on: tape).value.elements.allSatisfy { $0 == 2 })
  }
}
