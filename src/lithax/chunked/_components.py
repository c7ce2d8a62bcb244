"""Connected components of an image of any size: blocks are labelled apart, then joined across their
faces.

Two blocks side by side, seen at their common face::

    left  1 1 0 2        pairs of labels that touch: (1, a), (1, b), (2, b)
    right a b 0 b        so 1, 2, a and b are one component

No labelled image is kept. A component that reaches no block beside its own is complete, and only
counted; of the others the faces, sizes and pairs are kept. Several processes label a stretch of the
blocks each, and join what lies in it. Then each face between two stretches goes to the process
behind it, and what is still open (numbers, sizes, pairs) to the first one, which joins it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.arrays import label_block, merge_labels
from lithax.chunked._block_reader import BlockReader, ReadBlock
from lithax.chunked._reduce import each_block
from lithax.grid import Index, Share, World, triple
from lithax.runtime import SerialWorld

EDGE = 1 << 6
"""The bit of a component that touches the border of what was selected; before it those of the first
and of the last layers along x, y and z.
"""


def spanning(axis: int) -> int:
    """Return the bits of a component that reaches from the first to the last layer along an
    axis.
    """
    return 1 << axis | 8 << axis


@dataclass(frozen=True)
class Components:
    """The components of a phase, counted by what they touch.

    Entry k of each array is about the components that touch what the bits of k say: the first layer
    of the image along x, y, z (bits 0 to 2), the last one (bits 3 to 5), the border of what was
    selected (`EDGE`).
    """

    count: np.ndarray
    voxels: np.ndarray
    largest: np.ndarray
    """Voxels of the largest component of this kind."""
    selected: int
    """Voxels selected, of this phase or not."""

    @classmethod
    def of(cls, sizes: np.ndarray, touched: np.ndarray, selected: int = 0) -> "Components":
        """Count components of these sizes that touch what these bits say."""
        largest = np.zeros(2 * EDGE, np.int64)
        np.maximum.at(largest, touched, sizes)
        voxels = np.zeros(2 * EDGE, np.int64)
        np.add.at(voxels, touched, sizes)
        return cls(np.bincount(touched, minlength=2 * EDGE), voxels, largest, selected)

    def __add__(self, other: "Components") -> "Components":
        return Components(
            self.count + other.count,
            self.voxels + other.voxels,
            np.maximum(self.largest, other.largest),
            self.selected + other.selected,
        )

    def touching(self, bits: int) -> int:
        """Return the voxels of the components that touch all of these."""
        return int(self.voxels[(np.arange(2 * EDGE) & bits) == bits].sum())


@dataclass
class _Open:
    """Components that may go on elsewhere: their sizes, what they touch, and which of them are
    one.
    """

    sizes: np.ndarray
    touched: np.ndarray
    pairs: np.ndarray

    def joined(self, still: np.ndarray) -> tuple[np.ndarray, "_Open", Components]:
        """Join the pairs: the new number of each, those that `still` go on elsewhere, and those
        that are complete.

        Numbers count from 1, and 0 stands for "no component".
        """
        merged, count = merge_labels(self.pairs, len(self.sizes))
        sizes, touched = np.zeros(count, np.int64), np.zeros(count, np.uint8)
        np.add.at(sizes, merged, self.sizes)
        np.bitwise_or.at(touched, merged, self.touched)
        goes_on = np.zeros(count, bool)
        goes_on[merged[still]] = True
        complete = ~goes_on
        goes_on[merged[0]] = complete[merged[0]] = False
        number = np.zeros(count, np.int64)
        number[goes_on] = np.arange(1, 1 + np.count_nonzero(goes_on))
        left = _Open(
            np.concatenate([_NOTHING, sizes[goes_on]]),
            np.concatenate([_NOTHING, touched[goes_on]]),
            np.zeros((0, 2), np.int64),
        )
        return number[merged], left, Components.of(sizes[complete], touched[complete])


_NOTHING = np.zeros(1, np.uint8)


@dataclass
class _BlockLabels:
    start: Index
    complete: Components
    sizes: np.ndarray
    """Of the components that reach a block beside this one, the first of which has the number 1."""
    touched: np.ndarray
    faces: dict[tuple[int, int], np.ndarray]
    """Their numbers on the faces to other blocks, by axis and side."""


_Face = tuple[np.ndarray, int]
"""Numbers on a face, and what is added to each."""


def find_components(
    reader: BlockReader, phase: Callable[[np.ndarray], np.ndarray], world: World | None = None, **run: Any
) -> Components:
    """Return the components, connected through voxel faces, of the voxels for which
    ``phase(block)`` is True.

    The reader must give the image a halo of one voxel and the rule "nearest", so that the border of
    the selection is seen. `run` is for `each_block`.
    """
    world = SerialWorld() if world is None else world
    shape, core, grid = reader.layout.shape, reader.layout.block, reader.layout.grid

    def work(read: ReadBlock) -> _BlockLabels:
        values = read.blocks[0][
            tuple(slice(h, n - h) for h, n in zip(reader.halos[0], read.blocks[0].shape, strict=True))
        ]
        labels, count = label_block(np.asarray(phase(values)) & read.valid)
        touched, goes_on = np.zeros(count + 1, np.uint8), np.zeros(count + 1, bool)
        extent = tuple(min(c, n - s) for c, n, s in zip(core, shape, read.start, strict=True))
        faces = {}
        for axis in range(3):
            for side, layer in ((0, 0), (1, extent[axis] - 1)):
                face = np.take(labels, layer, axis=axis)
                at_image_face = read.start[axis] == 0 if side == 0 else read.start[axis] + extent[axis] == shape[axis]
                if at_image_face:
                    touched[np.unique(face)] |= 1 << 3 * side + axis
                else:
                    goes_on[np.unique(face)] = True
                    faces[axis, side] = face
        if read.valid_padded is None:
            touched[touched > 0] |= EDGE
        else:
            touched[np.unique(labels[_at_border(read.valid_padded, read, shape)])] |= EDGE
        goes_on[0] = False
        number = np.where(goes_on, np.cumsum(goes_on), 0).astype(np.uint32)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        complete = ~goes_on
        complete[0] = False
        return _BlockLabels(
            read.start,
            Components.of(sizes[complete], touched[complete], int(np.count_nonzero(read.valid))),
            sizes[goes_on],
            touched[goes_on],
            {key: number[face] for key, face in faces.items()},
        )

    # Faces that wait for the block behind them, or for the one before them, by the block before
    # them and the axis.
    behind: dict[tuple[Index, int], _Face] = {}
    before: dict[tuple[Index, int], _Face] = {}
    complete = Components.of(np.zeros(0, np.int64), np.zeros(0, np.int64))
    sizes, touched, pairs = [_NOTHING], [_NOTHING], [np.zeros((0, 2), np.int64)]
    base = 0

    def take(_: int, block: _BlockLabels) -> None:
        nonlocal base, complete
        complete += block.complete
        for (axis, side), face in block.faces.items():
            at = triple(
                s // c - (side == 0 and a == axis) for a, (s, c) in enumerate(zip(block.start, core, strict=True))
            )
            if side == 1:
                behind[at, axis] = face, base
            elif (other := behind.pop((at, axis), None)) is not None:
                pairs.append(_touching(*other, face, base))
            elif Share.owner(grid, at, world.count) != world.index:
                before[at, axis] = face, base
        sizes.append(block.sizes)
        touched.append(block.touched)
        base += len(block.sizes)

    each_block(reader, work, take, share=Share(world.index, world.count), watch=world.check, **run)
    still = np.zeros(base + 1, bool)
    # A block in which no voxel counts was not labelled: nothing goes on there.
    for face, own in (*behind.values(), *before.values()) if world.count > 1 else ():
        still[np.unique(face[face > 0]).astype(np.int64) + own] = True
    number, left, joined = _Open(*map(np.concatenate, (sizes, touched, pairs))).joined(still)
    complete += joined
    if world.count == 1:
        return complete
    return _join_stretches(complete, left, number, behind, before, grid, world)


def _join_stretches(
    complete: Components,
    left: _Open,
    number: np.ndarray,
    behind: dict[tuple[Index, int], _Face],
    before: dict[tuple[Index, int], _Face],
    grid: Any,
    world: World,
) -> Components:
    """Join what goes on in the stretches of other processes."""
    shortest = np.min_scalar_type(len(left.sizes))
    number = number.astype(shortest)

    def numbers(face: np.ndarray, base: int) -> np.ndarray:
        return number[np.where(face > 0, face.astype(np.int64) + base, 0)]

    parcels: dict[int, list[tuple[Index, int, np.ndarray]]] = {}
    for (at, axis), face in behind.items():
        after = triple(i + (a == axis) for a, i in enumerate(at))
        receiver = Share.owner(grid, after, world.count)
        if receiver != world.index:
            parcels.setdefault(receiver, []).append((at, axis, numbers(*face)))
    touching = {}
    for sender, faces in world.give(parcels).items():
        met = [_touching(face, 0, numbers(*before[at, axis]), 0) for at, axis, face in faces if (at, axis) in before]
        touching[sender] = np.unique(np.concatenate([np.zeros((0, 2), np.int64), *met]), axis=0)
    told = world.give({0: (complete, left, touching)})
    if world.first:
        parts = [told[k] for k in range(world.count)]
        # The number 0 of every process stays alone; the first one stands for all in `joined`.
        starts = np.cumsum([0, *(len(part.sizes) for _, part, _ in parts)])
        pairs = [found + starts[[sender, k]] for k, (_, _, met) in enumerate(parts) for sender, found in met.items()]
        for part, _, _ in parts[1:]:
            complete += part
        every = _Open(
            np.concatenate([part.sizes for _, part, _ in parts]),
            np.concatenate([part.touched for _, part, _ in parts]),
            np.concatenate([np.zeros((0, 2), np.int64), *pairs, [[0, start] for start in starts[:-1]]]),
        )
        complete += every.joined(np.zeros(len(every.sizes), bool))[2]
    return world.broadcast(complete)


def _touching(low: np.ndarray, low_base: int, high: np.ndarray, high_base: int) -> np.ndarray:
    """Return the pairs of numbers that touch at a face, seen from both sides."""
    both = (low > 0) & (high > 0)
    pairs = np.unique(np.stack([low[both], high[both]], axis=1), axis=0)
    return pairs + np.array([low_base, high_base])


def _at_border(valid_padded: np.ndarray, read: ReadBlock, shape: Index) -> np.ndarray:
    """Voxels of the core with a face on the border of the selection or of the image."""
    core = read.valid.shape
    center = tuple(slice(1, n + 1) for n in core)
    border = np.zeros(core, bool)
    for axis in range(3):
        for step in (-1, 1):
            moved = tuple(slice(s.start + step, s.stop + step) if a == axis else s for a, s in enumerate(center))
            border |= ~valid_padded[moved]
        first, last = -read.start[axis], shape[axis] - 1 - read.start[axis]
        at = [slice(None)] * 3
        for layer in (first, last):
            if 0 <= layer < core[axis]:
                at[axis] = slice(layer, layer + 1)
                border[tuple(at)] = True
    return border & read.valid
