import LockstepAutograd
public import LockstepLayers
import LockstepTensors

/// A residual network for small images: a 3×3 convolution, stages of basic blocks, the mean over
/// positions, and a linear layer.
///
/// Every stage but the first halves the image in its first block. Parameters carry torchvision's
/// names, whatever norm stands in the place of `bn`.
///
/// Source: He, Zhang, Ren & Sun, 2015, section 4.2, <https://arxiv.org/abs/1512.03385>.
public struct ResNetSettings: Hashable, Sendable {
  /// The number of basic blocks in each stage.
  public var blocks: [Int]
  /// The channels of each stage.
  public var widths: [Int]
  /// The activation after each norm and each sum.
  public var activation: Activation

  /// Puts the settings together; there are as many widths as stages.
  public init(blocks: [Int], widths: [Int], activation: Activation = .relu) {
    precondition(blocks.count == widths.count)
    self.blocks = blocks
    self.widths = widths
    self.activation = activation
  }
}

/// Two convolutions around which the input is carried, by a convolution of its own where the
/// shape changes.
///
///     y = act(norm(conv(act(norm(conv x)))) + shortcut x)
struct BasicBlock: Layer {
  private let residual: Sequential
  /// The last norm, the sum with the shortcut, and the activation.
  private let output: Activated
  private let shortcut: Sequential

  private var layers: [any Layer] { [residual, output, shortcut] }
  var parameters: [Parameter] { layers.flatMap(\.parameters) }
  var buffers: [Buffer] { layers.flatMap(\.buffers) }
  var counters: [Counter] { layers.flatMap(\.counters) }

  init(
    _ name: String, _ inputs: Int, _ outputs: Int, stride: Int, positions: Int,
    _ activation: Activation, _ build: ModelBuilder
  ) {
    residual = Sequential([
      build.convolution("\(name).conv1", inputs, outputs, kernel: 3, stride: stride),
      Activated(
        build.norm("\(name).bn1", channels: outputs, positions: positions), activation),
      build.convolution("\(name).conv2", outputs, outputs, kernel: 3, stride: 1),
    ])
    output = Activated(
      build.norm("\(name).bn2", channels: outputs, positions: positions), activation)
    shortcut =
      stride == 1 && inputs == outputs
      ? Sequential([])
      : Sequential([
        build.convolution("\(name).downsample.0", inputs, outputs, kernel: 1, stride: stride),
        build.norm("\(name).downsample.1", channels: outputs, positions: positions),
      ])
  }

  func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    let y = try residual(x, on: tape)
    return try output(y, adding: try shortcut(x, on: tape), on: tape)
  }
}

extension Model {
  /// A ResNet.
  public static func resNet(_ settings: ResNetSettings, _ context: ModelContext) -> Model {
    let build = ModelBuilder(context)
    var (height, width) = (context.input[0], context.input[1])
    var channels = settings.widths[0]
    var layers: [any Layer] = [
      build.convolution("conv1", context.input[2], channels, kernel: 3, stride: 1),
      Activated(
        build.norm("bn1", channels: channels, positions: height * width), settings.activation),
    ]
    for (stage, (blocks, outputs)) in zip(settings.blocks, settings.widths).enumerated() {
      for block in 0..<blocks {
        let stride = block == 0 && stage > 0 ? 2 : 1
        (height, width) = ((height - 1) / stride + 1, (width - 1) / stride + 1)
        layers.append(
          BasicBlock(
            "layer\(stage + 1).\(block)", channels, outputs, stride: stride,
            positions: height * width, settings.activation, build))
        channels = outputs
      }
    }
    layers += [GlobalAveragePool(), build.linear("fc", channels, context.classes)]
    return Model(layers, norms: build.norms)
  }
}
