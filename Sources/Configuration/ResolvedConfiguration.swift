import LockstepDataParallel
import LockstepDatasets
import LockstepLayers
import LockstepModels
import LockstepNorms
import LockstepOptimizers
import LockstepTensors
import LockstepTraining
import Yams

extension RunConfiguration {
  /// The configuration as YAML with every default spelt out: decoding it gives the same run.
  public var resolvedYAML: String {
    get throws {
      var pairs: [(String, Node)] = [
        ("name", text(name)), ("seed", scalar(seed)), ("model", model.node),
        ("data", data.node),
      ]
      switch batch {
      case .global(let count): pairs.append(("batch", scalar(count)))
      case .perRank(let count): pairs.append(("batchPerRank", scalar(count)))
      }
      pairs.append(("accumulate", scalar(accumulate)))
      switch length {
      case .epochs(let count): pairs.append(("epochs", scalar(count)))
      case .steps(let count): pairs.append(("steps", scalar(count)))
      }
      pairs += [("optimizer", optimizerNode), ("schedule", scheduleNode)]
      pairs.append(("gradientNormalization", scalar(gradientNormalization.rawValue)))
      if let clipNorm { pairs.append(("clipNorm", scalar(clipNorm))) }
      pairs.append(
        (
          "parallel",
          mapping([
            ("firstBucketMegabytes", scalar(Double(buckets.firstBytes) / 1_048_576)),
            ("bucketMegabytes", scalar(Double(buckets.bytes) / 1_048_576)),
            ("overlap", scalar(overlap)), ("watchdogSeconds", scalar(watchdogSeconds)),
          ])
        ))
      switch evaluation {
      case .atEnd: break
      case .epochs(let count): pairs.append(("evaluate", mapping([("everyEpochs", scalar(count))])))
      case .steps(let count): pairs.append(("evaluate", mapping([("everySteps", scalar(count))])))
      }
      let cadence =
        switch checkpoint.cadence {
        case .steps(let count): ("everySteps", scalar(count))
        case .epochs(let count): ("everyEpochs", scalar(count))
        case .seconds(let seconds): ("everySeconds", scalar(seconds))
        }
      pairs.append(
        (
          "checkpoint",
          mapping([
            cadence, ("keep", scalar(checkpoint.keep)), ("keepBest", scalar(checkpoint.keepBest)),
          ])
        ))
      return try Yams.serialize(node: mapping(pairs))
    }
  }

  private var optimizerNode: Node {
    switch optimizer {
    case .sgd(let momentum, let nesterov, let weightDecay):
      mapping([
        ("kind", scalar("sgd")), ("learningRate", scalar(learningRate)),
        ("momentum", scalar(momentum)), ("nesterov", scalar(nesterov)),
        ("weightDecay", scalar(weightDecay)),
      ])
    case .adamW(let beta1, let beta2, let epsilon, let weightDecay):
      mapping([
        ("kind", scalar("adamw")), ("learningRate", scalar(learningRate)),
        ("betas", sequence([beta1, beta2])), ("epsilon", scalar(epsilon)),
        ("weightDecay", scalar(weightDecay)),
      ])
    }
  }

  private var scheduleNode: Node {
    var pairs: [(String, Node)] = [("warmupSteps", scalar(warmupSteps))]
    switch decay {
    case .constant: pairs.append(("decay", scalar("constant")))
    case .step(let milestones, let factor):
      pairs += [
        ("decay", scalar("step")), ("milestones", sequence(milestones)),
        ("factor", scalar(factor)),
      ]
    case .cosine(let final): pairs += [("decay", scalar("cosine")), ("final", scalar(final))]
    case .linear(let final): pairs += [("decay", scalar("linear")), ("final", scalar(final))]
    }
    return mapping(pairs)
  }
}

extension ModelConfiguration {
  fileprivate var node: Node {
    var pairs: [(String, Node)]
    switch kind {
    case .mlp(let hidden):
      pairs = [("kind", scalar("mlp")), ("hidden", sequence(hidden))]
    case .resNet(let blocks, let widths):
      pairs = [
        ("kind", scalar("resnet")), ("blocks", sequence(blocks)),
        ("widths", sequence(widths)),
      ]
    case .nGPT(let settings):
      return mapping([
        ("kind", scalar("ngpt")), ("context", scalar(settings.context)),
        ("width", scalar(settings.width)), ("heads", scalar(settings.heads)),
        ("layers", scalar(settings.layers)), ("hidden", scalar(settings.hidden)),
        ("tiedEmbedding", scalar(settings.tiedEmbedding)),
        ("initialStep", scalar(settings.initialStep)),
      ])
    case .transformer(let settings):
      pairs = [
        ("kind", scalar("transformer")), ("context", scalar(settings.context)),
        ("width", scalar(settings.width)), ("heads", scalar(settings.heads)),
        ("layers", scalar(settings.layers)), ("hidden", scalar(settings.hidden)),
        ("positions", scalar(settings.positions.rawValue)),
        ("tiedEmbedding", scalar(settings.tiedEmbedding)), ("dropout", scalar(settings.dropout)),
        ("placement", scalar(settings.placement.rawValue)),
        ("mixShare", scalar(settings.mixShare)),
        (
          "fixNorm",
          mapping([
            ("embedding", scalar(settings.fixesEmbeddingNorm)),
            ("output", scalar(settings.fixesOutputNorm)),
          ])
        ),
        (
          "attention",
          mapping([
            ("queryKeyNorm", scalar(settings.attention.queryKeyNorm.rawValue)),
            ("queryKeyValueNorm", scalar(settings.attention.normalizesQueryKeyValue)),
            ("outputNorm", scalar(settings.attention.normalizesOutput)),
            ("softCap", scalar(settings.attention.softCap)),
          ])
        ),
      ]
    }
    pairs += [
      ("activation", scalar(activationName)), ("weightNorm", scalar(weightNorm)),
      ("norm", mapping(norm.pairs.map { ($0.key, scalar($0.value)) })),
    ]
    return mapping(pairs)
  }
}

extension DataConfiguration {
  fileprivate var node: Node {
    var pairs: [(String, Node)]
    switch source {
    case .digits: pairs = [("kind", scalar("digits"))]
    case .mnist(let folder, let files, let holdOut):
      pairs = [("kind", scalar("mnist")), ("path", text(folder)), ("files", scalar(files))]
      if let holdOut { pairs.append(("holdOut", scalar(holdOut))) }
    case .cifar10(let folder): pairs = [("kind", scalar("cifar10")), ("path", text(folder))]
    case .syntheticTokens(let vocabulary, let samples):
      pairs = [
        ("kind", scalar("synthetic")), ("vocabulary", scalar(vocabulary)),
        ("samples", scalar(samples)),
      ]
    case .text(let path, let bytes, let share):
      pairs = [
        ("kind", scalar("text")), ("path", text(path)),
        ("unit", scalar(bytes ? "byte" : "character")), ("trainShare", scalar(share)),
      ]
    case .tokens(let folder, let vocabulary):
      pairs = [
        ("kind", scalar("tokens")), ("path", text(folder)), ("vocabulary", scalar(vocabulary)),
      ]
    case .arithmetic(let digits, let samples):
      pairs = [
        ("kind", scalar("arithmetic")), ("digits", scalar(digits)), ("samples", scalar(samples)),
      ]
    case .synthetic(let shape, let classes, let samples):
      pairs = [
        ("kind", scalar("synthetic")), ("imageSize", scalar(shape[0])),
        ("channels", scalar(shape[2])), ("classes", scalar(classes)),
        ("samples", scalar(samples)),
      ]
    }
    pairs += [
      (
        "augment",
        mapping([
          ("crop", scalar(augmentation.crop)), ("flip", scalar(augmentation.flip)),
        ])
      ), ("dropLast", scalar(dropLast)),
    ]
    return mapping(pairs)
  }
}

private func scalar(_ value: some CustomStringConvertible) -> Node {
  .scalar(Node.Scalar(value.description))
}

/// A text, in quotation marks where it would be read as null without.
private func text(_ value: String) -> Node {
  let isNull = ConfigurationNode.nulls.contains(value)
  return .scalar(Node.Scalar(value, .implicit, isNull ? .doubleQuoted : .any))
}

private func sequence(_ values: [some CustomStringConvertible]) -> Node {
  .sequence(Node.Sequence(values.map { scalar($0) }, .implicit, .flow))
}

private func mapping(_ pairs: [(String, Node)]) -> Node {
  .mapping(Node.Mapping(pairs.map { (scalar($0.0), $0.1) }))
}
