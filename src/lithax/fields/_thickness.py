"""Local thickness: the diameter of the largest ball inside a phase that covers a voxel."""

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np

from lithax.arrays import (
    draw_balls,
    half_lattice_bytes,
    half_lattice_distances,
    half_lattice_reach,
    no_source,
    run_tiles,
)
from lithax.chunked import Field, FoldPass, MapPass, PassBlock, available_cores
from lithax.fields._call import (
    ImageOptions,
    host_array,
    image_call,
    is_image,
    like_input,
    phase_values,
    real_numbers,
    results_alone,
    valid_array,
)
from lithax.fields._distance import DistanceSettings, distance_of_array, distance_passes, distance_settings
from lithax.grid import Box, triple
from lithax.images import ImageCall, Passes, Plan, WholeImage, plan_algorithm, plans, run_algorithm

ASSUMED_RADIUS = 32
"""The radius of the largest ball for which `lithax.plan` counts the memory: no voxel is read to
know the true one.
"""


_LOOKED_UP = 1 << 16
"""Squared radii up to which diameters are looked up."""

_AT_ONCE = 1 << 25
"""Voxels of an array in which balls are found and drawn at once, if no ball is too large for it."""


class ThicknessSettings(NamedTuple):
    """What balls are drawn in, and in which unit."""

    distance: DistanceSettings
    length: float
    bins: np.ndarray | None

    def diameters(self, squared: np.ndarray) -> np.ndarray:
        """Return the diameters of balls, given squared radii [half voxels²]."""
        return diameters_of(squared, self.length / 2, self.bins, 2)


def diameters_of(
    squared: np.ndarray, length: float = 1.0, bins: np.ndarray | None = None, surface: int = 1
) -> np.ndarray:
    """Return the diameters of balls whose surface goes half-way between a voxel of the phase and
    one outside of it.

    Parameters
    ----------
    squared
        Squared radii up to the centre of the voxel outside, in steps of a length.
    length, bins
        The length of a step, and the diameters to which results are cut.
    surface
        Edge of a voxel in steps.
    """
    whole = squared.dtype.kind in "iu" and squared.min(initial=0) >= 0
    if whole and (largest := int(squared.max(initial=0))) < min(_LOOKED_UP, squared.size - 1):
        # Few sizes: the diameter of each is found once.
        every = np.arange(largest + 1, dtype=squared.dtype)
        return np.take(diameters_of(every, length, bins, surface), squared)
    lost = squared == no_source(squared.dtype)
    values = np.where(squared > 0, 2 * np.sqrt(squared.astype(np.float64)) - surface, 0) * length
    values[lost] = np.inf
    if bins is not None:
        place = np.searchsorted(bins, values, side="right")
        values = np.where(place > 0, bins[np.maximum(place, 1) - 1], 0)
    return values.astype(np.float32)


def local_thickness(
    image: Any,
    *,
    phases: int | Collection[int] | None = None,
    spacing: float | str | None = None,
    outside: str = "foreground",
    bins: Sequence[float] | None = None,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Return, for every voxel of a phase, the *diameter* of the largest ball inside the phase that
    covers it.

    It is the size of pore bodies (or grains); throats come from `drainage`. Exact: every ball is
    considered whose centre is that of a voxel, of a face, an edge or a corner between voxels, each
    with its own size. Its surface is half-way between the last voxel centre inside and the first
    one outside: its radius is half a voxel less than the distance of its centre to the voxel
    centres outside, and to the lines, squares and cubes between those that are neighbours. So a
    slit of h voxels gives h, and so does a square tube, whether h is even or odd. (PoreSpy returns
    radii, of balls around voxel centres, up to the centre of the voxel outside.)

    Parameters
    ----------
    image
        Boolean array or image, True in the phase, or a segmentation.
    phases
        The values of a segmentation that make the phase; without them, everything but 0.
    spacing
        Length of a voxel, which must be a cube; None: diameters in voxels. "image": the voxel
        length of the image, and diameters in its unit.
    outside
        What lies beyond the faces of the image, as for `distance`.
    bins
        Diameters, ascending: each voxel gets the largest of them that is no larger than its own, or
        0.
    where
        Voxels that take part, as for `distance`: those left out are neither phase nor background.
    **options
        For images: `store`, `path`, `overwrite`, `chunks`, `shards`, `resume`, `memory_limit`,
        `workers`, `world` and `progress`, as for `chunk_map`.

    Returns
    -------
        Diameters [voxel, or the unit of `spacing`], float32; 0 outside of the phase, infinite if
        the phase fills the image.

    References
    ----------
    Hildebrand and Rüegsegger, A new method for the model-independent assessment of thickness in
    three-dimensional images, Journal of Microscopy 185 (1997), 67-75.
    doi:10.1046/j.1365-2818.1997.1340694.x

    Examples
    --------
    >>> import numpy as np
    >>> pore = np.zeros((9, 9, 9), bool)
    >>> pore[2:7] = True
    >>> local_thickness(pore)[:, 4, 4].tolist()
    [0.0, 0.0, 5.0, 5.0, 5.0, 5.0, 5.0, 0.0, 0.0]
    """
    settings = thickness_settings("local_thickness", image, phases, spacing, outside, bins)
    if is_image(image):
        call = thickness_call(image, settings, phases, spacing, outside, where, options)
        outputs, _ = run_algorithm(call, (image,), lambda whole: results_alone(thickness_passes(whole, settings)))
        return outputs[0]
    values = host_array("local_thickness", image, options)
    valid = valid_array(where, values.shape)
    squared, _ = distance_of_array(settings.distance, values, valid)
    if np.any(squared == no_source(squared.dtype)):
        return like_input(image, settings.diameters(squared))
    largest = int(squared.max())
    del squared
    return like_input(image, _in_slabs(settings, values, valid, largest))


def _in_slabs(settings: ThicknessSettings, values: np.ndarray, valid: np.ndarray | None, largest: int) -> np.ndarray:
    """Return the diameters of the largest balls over an array, slab by slab."""
    found = np.empty(values.shape, np.float32)
    shape, halo, threads = triple(values.shape), halo_of(largest), available_cores()
    thick = max(4 * halo, _AT_ONCE // max(1, shape[1] * shape[2]))

    def slab(start: int) -> None:
        low, high = max(0, start - halo), min(shape[0], start + thick + halo)
        core = triple([slice(start - low, min(start + thick, shape[0]) - low), slice(0, shape[1]), slice(0, shape[2])])
        some = None if valid is None else valid[low:high]
        squared = _balls(settings.distance, values[low:high], some, core, (low, 0, 0), shape, largest, threads)
        out = found[start : start + thick]

        def planes(a: int) -> None:
            out[a : a + 4] = settings.diameters(squared[a : a + 4])

        run_tiles(planes, range(0, len(out), 4), threads)

    for start in range(0, shape[0], thick):
        slab(start)
    return found


def halo_of(largest: int) -> int:
    """Return how far from a voxel the voxels lie that decide about the largest ball over it: as far
    as its centre, and once more as far from there to what it touches.
    """
    return 2 * half_lattice_reach(largest) + 1


def _balls(
    distance: DistanceSettings, values: np.ndarray, valid: np.ndarray | None, core: Box, begin: Any, shape: Any,
    largest: int, threads: int = 1,
) -> np.ndarray:  # fmt: skip
    """Return the squared radius of the largest ball over each voxel of a part of an image [half
    voxels²].
    """
    taken = distance.phase(values) if valid is None else distance.phase(values) & valid
    size = triple(c.stop - c.start for c in core)
    if not taken.any():
        return np.zeros(size, np.int32)
    background = distance.sources(values, valid)
    if distance.outside:
        margins = [(int(b == 0), int(b + n == whole)) for b, n, whole in zip(begin, values.shape, shape, strict=True)]
        background = np.pad(background, margins, constant_values=True)
        taken = np.pad(taken, margins)
        core = triple(slice(c.start + m, c.stop + m) for c, (m, _) in zip(core, margins, strict=True))
    around = None if valid is None else taken
    # No ball reaches in from farther away; along x, tiles need all of their lines.
    reach = half_lattice_reach(largest) + 1
    y, z = (
        slice(max(0, c.start - reach), min(c.stop + reach, n)) for c, n in zip(core[1:], taken.shape[1:], strict=True)
    )
    inner = core[0], *(slice(c.start - w.start, c.stop - w.start) for c, w in zip(core[1:], (y, z), strict=True))
    centers = half_lattice_distances(background, around, largest, threads, (y, z))
    found = draw_balls(centers, triple(inner), threads)
    # Balls reach into voxels that are left out, or of the background.
    return np.multiply(found, taken[core], out=found)


def thickness_settings(name: str, image: Any, phases: Any, spacing: Any, outside: str, bins: Any) -> ThicknessSettings:
    """Check the arguments of a local thickness."""
    length = cubic_length(name, image, spacing)
    edges = None
    if bins is not None:
        rule = f"bins={bins!r} must be positive diameters in ascending order."
        edges = real_numbers(bins, rule)
        if (
            edges.ndim != 1
            or not len(edges)
            or not np.all(np.isfinite(edges))
            or np.any(np.diff(edges) <= 0)
            or edges[0] <= 0
        ):
            raise ValueError(rule)
    return ThicknessSettings(distance_settings(image, phases=phases, outside=outside, squared=True), length, edges)


def cubic_length(name: str, image: Any, spacing: Any, does: str = "draws balls in voxels") -> float:
    """Return the edge of the voxels, which must be cubes."""
    if spacing is None:
        return 1.0
    if isinstance(spacing, str):
        if spacing != "image" or not is_image(image):
            raise ValueError(f"spacing={spacing!r} must be a length, or 'image' for the voxel length of an image.")
        edges = tuple(image.voxel_length)
    else:
        edges = tuple(np.atleast_1d(real_numbers(spacing, f"spacing={spacing!r} must be a positive length.")).tolist())
    if len(edges) not in (1, 3) or not all(math.isfinite(e) and e > 0 for e in edges):
        raise ValueError(f"spacing={spacing!r} must be a positive length.")
    if max(edges) - min(edges) > 1e-6 * max(edges):
        raise ValueError(f"spacing={edges} is not that of cubes; lx.{name} {does}: resample the image first.")
    return edges[0]


def largest_fold(name: str, image: Any) -> FoldPass:
    """Return the pass that finds the largest number of a scratch image, voxels without a source
    left out.
    """
    found = [0]

    def kernel(block: PassBlock) -> int:
        values = block.inner(block.arrays[0])
        known = values[values != no_source(values.dtype)]
        return int(known.max()) if known.size else 0

    def take(_: PassBlock, largest: int) -> None:
        found[0] = max(found[0], largest)

    return FoldPass(
        name,
        kernel,
        take,
        lambda world: world.reduce(found[0], max),
        (image,),
        selects=False,
        assumed=ASSUMED_RADIUS**2,
    )


def thickness_passes(whole: WholeImage, settings: ThicknessSettings) -> Passes:
    """Yield the passes of a local thickness; return the image that the last one writes."""
    (squared,) = yield from distance_passes(whole, settings.distance, last=False)
    largest = yield largest_fold("find the largest ball", squared)
    halo = halo_of(largest) if largest else 0

    def kernel(block: PassBlock) -> list[np.ndarray]:
        values = block.arrays[0]
        if not largest:  # whatever lies in the phase has nothing to be near to
            return [np.where(settings.distance.phase(values), np.inf, 0).astype(np.float32)]
        found = _balls(settings.distance, values, block.valid, block.core, block.begin, block.shape, largest)
        return [settings.diameters(found)]

    written = yield MapPass(
        "draw balls",
        kernel,
        (whole.image,),
        [Field(np.dtype(np.float32))],
        halo=(halo, halo, halo),
        voxel_bytes=_voxel_bytes(whole, halo, largest),
    )
    return written


def _voxel_bytes(whole: WholeImage, halo: int, largest: int) -> int:
    """Return what a pass that draws balls holds for each voxel of a block and its halo [byte]."""
    block, shape = whole.layout().block, whole.shape
    padded = math.prod(min(b + 2 * halo, n) for b, n in zip(block, shape, strict=True))
    # The phase and the background are there, too.
    return 3 + -(-half_lattice_bytes(block, shape, largest) // padded)


def thickness_call(
    image: Any, settings: ThicknessSettings, phases: Any, spacing: Any, outside: str, where: Any, options: Any
) -> ImageCall:
    """Return the call of a local thickness on images."""
    parameters = {
        "phases": None if phases is None else phase_values(phases),
        "length": settings.length,
        "outside": outside,
        "bins": None if settings.bins is None else settings.bins.tolist(),
    }
    unit = str(image.voxel_unit) if spacing == "image" else "" if spacing is not None else "voxel"
    return image_call("local_thickness", parameters, where, options, names=["local thickness"], units=[unit])


@plans(local_thickness)
def _plan(
    image: Any, *, phases=None, spacing=None, outside="foreground", bins=None, where=None, **options: Any
) -> Plan:
    settings = thickness_settings("local_thickness", image, phases, spacing, outside, bins)
    call = thickness_call(image, settings, phases, spacing, outside, where, options)
    return plan_algorithm(call, (image,), lambda whole: results_alone(thickness_passes(whole, settings)))
