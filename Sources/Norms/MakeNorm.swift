public import Autograd

/// Makes the norm that `settings` describe.
///
/// `name` is its prefix in a state dictionary, `channels` those of its input, `synchronized` the
/// ranks over which a synchronized norm takes its statistics, and `sharedGain` the gain that a scale
/// norm has in common with others.
public func makeNorm(
  _ name: String, channels: Int, _ settings: NormSettings, synchronized: StatisticsScope,
  sharedGain: Parameter? = nil
) -> any Layer {
  if settings.masked && settings.kind.usesBatchStatistics {
    var whole = settings
    whole.masked = false
    return MaskedRows(
      norm: makeNorm(name, channels: channels, whole, synchronized: synchronized))
  }
  return switch settings.kind {
  case .none: Sequential([])
  case .batch: BatchNorm.Module(name, channels: channels, settings, .thisRank)
  case .syncBatch: BatchNorm.Module(name, channels: channels, settings, synchronized)
  case .batchRenorm:
    BatchNorm.Module(
      name, channels: channels, settings, settings.synchronizes ? synchronized : .thisRank,
      limits: BatchRenorm.Limits(scale: settings.maximumScale, shift: settings.maximumShift))
  case .layer: LayerNorm.Module(name, channels: channels, settings)
  case .rms: RMSNorm.Module(name, channels: channels, settings)
  case .group:
    GroupNorm.Module(name, channels: channels, groups: settings.groups, settings)
  case .instance: GroupNorm.Module(name, channels: channels, groups: channels, settings)
  case .scale: ScaleNorm.Module(name, channels: channels, settings, shared: sharedGain)
  case .l2: L2Norm.Module(epsilon: settings.epsilon)
  }
}
