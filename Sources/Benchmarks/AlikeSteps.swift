import LockstepConfiguration
import LockstepFiles
import LockstepNorms

extension RunConfiguration {
  /// Throws if a norm synchronizes its statistics in some steps alone, since a median over all steps then tells
  /// of one kind.
  func checkStepsAreAlike(_ command: String, norms: [NormKind]) throws(ConfigurationError) {
    for norm in norms {
      let settings = with(norm: norm).model.norm
      guard settings.synchronizes, settings.every > 1 else { continue }
      throw ConfigurationError(
        command, "takes medians over steps, which have to be alike; leave every out")
    }
  }
}
