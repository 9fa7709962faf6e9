public import LockstepFloatLoops
import LockstepKernelLoops
import LockstepVectors

// This one file is compiled into the module of each instruction set (the others link to it).
// The closures stand here, not in KernelLoops, so that each module has its own copies: the
// linker would merge copies of one function, and keep an instruction set that must not run.

/// Puts the vector kernels, compiled for this module's instruction set, into `table`.
public func useVectorKernels(in table: inout KernelTable) {
  useVectorKernels(in: &table.float32)
  useVectorKernels(in: &table.bfloat16)
  table.attentionTile = { attentionTileLoop($0, $1, $2, $3, $4, $5, $6, $7, $8) }
  table.attentionTileGradient = { attentionTileGradientLoop($0, $1, $2, $3, $4, $5, $6, $7, $8) }
  table.crossEntropy = { crossEntropyLoop($0, $1, $2, $3, $4, $5) }
  table.crossEntropyGradient = { crossEntropyGradientLoop($0, $1, $2, $3, $4, $5) }
  table.lstmCell = { lstmCellLoop($0, $1, $2, $3, $4) }
  table.lstmOutput = { lstmOutputLoop($0, $1, $2, $3, $4, $5) }
  table.lstmOutputGradient = { lstmOutputGradientLoop($0, $1, $2, $3, $4, $5, $6) }
  table.lstmCellGradient = { lstmCellGradientLoop($0, $1, $2, $3, $4, $5, $6) }
  table.sgd = { sgdLoop($0, $1, $2, $3, $4) }
  table.adamW = { adamWLoop($0, $1, $2, $3, $4, $5) }
  table.smallProduct = { smallProductLoop($0, $1, $2, $3, $4, $5, $6, $7, $8, $9) }
  table.matrixProduct = { matrixProductLoop($0, $1, $2, $3, $4, $5, $6) }
}

/// The loops on activations of one precision.
@inline(__always)
private func useVectorKernels<E: KernelElement>(in kernels: inout ElementKernels<E>) {
  kernels.columnMoments = { columnMomentsLoop(WideSums.self, $0, $1, $2, $3, $4) }
  kernels.columnNormalize = { columnNormalizeLoop($0, $1, $2, $3, $4, $5, $6, $7, $8) }
  kernels.columnGradientSums = { columnGradientSumsLoop($0, $1, $2, $3, $4, $5, $6, $7) }
  kernels.columnGradient = { columnGradientLoop($0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) }
  kernels.columnSums = { columnSumsLoop($0, $1, $2, $3) }
  kernels.layerNormalize = { rowNormalizeLoop(true, $0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) }
  kernels.rmsNormalize = { rowNormalizeLoop(false, $0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) }
  kernels.layerGradient = { rowGradientLoop(true, $0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) }
  kernels.rmsGradient = { rowGradientLoop(false, $0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) }
  kernels.groupNormalize = { groupNormalizeLoop($0, $1, $2, $3, $4, $5, $6, $7, $8, $9) }
  kernels.groupGradient = { groupGradientLoop($0, $1, $2, $3, $4, $5, $6, $7, $8, $9) }
  kernels.dynamicTanh = { dynamicTanhLoop($0, $1, $2, $3, $4, $5, $6) }
  kernels.dynamicTanhGradient = { dynamicTanhGradientLoop($0, $1, $2, $3, $4, $5, $6, $7, $8) }
  kernels.groupProducts = { groupProductsLoop($0, $1, $2, $3, $4, $5) }
  kernels.groupTransform = { groupTransformLoop($0, $1, $2, $3, $4, $5, $6, $7, $8, $9) }
  kernels.unitRows = { unitRowsLoop($0, $1, $2, $3, $4, $5, $6, $7, $8) }
  kernels.unitRowsGradient = { unitRowsGradientLoop($0, $1, $2, $3, $4, $5, $6, $7, $8, $9) }
  kernels.add = { addLoop($0, $1, $2, $3) }
  kernels.addFloats = { addFloatsLoop($0, $1, $2, $3) }
  kernels.accumulate = { accumulateLoop($0, $1, $2) }
  kernels.widen = { widenLoop($0, $1, $2) }
  kernels.rowDots = { rowDotsLoop($0, $1, $2, $3, $4, $5, $6) }
  kernels.narrowRows = { narrowRowsLoop($0, $1, $2, $3, $4, $5) }
  kernels.widenRows = { widenRowsLoop($0, $1, $2, $3, $4) }
  kernels.narrow = { narrowLoop($0, $1, $2) }
  kernels.relu = { reluLoop($0, $1, $2) }
  kernels.reluGradient = { reluGradientLoop($0, $1, $2, $3) }
  kernels.gelu = { geluLoop($0, $1, $2) }
  kernels.geluGradient = { geluGradientLoop($0, $1, $2, $3) }
  kernels.geluTanh = { geluTanhLoop($0, $1, $2) }
  kernels.geluTanhGradient = { geluTanhGradientLoop($0, $1, $2, $3) }
  kernels.sigmoid = { sigmoidLoop($0, $1, $2) }
  kernels.sigmoidGradient = { sigmoidGradientLoop($0, $1, $2, $3) }
  kernels.swiGLU = { swiGLULoop($0, $1, $2, $3) }
  kernels.swiGLUGradient = { swiGLUGradientLoop($0, $1, $2, $3, $4, $5) }
  kernels.scale = { scaleLoop($0, $1, $2, $3) }
  kernels.sumOfSquares = { sumOfSquaresLoop($0, $1) }
}
