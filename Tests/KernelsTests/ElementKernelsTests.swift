import Glibc
import LockstepFloatLoops
import LockstepKernelLoops
import LockstepTensors
import LockstepVectors
import Testing

/// The loops on activations, in both precisions, of every instruction set, against the plain ones: every size
/// on both sides of a vector, none among them.
@Suite struct ElementKernelsTests {
  /// Numbers stored as `E`.
  private func numbers<E: KernelElement>(
    _ count: Int, mean: Float = 0, seed: UInt64, as _: E.Type
  ) -> [E] { random(count, mean: mean, seed: seed).map { E($0) } }

  private func results<E: KernelElement>(_ count: Int, as _: E.Type) -> [E] {
    room(count).map { E($0) }
  }

  /// A bfloat16 result may fall to the other side of a tie.
  private func tolerance<E: KernelElement>(_: E.Type) -> Double {
    E.self == Float.self ? 4e-6 : 1.0 / 128
  }

  private func expectSame<E: KernelElement>(
    _ found: [E], _ expected: [E], _ what: @autoclosure () -> String,
    factor: Double = 1
  ) {
    expectClose(
      found.map(\.float), expected.map(\.float), tolerance: factor * tolerance(E.self), what())
  }

  @Test(arguments: vectorTables)
  func elementLoopsMatchThePlainOnesInBothPrecisions(table: KernelTable) {
    elements(table.float32, reference.float32)
    elements(table.bfloat16, reference.bfloat16)
  }

  private func elements<E: KernelElement>(_ loops: ElementKernels<E>, _ plain: ElementKernels<E>) {
    for count in awkwardCounts {
      let a = numbers(count, seed: 1, as: E.self)
      let b = numbers(count, seed: 2, as: E.self)
      let g = numbers(count, seed: 3, as: E.self)
      let floats = random(count, seed: 4)
      func both(_ body: (ElementKernels<E>, inout [E]) -> Void, _ what: String) {
        var (found, expected) = (results(count, as: E.self), results(count, as: E.self))
        body(loops, &found)
        body(plain, &expected)
        expectSame(found, expected, "\(what) of \(count)")
      }
      both({ $0.add(a, b, count, &$1) }, "add")
      both({ $0.addFloats(a, floats, count, &$1) }, "addFloats")
      both({ $0.narrow(floats, count, &$1) }, "narrow")
      both({ $0.scale(a, 0.3, count, &$1) }, "scale")
      both({ $0.relu(a, count, &$1) }, "relu")
      both({ $0.reluGradient(a, g, count, &$1) }, "relu's gradient")
      both({ $0.gelu(a, count, &$1) }, "gelu")
      both({ $0.geluGradient(a, g, count, &$1) }, "gelu's gradient")
      both({ $0.geluTanh(a, count, &$1) }, "gelu-tanh")
      both({ $0.geluTanhGradient(a, g, count, &$1) }, "gelu-tanh's gradient")
      both({ $0.sigmoid(a, count, &$1) }, "sigmoid")
      both({ $0.sigmoidGradient(a, g, count, &$1) }, "sigmoid's gradient")
      both({ $0.swiGLU(a, b, count, &$1) }, "swiGLU")
      for first in [true, false] {
        both(
          {
            var other = results(count, as: E.self)
            if first {
              $0.swiGLUGradient(a, b, g, count, &$1, &other)
            } else {
              $0.swiGLUGradient(a, b, g, count, &other, &$1)
            }
          }, "swiGLU's gradient")
      }
      var (found, expected) = (floats + room(0), floats + room(0))
      loops.accumulate(a, count, &found)
      plain.accumulate(a, count, &expected)
      #expect(found == expected, "accumulate \(count)")
      loops.widen(a, count, &found)
      plain.widen(a, count, &expected)
      #expect(found == expected, "widen \(count)")
      expectClose(
        [loops.sumOfSquares(a, count)], [plain.sumOfSquares(a, count)], tolerance: 1e-12, "squares")
    }
  }

  @Test(arguments: vectorTables)
  func dynamicTanhMatchesThePlainLoopInBothPrecisions(table: KernelTable) {
    dynamicTanh(table.float32, reference.float32)
    dynamicTanh(table.bfloat16, reference.bfloat16)
  }

  @Test(arguments: vectorTables)
  func dynamicTanhKeepsItsDigitsNearZero(table: KernelTable) {
    let x: [Float] = [
      1e-6, -1e-5, 1e-4, -1e-3, 1e-2, 0.1, 0.38, 0.4, -0.7, 1, 2, 9, 0, -20, 3, 0.2, 0.3,
    ]
    let (gain, bias) = (
      [Float](repeating: 1, count: x.count), [Float](repeating: 0, count: x.count)
    )
    var y = room(x.count)
    table.float32.dynamicTanh(x, 1, x.count, 0.9, gain, bias, &y)
    for (input, output) in zip(x, y) {
      let expected = tanh(0.9 * Double(input))
      #expect(abs(Double(output) - expected) <= 3e-7 * abs(expected), "tanh(0.9 · \(input))")
    }
  }

  private func dynamicTanh<E: KernelElement>(
    _ loops: ElementKernels<E>, _ plain: ElementKernels<E>
  ) {
    for width in [1, 15, 16, 17, 33, 64] {
      for rows in [0, 1, 3, 70] {
        let name = "[\(rows), \(width)]"
        let x = numbers(rows * width, seed: 1, as: E.self)
        let dy = numbers(rows * width, seed: 2, as: E.self)
        let (gain, bias) = (random(width, seed: 3), random(width, seed: 4))
        func forward(_ loops: ElementKernels<E>) -> [E] {
          var y = results(rows * width, as: E.self)
          loops.dynamicTanh(x, rows, width, 0.7, gain, bias, &y)
          return y
        }
        expectSame(forward(loops), forward(plain), "y of \(name)")
        func backward(_ loops: ElementKernels<E>) -> (dx: [E], sums: [Double]) {
          var dx = results(rows * width, as: E.self)
          var sums = [Double](repeating: 0, count: 2 * width)
          var scratch = room(2 * width)
          let slope = loops.dynamicTanhGradient(
            x, dy, rows, width, 0.7, gain, &dx, &sums, &scratch)
          return (dx, sums + [slope])
        }
        let (found, expected) = (backward(loops), backward(plain))
        expectSame(found.dx, expected.dx, "dx of \(name)")
        expectClose(found.sums, expected.sums, tolerance: 2e-5, "sums of \(name)")
      }
    }
  }

  @Test(arguments: vectorTables)
  func stridedRowsMatchThePlainLoopsInBothPrecisions(table: KernelTable) {
    stridedRows(table.float32, reference.float32)
    stridedRows(table.bfloat16, reference.bfloat16)
  }

  private func stridedRows<E: KernelElement>(
    _ loops: ElementKernels<E>, _ plain: ElementKernels<E>
  ) {
    for size in [1, 15, 16, 17, 32, 50] {
      for rows in [0, 1, 3] {
        let (stride, name) = (size + 5, "[\(rows), \(size)]")
        let a = numbers(rows * stride, seed: 1, as: E.self)
        let b = numbers(rows * stride, seed: 2, as: E.self)
        let (floats, factors) = (random(rows * size, seed: 3), random(rows, seed: 4))
        var (found, expected) = (room(rows), room(rows))
        loops.rowDots(a, stride, b, stride, rows, size, &found)
        plain.rowDots(a, stride, b, stride, rows, size, &expected)
        expectClose(found, expected, tolerance: 1e-5, "dots of \(name)")
        var (wide, expectedWide) = (room(rows * size), room(rows * size))
        loops.widenRows(a, stride, rows, size, &wide)
        plain.widenRows(a, stride, rows, size, &expectedWide)
        #expect(wide == expectedWide, "widened \(name)")
        var narrow = results(rows * stride, as: E.self)
        var expectedNarrow = narrow
        loops.narrowRows(floats, factors, rows, size, &narrow, stride)
        plain.narrowRows(floats, factors, rows, size, &expectedNarrow, stride)
        #expect(narrow.map(\.float) == expectedNarrow.map(\.float), "narrowed \(name)")
      }
    }
  }

  @Test(arguments: vectorTables)
  func bfloat16RoundsToTheNearestAndKeepsNotANumber(table: KernelTable) {
    // Below, at and above ties of both parities, the largest float, infinities and NaN with low bits alone.
    let bits: [UInt32] = [
      0x3f80_7fff, 0x3f80_8000, 0x3f80_8001, 0x3f81_7fff, 0x3f81_8000, 0x3f81_8001, 0x7f7f_ffff,
      0x7f80_0000, 0xff80_0000, 0x7f80_0001, 0xff80_0001, 0x7fff_ffff, 0x0000_8000, 0x0000_0001,
      0x8000_0000, 0x7f7f_7fff,
    ]
    let expected: [UInt16?] = [
      0x3f80, 0x3f80, 0x3f81, 0x3f81, 0x3f82, 0x3f82, 0x7f80, 0x7f80, 0xff80, nil, nil, nil, 0,
      0, 0x8000, 0x7f7f,
    ]
    var found = [BFloat16](repeating: BFloat16(0), count: 17)
    table.bfloat16.narrow(bits.map { Float(bitPattern: $0) } + [1], 17, &found)
    for (i, (narrow, bits)) in zip(found, expected).enumerated() {
      #expect(bits == nil ? narrow.float.isNaN : narrow.bitPattern == bits, "case \(i)")
    }
    let alone = bits.map { BFloat16(Float(bitPattern: $0)) }
    #expect(alone.map(\.bitPattern) == found.dropLast().map(\.bitPattern), "one at a time")
    #expect(found[16].float == 1)
    // The processor's instruction takes numbers below the least normal one for 0.
    var small = [BFloat16](repeating: BFloat16(1), count: 16)
    table.bfloat16.narrow([Float](repeating: Float(bitPattern: 0x0001_8000), count: 16), 16, &small)
    #expect(small.allSatisfy { $0.bitPattern == 2 || $0.bitPattern == 0 })
  }

  // MARK: norms

  /// One norm's loops with and without what follows them.
  private struct Passes<E: KernelElement> {
    /// y, from x and what follows.
    let forward: ([E], Epilogue<E>, inout [E]) -> Void
    /// dx and sums, from x, dy and what passes.
    let backward: ([E], [E], EpilogueGradient<E>, inout [E]) -> [Double]
  }

  private func passes<E: KernelElement>(
    _ loops: ElementKernels<E>, samples: Int, positions: Int, channels: Int
  ) -> [(String, Passes<E>)] {
    let rows = samples * positions
    let gain = random(channels, mean: 1, seed: 11)
    let bias = random(channels, seed: 12)
    let (center, offset) = (
      random(channels, seed: 13), random(channels, seed: 14).map { $0 * 1e-4 }
    )
    let inverse = random(channels, seed: 15)
    let shape = GroupShape(
      samples: samples, positions: positions, channels: channels, groups: channels % 2 == 0 ? 2 : 1)
    var saved = room(4 * rows)
    var unitSaved = sums(2 * rows)
    var centers = room(2 * samples * channels)
    var inverses = sums(samples * shape.groups)
    let rule = RowRule(epsilon: 1e-3)
    func row(_ centred: Bool) -> Passes<E> {
      Passes(
        forward: { x, epilogue, y in
          var scratch = room(512)
          (centred ? loops.layerNormalize : loops.rmsNormalize)(
            x, rows, channels, 1, gain, bias, rule, epilogue, &y, &saved, &scratch)
        },
        backward: { x, dy, epilogue, dx in
          var (all, scratch) = (sums(2 * channels), room(2 * channels + 528))
          (centred ? loops.layerGradient : loops.rmsGradient)(
            x, dy, rows, channels, 1, gain, saved, epilogue, &dx, &all, &scratch)
          return all
        })
    }
    return [
      ("layer", row(true)), ("rms", row(false)),
      (
        "column",
        Passes(
          forward: {
            loops.columnNormalize($0, rows, channels, center, offset, gain, bias, $1, &$2)
          },
          backward: { x, dy, epilogue, dx in
            var all = sums(2 * channels)
            loops.columnGradientSums(x, dy, rows, channels, center, offset, epilogue, &all)
            dy.withUnsafeBufferPointer {
              guard let base = $0.baseAddress else { return }
              loops.columnGradient(
                x, epilogue.second(base), rows, channels, center, offset, inverse, gain, bias, gain,
                &dx)
            }
            return all
          })
      ),
      (
        "group",
        Passes(
          forward: { x, epilogue, y in
            var scratch = sums(4 * channels)
            loops.groupNormalize(
              x, shape, gain, bias, 1e-3, epilogue, &y, &centers, &inverses, &scratch)
          },
          backward: { x, dy, epilogue, dx in
            var (all, scratch) = (sums(2 * channels), sums(4 * channels))
            loops.groupGradient(
              x, dy, shape, gain, centers, &inverses, epilogue, &dx, &all, &scratch)
            return all
          })
      ),
      (
        "unit",
        Passes(
          forward: { x, epilogue, y in
            loops.unitRows(x, rows, channels, gain, channels, 1e-3, epilogue, &y, &unitSaved)
          },
          backward: { x, dy, epilogue, dx in
            var all = sums(channels)
            loops.unitRowsGradient(
              x, dy, rows, channels, gain, channels, &unitSaved, epilogue, &dx, &all)
            return all
          })
      ),
    ]
  }

  /// Samples, positions and channels.
  private static let shapes = [
    (0, 4, 16), (1, 2, 1), (2, 3, 15), (3, 4, 16), (2, 8, 17), (4, 9, 32), (2, 33, 48), (1, 5, 130),
  ]

  /// Whether something is added, whether the sum is rectified, and whether a mask tells the backward pass where.
  private static let epilogues = [
    (false, false, false), (true, false, false), (false, true, false), (true, true, false),
    (false, true, true), (true, true, true),
  ]

  /// The bits of where `y` is above 0, and one word more.
  private static func mask<E: KernelElement>(of y: [E], _ count: Int) -> [MaskWord] {
    var words = [MaskWord](repeating: 0, count: count / 16) + [0xffff]
    for i in 0..<count / 16 * 16 where y[i].float > 0 { words[i / 16] |= 1 << MaskWord(i % 16) }
    return words
  }

  @Test(arguments: vectorTables)
  func normsMatchThePlainLoopsWithWhatFollowsThemInBothPrecisions(table: KernelTable) {
    norms(table.float32, reference.float32)
    norms(table.bfloat16, reference.bfloat16)
  }

  private func norms<E: KernelElement>(_ loops: ElementKernels<E>, _ plain: ElementKernels<E>) {
    for (samples, positions, channels) in Self.shapes {
      let count = samples * positions * channels
      let x = numbers(count, mean: 2, seed: 1, as: E.self)
      let dy = numbers(count, seed: 2, as: E.self)
      let residual = numbers(count, seed: 3, as: E.self)
      let addend = numbers(count, seed: 4, as: E.self)
      let all = passes(loops, samples: samples, positions: positions, channels: channels)
      let expected = passes(plain, samples: samples, positions: positions, channels: channels)
      for ((name, a), (_, b)) in zip(all, expected) where name != "unit" || channels > 1 {
        for (adds, rectifies, masks) in Self.epilogues where !masks || channels % 16 == 0 {
          let what =
            "\(name) of [\(samples), \(positions), \(channels)], \(adds), \(rectifies), \(masks)"
          func run(_ passes: Passes<E>, output: [E]?) -> (y: [E], passed: [E], dx: [E], [Double]) {
            var (y, passed) = (results(count, as: E.self), results(count, as: E.self))
            var dx = results(count, as: E.self)
            var sums: [Double] = []
            // Bits that are set from before have to be cleared, and words past the end stay.
            var words = [MaskWord](repeating: 0xffff, count: count / 16 + 1)
            words.withUnsafeMutableBufferPointer { words in
              (residual + [E(0)]).withUnsafeBufferPointer {
                passes.forward(
                  x,
                  Epilogue(
                    residual: address($0), adds: adds, rectifies: rectifies,
                    mask: masks ? address(words) : nil), &y)
              }
            }
            if masks {
              #expect(words == Self.mask(of: y, count), "the mask of \(what)")
            }
            // Both mask by one output: rounding may put an element near 0 on either side.
            words = Self.mask(of: output ?? y, count)
            let unread = [E](repeating: E(0), count: y.count)
            (masks ? unread : output ?? y).withUnsafeBufferPointer { y in
              (addend + [E(0)]).withUnsafeBufferPointer { addend in
                passed.withUnsafeMutableBufferPointer { passed in
                  words.withUnsafeBufferPointer { words in
                    sums = passes.backward(
                      x, dy,
                      EpilogueGradient(
                        addend: address(addend), adds: adds, output: address(y),
                        mask: masks ? address(words) : nil, masks: rectifies,
                        passed: address(passed)),
                      &dx)
                  }
                }
              }
            }
            return (y, passed, dx, sums)
          }
          let right = run(b, output: nil)
          let found = run(a, output: right.y)
          expectSame(found.y, right.y, "y of \(what)", factor: 3)
          expectSame(found.dx, right.dx, "dx of \(what)", factor: 8)
          #expect(found.passed.map(\.float) == right.passed.map(\.float), "what passes of \(what)")
          expectClose(
            found.3, right.3, tolerance: E.self == Float.self ? 3e-5 : 1e-4, "sums of \(what)")
        }
      }
    }
  }

  /// In float32 one pass gives the bits of three.
  @Test(arguments: [reference] + vectorTables)
  func fusedPassesGiveTheBitsOfSeparateOnes(table: KernelTable) {
    let loops = table.float32
    for (samples, positions, channels) in Self.shapes where samples > 0 {
      let count = samples * positions * channels
      let (x, dy) = (random(count, mean: 2, seed: 1), random(count, seed: 2))
      let (residual, addend) = (random(count, seed: 3), random(count, seed: 4))
      for (name, norm) in passes(loops, samples: samples, positions: positions, channels: channels)
      {
        var (fused, separate, sum, y) = (room(count), room(count), room(count), room(count))
        residual.withUnsafeBufferPointer {
          norm.forward(x, Epilogue(residual: address($0), adds: true, rectifies: true), &fused)
        }
        norm.forward(x, .none, &separate)
        loops.add(separate, residual, count, &sum)
        loops.relu(sum, count, &y)
        let what = "\(name) of [\(samples), \(positions), \(channels)]"
        #expect(fused[..<count] == y[..<count], "y of \(what)")
        var (passed, fusedDx, dx, masked) = (room(count), room(count), room(count), room(count))
        var fusedSums: [Double] = []
        fused.withUnsafeBufferPointer { y in
          addend.withUnsafeBufferPointer { addend in
            passed.withUnsafeMutableBufferPointer {
              fusedSums = norm.backward(
                x, dy,
                EpilogueGradient(
                  addend: address(addend), adds: true, output: address(y), masks: true,
                  passed: address($0)),
                &fusedDx)
            }
          }
        }
        loops.add(dy, addend, count, &sum)
        loops.reluGradient(y, sum, count, &masked)
        let separateSums = norm.backward(x, Array(masked[..<count]), .none, &dx)
        #expect(fusedDx[..<count] == dx[..<count], "dx of \(what)")
        #expect(passed[..<count] == masked[..<count], "what passes of \(what)")
        #expect(fusedSums == separateSums, "sums of \(what)")
      }
    }
  }
}
