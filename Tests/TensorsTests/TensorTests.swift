import LockstepTensors
import Testing

@Suite struct TensorTests {
  private static func counting(_ shape: Shape) -> Tensor {
    Tensor((0..<shape.count).map(Float.init), shape: shape)
  }

  @Test(arguments: [[2, 3, 4], [2, 3, 4, 5], [1, 1, 2, 2], [0, 3, 2, 2]])
  func channelsLastAndFirstUndoEachOther(dimensions: [Int]) {
    let x = Self.counting(Shape(dimensions))
    let last = x.channelsLast()
    #expect(last.shape == Shape([dimensions[0]] + dimensions[2...] + [dimensions[1]]))
    #expect(last.channelsFirst().shape == x.shape)
    #expect(last.channelsFirst().elements == x.elements)
  }

  @Test func channelsLastPutsAPixelsChannelsSideBySide() {
    let x = Self.counting([1, 2, 2, 2])
    #expect(x.channelsLast().elements == [0, 4, 1, 5, 2, 6, 3, 7])
  }

  @Test func aMatrixHasNoPositionsToMove() {
    let x = Self.counting([3, 2])
    #expect(x.channelsLast().elements == x.elements && x.channelsFirst().shape == x.shape)
  }

  /// Neither tensor is used again: the optimizer may hold on to what is.
  @Test func aTensorAloneIsUniquelyReferenced() {
    var fresh = Self.counting([2, 3])
    let freshIsUnique = fresh.isUniquelyReferenced()
    #expect(freshIsUnique, "nobody else holds a fresh tensor")
    var copy = Self.counting([2, 3]).copy()
    let copyIsUnique = copy.isUniquelyReferenced()
    #expect(copyIsUnique, "a copy has memory of its own")
  }

  @Test func anotherViewOfTheMemoryEndsItsUniqueness() {
    var x = Self.counting([2, 3])
    let view = x.reshaped([6])
    let isUnique = x.isUniquelyReferenced()
    withExtendedLifetime(view) { #expect(!isUnique, "a view shares the memory") }
  }

  @Test func samplesAreAViewOfTheSameMemory() {
    let x = Self.counting([4, 2, 3])
    let middle = x.samples(1..<3)
    #expect(middle.shape == [2, 2, 3])
    #expect(middle.elements == (6..<18).map(Float.init))
    middle.fill(with: -1)
    #expect(x.elements[5...6] == [5, -1] && x.elements[17...18] == [-1, 18])
    #expect(x.samples(4..<4).count == 0, "an empty share has a shape and no elements")
  }

  @Test func aShapeReadsAsAMatrixAndAsSamples() {
    let shape: Shape = [5, 3, 2, 7]
    #expect(shape.rows == 30 && shape.channels == 7 && shape.positions == 6)
    #expect(Shape([4, 7]).positions == 1 && Shape([0, 7]).count == 0)
  }
}
