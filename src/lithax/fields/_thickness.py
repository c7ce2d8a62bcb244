"""Local thickness: the diameter of the largest ball inside a phase that covers a voxel."""

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np

from lithax.arrays import largest_balls, no_source
from lithax.chunked import Field, FoldPass, MapPass, PassBlock
from lithax.fields._call import ImageOptions, host_array, image_call, is_image, like_input, phase_values, valid_array
from lithax.fields._distance import DistanceSettings, distance_of_array, distance_passes, distance_settings
from lithax.grid import triple
from lithax.images import Passes, Plan, WholeImage, plan_algorithm, plans, run_algorithm

ASSUMED_RADIUS = 48
"""The radius of the largest ball for which `lithax.plan` counts the memory: no voxel is read to
know the true one.
"""


class _Thickness(NamedTuple):
    distance: DistanceSettings
    length: float
    bins: np.ndarray | None

    def diameters(self, squared: np.ndarray) -> np.ndarray:
        """Return the diameters of balls, given squared radii between voxel centres."""
        return diameters_of(squared, self.length, self.bins)


def diameters_of(squared: np.ndarray, length: float = 1.0, bins: np.ndarray | None = None) -> np.ndarray:
    """Return the diameters of balls whose surface goes half-way between a voxel of the phase and
    one outside of it.
    """
    lost = squared == no_source(squared.dtype)
    values = np.where(squared > 0, 2 * np.sqrt(squared.astype(np.float64)) - 1, 0) * length
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

    It is the size of pore bodies (or grains); throats come from `drainage`. Exact: every ball
    around a voxel centre is considered, with its own size. The ball around q has the radius D -
    1/2, half a voxel less than the distance D to the nearest voxel centre outside, where the
    surface is: a slit of h voxels gives h where h is odd. Where it is even, no voxel centre lies in
    the middle, and the largest ball around one is a voxel smaller: h - 1. (PoreSpy returns radii,
    up to that distance D.)

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
    settings = _settings("local_thickness", image, phases, spacing, outside, bins)
    if is_image(image):
        call = _call(image, settings, phases, spacing, outside, where, options)
        outputs, _ = run_algorithm(call, (image,), lambda whole: _passes(whole, settings), [np.float32])
        return outputs[0]
    values = host_array("local_thickness", image, options)
    valid = valid_array(where, values.shape)
    squared, _ = distance_of_array(settings.distance, values, valid)
    if not np.any(squared == no_source(squared.dtype)):
        squared = largest_balls(squared, triple(slice(0, n) for n in values.shape))
        if valid is not None:
            squared = np.where(valid & settings.distance.phase(values), squared, squared.dtype.type(0))
    return like_input(image, settings.diameters(squared))


def _settings(name: str, image, phases, spacing, outside, bins) -> _Thickness:
    length = cubic_length(name, image, spacing)
    edges = None
    if bins is not None:
        edges = np.asarray(bins, np.float64)
        if (
            edges.ndim != 1
            or not len(edges)
            or not np.all(np.isfinite(edges))
            or np.any(np.diff(edges) <= 0)
            or edges[0] <= 0
        ):
            raise ValueError(f"bins={bins!r} must be positive diameters in ascending order.")
    return _Thickness(distance_settings(image, phases=phases, outside=outside, squared=True), length, edges)


def cubic_length(name: str, image: Any, spacing: Any) -> float:
    """Return the edge of the voxels, which must be cubes."""
    if spacing is None:
        return 1.0
    if isinstance(spacing, str):
        if spacing != "image" or not is_image(image):
            raise ValueError(f"spacing={spacing!r} must be a length, or 'image' for the voxel length of an image.")
        edges = tuple(image.voxel_length)
    else:
        edges = tuple(float(v) for v in np.atleast_1d(np.asarray(spacing, float)))
    if len(edges) not in (1, 3) or not all(math.isfinite(e) and e > 0 for e in edges):
        raise ValueError(f"spacing={spacing!r} must be a positive length.")
    if max(edges) - min(edges) > 1e-6 * max(edges):
        raise ValueError(
            f"spacing={edges} is not that of cubes; lx.{name} draws balls in voxels: resample the image first."
        )
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


def reach_of(squared: int) -> int:
    """Return how many voxels away the centre of a ball can lie that covers a voxel."""
    return math.isqrt(max(squared - 1, 0))


def _passes(whole: WholeImage, settings: _Thickness) -> Passes:
    (squared,) = yield from distance_passes(whole, settings.distance, last=False)
    largest = yield largest_fold("find the largest ball", squared)
    # Containment is judged by neighbours, one voxel further out than the balls that count.
    reach = reach_of(largest) + 1

    def kernel(block: PassBlock) -> list[np.ndarray]:
        return [settings.diameters(balls_of_block(block, settings.distance))]

    yield MapPass(
        "draw balls",
        kernel,
        (whole.image, squared),
        [Field(np.dtype(np.float32))],
        halo=(reach, reach, reach),
        voxel_bytes=24,
    )
    return None


def balls_of_block(block: PassBlock, distance: DistanceSettings) -> np.ndarray:
    """Return the squared radii of the largest balls over a block, whose arrays are the image and
    squared distances.
    """
    values, squared = block.arrays
    if block.valid is not None:
        squared = np.where(block.valid & distance.phase(values), squared, squared.dtype.type(0))
    if not squared.any():
        return np.zeros(block.size, squared.dtype)
    if np.any(squared == no_source(squared.dtype)):
        return block.inner(squared)
    return covered_within(largest_balls(squared, block.core), block.inner(values), distance)


def covered_within(covered: np.ndarray, values: np.ndarray, distance: DistanceSettings) -> np.ndarray:
    """Cut what balls cover at the phase: they reach into voxels left out."""
    return np.where(distance.phase(values), covered, covered.dtype.type(0))


def _call(image: Any, settings: _Thickness, phases, spacing, outside, where, options) -> Any:
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
    settings = _settings("local_thickness", image, phases, spacing, outside, bins)
    call = _call(image, settings, phases, spacing, outside, where, options)
    return plan_algorithm(call, (image,), lambda whole: _passes(whole, settings))
