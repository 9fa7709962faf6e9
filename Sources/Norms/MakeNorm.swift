public import Autograd

/// Makes the norm that `settings` describe.
///
/// `name` is its prefix in a state dictionary, `channels` those of its input, and `synchronized` the
/// ranks over which a sync-batch norm takes its statistics.
public func makeNorm(
  _ name: String, channels: Int, _ settings: NormSettings, synchronized: StatisticsScope
) -> any Layer {
  switch settings.kind {
  case .none: Sequential([])
  case .batch: BatchNorm.Module(name, channels: channels, settings, .thisRank)
  case .syncBatch: BatchNorm.Module(name, channels: channels, settings, synchronized)
  case .layer: LayerNorm.Module(name, channels: channels, settings)
  case .rms: RMSNorm.Module(name, channels: channels, settings)
  case .group:
    GroupNorm.Module(name, channels: channels, groups: settings.groups, settings)
  case .instance: GroupNorm.Module(name, channels: channels, groups: channels, settings)
  }
}
