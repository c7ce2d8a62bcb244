"""Distributions of sizes: pores by the ball that covers them, grains by their volume."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np

from lithax.arrays import extents
from lithax.chunked import FoldPass, PassBlock
from lithax.fields._call import ImageOptions, host_array, image_call, is_image, valid_array
from lithax.fields._components import ComponentTable
from lithax.fields._thickness import (
    cubic_length,
    local_thickness,
    thickness_call,
    thickness_passes,
    thickness_settings,
)
from lithax.images import Passes, Plan, WholeImage, plan_algorithm, plans, run_algorithm


@dataclass(frozen=True)
class SizeDistribution:
    """How much there is of each size."""

    diameters: np.ndarray
    """Ascending [voxel, or `unit`]."""
    volume: np.ndarray
    """Part of the volume that has each diameter [-]; of all together 1."""
    number: np.ndarray | None
    """Part of the objects that has each diameter [-]; None where there are none to count, as for
    pores.
    """
    unit: str
    """Of the diameters; "voxel" if no other is known."""
    left_out: int = 0
    """Objects that the image cuts, which are left out."""

    def percentile(self, q: float, *, by: str = "volume") -> float:
        """Return the diameter below or at which `q` per cent of the volume (or number) lies."""
        if not 0 <= q <= 100:
            raise ValueError(f"q={q!r} must be from 0 to 100 per cent.")
        if by not in ("volume", "number") or (by == "number" and self.number is None):
            raise ValueError(f"by={by!r} must be 'volume'" + (" or 'number'." if self.number is not None else "."))
        weights = self.volume if by == "volume" else self.number
        if not len(self.diameters) or weights is None:
            return math.nan
        total = np.cumsum(weights)
        # Rounding of the sum must not push a percentile to the next size.
        return float(self.diameters[np.searchsorted(total, q / 100 * total[-1] * (1 - 1e-12))])

    @property
    def d10(self) -> float:
        """Diameter below or at which 10 % of the volume lies."""
        return self.percentile(10)

    @property
    def d50(self) -> float:
        """Diameter below or at which half of the volume lies."""
        return self.percentile(50)

    @property
    def d90(self) -> float:
        """Diameter below or at which 90 % of the volume lies."""
        return self.percentile(90)

    def cumulative(self, *, by: str = "volume") -> np.ndarray:
        """Return the part of the volume (or number) with at most each diameter [-]."""
        weights = self.number if by == "number" else self.volume
        if weights is None:
            raise ValueError("by='number' needs objects to count; pores by covering balls have none.")
        return np.cumsum(weights)

    def to_pandas(self) -> Any:
        """Return the table as a `pandas.DataFrame`."""
        import pandas

        columns = {"diameter": self.diameters, "volume": self.volume, "volume_cumulative": self.cumulative()}
        if self.number is not None:
            columns |= {"number": self.number, "number_cumulative": self.cumulative(by="number")}
        return pandas.DataFrame(columns)


def pore_sizes(
    image: Any,
    *,
    phases: int | Collection[int] | None = None,
    spacing: float | str | None = None,
    outside: str = "foreground",
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> SizeDistribution:
    """Measure how much of a phase lies in bodies of each size, by the largest ball that covers a
    voxel.

    Parameters
    ----------
    image, phases, spacing, outside, where
        As for `local_thickness`, whose volume this counts, diameter by diameter.
    **options
        As for `local_thickness`; with `store` the map of diameters is kept there.

    Examples
    --------
    >>> import numpy as np
    >>> pore = np.zeros((9, 9, 9), bool)
    >>> pore[1:4], pore[5:6] = True, True
    >>> sizes = pore_sizes(pore)
    >>> sizes.diameters.tolist(), sizes.volume.tolist()
    ([1.0, 3.0], [0.25, 0.75])
    """
    found = local_thickness(image, phases=phases, spacing=spacing, outside=outside, where=where, **options)
    if is_image(image):
        kept = {k: v for k, v in options.items() if k in ("memory_limit", "workers", "world", "progress")}
        call = image_call("pore_sizes", {}, None, kept)
        _, (sizes, counts) = run_algorithm(call, (found,), lambda whole: _count_sizes(whole.image))
        unit = found.field_unit or "voxel"
    else:
        sizes, counts = np.unique(np.asarray(found), return_counts=True)
        unit = "voxel" if spacing is None else ""
    sizes, counts = sizes[sizes > 0].astype(np.float64), counts[sizes > 0]
    return SizeDistribution(sizes, counts / max(int(counts.sum()), 1), None, unit)


def _count_sizes(diameters: Any) -> Passes:
    found: dict[float, int] = {}

    def kernel(block: PassBlock) -> Any:
        return np.unique(block.arrays[0], return_counts=True)

    def take(_: PassBlock, part: Any) -> None:
        for size, count in zip(*(p.tolist() for p in part), strict=True):
            found[size] = found.get(size, 0) + count

    def finish(world: Any) -> tuple[np.ndarray, np.ndarray]:
        parts = world.gather(found)
        sizes = sorted({size for part in parts for size in part})
        return np.array(sizes), np.array([sum(part.get(size, 0) for part in parts) for size in sizes], np.int64)

    result = yield FoldPass("count sizes", kernel, take, finish, (diameters,), voxel_bytes=24)
    return result


def grain_sizes(
    labels: Any,
    *,
    spacing: float | str | None = None,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> SizeDistribution:
    """Measure the sizes of labelled objects, as the diameter of the ball of the same volume.

    Objects that touch a face of the image are cut by it and left out. Large ones are cut more often
    than small ones, so each of the others counts as many times as an object of its box would be met
    for once that it lies inside (Miles–Lantuéjoul): the product over the axes of ``n / (n -
    extent)``, n and extent in steps from voxel to voxel.

    Parameters
    ----------
    labels
        Labels of the objects, as from `watershed` or `label`; 0 is none.
    spacing
        Edge of a voxel, which must be a cube; None: diameters in voxels; "image": that of the
        image.
    where
        Voxels that take part, as for `chunk_map`.
    **options
        For images: `memory_limit`, `workers`, `world` and `progress`, as for `chunk_map`.

    References
    ----------
    Lantuéjoul, On the estimation of mean values in individual analysis of particles, Microscopica
    Acta S4 (1980), 266-273. Serra, Image Analysis and Mathematical Morphology (1982), chapter VIII.
    """
    length = cubic_length("grain_sizes", labels, spacing)
    table = label_table(labels, where=where, **options)
    real = table.sizes > 0
    inner = real & ~table.on_border
    extent = (table.upper - table.lower)[inner].astype(np.float64)
    shape = np.array(labels.shape, np.float64)
    # Of n positions of a box of e voxels along an axis, n - e + 1 - 2 lie inside without touching a
    # face.
    weights = np.prod(np.maximum(shape - 2, 1) / np.maximum(shape - 1 - extent, 1), axis=1)
    volumes = table.sizes[inner] * length**3
    diameters, place = np.unique((6 * volumes / math.pi) ** (1 / 3), return_inverse=True)
    volume, number = np.zeros(len(diameters)), np.zeros(len(diameters))
    np.add.at(volume, place, weights * volumes)
    np.add.at(number, place, weights)
    unit = str(labels.voxel_unit) if spacing == "image" else "" if spacing is not None else "voxel"
    scale = max(volume.sum(), 1e-300), max(number.sum(), 1e-300)
    return SizeDistribution(diameters, volume / scale[0], number / scale[1], unit, int(np.sum(real & ~inner)))


def label_table(labels: Any, *, where: Any = None, **options: Unpack[ImageOptions]) -> ComponentTable:
    """Return sizes, boxes and touched faces of given labels in one pass; entry k is about label k +
    1.

    Parameters
    ----------
    labels
        Array or image of whole numbers, 0 and more; a label need not hang together, or occur (its
        size is 0 then).
    where
        Voxels that take part, as for `chunk_map`.
    **options
        For images: `memory_limit`, `workers`, `world` and `progress`, as for `chunk_map`.
    """
    if not (hasattr(labels, "dtype") and hasattr(labels, "shape")):
        raise TypeError(f"labels is a {type(labels).__name__}; give an image or an array of whole numbers.")
    if np.dtype(str(labels.dtype).rsplit(".", 1)[-1]).kind not in "biu":
        raise TypeError(f"labels has dtype {labels.dtype}; give whole numbers, 0 where there is no object.")
    if is_image(labels):
        call = image_call("label_table", {}, where, options)
        _, table = run_algorithm(call, (labels,), _table_passes)
        return table
    values = host_array("label_table", labels, options, "labels")
    valid = valid_array(where, values.shape)
    part = _part(values if valid is None else np.where(valid, values, values.dtype.type(0)), (0, 0, 0), values.shape)
    return _table([part], values.shape)


def _part(values: np.ndarray, begin: Any, shape: Any) -> Any:
    own, place = np.unique(values, return_inverse=True)
    if own[0] < 0:
        raise ValueError(f"labels holds {own[0]}; labels are positive, and 0 where there is no object.")
    local = place.reshape(values.shape) + (0 if own[0] == 0 else 1)
    own = own[own > 0].astype(np.int64)
    count = len(own)
    sizes, lower, upper = extents(local, count)
    flat = local.reshape(-1)
    first = np.zeros(count + 1, np.int64)
    first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)
    at = np.stack(np.unravel_index(first[1:], values.shape), axis=1) + np.array(begin)
    places = np.ravel_multi_index(tuple(at.T), shape) if count else np.zeros(0, np.int64)
    return own, sizes, places, lower + np.array(begin), upper + np.array(begin)


def _table(parts: list[Any], shape: Any) -> ComponentTable:
    count = max([int(own.max(initial=0)) for own, *_ in parts], default=0)
    sizes, first = np.zeros(count, np.int64), np.full(count, np.iinfo(np.int64).max)
    lower, upper = np.full((count, 3), np.iinfo(np.int64).max), np.zeros((count, 3), np.int64)
    for own, some, places, low, high in parts:
        at = own - 1
        np.add.at(sizes, at, some)
        np.minimum.at(first, at, places)
        np.minimum.at(lower, at, low)
        np.maximum.at(upper, at, high)
    missing = sizes == 0
    first[missing], lower[missing] = -1, 0
    touches = np.concatenate([lower == 0, upper == np.array(shape)], axis=1) & ~missing[:, None]
    return ComponentTable(sizes, first, np.arange(1, count + 1), lower, upper, touches)


def _table_passes(whole: WholeImage) -> Passes:
    shape, parts = whole.shape, []

    def kernel(block: PassBlock) -> Any:
        values = block.inner(block.arrays[0])
        if block.valid is not None:
            values = np.where(block.inner(block.valid), values, values.dtype.type(0))
        return _part(values, tuple(b.start for b in block.box), shape)

    def finish(world: Any) -> ComponentTable:
        every = world.gather(parts)
        return _table([part for some in every for part in some], shape)

    table = yield FoldPass(
        "describe labels", kernel, lambda _, part: parts.append(part), finish, (whole.image,), voxel_bytes=40,
        kept_bytes=0.5, kept_of_stored=True,
    )  # fmt: skip
    return table


@plans(pore_sizes)
def _plan_pores(
    image: Any, *, phases=None, spacing=None, outside="foreground", bins=None, where=None, **options: Any
) -> Plan:
    settings = thickness_settings("pore_sizes", image, phases, spacing, outside, bins)
    call = thickness_call(image, settings, phases, spacing, outside, where, options)

    def passes(whole: WholeImage) -> Passes:
        (diameters,) = yield from thickness_passes(whole, settings)
        yield from _count_sizes(diameters)

    return plan_algorithm(replace(call, name="pore_sizes"), (image,), passes)


@plans(label_table)
def _plan_table(labels: Any, *, where: Any = None, **options: Any) -> Plan:
    return plan_algorithm(image_call("label_table", {}, where, options), (labels,), _table_passes)


@plans(grain_sizes)
def _plan_grains(labels: Any, *, spacing: Any = None, where: Any = None, **options: Any) -> Plan:
    cubic_length("grain_sizes", labels, spacing)
    return plan_algorithm(image_call("grain_sizes", {}, where, options), (labels,), _table_passes)
