#if ONEDNN
  import CDNNL
#endif

/// How products of bfloat16 numbers are computed.
public enum BFloat16Support: Equatable, Sendable {
  /// By oneDNN, with the named instructions of the processor.
  case native([String])
  /// By oneDNN, without such instructions: slower than float32.
  case emulated
  /// As float32 products of rounded numbers: slower than float32.
  case converted

  /// Whether bfloat16 is faster than float32.
  public var isFast: Bool { if case .native = self { true } else { false } }

  /// The way in words.
  public var text: String {
    switch self {
    case .native(let instructions): instructions.joined(separator: ", ")
    case .emulated: "emulated: this processor has no bfloat16 instructions; slower than float32"
    case .converted: "by float32 products of rounded numbers; slower than float32"
    }
  }
}

/// What is known of oneDNN in this build and run.
public enum OneDNN {
  /// Whether this build has it.
  public static var isBuiltIn: Bool {
    #if ONEDNN
      true
    #else
      false
    #endif
  }

  /// Whether matrix products and convolutions go to it; `LOCKSTEP_ONEDNN=off` turns it off.
  public static let isUsed = isBuiltIn && Kernel.environment("LOCKSTEP_ONEDNN") != "off"

  /// How this build and run computes on bfloat16 activations.
  public static var bfloat16: BFloat16Support {
    #if ONEDNN
      guard isUsed, canUseBFloat16 else { return .converted }
    #else
      guard isBuiltIn else { return .converted }
    #endif
    let found = ["avx512_bf16", "amx_bf16"].filter { Kernel.processorHas([$0]) }
    return found.isEmpty ? .emulated : .native(found)
  }

  /// Its version, such as `"2.6.3"`.
  public static var version: String? {
    #if ONEDNN
      guard let v = dnnl_version()?.pointee else { return nil }
      return "\(v.major).\(v.minor).\(v.patch)"
    #else
      nil
    #endif
  }

  /// The instruction set that it uses, such as `"AVX-512 core"`.
  public static var instructionSet: String? {
    #if ONEDNN
      let isa = dnnl_get_effective_cpu_isa()
      let names: [(dnnl_cpu_isa_t, String)] = [
        (dnnl_cpu_isa_sse41, "SSE4.1"), (dnnl_cpu_isa_avx, "AVX"), (dnnl_cpu_isa_avx2, "AVX2"),
        (dnnl_cpu_isa_avx512_core, "AVX-512 core"),
        (dnnl_cpu_isa_avx512_core_vnni, "AVX-512 core with VNNI"),
        (dnnl_cpu_isa_avx512_core_bf16, "AVX-512 core with BF16"),
        (dnnl_cpu_isa_avx512_core_amx, "AVX-512 core with AMX"),
      ]
      return names.first { $0.0 == isa }?.1 ?? "code 0x" + String(isa.rawValue, radix: 16)
    #else
      nil
    #endif
  }
}
