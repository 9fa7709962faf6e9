public import LockstepKernelLoops

// This one file is compiled into the module of each instruction set (the others link to it).
// The closures stand here, not in KernelLoops, so that each module has its own copies: the
// linker would merge copies of one function, and keep an instruction set that must not run.

/// Puts the vector kernels, compiled for this module's instruction set, into `table`.
public func useVectorKernels(in table: inout KernelTable) {
  table.columnMoments = { columnMomentsLoop($0, $1, $2, $3, $4) }
  table.columnNormalize = { columnNormalizeLoop($0, $1, $2, $3, $4, $5, $6, $7) }
  table.columnGradientSums = { columnGradientSumsLoop($0, $1, $2, $3, $4, $5, $6) }
  table.columnGradient = { columnGradientLoop($0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) }
  table.columnSums = { columnSumsLoop($0, $1, $2, $3) }
  table.layerNormalize = { rowNormalizeLoop(true, $0, $1, $2, $3, $4, $5, $6, $7, $8, $9) }
  table.rmsNormalize = { rowNormalizeLoop(false, $0, $1, $2, $3, $4, $5, $6, $7, $8, $9) }
  table.layerGradient = { rowGradientLoop(true, $0, $1, $2, $3, $4, $5, $6, $7, $8, $9) }
  table.rmsGradient = { rowGradientLoop(false, $0, $1, $2, $3, $4, $5, $6, $7, $8, $9) }
  table.add = { addLoop($0, $1, $2, $3) }
  table.relu = { reluLoop($0, $1, $2) }
  table.reluGradient = { reluGradientLoop($0, $1, $2, $3) }
  table.gelu = { geluLoop($0, $1, $2) }
  table.geluGradient = { geluGradientLoop($0, $1, $2, $3) }
  table.geluTanh = { geluTanhLoop($0, $1, $2) }
  table.geluTanhGradient = { geluTanhGradientLoop($0, $1, $2, $3) }
  table.sigmoid = { sigmoidLoop($0, $1, $2) }
  table.sigmoidGradient = { sigmoidGradientLoop($0, $1, $2, $3) }
  table.swiGLU = { swiGLULoop($0, $1, $2, $3) }
  table.swiGLUGradient = { swiGLUGradientLoop($0, $1, $2, $3, $4, $5) }
  table.attentionTile = { attentionTileLoop($0, $1, $2, $3, $4, $5, $6, $7) }
  table.attentionTileGradient = { attentionTileGradientLoop($0, $1, $2, $3, $4, $5, $6, $7) }
  table.scale = { scaleLoop($0, $1, $2, $3) }
  table.sumOfSquares = { sumOfSquaresLoop($0, $1) }
  table.crossEntropy = { crossEntropyLoop($0, $1, $2, $3, $4, $5) }
  table.crossEntropyGradient = { crossEntropyGradientLoop($0, $1, $2, $3, $4, $5) }
  table.sgd = { sgdLoop($0, $1, $2, $3, $4) }
  table.adamW = { adamWLoop($0, $1, $2, $3, $4, $5) }
  table.smallProduct = { smallProductLoop($0, $1, $2, $3, $4, $5, $6, $7, $8, $9) }
  table.matrixProduct = { matrixProductLoop($0, $1, $2, $3, $4, $5, $6) }
}
