"""Which voxels of a block are taken in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from lithax.arrays import boundary_index
from lithax.chunked._cache import ChunkCache
from lithax.chunked._padded import read_padded
from lithax.geometry import Frame
from lithax.grid import BlockSource, Halo, Index


@dataclass(frozen=True)
class Selection:
    """Voxels not excluded, included, of the chosen phases, and inside the region: all of these at
    once.
    """

    frame: Frame
    exclude: tuple[BlockSource, ...] = ()
    include: tuple[BlockSource, ...] = ()
    segmentation: BlockSource | None = None
    phases: tuple[int, ...] | None = None
    region: Any = None

    @property
    def sources(self) -> tuple[BlockSource, ...]:
        """Every image that has to be read."""
        return (*self.exclude, *self.include, *((self.segmentation,) if self.segmentation is not None else ()))

    def block(
        self, cache: ChunkCache, begin: Index, shape: Index, halo: Halo, boundary: str, compiled: bool
    ) -> np.ndarray:
        """Return True for the voxels taken in of a block continued by `boundary`; a constant
        outside is taken in.
        """
        rule = "nearest" if boundary == "constant" else boundary

        def read(source: BlockSource) -> np.ndarray:
            return read_padded(source, cache, begin, shape, halo, rule, 0)

        parts = [read(s) == 0 for s in self.exclude]
        parts += [read(s) != 0 for s in self.include]
        if self.segmentation is not None:
            parts.append(is_among(read(self.segmentation), self.phases))
        if self.region is not None:
            parts.append(self._inside(begin, shape, halo, rule, compiled))
        valid = parts[0] if parts else np.ones(shape, bool)
        for part in parts[1:]:
            valid = valid & part
        if boundary == "constant":
            for axis, (b, n, size) in enumerate(zip(begin, shape, self.frame.shape, strict=True)):
                position = np.arange(b, b + n)
                beyond: list[Any] = [slice(None)] * 3
                beyond[axis] = np.flatnonzero((position < 0) | (position >= size))
                if beyond[axis].size:
                    valid[tuple(beyond)] = True
        return np.ascontiguousarray(valid)

    def _inside(self, begin: Index, shape: Index, halo: Halo, rule: str, compiled: bool) -> np.ndarray:
        coordinates = []
        for axis, (b, n, size, h) in enumerate(zip(begin, shape, self.frame.shape, halo, strict=True)):
            index = boundary_index(np.minimum(np.arange(b, b + n), size + h - 1), size, rule)
            line = self.frame.voxel_origin[axis] + index * self.frame.voxel_length[axis]
            coordinates.append(line.reshape(tuple(-1 if a == axis else 1 for a in range(3))))
        if compiled:
            with jax.enable_x64(True):
                inside = np.asarray(_contains(self.region, *coordinates))
        else:
            inside = np.asarray(self.region.contains(*coordinates))
        return np.broadcast_to(inside, shape)


@jax.jit
def _contains(region: Any, x: Any, y: Any, z: Any) -> Any:
    return region.contains(x, y, z)


def is_among(values: np.ndarray, phases: Sequence[int] | None) -> np.ndarray:
    """Return where `values` is one of `phases`; without phases, where it is not 0."""
    if phases is None:
        return values != 0
    if len(phases) > 8:
        return np.isin(values, np.asarray(phases))
    found = np.zeros(values.shape, bool)
    for phase in phases:
        found |= values == phase
    return found
