"""The widest way through pores that lie over devices: distances line by line in slabs, each on its
device, then labels of pieces.

Squared distances to the nearest solid are taken along z and y in slabs along x, and along x in
slabs along y: in each the whole line is there.
"""

import contextlib

import jax
import numpy as np
from jax.sharding import Mesh

from lithax.arrays import distance_dtype
from lithax.runtime import AbstractWorld
from lithax.sharded import ShardedGrid
from lithax.solve._flow_resolution import Periodic, squared_distances, widest_of
from lithax.solve._over_devices import from_pieces, pieces_of, regridded
from lithax.solve._part_percolation import parts_join_ends


class WaysOverDevices:
    """Where balls of every size fit into the pores; every process must make it, and ask it."""

    def __init__(
        self, pores: jax.Array, grid: ShardedGrid, world: AbstractWorld, periodic: Periodic = (False, False, False)
    ) -> None:
        self.shape, self.world, self.periodic = grid.shape, world, periodic
        devices = grid.mesh.devices.reshape(-1)
        first, second = (ShardedGrid(grid.shape, Mesh(devices, (axis,))) for axis in ("x", "y"))
        dtype = distance_dtype(grid.shape, (1, 1, 1), "euclidean")
        slabs, solid = {}, False
        moved = regridded(pores, grid.shape, first)
        for start, _, v in pieces_of(moved, first):
            solid = solid or not v.all()
            squared = squared_distances(~v, 2, periodic[2], dtype)
            slabs[start] = squared_distances(squared, 1, periodic[1], dtype)
        self.solid = any(world.gather(solid))
        with jax.enable_x64(True) if dtype == np.int64 else contextlib.nullcontext():
            turned = regridded(from_pieces(moved, first, slabs, dtype), grid.shape, second)
        self.squared = {start: squared_distances(v, 0, periodic[0], dtype) for start, _, v in pieces_of(turned, second)}
        found = world.gather([np.unique(v) for v in self.squared.values()])
        self.sizes = np.unique(np.concatenate([v for part in found for v in part]))

    def diameter(self, axis: int) -> float:
        """Return the diameter of the largest ball that passes along an axis, as
        `breakthrough_diameter` does.
        """
        if not self.solid:
            return float(np.inf)

        def joins(size: int) -> bool:
            wide = {start: v >= size for start, v in self.squared.items()}
            ends = "periodic" if self.periodic[axis] else "potential"
            return parts_join_ends(wide, self.shape, axis, self.world, ends=ends, periodic=self.periodic)

        return widest_of(self.sizes[1:], joins)  # the first is 0: solid
