import LockstepConfiguration
import LockstepFiles
import LockstepNorms

extension RunConfiguration {
  /// Throws if a norm's statistics are summed in every k-th step alone, since a median over such steps tells
  /// of those without.
  func checkStepsAreAlike(_ command: String, norms: [NormKind]) throws(ConfigurationError) {
    for norm in norms {
      let settings = with(norm: norm).model.norm
      guard settings.synchronizes, settings.every > 1 else { continue }
      throw ConfigurationError(
        command, "compares medians, so that all steps have to be alike; leave every out")
    }
  }
}
