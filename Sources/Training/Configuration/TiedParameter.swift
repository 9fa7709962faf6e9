import Models

/// A parameter that two layers of a model may share.
public struct TiedParameter: Hashable, Sendable {
  /// The name that it has where they do.
  public let name: String
  /// The name of the other layer's, where they do not.
  public let alias: String
}

extension ModelConfiguration {
  /// What a model of this kind may share; nothing where the tensors on disk are not the weights themselves.
  var ties: [TiedParameter] {
    let head = TiedParameter(name: "transformer.wte.weight", alias: "lm_head.weight")
    switch kind {
    case .transformer(let settings): return settings.fixesEmbeddingNorm || weightNorm ? [] : [head]
    case .nGPT: return [head]
    case .mlp, .resNet: return []
    }
  }

  /// What this model does share.
  public var tiedParameters: [TiedParameter] {
    switch kind {
    case .transformer(let settings): settings.tiedEmbedding ? ties : []
    case .nGPT(let settings): settings.tiedEmbedding ? ties : []
    case .mlp, .resNet: []
    }
  }
}
