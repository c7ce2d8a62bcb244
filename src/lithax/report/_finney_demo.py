"""A scan whose porosity is known: Finney's measured pack of spheres under a simulated scanner."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lithax.arrays import namespace
from lithax.generate import finney_pack, rasterise_spheres, simulated_ct
from lithax.images import VoxelImage, chunk_map, import_raw, sphere_pack
from lithax.ops import chain, gaussian, voxel_op
from lithax.typing import Array

RADIUS = 100.0
"""Radius that the spheres are given here [µm]."""

PORE, GRAIN = 20_000.0, 40_000.0
"""Grey levels of the simulated scanner, of 16 bits."""


@dataclass(frozen=True)
class Pack:
    """A cube cut from the pack, and how it is scanned."""

    voxels: int = 256
    """Along each edge."""
    half_edge: float = 7.0
    """From the middle to a face [sphere radius]."""
    noise: float = 0.1
    """Standard deviation over contrast [-]."""
    seed: int = 20_261_122

    @property
    def voxel_length(self) -> float:
        """[µm]"""
        return 2 * self.half_edge * RADIUS / self.voxels

    @property
    def limits(self) -> tuple[float, float]:
        return -self.half_edge, self.half_edge


@dataclass(frozen=True)
class Continuous:
    """Porosity of the spheres themselves, without voxels."""

    porosity: float
    uncertainty: float
    how: str


def continuous_porosity(pack: Pack) -> tuple[Continuous, ...]:
    """Return the porosity of the cube before it is cut into voxels [-].

    Where random points were thrown into the cube beforehand (edge of 14 radii) their result comes
    first. Always there is that of a grid twice as fine, whose distance from the grid of the image
    bounds the error of both.
    """
    found = []
    if pack.half_edge == 7.0:
        found.append(Continuous(0.3601, 0.0008, "Monte Carlo integration, 400 000 random points in the cube"))
    shares = [grid_porosity(n, pack.half_edge) for n in (pack.voxels, 2 * pack.voxels)]
    how = f"share of the centres of a grid of {2 * pack.voxels}³ voxels; uncertainty: the change from {pack.voxels}³"
    found.append(Continuous(shares[1], abs(shares[1] - shares[0]), how))
    return tuple(found)


def grid_porosity(voxels: int, half_edge: float) -> float:
    """Return the share of voxel centres outside of the spheres, slab by slab."""
    step = 2 * half_edge / voxels
    centers = -half_edge + step * (np.arange(voxels) + 0.5)
    slab = max(1, 2**24 // voxels**2)
    solid = sum(
        int(np.count_nonzero(rasterise_spheres(finney_pack(), 1.0, centers[a : a + slab], centers, centers)))
        for a in range(0, voxels, slab)
    )
    return 1 - solid / voxels**3


@voxel_op(context=True)
def detector(fraction: Array, *, noise: float, block: Any) -> Array:
    """Turn the solid fraction of every voxel into grey levels of 16 bits, with noise that belongs
    to seed and voxel.
    """
    i, j, k = block.index(fraction)
    xp = namespace(fraction)
    return simulated_ct(fraction, i, j, k, seed=block.seed, pore=PORE, grain=GRAIN, noise=noise, dtype=xp.uint16)


def true_phases(pack: Pack, store: Path | None = None, **options: Any) -> VoxelImage:
    """Make the voxelised pack: 1 where the centre of a voxel lies in a sphere, else 0."""
    limits = dict.fromkeys(("xlim", "ylim", "zlim"), pack.limits)
    image = sphere_pack((pack.voxels,) * 3, "u1", limits="faces", store=store, **limits, **options)
    origin = tuple(RADIUS * o for o in image.voxel_origin)
    return image.update(voxel_length=(pack.voxel_length,) * 3, voxel_origin=origin, voxel_unit="um")


def scan(pack: Pack, grains: VoxelImage, blur: float, store: Path | None = None, **options: Any) -> VoxelImage:
    """Scan the voxelised pack: blur of the scanner, then noise of the detector, in one pass.

    Parameters
    ----------
    pack
        Says noise and seed.
    grains
        The voxelised pack.
    blur
        Standard deviation of the scanner's Gaussian [voxel].
    """
    look = chain(partial(gaussian, sigma=blur), partial(detector, noise=pack.noise))
    return chunk_map(
        look, grains, dtype="u2", seed=pack.seed, store=store, field_name="grey level", chunks="auto", **options
    )


def raw_scan(pack: Pack, grains: VoxelImage, blur: float, folder: Path, **options: Any) -> VoxelImage:
    """Scan the pack, write what a scanner would leave (``scan.raw`` with its JSON document), and
    import that.
    """
    made = scan(pack, grains, blur, **options)
    made.export_raw(folder / "scan.raw", overwrite=True)
    return import_raw(folder / "scan.raw", store=folder / "scan.zarr", overwrite=True)


def specific_surface(porosity: float) -> float:
    """Return the surface of equal spheres over the volume they stand in, ``3 (1 - porosity) / R``
    [1/µm].

    Contacts are points, so the spheres keep all of their surface; where measured spheres overlap a
    little, slightly less.
    """
    return 3 * (1 - porosity) / RADIUS if not math.isnan(porosity) else math.nan
