// What a program of one's own needs, under one name.
@_exported public import Autograd
@_exported public import Collectives
@_exported public import Command
@_exported public import DataParallel
@_exported public import Datasets
@_exported public import Files
@_exported public import Kernels
@_exported public import Layers
@_exported public import Measurement
@_exported public import Models
@_exported public import Norms
@_exported public import Optimizers
@_exported public import Tensors
@_exported public import Training
