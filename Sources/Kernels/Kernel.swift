import Glibc
public import LockstepFloatLoops
import LockstepKernelLoops
import LockstepKernelsBaseline

#if arch(x86_64)
  import LockstepKernelsV3
  import LockstepKernelsV4
  import LockstepKernelsV4BFloat16
#endif

/// The numeric loops on tensors: shapes are checked here, once a call, and the loops of the
/// chosen instruction set do the rest.
public enum Kernel {
  /// The loops in use: those of the best instruction set that this processor has, or of the one
  /// that the environment variable `LOCKSTEP_INSTRUCTION_SET` names.
  public static let table: KernelTable =
    available.first { $0.name == requestedInstructionSet } ?? available.last ?? KernelTable()

  /// What `LOCKSTEP_INSTRUCTION_SET` holds, if it is set.
  public static let requestedInstructionSet = environment("LOCKSTEP_INSTRUCTION_SET")

  /// The tables that this processor can run, slowest first; the first holds the references.
  public static let available: [KernelTable] = {
    var tables = [KernelTable(), KernelTable("baseline")]
    LockstepKernelsBaseline.useVectorKernels(in: &tables[1])
    #if arch(x86_64)
      if processorHas(["avx2", "fma", "bmi2"]) {
        tables.append(KernelTable("x86-64-v3"))
        LockstepKernelsV3.useVectorKernels(in: &tables[2])
        if processorHas(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]) {
          tables.append(KernelTable("x86-64-v4"))
          LockstepKernelsV4.useVectorKernels(in: &tables[3])
          if processorHas(["avx512_bf16"]) {
            tables.append(KernelTable("x86-64-v4-bf16"))
            LockstepKernelsV4BFloat16.useVectorKernels(in: &tables[4])
          }
        }
      }
    #endif
    return tables
  }()

  /// The value of an environment variable.
  static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

  /// Whether the kernel lists every one of `features` for this processor, and so also saves
  /// their registers.
  static func processorHas(_ features: Set<String>) -> Bool {
    guard let file = fopen("/proc/cpuinfo", "r") else { return false }
    defer { fclose(file) }
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(line) }
    while getline(&line, &capacity, file) > 0, let text = line.map({ String(cString: $0) }) {
      guard text.hasPrefix("flags") else { continue }
      return features.isSubset(of: text.split(whereSeparator: \.isWhitespace).map(String.init))
    }
    return false
  }
}
