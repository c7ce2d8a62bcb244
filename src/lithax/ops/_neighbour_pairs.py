"""Which neighbouring voxels differ in phase."""

from typing import Any

from lithax.arrays import namespace
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array


def _pairs(pore: Array, valid: Array | None) -> Array:
    """Return a code per voxel: for each axis whether it and the next voxel count, and whether they
    differ.
    """
    xp = namespace(pore)
    core = tuple(slice(1, n - 1) for n in pore.shape)
    code = xp.zeros_like(pore[core], dtype=xp.uint8)
    for axis in range(3):
        following = tuple(slice(2, n) if a == axis else slice(1, n - 1) for a, n in enumerate(pore.shape))
        pair = xp.ones_like(pore[core]) if valid is None else valid[core] & valid[following]
        differ = pair & (pore[core] != pore[following])
        code = code + xp.astype(pair, xp.uint8) * (1 << axis) + xp.astype(differ, xp.uint8) * (8 << axis)
    return code


def _masked(pore: Array, valid: Array, *, block: Any) -> Array:
    return _pairs(pore, valid if block.valid is None else valid & block.valid)


@voxel_op(halo=1, context=True, masked=_masked)
def neighbour_pairs(pore: Array, *, block: Any) -> Array:
    """Return, for each voxel of a boolean image, a code of its pairs with the next voxel along x, y
    and z.

    Bits 0 to 2: both lie in the image (and in the region of interest). Bits 3 to 5: they also
    differ in phase.
    """
    return _pairs(pore, block.valid)
