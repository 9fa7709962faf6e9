import LockstepAnalysis
import LockstepAutograd
import LockstepDatasets
import LockstepLayers
import LockstepNorms
import LockstepTensors

extension Claim {
  static let contrast = Claim(
    id: "contrast",
    statement: """
      Instance norm removes the contrast of an image, and adaptive instance norm gives the content \
      the style's mean and deviation in every channel.
      """,
    source: """
      Ulyanov, Vedaldi & Lempitsky, 2016, sections 1 and 2, https://arxiv.org/abs/1607.08022; Huang & \
      Belongie, 2017, eq. 8, https://arxiv.org/abs/1703.06868
      """,
    method: """
      The intensities of 128 digits are scaled by 0.5 to 2 and shifted by up to 1 deviation, each \
      image by its own numbers. Measured is how much the output of instance and of batch norm changes, on \
      the images themselves and after 8 random 3×3 filters, over 5 draws (ε 0). Then adaptive instance \
      norm (ε 1e-5) is applied to the filters' outputs, with the digits in reverse order as styles.
      """,
    rule: """
      Holds if in every draw instance norm's output changes by at most 0.01% and batch norm's by at \
      least 1%, on images and after filters without padding, and each channel's mean and deviation \
      under adaptive instance norm are the style's to 0.1% of the largest deviation. Does not hold if \
      the contrary of any of these is true in every draw; else undecided. Filters with padding do not \
      decide.
      """, minutes: 0.01
  ) { lab in
    let images = try ImageDataset.digits().test.batch(0..<128).input
    let draws = try lab.map(Array(1...lab.scaled(5))) { seed in
      var random = RandomStream(seed: UInt64(seed), site: .synthetic)
      let changed = images.copy()
      for sample in 0..<images.shape[0] {
        let (scale, shift) = (0.5 + 1.5 * random.uniform(), 2 * random.uniform() - 1)
        let image = changed.samples(sample..<sample + 1)
        image.write(image.elements.map { scale * $0 + shift })
      }
      let (valid, padded) = (Filters(padding: 0, &random), Filters(padding: 1, &random))
      let identity: (Tensor) throws -> Tensor = { $0 }
      var results: [Double] = []
      for filters in [identity, valid.apply, padded.apply] {
        for kind in [NormKind.instance, .batch] {
          results.append(
            relativeChange(
              of: try normalized(try filters(images), kind, epsilon: 0),
              to: try normalized(try filters(changed), kind, epsilon: 0)))
        }
      }
      let content = try valid.apply(images)
      let style = try valid.apply(
        Tensor(
          (0..<changed.shape[0]).reversed().flatMap { changed.samples($0..<$0 + 1).elements },
          shape: changed.shape))
      let mixed = AdaptiveInstanceNorm.forward(content, style: style, epsilon: 1e-5).y
      let (found, wanted) = (sampleMoments(mixed), sampleMoments(style))
      let largest = wanted.map(\.deviation).max() ?? 1
      for distance in [
        zip(found, wanted).map { abs($0.mean - $1.mean) },
        zip(found, wanted).map { abs($0.deviation - $1.deviation) },
      ] {
        results.append((distance.max() ?? 0) / largest)
      }
      return results
    }
    let names = [
      "instance, images", "batch, images", "instance, filters", "batch, filters",
      "instance, filters with padding", "batch, filters with padding",
      "adaptive instance, distance from the style's means",
      "adaptive instance, distance from the style's deviations",
    ]
    let columns = names.indices.map { i in draws.map { $0[i] } }
    func matches(_ distances: [Double]) -> Verdict {
      Verdict(allPositive: distances.map { 1e-3 - $0 })
    }
    return Outcome(
      Verdict(
        all: (0..<4).map { Verdict(invariant: $0 % 2 == 0, changes: columns[$0]) }
          + columns[6...].map(matches)),
      because: """
        instance norm's output changes by \(percent(100 * Figure("", columns[0]).value.median)) of its \
        largest value, and batch norm's by \
        \(percent(100 * Figure("", columns[1]).value.median)); after filters that pad the image with \
        zeros, a shift leaves edges, which instance norm does not remove
        """,
      zip(names, columns).map { Figure($0, $1.map { 100 * $0 }, unit: "%") })
  }
}

/// Eight random 3×3 filters over images of one channel.
private struct Filters {
  private let convolution: Convolution2D

  init(padding: Int, _ random: inout RandomStream) {
    convolution = Convolution2D(
      "filters", inputs: 1, outputs: 8, kernel: 3, stride: 1, padding: padding, using: &random)
  }

  func apply(_ x: Tensor) throws -> Tensor {
    let tape = Tape(.evaluation)
    return try convolution(tape.input(x), on: tape).value
  }
}

/// The moments of each channel of each sample.
private func sampleMoments(_ x: Tensor) -> [(mean: Double, deviation: Double)] {
  (0..<x.shape[0]).flatMap { columnMoments(x.samples($0..<$0 + 1)) }
}
