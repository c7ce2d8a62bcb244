"""Voxel operations: pure functions of arrays."""

from lithax.ops._chain import Chain as Chain
from lithax.ops._chain import as_steps as as_steps
from lithax.ops._chain import chain as chain
from lithax.ops._context import Context as Context
from lithax.ops._program import PlainFunction as PlainFunction
from lithax.ops._program import Program as Program
from lithax.ops._program import Step as Step
from lithax.ops._voxel_op import VoxelOp as VoxelOp
from lithax.ops._voxel_op import voxel_op as voxel_op
