"""From an image to the voxels that a solve works on, a few planes at a time: what its values mean,
what joins the ends, and a copy on disk in the order of the solver that only holds what takes part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from lithax.arrays import lookup
from lithax.grid import Index
from lithax.measure import CellSums, RepresentativeVolume
from lithax.solve._bounds import Bounds, bounds, bounds_of_field, sums_over
from lithax.solve._domain import inside_of
from lithax.solve._medium import read_medium
from lithax.solve._part_percolation import Counts, joined_planes, label_piece
from lithax.solve._scratch import ScratchVolume
from lithax.solve._voxel_meaning import Meaning, tallied


@dataclass(frozen=True, eq=False)
class StreamedImage:
    """An image, which of its voxels belong to the sample, and the axes in the order of the
    solver.
    """

    voxels: Any
    """An image, or an array of NumPy: what is sliced."""
    selection: Any
    """What `where` selects; None for all."""
    order: tuple[int, int, int]
    at_once: int
    """Planes that are looked at together."""

    @property
    def shape(self) -> Index:
        """In the order of the solver."""
        x, y, z = (int(self.voxels.shape[n]) for n in self.order)
        return x, y, z

    def planes(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield pieces in the order of the solver, whole chunks where these are not too thick."""
        n = self.shape[0]
        chunks = getattr(self.voxels, "shards", None) or getattr(self.voxels, "chunks", None) or (1, 1, 1)
        chunk = chunks[self.order[0]]
        thickness = max(1, self.at_once // chunk) * chunk if chunk <= self.at_once else self.at_once
        for begin in range(0, n, thickness):
            yield begin, self._read(begin, thickness)

    def _read(self, begin: int, planes: int) -> np.ndarray:
        box = tuple(slice(begin, begin + planes) if a == self.order[0] else slice(None) for a in range(3))
        return np.asarray(self.voxels[box]).transpose(self.order)

    def read(self, begin: int, planes: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return a piece in the order of the solver, and which of its voxels belong to the sample;
        None for all.
        """
        return self._read(begin, planes), self.inside(begin, planes)

    def inside(self, begin: int, planes: int) -> np.ndarray | None:
        """Return which voxels of a piece belong to the sample; None for all."""
        if self.selection is None:
            return None
        axis = self.order[0]
        start, shape = [0, 0, 0], [int(n) for n in self.voxels.shape]
        start[axis], shape[axis] = begin, planes
        x, y, z = start
        return inside_of(self.selection, (x, y, z), tuple(shape)).transpose(self.order)


@dataclass(frozen=True, eq=False)
class Tally:
    """The values that occur."""

    present: np.ndarray
    """In order; of a field the extremes, within the sample."""
    inside: np.ndarray
    """How many voxels of the sample hold each; of a field, nothing."""
    cells: int
    """Voxels of the sample."""
    everywhere: bool
    """Whether every voxel of the sample conducts, of a field."""


def copied(image: StreamedImage, folder: Path) -> tuple[ScratchVolume, Tally]:
    """Copy the voxels to disk in the order of the solver, and count what they hold; what is outside
    of the sample is 0 in a field.
    """
    dtype = np.dtype(image.voxels.dtype)
    raw = ScratchVolume(folder, image.shape, dtype)
    numbers: dict[Any, list[int]] = {}
    extremes, cells, everywhere = [], 0, dtype.kind == "f"
    try:
        for begin, planes in image.planes():
            mask = image.inside(begin, len(planes))
            own = planes if mask is None else planes[mask]
            cells += own.size
            if dtype.kind == "f":
                if own.size:
                    extremes += [own.min(), own.max()]
                everywhere = everywhere and bool((own > 0).all())
                planes = planes if mask is None else np.where(mask, planes, dtype.type(0))
            else:
                for place, voxels in enumerate((planes, own)):
                    for value, number in zip(*tallied(voxels), strict=True):
                        numbers.setdefault(value, [0, 0])[place] += number
            raw.write(begin, planes)
    except BaseException:
        raw.close()
        raise
    if dtype.kind == "f":
        # NaN is the largest and the smallest of all.
        known = np.asarray(extremes or [0], dtype)
        return raw, Tally(np.asarray([known.min(), known.max()], dtype), np.zeros(0, int), cells, everywhere)
    values = sorted(numbers)
    return raw, Tally(np.asarray(values, dtype), np.asarray([numbers[v][1] for v in values], int), cells, False)


def meaning_of(tally: Tally, pore: Any, values: Any) -> Meaning:
    """Say what the values conduct; the errors are those of `read_medium`."""
    medium = read_medium(tally.present.reshape(-1, 1, 1), pore, values)
    return Meaning(tally.present, medium)


def joined(
    image: StreamedImage, raw: ScratchVolume, meaning: Meaning, ends: str, periodic: Any, least: float = 0.0,
    connectivity: int = 6, axis: int | None = 0,
) -> tuple[Counts, bool]:  # fmt: skip
    """Find what joins the ends of the solver's first axis; with ``axis=None``, of any. Returns also
    whether anything joins those of the first.

    Parameters
    ----------
    image, raw, meaning
        The image, its copy, and what its values mean.
    ends, periodic
        As of `percolation`, in the order of the solver.
    least
        Above which conductivity a voxel takes part.
    connectivity
        6, or 26.
    """
    told = (
        label_piece((begin, 0, 0), conducting_in(meaning, voxels, mask, least), connectivity)[2]
        for begin, voxels, mask in pieces(image, raw)
    )
    found = joined_planes(told, image.shape, connectivity)
    counts = found.counts(*found.joining(axis, ends, periodic))
    return counts, counts.percolating > 0 if axis is not None else found.along(ends, periodic)[0]


def pieces(image: StreamedImage, raw: ScratchVolume) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
    """Yield of each piece where it begins, its voxels, and which of them belong to the sample."""
    for places in raw.pieces(image.at_once):
        yield places.start, raw.read(places), image.inside(places.start, len(places))


@dataclass(frozen=True, eq=False)
class Found:
    """What was counted in an image."""

    pore: int
    sections: np.ndarray | None
    """Voxels of the sample in each plane across the solver's first axis; None where `where` leaves
    out nothing.
    """
    edges: bool
    """Whether pores fill all four edges of the image along that axis."""
    means: np.ndarray
    """Of a field: means over the sample of s, 1/s, 1/(s + 2 low) and 1/(s + 2 high)."""
    sizes: RepresentativeVolume | None
    """Sub-cubes of the pores; None where they are not asked for."""


def counted(image: StreamedImage, raw: ScratchVolume, meaning: Meaning, tally: Tally, sizes: bool = False) -> Found:
    """Count what porosity, section and bounds need, and, if `sizes`, what tells how the porosity
    scatters.
    """
    pores, edges, sections = 0, True, []
    sums_of_cells, cells = CellSums.dividing(image.shape), None
    sums = np.zeros(4)
    for begin, voxels, mask in pieces(image, raw):
        pore = meaning.pore(voxels)
        for plane in range(len(pore) if sizes else 0):  # one at a time: each voxel takes 40 bytes
            here, place = slice(plane, plane + 1), SimpleNamespace(offset=(begin + plane, 0, 0), shape=image.shape)
            there = sums_of_cells.of(pore[here], valid=None if mask is None else mask[here], block=place)
            cells = there if cells is None else sums_of_cells.combine(cells, there)
        pore = pore if mask is None else pore & mask
        pores += int(np.count_nonzero(pore))
        edges = edges and all(bool(pore[:, j, k].all()) for j in (0, -1) for k in (0, -1))
        if mask is not None:
            sections.append(np.count_nonzero(mask, axis=(1, 2)))
        if meaning.is_field:
            sums += sums_over(voxels, mask, tally.present[0], tally.present[-1])
    scatter = None if cells is None else RepresentativeVolume.of(sums_of_cells.finish(cells))
    return Found(pores, np.concatenate(sections) if sections else None, edges, sums / tally.cells, scatter)


def conducting_in(meaning: Meaning, voxels: np.ndarray, mask: np.ndarray | None, least: float = 0.0) -> np.ndarray:
    """Return which voxels of a piece conduct more than `least`."""
    table = meaning.conductivities > least
    conducts = voxels > least if meaning.is_field else meaning.looked_up(voxels, table)
    return np.ascontiguousarray(conducts if mask is None else conducts & mask)


def bounds_of_image(meaning: Meaning, tally: Tally, found: Found) -> Bounds:
    """Return the bounds on the effective conductivity."""
    dtype = meaning.medium.dtype
    if not meaning.is_field:
        return bounds(meaning.conductivities, np.asarray(tally.inside / tally.cells, dtype))
    low, high = tally.present
    return bounds_of_field(found.means, low, high, dtype)


def written(
    image: StreamedImage, raw: ScratchVolume, meaning: Meaning, joins: Counts, scale: Any, reservoir: int, fluid: Any,
    folder: Path,
) -> tuple[ScratchVolume, np.ndarray | None]:  # fmt: skip
    """Write what takes part in the solve, with the reservoirs before and behind it.

    Returns
    -------
        The voxels, and the table that they point into, conductivities relative to `scale`; None
        where they are these themselves.
    """
    medium, (n, y, z) = meaning.medium, image.shape
    dtype = medium.dtype
    table, codes, open_end = None, np.zeros(0, dtype), dtype.type(fluid or 0) / dtype.type(scale)
    if not meaning.is_field:
        conductivities = meaning.conductivities
        values = np.unique(np.concatenate([[0], conductivities, [fluid] if reservoir else []]).astype(dtype))
        table = values / dtype.type(scale)
        codes = np.searchsorted(values, conductivities).astype(np.min_scalar_type(len(values) - 1))
        dtype = codes.dtype
        open_end = dtype.type(np.searchsorted(values, values.dtype.type(fluid or 0)))
    kept = ScratchVolume(folder, (n + 2 * reservoir, y, z), dtype)
    try:
        if reservoir:
            mask = image.inside(0, 1)
            # Before a sample that nothing passes they would only carry a current of rounding.
            section = np.full((1, y, z), joins.percolating > 0)
            plane = np.where(section if mask is None else section & mask, open_end, dtype.type(0))
            for k in (*range(reservoir), *range(n + reservoir, n + 2 * reservoir)):
                kept.write(k, plane)
        for begin, voxels, mask in pieces(image, raw):
            labels, number, _ = label_piece((begin, 0, 0), conducting_in(meaning, voxels, mask))
            takes_part = lookup(joins.joins[begin, 0, 0][number], labels)
            value = voxels.astype(dtype) / dtype.type(scale) if table is None else meaning.looked_up(voxels, codes)
            kept.write(begin + reservoir, np.where(takes_part, value, dtype.type(0)))
    except BaseException:
        kept.close()
        raise
    return kept, table
