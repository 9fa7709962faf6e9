import KernelLoops
import Kernels
import Glibc
func now() -> Double { var t = timespec(); clock_gettime(CLOCK_MONOTONIC, &t); return Double(t.tv_sec)*1e3 + Double(t.tv_nsec)/1e6 }
func alloc(_ n: Int) -> Output { var p: UnsafeMutableRawPointer?; posix_memalign(&p, 2<<20, n*4); madvise(p, n*4, MADV_HUGEPAGE); let q = p!.assumingMemoryBound(to: Float.self); for i in 0..<n { q[i] = Float(i % 1013) * 0.01 - 3 }; return q }
let T = Kernel.table
print(T.name)
func med(_ name: String, _ bytes: Double, _ f: () -> Void) {
  var ts: [Double] = []
  for i in 0..<25 { let s = now(); f(); let e = now(); if i >= 3 { ts.append(e - s) } }
  ts.sort(); let m = ts[ts.count/2]
  print(name, "median \(m) ms  min \(ts[0])  \(bytes/m/1e6) GB/s")
}
for (rows, ch) in [(2048,1024),(16384,768),(32768,64),(65536,16)] {
  let n = rows*ch
  let x = alloc(n), dy = alloc(n), y = alloc(n), dx = alloc(n)
  let c = (0..<8).map { _ in alloc(ch) }
  let scratch = alloc(2*ch+512); let saved = alloc(rows*4)
  let sums = UnsafeMutablePointer<Double>.allocate(capacity: 4*ch); sums.update(repeating: 0, count: 4*ch)
  let B = Double(n)*4
  print("== \(rows)x\(ch)")
  med("memcpy", 2*B) { memcpy(y, x, n*4) }
  med("sumsq ", B) { _ = T.sumOfSquares(x, n) }
  med("relu  ", 2*B) { T.relu(x, n, y) }
  med("moments", B) { T.columnMoments(x, rows, ch, c[0], sums) }
  med("normalize", 2*B) { T.columnNormalize(x, rows, ch, c[0], c[1], c[2], c[3], y) }
  med("gradsums", 2*B) { T.columnGradientSums(x, dy, rows, ch, c[0], c[1], sums) }
  med("grad", 3*B) { T.columnGradient(x, dy, rows, ch, c[0], c[1], c[2], c[3], c[4], dx) }
  med("layerF", 2*B) { T.layerNormalize(x, rows, ch, 1, c[0], c[1], RowRule(epsilon: 1e-5), y, saved, scratch) }
  med("layerB", 3*B) { T.layerGradient(x, dy, rows, ch, 1, c[0], saved, dx, sums, scratch) }
  med("rmsF", 2*B) { T.rmsNormalize(x, rows, ch, 1, c[0], c[1], RowRule(epsilon: 1e-5), y, saved, scratch) }
  med("rmsB", 3*B) { T.rmsGradient(x, dy, rows, ch, 1, c[0], saved, dx, sums, scratch) }
  free(x); free(dy); free(y); free(dx)
}
