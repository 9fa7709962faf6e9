public import LockstepAutograd
import LockstepKernels
public import LockstepTensors

/// Vectors of one learned length: those of the words, or those that a transformer puts out.
///
///     y = g · x / ‖x‖
///
/// Each site is a ``ScaleNorm`` with a g of its own, whose forward and backward passes it has. The
/// words' g begins at 1, the outputs' at √C, so that an element's square is 1 in the mean.
///
/// - Shapes: the words' vectors `[vocabulary, C]`, outputs `[…, C]`, g `[1]`.
/// - Communication: none.
/// - Source: Nguyen & Chiang, 2018, section 3, <https://arxiv.org/abs/1710.01329>, for words, with a
///   learned g as in Nguyen & Salazar, 2019, section 2.3, <https://arxiv.org/abs/1910.05895>.
public enum FixNorm {
  /// A table of words' vectors, for an embedding and the head that it is tied to.
  public static func weight(_ name: String, _ initial: Tensor) -> Weight {
    let gain = Parameter("\(name).weight_g", .filled([1], with: 1))
    let v = Parameter("\(name).weight_v", initial)
    return Weight(initial.shape, of: [gain, v]) { tape in
      let (w, saved) = ScaleNorm.forward(v.value, gain: gain.value, epsilon: 0)
      return tape.record(
        w, by: LayerName(name, isNorm: true), uses: [gain, v],
        inputPullback: { dw, backward in
          let (dv, dgain) = ScaleNorm.backward(
            OutputGradient(dw, overwriting: backward.mayOverwrite), gain: gain.value, saved: saved)
          v.contribute(dv)
          gain.contribute(dgain)
        })
    }
  }

  /// The norm of a transformer's outputs.
  public static func layer(_ name: String, channels: Int, epsilon: Double) -> any Layer {
    var settings = NormSettings(.scale)
    settings.epsilon = epsilon
    return ScaleNorm.Module(NormSite(name, channels: channels), settings, NormScope())
  }
}
