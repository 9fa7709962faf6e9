public import LockstepCheckpoints
import LockstepModels

extension ModelConfiguration {
  /// The parameters that a model of this kind may share; none if stored tensors are not the weights.
  package var ties: [TiedParameter] {
    let head = TiedParameter(name: "transformer.wte.weight", alias: "lm_head.weight")
    switch kind {
    case .transformer(let settings):
      // Weight norm keeps a head of its own as two tensors; a tied head is the embedding, which it leaves alone.
      let isSplit = settings.fixesEmbeddingNorm || weightNorm && !settings.tiedEmbedding
      return isSplit ? [] : [head]
    case .nGPT: return [head]
    case .lstm: return [TiedParameter(name: "embedding.weight", alias: head.alias)]
    case .mlp, .resNet: return []
    }
  }

  /// The parameters that this model does share.
  public var tiedParameters: [TiedParameter] {
    switch kind {
    case .transformer(let settings): settings.tiedEmbedding ? ties : []
    case .nGPT(let settings): settings.tiedEmbedding ? ties : []
    case .lstm(let settings): settings.tiedEmbedding ? ties : []
    case .mlp, .resNet: []
    }
  }
}
