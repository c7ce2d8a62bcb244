"""Where a block lies: what operations with ``context=True`` are told besides the voxels."""

from typing import Any

import equinox as eqx

from lithax.arrays import namespace
from lithax.typing import Array


class Context(eqx.Module):
    """Position and surroundings of the block that a body receives.

    `offset` is the image index of the first voxel of the block *as received*, halo included, so it
    can be negative; it may be traced. `valid` is True on voxels inside the image (and inside the
    selection), False on filler; None means that all are. `shape` is the shape of the image [voxel],
    `spacing` and `origin` its voxel length and first voxel centre in the unit of the image. `seed`
    is the integer given to the combinator.
    """

    offset: tuple[Any, Any, Any]
    shape: tuple[int, int, int] = eqx.field(static=True)
    spacing: tuple[float, float, float] = eqx.field(static=True, default=(1.0, 1.0, 1.0))
    origin: tuple[float, float, float] = eqx.field(static=True, default=(0.0, 0.0, 0.0))
    valid: Array | None = None
    seed: Any = 0

    def index(self, block: Array) -> tuple[Array, Array, Array]:
        """Image indices of the voxels of `block`, per axis, ready to broadcast against it."""
        xp = namespace(block)
        return tuple(
            xp.reshape(xp.arange(n) + o, tuple(-1 if a == axis else 1 for a in range(3)))
            for axis, (n, o) in enumerate(zip(block.shape, self.offset, strict=True))
        )

    def coordinates(self, block: Array) -> tuple[Array, Array, Array]:
        """Voxel centres of `block` in the unit of the image, per axis, ready to broadcast against
        it.
        """
        return tuple(o + i * h for i, o, h in zip(self.index(block), self.origin, self.spacing, strict=True))
