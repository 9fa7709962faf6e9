import LockstepAutograd
import LockstepLayers
import LockstepTensors
import Testing

@Suite struct TapeTests {
  private static func linear(_ name: String, _ inputs: Int = 4, _ outputs: Int = 4) -> Linear {
    var initial = stream()
    return Linear(name, inputs: inputs, outputs: outputs, using: &initial)
  }

  @Test func aSharedParameterIsReadyOnceAfterItsLastUse() throws {
    let (shared, last) = (Self.linear("shared"), Self.linear("last"))
    let tape = Tape(.training)
    var ready: [String] = []
    var gradients: [String: [Float]] = [:]
    let x = tape.input(random([2, 4]))
    let y = try last(shared(shared(x, on: tape), on: tape), on: tape)
    try tape.backward(from: y.gradient, seed: random([2, 4], seed: 2)) {
      ready.append($0.name)
      gradients[$0.name] = $0.gradient.elements
    }
    #expect(ready == ["last.weight", "last.bias", "shared.weight", "shared.bias"])
    for parameter in shared.parameters + last.parameters {
      #expect(
        gradients[parameter.name] == parameter.gradient.elements,
        "\(parameter.name) changed after it was ready")
    }
  }

  @Test func aSharedParametersGradientIsTheSumOfItsUses() throws {
    let shared = Self.linear("shared")
    try expectGradients(
      of: { x, tape in
        try shared(Activation.gelu(shared(x, on: tape), on: tape), on: tape)
      }, at: random([2, 4]), parameters: shared.parameters)
  }

  /// The contract of `mayOverwrite`, as an entry sees it.
  @Test func dyIsOverwrittenOnlyWhereNobodyElseHoldsIt() throws {
    /// What the pullback of an entry is told when dy reaches it through `path`.
    func isTold(
      seed: () -> Tensor, through path: (Tape, Variable) -> Variable
    ) throws -> [Bool] {
      var told: [Bool] = []
      let tape = Tape(.training)
      let x = tape.record(
        random([2, 3]), inputPullback: { _, backward in told.append(backward.mayOverwrite) })
      try tape.backward(from: path(tape, x).gradient, seed: seed())
      return told
    }
    let seed = random([2, 3], seed: 2)
    let (held, view) = try withExtendedLifetime(seed) {
      (try isTold(seed: { seed }) { $1 }, try isTold(seed: { seed }) { Flatten()($1, on: $0) })
    }
    #expect(held == [false], "the seed is held outside the tape")
    #expect(view == [false], "a view of a tensor that is held is held")
    let alone = try isTold(seed: seed.copy) { $1 }
    #expect(alone == [true], "nobody holds it")
    let relu = try isTold(seed: { seed }) { Activation.relu($1, on: $0) }
    #expect(relu == [true], "a layer's dx is its input's alone")
    let other = Probe()
    let branch = try isTold(seed: seed.copy) { tape, x in
      let before = other.input(random([2, 3]), on: tape)
      return tape.add(x, before)
    }
    #expect(branch == [true], "the branch that comes first has let go of it")
  }

  @Test func aBranchThatStillWaitsKeepsItsDy() throws {
    let tape = Tape(.training)
    var told: [String: Bool] = [:]
    var kept: [Float] = []
    let a = tape.record(
      random([2, 3]),
      inputPullback: { dy, backward in
        told["a"] = backward.mayOverwrite
        kept = dy.elements
      })
    let b = tape.record(
      random([2, 3]),
      inputPullback: { dy, backward in
        told["b"] = backward.mayOverwrite
        if backward.mayOverwrite { dy.fill(with: -1) }
      })
    let seed = random([2, 3], seed: 2)
    try tape.backward(from: tape.add(a, b).gradient, seed: seed.copy())
    #expect(told == ["b": false, "a": true], "b runs first, while a waits for the same memory")
    #expect(kept == seed.elements)
  }

  /// Three uses: what came last is handed over apart from the sum of the others.
  @Test func anEntryThatAddsGradientsIsHandedTwoTerms() throws {
    let terms = (0..<3).map { random([2, 3], seed: UInt64(2 + $0)) }
    for adds in [false, true] {
      let tape = Tape(.training)
      var seen: [[Float]] = []
      var told: [Bool] = []
      let x = tape.record(
        random([2, 3]),
        inputPullback: { dy, backward in
          seen = [dy.elements] + [backward.addend].compactMap { $0?.elements }
          told = [backward.mayOverwrite, backward.mayOverwriteAddend]
        }, addsGradients: adds)
      let end = tape.record(
        x.value,
        inputPullback: { [gradient = x.gradient] _, _ in
          for term in terms.dropLast() { gradient?.add(term) }
          gradient?.add(terms[2].copy())
        })
      try tape.backward(from: end.gradient, seed: random([2, 3]))
      let two = zip(terms[0].elements, terms[1].elements).map { $0 + $1 }
      let last = terms[2].elements
      #expect(seen == (adds ? [two, last] : [zip(two, last).map { $0 + $1 }]))
      #expect(told == [true, adds], "the sum and the copy are the tape's own")
    }
  }

  @Test func dyIsNotOverwrittenWhereTheWeightsStillNeedIt() throws {
    let tape = Tape(.training)
    var told: [Bool] = []
    var seen: [Float] = []
    let y = tape.record(
      random([2, 3]), inputPullback: { _, backward in told.append(backward.mayOverwrite) },
      weightPullback: { dy in seen = dy.elements })
    let seed = random([2, 3], seed: 2)
    try tape.backward(from: y.gradient, seed: seed.copy())
    #expect(told == [false] && seen == seed.elements)
  }

  /// A stack of layers with weights, each under one that waits for ranks; what happens in `backward`.
  private func backward(layers: Int, deferring: Bool, shared: Parameter? = nil) throws -> [String] {
    let tape = Tape(.training, defersWeightGradients: deferring)
    var order: [String] = []
    var x = tape.input(random([2, 3]), wantsGradient: true)
    for layer in 1...layers {
      let (below, isEnd) = (x.gradient, layer == 1 || layer == layers)
      let waits = tape.record(
        random([2, 3]),
        inputPullback: { dy, backward in
          order.append("begin \(layer)")
          try backward.computeDeferred { order.append("poll") }
          order.append("wait \(layer)")
          below?.add(dy)
        }, waitsForRanks: true)
      x = tape.record(
        random([2, 3]), uses: isEnd ? [shared].compactMap(\.self) : [],
        inputPullback: { dy, _ in
          order.append("input \(layer)")
          waits.gradient?.add(dy)
        },
        weightPullback: { _ in order.append("weight \(layer)") },
        mayDefer: shared == nil || layer > 1)
    }
    try tape.backward(from: x.gradient, seed: random([2, 3], seed: 2))
    return order
  }

  @Test func weightGradientsArePutOffUntilALayerWaitsForRanks() throws {
    #expect(
      try backward(layers: 2, deferring: true)
        == [
          "input 2", "begin 2", "poll", "weight 2", "wait 2",
          "input 1", "begin 1", "poll", "weight 1", "wait 1",
        ])
  }

  @Test func weightGradientsAreComputedAtOnceWhereNothingIsPutOff() throws {
    #expect(
      try backward(layers: 2, deferring: false)
        == [
          "input 2", "weight 2", "begin 2", "wait 2", "input 1", "weight 1", "begin 1", "wait 1",
        ])
  }

  @Test func aSharedWeightsGradientIsSummedInOneOrder() throws {
    let shared = Parameter("shared", random([2]))
    for deferring in [false, true] {
      let order = try backward(layers: 4, deferring: deferring, shared: shared)
      #expect(
        order.filter { $0 == "weight 4" || $0 == "weight 1" } == ["weight 4", "weight 1"])
    }
  }

  @Test func whatWasPutOffIsComputedEvenIfNoGradientReachesTheLayerThatWaits() throws {
    let tape = Tape(.training, defersWeightGradients: true)
    var computed = false
    _ = tape.record(
      random([2, 3]), inputPullback: { _, _ in Issue.record("no gradient reaches it") },
      waitsForRanks: true)
    let y = tape.record(
      random([2, 3]), inputPullback: { _, _ in },
      weightPullback: { _ in computed = true })
    try tape.backward(from: y.gradient, seed: random([2, 3], seed: 2))
    #expect(computed)
  }

  @Test func aUseThatNoGradientReachesStillMakesItsParameterReady() throws {
    let (used, unused) = (Self.linear("used"), Self.linear("unused"))
    let tape = Tape(.training)
    var ready: [String] = []
    let x = tape.input(random([2, 4]))
    let y = try used(x, on: tape)
    _ = try unused(y, on: tape)
    try tape.backward(from: y.gradient, seed: random([2, 4])) { ready.append($0.name) }
    #expect(ready == ["unused.weight", "unused.bias", "used.weight", "used.bias"])
    #expect(unused.parameters.allSatisfy { !$0.hasGradient })
    for parameter in unused.parameters {
      parameter.completeGradient()
      #expect(parameter.gradient.elements.allSatisfy { $0 == 0 })
    }
  }

  @Test func gradientsAddUpUntilTheyAreCleared() throws {
    let layer = Self.linear("fc")
    let x = random([2, 4])
    func backward() throws {
      let tape = Tape(.training)
      let y = try layer(tape.input(x), on: tape)
      try tape.backward(from: y.gradient, seed: random([2, 4], seed: 2))
    }
    let parameter = layer.parameters[0]
    try backward()
    let once = parameter.gradient.elements
    try backward()
    for (twice, single) in zip(parameter.gradient.elements, once) {
      #expect(abs(twice - 2 * single) < 1e-5)
    }
    parameter.clearGradient()
    try backward()
    #expect(parameter.gradient.elements == once, "the next contribution overwrites")
  }

  @Test func evaluationRecordsNothing() throws {
    let layer = Self.linear("fc")
    let tape = Tape(.evaluation)
    let y = try layer(tape.input(random([2, 4]), wantsGradient: true), on: tape)
    #expect(y.gradient == nil)
    try tape.backward(from: y.gradient, seed: random([2, 4]))
    #expect(layer.parameters.allSatisfy { !$0.hasGradient })
  }

  /// A rank with an empty share runs the same tape.
  @Test func aBatchOfNoRowsRunsForwardAndBackward() throws {
    var initial = stream()
    let convolution = Convolution2D(
      "conv", inputs: 3, outputs: 4, kernel: 3, stride: 2, padding: 1, using: &initial)
    let linear = Self.linear("fc", 4, 5)
    let (tape, probe) = (Tape(.training), Probe())
    var ready = 0
    let x = probe.input(Tensor([], shape: [0, 8, 8, 3]), on: tape)
    var y = Activation.gelu(try convolution(x, on: tape), on: tape)
    y = tape.add(y, Activation.relu(y, on: tape))
    y = Flatten()(GlobalAveragePool()(y, on: tape), on: tape)
    let logits = try linear(y, on: tape)
    #expect(logits.value.shape == [0, 5])
    let loss = CrossEntropyLoss(logits, labels: Storage([]))
    #expect(loss.sum == 0 && loss.correct == 0)
    try loss.backward(weight: 1, on: tape) { _ in ready += 1 }
    #expect(probe.gradient?.shape == [0, 8, 8, 3] && ready == 3)
    for parameter in convolution.parameters + linear.parameters {
      #expect(parameter.gradient.elements.allSatisfy { $0 == 0 }, "\(parameter.name)")
    }
  }
}
