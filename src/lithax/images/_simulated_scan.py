"""A micro-CT scan whose porosity is known, in one call."""

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from lithax.generate import check_artefacts, ct_artefacts, detected, finney_pack, rasterise_spheres, simulated_ct
from lithax.geometry import Frame
from lithax.grid import Box
from lithax.images._create import new_image, write_own_units
from lithax.images._voxel_image import VoxelImage
from lithax.ops import gaussian, gaussian_radius
from lithax.storage import voxel_dtype


def simulated_scan(
    shape: Sequence[int] = (160, 160, 160),
    dtype: Any = "u2",
    *,
    sphere_radius: float = 100.0,
    voxel_length: float = 6.25,
    voxel_unit: str = "um",
    blur: float = 0.7,
    noise: float = 0.1,
    pore: float = 20_000.0,
    grain: float = 40_000.0,
    rings: float = 0.0,
    cupping: float = 0.0,
    drift: float = 0.0,
    photons: float | None = None,
    seed: int = 0,
    chunks: Any = "auto",
    store: Any = None,
    path: str | None = None,
    shards: Any = None,
    overwrite: bool = False,
    world: Any = None,
    **options: Any,
) -> VoxelImage:
    """Make a micro-CT scan to try things on: the Finney pack of spheres as a scanner would show it,
    blurred and noisy.

    Its true porosity, the share of voxels whose centre lies in no sphere, is
    ``image.attrs["true_porosity"]``.

    Parameters
    ----------
    shape
        Number of voxels along x, y and z; the middle of the image is that of the pack.
    dtype
        Type of a voxel; grey levels are rounded to integers and kept within their range.
    sphere_radius
        Radius of the spheres [voxel_unit]. The pack is a ball of 18.5 radii, with air around it.
    voxel_length, voxel_unit
        Edge of a voxel, and its unit.
    blur
        Standard deviation of the scanner's Gaussian [voxel].
    noise
        Standard deviation of the detector's noise over the contrast, ``abs(grain - pore)`` [-].
    pore, grain
        Grey levels of the two [grey level].
    rings, cupping, drift, photons
        A scanner's artefacts, about the middle of the slices across z: see
        `lithax.generate.ct_artefacts`. `rings` is in grey levels; none of them by default.
    seed
        Integer that the noise belongs to: the same seed makes the same scan, however it is cut into
        chunks.
    chunks, store, path, shards, overwrite, world, **options
        As in `create`.

    Returns
    -------
        The scan.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong; then nothing is made.

    References
    ----------
    J. L. Finney, Random packings and the structure of simple liquids. I. The geometry of random
    close packing, Proceedings of the Royal Society A 319 (1970) 479-493. doi:10.1098/rspa.1970.0189

    Examples
    --------
    >>> scan = simulated_scan((64, 64, 64), sphere_radius=50)
    >>> scan.dtype, round(scan.attrs["true_porosity"], 2)
    (dtype('uint16'), 0.36)
    """
    for name, value in (("sphere_radius", sphere_radius), ("voxel_length", voxel_length)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}={value!r} must be finite and positive.")
    for name, value in (("blur", blur), ("noise", noise)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name}={value!r} must be finite and not negative.")
    artefacts: dict[str, Any] = {"rings": rings, "cupping": cupping, "drift": drift, "photons": photons}
    check_artefacts(**artefacts)
    kind = voxel_dtype(dtype)
    if kind.kind not in "uif":
        raise TypeError(f"dtype={dtype!r} must be a type of real numbers, such as 'u2' or 'f4'.")
    sizes = Frame(shape).shape
    # The middle of the image is the middle of the pack; voxels are counted from the first one.
    centers = np.asarray(finney_pack()) * (sphere_radius / voxel_length) + 0.5 * (np.asarray(sizes) - 1.0)
    radius = sphere_radius / voxel_length
    halo = max(gaussian_radius(blur)) if blur else 0
    lock, pores = threading.Lock(), [0]

    def values_of(box: Box) -> np.ndarray:
        around = [np.arange(s.start - halo, s.stop + halo, dtype=np.float64) for s in box]
        core = tuple(slice(halo, halo + s.stop - s.start) for s in box)
        solid = rasterise_spheres(centers, radius, *around)
        with lock:
            pores[0] += int(np.count_nonzero(~solid[core]))
        fraction = solid.astype(np.float32)
        if blur:
            fraction = np.asarray(gaussian(fraction, sigma=blur, boundary="nearest"))
        i, j, k = np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij", sparse=True)
        if not any((rings, cupping, drift, photons)):
            return simulated_ct(fraction[core], i, j, k, seed=seed, pore=pore, grain=grain, noise=noise, dtype=kind)
        grey = simulated_ct(fraction[core], i, j, k, seed=seed, pore=pore, grain=grain, noise=noise)
        return detected(ct_artefacts(grey, i, j, k, shape=sizes, seed=seed, **artefacts), kind)

    known: dict[str, Any] = {
        "field_name": "grey level",
        "description": "simulated scan of the Finney pack of spheres, doi:10.1098/rspa.1970.0189",
    }
    numbers = {
        **artefacts,
        "sphere_radius": sphere_radius,
        "blur": blur,
        "noise": noise,
        "pore": pore,
        "grain": grain,
        "seed": seed,
    }
    with new_image(
        sizes,
        kind,
        chunks,
        store,
        path,
        shards=shards,
        overwrite=overwrite,
        voxel_length=voxel_length,
        voxel_unit=voxel_unit,
        world=world,
        filled_by="simulated_scan",
        compared=numbers,
        **known | options,
    ) as image:
        write_own_units(image.stored, values_of, image.world)
        counted = image.world.reduce(pores[0], lambda a, b: a + b)
        if image.world.first:
            image.attrs["true_porosity"] = counted / math.prod(sizes)
    if not image.world.first:
        image.stored.reload_metadata()
    return image
