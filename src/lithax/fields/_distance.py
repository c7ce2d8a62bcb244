"""Exact distances to the nearest voxel of a phase, on arrays and on images of any size."""

import math
from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, Unpack

import numpy as np

from lithax.arrays import METRICS, across_lines, distance_dtype, line_distance, near_distances, no_source
from lithax.chunked import Field, MapPass, PassBlock, available_cores
from lithax.fields._call import (
    ImageOptions,
    host_array,
    image_call,
    is_image,
    like_input,
    phase_function,
    phase_values,
    real_numbers,
    results_alone,
    valid_array,
)
from lithax.images import Passes, Plan, VoxelImage, WholeImage, plan_algorithm, plans, run_algorithm

OUTSIDE = ("foreground", "background", "mirror")
_FINEST = 1000
"""Voxel edges that are multiples of one length, up to so many times, have squared distances in
whole numbers.
"""
_AT_ONCE = 1 << 18
"""Voxels whose results are worked out at once, so that what lies between takes little memory."""
_EXACT = 2**24
"""Whole numbers below it are single-precision numbers."""


class DistanceSettings(NamedTuple):
    """What a distance is measured from, and how."""

    phases: Any
    to: list[int] | None
    metric: str
    steps: tuple[int | float, ...]
    unit: float
    """Length of a step of 1."""
    outside: bool
    signed: bool
    squared: bool
    nearest: bool
    phase: Any

    def sources(self, values: np.ndarray, valid: np.ndarray | None, inside_out: bool = False) -> np.ndarray:
        """Return the voxels to which the distance is measured."""
        if self.to is not None:
            found = np.isin(values, self.to)
        else:
            found = self.phase(values) if inside_out else ~self.phase(values)
        return found if valid is None else found & valid

    def result(self, squared: np.ndarray) -> np.ndarray:
        """Return distances as the caller wants them."""
        if self.squared:
            return squared
        values = np.empty(squared.shape, np.float32)
        rows = max(1, _AT_ONCE * len(squared) // max(1, squared.size))
        for a in range(0, len(squared), rows):
            values[a : a + rows] = self._lengths(squared[a : a + rows])
        return values

    def _lengths(self, squared: np.ndarray) -> np.ndarray:
        if self.metric == "euclidean" and self.unit == 1 and squared.max(initial=0) < _EXACT:
            # The root of what single precision holds is rounded once, as that in double precision
            # and then to single is (Figueroa 1995: 53 bits are more than 2 x 24 + 2).
            return np.sqrt(squared.astype(np.float32))
        lost = squared == no_source(squared.dtype)
        values = squared.astype(np.float64)
        if self.metric == "euclidean":
            np.sqrt(values, out=values)
        if self.unit != 1:
            values *= self.unit
        values[lost] = np.inf
        return values.astype(np.float32)


def distance(
    image: Any,
    *,
    phases: int | Collection[int] | None = None,
    to: int | Collection[int] | None = None,
    metric: str = "euclidean",
    spacing: Sequence[float] | str | None = None,
    outside: str = "foreground",
    signed: bool = False,
    squared: bool = False,
    nearest: bool = False,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Return the distance of every voxel of a phase to the nearest voxel outside of it, between
    voxel centres.

    Exact, for any chunk grid and number of processes: the squared distance is a whole number
    wherever the voxel edges are multiples of one length. For booleans the numbers are those of
    `scipy.ndimage.distance_transform_edt` (`distance_transform_cdt` for the other two metrics).
    Images are worked on in three passes over pencils of blocks, one along each axis, so that memory
    does not grow with the distance.

    Parameters
    ----------
    image
        Boolean array or image, True in the phase, or a segmentation.
    phases
        The values of a segmentation that make the phase; without them, everything but 0.
    to
        Measure the distance of *every* voxel to the nearest voxel with one of these values instead.
    metric
        "euclidean", "cityblock" (steps along the axes) or "chessboard" (the longest of the three).
    spacing
        Length of a voxel along each axis; None: distances in voxels. "image": the voxel length of
        the image, and distances in its unit.
    outside
        What lies beyond the faces of the image: "foreground" (nothing there to be near to, as in
        scipy), "background" (a layer of it, right beside the first and the last voxels), or
        "mirror" (the image again, which brings nothing nearer: the same numbers as "foreground").
    signed
        Outside of the phase, minus the distance to the phase.
    squared
        Return squared distances (euclidean only), in steps of the greatest common length of the
        voxel edges; whole numbers if there is one.
    nearest
        Return a second field: the place of the nearest voxel in C order, ``(x * ny + y) * nz + z``,
        the smallest of several (euclidean only); -1 if there is none.
    where
        Voxels that take part, as for `chunk_map` (with an array: a boolean array). Voxels left out
        are neither phase nor background; their distance is 0.
    **options
        For images: `store`, `path`, `overwrite`, `chunks`, `shards`, `resume`, `memory_limit`,
        `workers`, `world` and `progress`, as for `chunk_map`.

    Returns
    -------
        Distances [voxel, or the unit of `spacing`], float32; infinite where there is nothing to be
        near to (`squared`: the largest integer). With `nearest` a tuple of two. An array for an
        array, an image for an image.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, before anything is read or written.

    References
    ----------
    Felzenszwalb and Huttenlocher, Distance transforms of sampled functions, Theory of Computing 8
    (2012), 415-428. doi:10.4086/toc.2012.v008a019

    Examples
    --------
    >>> import numpy as np
    >>> pore = np.zeros((1, 1, 6), bool)
    >>> pore[..., 1:5] = True
    >>> distance(pore)[0, 0].tolist()
    [0.0, 1.0, 2.0, 2.0, 1.0, 0.0]
    """
    settings = distance_settings(image, phases, to, metric, spacing, outside, signed, squared, nearest)
    if is_image(image):
        call = _image_call(image, settings, spacing, outside, where, options)
        outputs, _ = run_algorithm(call, (image,), lambda whole: results_alone(distance_passes(whole, settings)))
        return tuple(outputs) if nearest else outputs[0]
    values = host_array("distance", image, options)
    valid = valid_array(where, values.shape)
    found, place = distance_of_array(settings, values, valid)
    found = like_input(image, found)
    return (found, like_input(image, place)) if nearest else found


def distance_settings(
    image: Any,
    phases: Any = None,
    to: Any = None,
    metric: str = "euclidean",
    spacing: Any = None,
    outside: str = "foreground",
    signed: bool = False,
    squared: bool = False,
    nearest: bool = False,
) -> DistanceSettings:
    """Check the arguments of a distance."""
    if metric not in METRICS:
        raise ValueError(f"metric={metric!r} must be one of {', '.join(map(repr, METRICS))}.")
    if outside not in OUTSIDE:
        raise ValueError(f"outside={outside!r} must be one of {', '.join(map(repr, OUTSIDE))}.")
    if metric != "euclidean" and (squared or nearest):
        raise ValueError(f"metric={metric!r} has no squared distance and no nearest voxel here; use 'euclidean'.")
    if nearest and outside == "background":
        raise ValueError(
            "nearest=True with outside='background': a voxel outside the image has no place; pad the image."
        )
    if to is not None and (phases is not None or signed):
        raise ValueError(f"to={to!r} is the distance of every voxel to a phase; leave out phases= and signed=.")
    if signed and (squared or nearest):
        raise ValueError("signed=True goes with neither squared= nor nearest=; take two distances apart.")
    if not (hasattr(image, "shape") and hasattr(image, "dtype")):
        raise TypeError(f"image is a {type(image).__name__}; give an image (lx.open, lx.from_array) or an array.")
    phase = phase_function("distance", image.dtype, phases)
    steps, unit = _steps(_lengths(image, spacing))
    values = None if to is None else phase_values(to, "to")
    background = outside == "background"
    return DistanceSettings(phases, values, metric, steps, unit, background, signed, squared, nearest, phase)


def _lengths(image: Any, spacing: Any) -> tuple[float, ...]:
    if spacing is None:
        return 1.0, 1.0, 1.0
    if isinstance(spacing, str):
        if spacing != "image" or not is_image(image):
            raise ValueError(f"spacing={spacing!r} must be three lengths, or 'image' for the voxel length of an image.")
        return tuple(image.voxel_length)
    rule = f"spacing={spacing!r} must be three positive lengths, one per axis."
    lengths = tuple(np.atleast_1d(real_numbers(spacing, rule)).tolist())
    lengths = lengths * 3 if len(lengths) == 1 else lengths
    if len(lengths) != 3 or not all(math.isfinite(v) and v > 0 for v in lengths):
        raise ValueError(rule)
    return lengths


def _steps(lengths: tuple[float, ...]) -> tuple[tuple[int | float, ...], float]:
    """Return voxel edges as whole numbers of one length, and that length; as they are if there is
    none.
    """
    ratios = [Fraction(v / lengths[0]).limit_denominator(_FINEST) for v in lengths]
    scale = math.lcm(*(r.denominator for r in ratios))
    whole = [int(r * scale) for r in ratios]
    divisor = math.gcd(*whole)
    whole = [w // divisor for w in whole]
    unit = lengths[0] / whole[0]
    if max(whole) <= _FINEST and all(abs(w * unit - v) <= 1e-9 * v for w, v in zip(whole, lengths, strict=True)):
        return tuple(whole), unit
    return lengths, 1.0


def _result_dtype(settings: DistanceSettings, shape: tuple[int, ...]) -> np.dtype:
    return distance_dtype(shape, settings.steps, settings.metric) if settings.squared else np.dtype(np.float32)


def distance_of_array(
    settings: DistanceSettings, values: np.ndarray, valid: np.ndarray | None
) -> tuple[np.ndarray, Any]:
    dtype = distance_dtype(values.shape, settings.steps, settings.metric)
    threads = available_cores()

    def transform(inside_out: bool) -> tuple[np.ndarray, Any]:
        sources = settings.sources(values, valid, inside_out)
        if settings.metric == "euclidean" and not settings.nearest:
            near = near_distances(
                sources, settings.steps, settings.result, _result_dtype(settings, values.shape),
                outside=settings.outside, threads=threads,
            )  # fmt: skip
            if near is not None:
                return near, None
        found, place = _first(settings, sources, dtype)
        for axis in (1, 0):
            found, place = across_lines(
                found, axis, settings.steps[axis], metric=settings.metric, outside=settings.outside,
                carried=place, threads=threads,
            )  # fmt: skip
        return settings.result(found), place

    result, place = transform(False)
    if settings.signed:
        result -= transform(True)[0]
        result[np.isnan(result)] = np.inf
    if valid is not None:
        result = np.where(valid, result, result.dtype.type(0))
        place = None if place is None else np.where(valid, place, -1)
    return result, place


def _first(settings: DistanceSettings, sources: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, Any]:
    return line_distance(
        sources, 2, settings.steps[2], metric=settings.metric, dtype=dtype, outside=settings.outside,
        nearest=settings.nearest,
    )  # fmt: skip


def distance_passes(whole: WholeImage, settings: DistanceSettings, last: bool = True) -> Passes:
    """Yield the three passes of a distance; the last one writes the results, or (`last` False) a
    scratch image.

    A signed distance carries both through the same passes.
    """
    image, shape = whole.image, whole.shape
    dtype = distance_dtype(shape, settings.steps, settings.metric)
    sides = 2 if settings.signed else 1
    kinds = [Field(dtype, scratch=True, fill=no_source(dtype))] * sides + [
        Field(np.dtype(np.int64), scratch=True)
    ] * settings.nearest

    def along_z(block: PassBlock) -> list[np.ndarray]:
        results: list[np.ndarray] = []
        for side in range(sides):
            found, place = _first(settings, settings.sources(block.arrays[0], block.valid, bool(side)), dtype)
            results += [found] if place is None else [found, place.astype(np.int64)]
        return results

    def across(axis: int, block: PassBlock) -> list[np.ndarray]:
        results: list[np.ndarray] = []
        carried = block.arrays[1] if settings.nearest else None
        for side in range(sides):
            found, place = across_lines(
                block.arrays[side], axis, settings.steps[axis], metric=settings.metric, outside=settings.outside,
                carried=carried, stride=math.prod(shape[axis + 1 :]),
            )  # fmt: skip
            results += [found] if place is None else [found, place]
        return results

    def finish(block: PassBlock) -> list[np.ndarray]:
        results = across(0, block)
        if not last:
            return results
        found = settings.result(results[0])
        if settings.signed:
            found -= settings.result(results[1])
            found[np.isnan(found)] = np.inf
        return [found, *results[1:]][: 2 if settings.nearest else 1]

    # A line is worked on in small tiles. Where the nearest voxel is carried along, places and
    # indices of 64 bits for all of them. To find several phases takes a table.
    along = 4 + 8 * (settings.to is not None) + 24 * settings.nearest
    carried = 48 * settings.nearest
    # What is left out must not stop a line: distances are carried through it, and cut at the end.
    written = yield MapPass("along z", along_z, (image,), kinds, spans=(2,), voxel_bytes=along)
    written = yield MapPass(
        "across y", lambda block: across(1, block), written, kinds, spans=(1,), voxel_bytes=1 + carried, selects=False
    )
    ends = [Field(_result_dtype(settings, shape), scratch=False), Field(np.dtype(np.int64), fill=-1)]
    results = ends[: 1 + settings.nearest] if last else kinds
    still = 1 + carried + last * sides * dtype.itemsize
    written = yield MapPass("across x", finish, written, results, spans=(0,), voxel_bytes=still, selects=last)
    return written


def _image_call(
    image: VoxelImage, settings: DistanceSettings, spacing: Any, outside: str, where: Any, options: Any
) -> Any:
    parameters = {
        "phases": None if settings.phases is None else phase_values(settings.phases),
        "to": settings.to,
        "metric": settings.metric,
        "steps": list(settings.steps),
        "length": settings.unit,
        "outside": outside,
        "signed": settings.signed,
        "squared": settings.squared,
        "nearest": settings.nearest,
    }
    unit = image.voxel_unit if spacing == "image" else "" if spacing is not None else "voxel"
    names, units = ["distance"], ["" if settings.squared else str(unit)]
    if settings.nearest:
        names, units = [*names, "nearest voxel"], [*units, ""]
    return image_call("distance", parameters, where, options, names=names, units=units)


@plans(distance)
def _plan(image: Any, **arguments: Any) -> Plan:
    defaults: dict[str, Any] = {
        "phases": None, "to": None, "metric": "euclidean", "spacing": None, "outside": "foreground", "signed": False,
        "squared": False, "nearest": False,
    }  # fmt: skip
    own = {name: arguments.pop(name, value) for name, value in defaults.items()}
    where = arguments.pop("where", None)
    settings = distance_settings(image, *own.values())
    call = _image_call(image, settings, own["spacing"], own["outside"], where, arguments)
    return plan_algorithm(call, (image,), lambda whole: distance_passes(whole, settings))
