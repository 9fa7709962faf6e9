import Lockstep

/// Each row divided by its largest magnitude: y = γ · x / (max |x| + ε).
struct MaximumNorm: Norm {
  static let kind: NormKind = "maximum"
  static let statistics = NormStatistics.channels
  static let settings: [any NormSettingDescription] = [NormSetting<Double>.epsilon]

  let name: LayerName
  let affine: Affine
  let epsilon: Float
  var parameters: [Parameter] { affine.parameters }

  init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
    (name, affine) = (site.layerName, Affine(site, hasBias: false))
    epsilon = Float(settings.epsilon)
  }

  func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
    let (input, width, gain) = (x.value.elements, x.value.shape.channels, affine.gainValue.elements)
    let rows = stride(from: 0, to: input.count, by: width).map { $0..<$0 + width }
    let largest = rows.map { row in row.max { abs(input[$0]) < abs(input[$1]) } ?? row.lowerBound }
    let sizes = largest.map { abs(input[$0]) + epsilon }
    var y = input
    for (row, size) in zip(rows, sizes) {
      for i in row { y[i] = gain[i % width] * input[i] / size }
    }
    return tape.record(
      Tensor(y, shape: x.value.shape), by: name, uses: parameters,
      inputPullback: { [affine, shape = x.value.shape, gradient = x.gradient] dy, _ in
        let dy = dy.elements
        var (dx, dgain) = (dy, [Double](repeating: 0, count: width))
        for (index, row) in rows.enumerated() {
          let (size, most) = (sizes[index], largest[index])
          var pull: Float = 0
          for i in row {
            dx[i] = dy[i] * gain[i % width] / size
            pull += dx[i] * input[i] / size
            dgain[i % width] += Double(dy[i] * input[i] / size)
          }
          dx[most] -= input[most] < 0 ? -pull : pull
        }
        affine.gain?.contribute(dgain[...])
        gradient?.add(Tensor(dx, shape: shape))
      })
  }
}

LockstepCommand.main(norms: [MaximumNorm.self])
