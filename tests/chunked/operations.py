"""Small operations that tests put together: lopsided, so that a mirrored or shifted block shows."""

from functools import partial

from lithax import ops, voxel_op
from lithax.arrays import namespace


def _uphill_masked(block, valid):
    xp = namespace(block)
    block = xp.where(valid, block, xp.zeros_like(block))
    count = xp.astype(valid, block.dtype)
    return uphill.body(block) + uphill.body(count)


@voxel_op(halo=(2, 1, 0), masked=_uphill_masked)
def uphill(block):
    """Weigh what lies ahead along x twice, what lies behind along y by half."""
    return 2 * block[4:, 1:-1, :] - block[1:-3, 2:, :] + 0.5 * block[2:-2, :-2, :]


@voxel_op(halo=(0, 0, 2))
def downstream(block):
    """Look along z only; without a masked form."""
    return block[:, :, 4:] - 3 * block[:, :, 1:-3]


@voxel_op(halo=(2, 0, 0))
def ahead(block):
    """Look along x only, so that it compiles quickly."""
    return block[4:] - 3 * block[1:-3]


def doubled(block):
    """Element-wise: no halo, nothing to mask."""
    return 2 * block + 1


STENCILS = {
    "uphill": uphill,
    "downstream": downstream,
    "gaussian": partial(ops.gaussian, sigma=(0, 1.0, 0.6), truncate=2.0),
    "median": partial(ops.median, radius=(1, 0, 1)),
    "derivative": partial(ops.derivative, axis=2),
    "even window": partial(ops.maximum, size=(4, 1, 3)),
}
