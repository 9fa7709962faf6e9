import LockstepAutograd
import LockstepCollectives
import LockstepFiles
import LockstepKernels
import LockstepNorms
import LockstepTensors
import Testing

/// A norm that this package does not have, in one file: y = x · γ.
private struct GainAlone: Norm {
  static let kind: NormKind = "gain-alone"
  static let statistics = NormStatistics.none
  static let strength = NormSetting("strength", default: 0.5, in: 0...1)
  static let settings: [any NormSettingDescription] = [strength, NormSetting<Double>.epsilon]

  static func problem(at site: NormSite, _ settings: NormSettings) -> NormProblem? {
    site.channels > 100 ? NormProblem("strength is too little", setting: "strength") : nil
  }

  let affine: Affine
  let name: LayerName
  var parameters: [Parameter] { affine.parameters }

  init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
    (affine, name) = (Affine(site, hasBias: false), site.layerName)
  }

  func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
    let y = Tensor.uninitialized(x.value.shape)
    let center = ColumnCenter([Double](repeating: 0, count: x.value.shape.channels))
    Kernel.columnNormalize(
      x.value, center, scale: affine.gainValue, bias: affine.biasValue, into: y)
    return tape.record(y, by: name, uses: parameters, inputPullback: { _, _ in })
  }
}

/// The same name once more.
private struct OtherGainAlone: Norm {
  static let kind: NormKind = "layer"
  static let statistics = NormStatistics.none
  init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {}
  func callAsFunction(_ x: Variable, on tape: Tape) -> Variable { x }
}

/// A setting of a name that means something else already.
private struct WrongSetting: Norm {
  static let kind: NormKind = "wrong-setting"
  static let statistics = NormStatistics.none
  static let settings: [any NormSettingDescription] = [
    NormSetting("epsilon", default: 7, in: 1...9)
  ]
  init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {}
  func callAsFunction(_ x: Variable, on tape: Tape) -> Variable { x }
}

/// A setting of a known name and range whose default is another.
private struct OtherDefault: Norm {
  static let kind: NormKind = "other-default"
  static let statistics = NormStatistics.none
  static let settings: [any NormSettingDescription] = [
    NormSetting("epsilon", default: 1e-6, in: 0...1)
  ]
  init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {}
  func callAsFunction(_ x: Variable, on tape: Tape) -> Variable { x }
}

/// A setting of a known name and range whose type is another: null is no value of it.
private struct OtherType: Norm {
  static let kind: NormKind = "other-type"
  static let statistics = NormStatistics.none
  static let settings: [any NormSettingDescription] = [
    NormSetting("momentum", default: 0.1, in: 0...1)
  ]
  init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {}
  func callAsFunction(_ x: Variable, on tape: Tape) -> Variable { x }
}

/// A name that no list with commas can hold.
private struct WrongName: Norm {
  static let kind: NormKind = "a,b"
  static let statistics = NormStatistics.none
  init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {}
  func callAsFunction(_ x: Variable, on tape: Tape) -> Variable { x }
}

@Suite struct NormRegistryTests {
  @Test func aNormOfOnesOwnIsMadeByItsNameAndItsSettings() throws {
    if NormRegistry[GainAlone.kind] == nil { try NormRegistry.register(GainAlone.self) }
    #expect(NormRegistry.names.last == "gain-alone")
    #expect(NormRegistry.settings.count { $0.name == "epsilon" } == 1)
    var settings = NormSettings("gain-alone")
    #expect(settings[GainAlone.strength] == 0.5)
    #expect(GainAlone.strength.store("0.25", in: &settings))
    #expect(settings[GainAlone.strength] == 0.25 && GainAlone.strength.text(in: settings) == "0.25")
    #expect(!GainAlone.strength.store("2", in: &settings), "out of its range")
    #expect(!GainAlone.strength.store("little", in: &settings))
    #expect(settings[GainAlone.strength] == 0.25, "a wrong value changes nothing")
    let layer = makeNorm(NormSite("norm", channels: 3), settings)
    let tape = Tape(.training)
    let y = try layer(tape.input(Tensor([1, 2, 3], shape: [1, 3])), on: tape)
    #expect(y.value.elements == [1, 2, 3])
    #expect(layer.parameters.map(\.name) == ["norm.weight"])
    #expect(settings.norm.problem(at: NormSite("norm", channels: 101), settings) != nil)
  }

  @Test func aNameIsRegisteredOnce() {
    #expect(throws: NormRegistryError.self) { try NormRegistry.register(OtherGainAlone.self) }
    let error = #expect(throws: NormRegistryError.self) {
      try NormRegistry.register(OtherGainAlone.self)
    }
    #expect(error?.description.contains("\"layer\" is registered twice") == true)
    #expect(error?.isSharedByAllRanks == true && error?.exitStatus == 2)
  }

  @Test func aSettingMeansTheSameToAllNorms() {
    let error = #expect(throws: NormRegistryError.self) {
      try NormRegistry.register(WrongSetting.self)
    }
    #expect(error?.description.contains("\"epsilon\"") == true)
    #expect(throws: NormRegistryError.self) { try NormRegistry.register(OtherDefault.self) }
    #expect(throws: NormRegistryError.self) { try NormRegistry.register(OtherType.self) }
  }

  @Test func whatSynchronizesIsListedAsCommunicating() {
    for norm in NormRegistry.builtIn {
      #expect((norm.traffic != .nothing) == norm.synchronizes(NormSettings(norm.kind)))
    }
    #expect(NormRegistry.namesByTraffic.contains("twice a layer a step: sync-batch; "))
  }

  @Test func aNameIsOneWord() {
    #expect(throws: NormRegistryError.self) { try NormRegistry.register(WrongName.self) }
  }

  @Test func everySettingSurvivesItsWayAsText() {
    var settings = NormSettings(.batch)
    settings.momentum = nil
    settings.epsilon = 1.0 / 3
    settings.statisticsGroup = .ranks(4)
    settings.merge = .welford
    settings.overlap = .off
    settings.maximumScale = 1e300
    var back = NormSettings(.batch)
    for setting in NormRegistry.settings {
      let text = setting.text(in: settings)
      #expect(setting.store(text == "null" ? nil : text, in: &back), "\(setting.name)")
    }
    #expect(back == settings)
  }

  @Test func aDefaultThatIsSpeltOutIsNoDifference() {
    var settings = NormSettings(.layer)
    settings.epsilon = 1e-5
    #expect(settings == NormSettings(.layer))
  }

  @Test func aMergeIsChosenOnlyForNormsThatHaveTheChoice() {
    #expect(NormSettings(.syncBatch).chosenMerge == .shiftedMoments)
    #expect(NormSettings(.whitening).synchronizes && NormSettings(.whitening).chosenMerge == nil)
    #expect(NormSettings(.layer).chosenMerge == nil)
  }
}
