import Foundation
import Testing

/// What the linker makes of the loops.
@Suite struct SharedLoopsTests {
  /// The linker would keep one copy of a loop that two modules share, and it could be of an instruction set
  /// that must not run.
  @Test func noLoopIsSharedBetweenInstructionSets() throws {
    let program = try Data(
      contentsOf: URL(fileURLWithPath: "/proc/self/exe"), options: .alwaysMapped)
    let names = symbols(of: program)
    #expect(
      names.contains { $0.contains("LockstepKernelsBaseline") }, "the program's symbols were read")
    let shared = names.filter { name in
      ["$s19LockstepKernelLoops", "$s18LockstepFloatLoops"].contains { module in
        guard name.hasPrefix(module) else { return false }
        let rest = name.dropFirst(module.count)
        let digits = rest.prefix { $0.isNumber }
        return rest.dropFirst(digits.count).prefix(Int(digits) ?? 0).hasSuffix("Loop")
      }
    }
    #expect(shared.isEmpty, "\(shared.sorted().prefix(5))")
  }

  /// The names that an ELF file's symbol table defines.
  private func symbols(of file: Data) -> [String] {
    func number<Number: FixedWidthInteger>(_ offset: Int, _: Number.Type) -> Int {
      Int(
        file.subdata(in: offset..<offset + MemoryLayout<Number>.size).withUnsafeBytes {
          Number(littleEndian: $0.loadUnaligned(as: Number.self))
        })
    }
    // The section headers: where they begin, how large each is, how many.
    let (first, size, count) = (
      number(0x28, UInt64.self), number(0x3a, UInt16.self), number(0x3c, UInt16.self)
    )
    func section(_ index: Int) -> (type: Int, offset: Int, size: Int, link: Int) {
      let start = first + index * size
      return (
        number(start + 4, UInt32.self), number(start + 0x18, UInt64.self),
        number(start + 0x20, UInt64.self), number(start + 0x28, UInt32.self)
      )
    }
    var names: [String] = []
    for table in (0..<count).map(section) where table.type == 2 {
      let text = section(table.link).offset
      for entry in stride(from: table.offset, to: table.offset + table.size, by: 24)
      where number(entry + 6, UInt16.self) != 0 {
        let start = text + number(entry, UInt32.self)
        guard let end = file[start...].firstIndex(of: 0) else { continue }
        names.append(String(decoding: file[start..<end], as: UTF8.self))
      }
    }
    return names
  }
}
