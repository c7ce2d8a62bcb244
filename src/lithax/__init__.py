"""lithax: digital rock petrophysics on voxel images of any size."""

from lithax import arith as arith
from lithax import errors as errors
from lithax import measure as measure
from lithax import ops as ops
from lithax import regions as regions
from lithax import runtime as runtime
from lithax.images import VoxelImage as VoxelImage
from lithax.images import chunk_loss as chunk_loss
from lithax.images import chunk_map as chunk_map
from lithax.images import chunk_reduce as chunk_reduce
from lithax.images import chunk_value_and_grad as chunk_value_and_grad
from lithax.images import domain as domain
from lithax.images import plan as plan
from lithax.ops import Context as Context
from lithax.ops import chain as chain
from lithax.ops import voxel_op as voxel_op

where = domain
