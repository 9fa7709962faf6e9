import Lockstep

/// Rows divided by their mean magnitude: y = γ · x / (mean |x| + ε).
struct MeanMagnitudeNorm: Norm {
  static let kind: NormKind = "mine"
  static let statistics = NormStatistics.channels
  static let power = NormSetting("power", default: 1.0, in: 0.5...2)
  static let settings: [any NormSettingDescription] = [NormSetting<Double>.epsilon, power]

  private let name: LayerName
  private let affine: Affine
  private let epsilon: Float
  private let power: Float
  var parameters: [Parameter] { affine.parameters }

  init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
    (name, affine) = (site.layerName, Affine(site, hasBias: false))
    (epsilon, power) = (Float(settings.epsilon), Float(settings[Self.power]))
  }

  func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
    let (input, width, gain) = (x.value.elements, x.value.shape.channels, affine.gainValue.elements)
    let rows = stride(from: 0, to: input.count, by: width).map { $0..<$0 + width }
    let sizes = rows.map { row in
      power * row.reduce(0) { $0 + abs(input[$1]) } / Float(width) + epsilon
    }
    var y = input
    for (row, size) in zip(rows, sizes) {
      for i in row { y[i] = gain[i % width] * input[i] / size }
    }
    return tape.record(
      Tensor(y, shape: x.value.shape), by: name, uses: parameters,
      inputPullback: { [affine, power, shape = x.value.shape, gradient = x.gradient] dy, _ in
        let dy = dy.elements
        var (dx, dgain) = (dy, [Double](repeating: 0, count: width))
        for (row, size) in zip(rows, sizes) {
          let pull = row.reduce(0) { $0 + dy[$1] * gain[$1 % width] * input[$1] } / (size * size)
          for i in row {
            let sign: Float = input[i] == 0 ? 0 : input[i] > 0 ? 1 : -1
            dx[i] = dy[i] * gain[i % width] / size - pull * power * sign / Float(width)
            dgain[i % width] += Double(dy[i] * input[i] / size)
          }
        }
        affine.gain?.contribute(dgain[...])
        gradient?.add(Tensor(dx, shape: shape))
      })
  }
}

LockstepCommand.main(norms: NormRegistry.builtIn + [MeanMagnitudeNorm.self])
