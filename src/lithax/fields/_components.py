"""The connected components of an image of any size, found in one pass and numbered as in the whole
array.

Every block is labelled apart. For each component of a block its size, first voxel, box and what it
touches are kept, and the labels on the boundary to neighbouring blocks, where pairs that touch are
found as the blocks come in. The pairs are joined as the components of a graph; a component of the
image has the smallest first voxel of its parts, and components are numbered in that order. A second
pass, where one is needed, labels the blocks again and looks up what each part became: no labelled
image is kept in between.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lithax.arrays import (
    extents,
    first_voxels,
    joined_around,
    joining,
    label_block,
    merge_labels,
    touching_pairs,
    wrapped_pairs,
)
from lithax.chunked import FaceExchange, FoldPass, Layout, PassBlock, toward
from lithax.grid import Index, World, triple

REACH = {6: 1, 18: 2, 26: 3}


@dataclass(frozen=True)
class ComponentTable:
    """The connected components of an image; entry k of each array is about label k + 1."""

    sizes: np.ndarray
    """Voxels of each component."""
    first: np.ndarray
    """Place of the first voxel in C order."""
    phase: np.ndarray
    """The value that its voxels have (1 for booleans)."""
    lower: np.ndarray
    """First index of its bounding box along each axis, shape (n, 3)."""
    upper: np.ndarray
    """One past the last index, shape (n, 3)."""
    touches: np.ndarray
    """Whether it has a voxel in the first layer along x, y, z, and in the last one; shape (n, 6).
    """

    def __len__(self) -> int:
        return len(self.first)

    @property
    def on_border(self) -> np.ndarray:
        """Whether the component touches a face of the image, where it may go on outside."""
        return np.any(self.touches, axis=1)

    def to_pandas(self) -> Any:
        """Return the table as a `pandas.DataFrame`, one row per label."""
        import pandas

        columns: dict[str, Any] = {"size": self.sizes, "phase": self.phase, "first_voxel": self.first}
        for a, axis in enumerate("xyz"):
            columns |= {f"{axis}_lower": self.lower[:, a], f"{axis}_upper": self.upper[:, a]}
        for k, face in enumerate(("x_first", "y_first", "z_first", "x_last", "y_last", "z_last")):
            columns[f"touches_{face}"] = self.touches[:, k]
        return pandas.DataFrame(columns, index=pandas.RangeIndex(1, len(self) + 1, name="label"))


class Parts(NamedTuple):
    """Components of parts of an image, or of the whole: what `ComponentTable` holds, and a flag.

    Where nobody asks for a table, the first voxels and the flags alone: a component takes 9 bytes
    in place of 63.
    """

    sizes: np.ndarray
    first: np.ndarray
    phase: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    touches: np.ndarray
    flags: np.ndarray
    """Whether any voxel of the component has the flag."""


@dataclass(frozen=True)
class Selected:
    """Which voxels are labelled, and which are flagged."""

    values: Callable[[PassBlock], np.ndarray]
    """Returns numbers over the arrays of the block; voxels of one component have the same, and not
    0.
    """
    flag: Callable[[PassBlock], np.ndarray] | None = None
    """Returns booleans over the core of the block."""
    connectivity: int = 6
    periodic: tuple[int, ...] = ()
    halo: Index = (0, 0, 0)


@dataclass(frozen=True)
class Found:
    """The components of an image, and what became of those of each block."""

    table: ComponentTable
    flags: np.ndarray
    """Per component, in the order of the table."""
    numbers: np.ndarray
    """Label in the image of each part; 0 for the number 0."""
    bases: dict[int, int]
    """Number before the first part of a block, by the place of the block."""
    pairs: np.ndarray
    """Parts that are neighbours, and by how many periods the image goes on between them along each
    axis.
    """
    winding: np.ndarray
    planned: bool = False
    """Whether this only stands for a result, which a plan does not have."""

    @property
    def label_dtype(self) -> np.dtype:
        """The smallest type of the labels."""
        return np.dtype(np.uint32) if self.planned else np.min_scalar_type(len(self.table))

    def lookup(self, block: PassBlock, labels: np.ndarray, count: int, values: np.ndarray) -> np.ndarray:
        """Return for each voxel of a labelled block the value of its component; `values` begins
        with that of none.
        """
        if count == 0:
            return np.full(labels.shape, values[0], values.dtype)
        base = self.bases.get(block.place, 0)
        local = np.concatenate([values[:1], values[self.numbers[base + 1 : base + 1 + count]]])
        return local[labels]

    def joins(self, axis: int, ends: str) -> np.ndarray:
        """Return which components join the ends of an axis; see `lithax.arrays.joins_ends`."""
        count = len(self.numbers) - 1
        touches = np.concatenate([np.zeros((1, 6), bool), self.table.touches])[self.numbers]
        groups, wraps = joined_around(count, self.pairs, self.winding)
        joined, _ = joining(groups, wraps[:, axis], touches[:, axis], touches[:, 3 + axis], ends)
        found = np.zeros(len(self.table) + 1, bool)
        found[self.numbers[joined]] = True
        return found[1:]


def parts_of(
    labels: np.ndarray,
    count: int,
    values: np.ndarray,
    start: Index,
    shape: Index,
    flag: Any = None,
    described: bool = True,
) -> Parts:
    """Return the components of a labelled block, whose first voxel is `start` of an image of a
    shape; without `described`, their first voxels and flags alone.
    """
    local = first_voxels(labels, count)
    at = np.stack(np.unravel_index(local, labels.shape), axis=1)
    begin = np.array(start)
    flags = np.zeros(count + 1, bool)
    if flag is not None:
        flags[labels[flag]] = True
    first = np.asarray(np.ravel_multi_index(tuple((at + begin).T), shape) if count else [], np.int64)
    if not described:
        return _NONE._replace(first=first, flags=flags[1:])
    sizes, lower, upper = extents(labels, count)
    lower, upper = ((edge + begin).astype(np.int32) for edge in (lower, upper))
    touches = np.concatenate([lower == 0, upper == np.array(shape)], axis=1)
    return Parts(sizes, first, values.reshape(-1)[local].astype(np.int64), lower, upper, touches, flags[1:])


_NONE = Parts(
    np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3), np.int32),
    np.zeros((0, 3), np.int32), np.zeros((0, 6), bool), np.zeros(0, bool),
)  # fmt: skip


def joined(parts: Parts, pairs: np.ndarray) -> tuple[np.ndarray, ComponentTable, np.ndarray]:
    """Join parts that are neighbours: the label of each (0 first), the table, and the flags."""
    count = len(parts.first)
    merged, components = merge_labels(pairs, count + 1)
    merged, components = _without(merged, components)
    first = np.full(components, np.iinfo(np.int64).max)
    np.minimum.at(first, merged, parts.first)
    order = np.argsort(first)
    rank = np.empty(components, np.int64)
    rank[order] = np.arange(components)
    merged = rank[merged]
    flags = np.zeros(components, bool)
    np.logical_or.at(flags, merged, parts.flags)
    numbers = np.append(0, merged + 1)
    if len(parts.sizes) < count:  # not described
        return numbers, ComponentTable(*_NONE._replace(first=first[order])[:-1]), flags
    sizes = np.zeros(components, np.int64)
    np.add.at(sizes, merged, parts.sizes)
    lower = np.full((components, 3), np.iinfo(np.int64).max)
    upper = np.zeros((components, 3), np.int64)
    np.minimum.at(lower, merged, parts.lower)
    np.maximum.at(upper, merged, parts.upper)
    touches = np.zeros((components, 6), bool)
    np.logical_or.at(touches, merged, parts.touches)
    phase = np.zeros(components, parts.phase.dtype)
    phase[merged] = parts.phase
    table = ComponentTable(sizes, first[order], phase, lower, upper, touches)
    return numbers, table, flags


def _without(merged: np.ndarray, components: int) -> tuple[np.ndarray, int]:
    """Leave out the number 0, which stands for no component and is alone in its own."""
    rest = merged[1:]
    return rest - (rest > merged[0]), components - 1


def find_in_array(
    values: np.ndarray, connectivity: int, periodic: tuple[int, ...] = (), flag: np.ndarray | None = None
) -> tuple[np.ndarray, Found]:
    """Return the labels of an array, and its components."""
    labels, count = label_block(values, connectivity)
    shape = triple(values.shape)
    parts = parts_of(labels, count, values, (0, 0, 0), shape, flag)
    pairs, winding = _around(labels, values, connectivity, periodic)
    numbers, table, flags = joined(parts, pairs)
    found = Found(table, flags, numbers, {0: 0}, pairs, winding)
    return (numbers[labels] if periodic else labels), found


def _around(
    labels: np.ndarray, values: np.ndarray, connectivity: int, periodic: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    if not periodic:
        return np.zeros((0, 2), np.int64), np.zeros((0, 3), np.int64)
    return wrapped_pairs(labels, connectivity, periodic, _phases(values))


class _Kept(NamedTuple):
    parts: Parts
    regions: dict[tuple[int, int, int], tuple[np.ndarray, np.ndarray | None]]
    """Labels, and phases if there are several, on the boundary to each neighbour."""


def find_pass(
    name: str, image: Any, selected: Selected, layout: Layout, described: bool = True
) -> Generator[FoldPass, Found, Found]:
    """Yield the pass that finds the components of an image; return them, with their first voxels
    and flags alone unless `described`.
    """
    grid, shape = layout.grid, layout.shape
    connectivity = selected.connectivity
    pairs: list[np.ndarray] = [np.zeros((0, 2), np.int64)]
    winding: list[np.ndarray] = [np.zeros((0, 3), np.int64)]
    kept: list[Parts] = []
    bases: dict[int, int] = {}
    total = 0

    def meet(low: Any, high: Any, offset: Any, periods: Any) -> None:
        phases = None if low[2] is None else (low[2], high[2])
        touching = touching_pairs(_numbers(low), _numbers(high), offset, connectivity, phases)
        pairs.append(touching)
        winding.append(np.broadcast_to(np.array(periods), (len(touching), 3)))

    exchange = FaceExchange(grid, meet, reach=REACH[connectivity], periodic=selected.periodic)

    def kernel(block: PassBlock) -> _Kept | None:
        values, labels, count = label_selected(block, selected)
        if count == 0:
            return None
        flag = None if selected.flag is None else selected.flag(block)
        start = triple(s.start for s in block.box)
        parts = parts_of(labels, count, values, start, shape, flag, described)
        at = triple(s // b for s, b in zip(start, layout.block, strict=True))
        phases, regions = _phases(values), {}
        for offset in exchange.offsets:
            if exchange.neighbour(at, offset) is not None:
                touching = toward(offset)
                regions[offset] = labels[touching].copy(), None if phases is None else phases[touching].copy()
        return _Kept(parts, regions)

    def take(block: PassBlock, found: _Kept | None) -> None:
        nonlocal total
        if found is None:
            return
        bases[block.place] = total
        exchange.add(
            grid.index(block.place), {o: (region, total, phases) for o, (region, phases) in found.regions.items()}
        )
        kept.append(found.parts)
        total += len(found.parts.first)

    def finish(world: World) -> Found:
        counts = world.gather(total)
        before = sum(counts[: world.index])
        own_pairs, own_winding = [p + before for p in pairs], list(winding)
        pairs.clear()
        winding.clear()
        exchange.finish(world, lambda parcel: (parcel[0], parcel[1] + before, parcel[2]))
        everything = (
            _together(kept),
            [*own_pairs, *pairs],
            [*own_winding, *winding],
            {k: b + before for k, b in bases.items()},
        )
        kept.clear()
        gathered = world.gather(everything)
        parts = _together([part for part, *_ in gathered])
        every_pair = np.concatenate([p for _, found, *_ in gathered for p in found])
        every_winding = np.concatenate([w for _, _, found, _ in gathered for w in found])
        numbers, table, flags = joined(parts, every_pair)
        return Found(
            table, flags, numbers, {k: b for *_, part in gathered for k, b in part.items()}, every_pair, every_winding
        )

    none = _together([])
    table = joined(none, pairs[0])[1]
    nothing = Found(table, none.flags, np.zeros(1, np.int64), {}, pairs[0], winding[0], planned=True)
    # The labels, and half as much inside the library that finds them: what noise takes. A plan
    # counts one component in 4000 voxels: rocks have one in 4000 to 20 000, noise more.
    part_bytes = 63 + 150 if described else 9 + 50  # when they are joined
    found = yield FoldPass(
        name, kernel, take, finish, (image,), selected.halo, voxel_bytes=6, kept_bytes=part_bytes / 4000,
        kept_of_stored=True, growing=lambda: part_bytes * total, assumed=nothing,
    )  # fmt: skip
    return found


def label_selected(block: PassBlock, selected: Selected) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the values of the core of a block that are labelled (0 for those left out), their
    labels, and how many.
    """
    values = block.inner(selected.values(block))
    if block.valid is not None:
        values = np.where(block.inner(block.valid), values, values.dtype.type(0))
    labels, count = label_block(values, selected.connectivity)
    return values, labels, count


def _phases(values: np.ndarray) -> np.ndarray | None:
    return None if values.dtype == np.bool_ else values


def _numbers(parcel: tuple[np.ndarray, int, Any]) -> np.ndarray:
    region, base, _ = parcel
    return np.where(region > 0, region.astype(np.int64) + base, 0)


def _together(parts: list[Parts]) -> Parts:
    if len(parts) < 2:
        return parts[0] if parts else _NONE
    return Parts(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
