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

from lithax.arrays import bincount, label_block, merge_labels
from lithax.chunked._block_layout import Layout
from lithax.chunked._faces import FaceExchange, Offset, toward
from lithax.chunked._passes import FoldPass, PassBlock
from lithax.grid import World, triple

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
    complete: Components
    sizes: np.ndarray
    """Of the components that reach a block beside this one, the first of which has the number 1."""
    touched: np.ndarray
    faces: dict[Offset, np.ndarray]
    """Their numbers on the faces to other blocks."""


_Face = tuple[np.ndarray, int, int]
"""Numbers on a face, what is added to each, and the process that gave them."""

FACE_BYTES = 24
"""Memory for components that go on in another block until all are joined, for a voxel of a face
between two blocks [byte]. Measured on 512³ voxels in chunks of 64³: 14 to 20, of noise and of a
checkerboard, which has most components.
"""


def components_pass(
    name: str, image: Any, phase: Callable[[np.ndarray], np.ndarray], layout: Layout, selects: bool
) -> FoldPass:
    """Return the pass that finds the components, connected through voxel faces, of the voxels for
    which ``phase(block)`` is True.

    With `selects` the border of a selection is looked at, which takes a halo of one voxel.
    """
    grid = layout.grid
    pairs: dict[int, list[np.ndarray]] = {}
    complete = [Components.of(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    sizes, touched, base = [_NOTHING], [_NOTHING], [0]

    def meet(low: _Face, high: _Face, offset: Offset, periods: Any) -> None:
        pairs.setdefault(low[2], []).append(_touching(*low[:2], *high[:2]))

    exchange = FaceExchange(grid, meet)

    def kernel(block: PassBlock) -> _BlockLabels:
        valid = block.inner(block.valid_or_all())
        labels, count = label_block(np.asarray(phase(block.inner(block.arrays[0]))) & valid)
        reached, goes_on = np.zeros(count + 1, np.uint8), np.zeros(count + 1, bool)
        at, faces = grid.index(block.place), {}
        for offset in exchange.offsets:
            face = labels[toward(offset)]
            if exchange.neighbour(at, offset) is None:
                side, axis = sum(offset) > 0, int(np.flatnonzero(offset)[0])
                reached[np.unique(face)] |= 1 << 3 * side + axis
            else:
                goes_on[np.unique(face)] = True
                faces[offset] = face
        if block.valid is None:
            reached[reached > 0] |= EDGE
        else:
            reached[np.unique(labels[_at_border(block)])] |= EDGE
        goes_on[0] = False
        number = np.where(goes_on, np.cumsum(goes_on), 0).astype(np.uint32)
        numbers = bincount(labels, count + 1)
        ends = ~goes_on
        ends[0] = False
        return _BlockLabels(
            Components.of(numbers[ends], reached[ends], int(np.count_nonzero(valid))),
            numbers[goes_on],
            reached[goes_on],
            {offset: number[face] for offset, face in faces.items()},
        )

    def take(block: PassBlock, found: _BlockLabels) -> None:
        complete[0] += found.complete
        exchange.add(grid.index(block.place), {o: (face, base[0], 0) for o, face in found.faces.items()})
        sizes.append(found.sizes)
        touched.append(found.touched)
        base[0] += len(found.sizes)

    def finish(world: World) -> Components:
        still = np.zeros(base[0] + 1, bool)
        # A block in which no voxel counts was not labelled: nothing goes on there.
        for face, own, _ in exchange.waiting if world.count > 1 else ():
            still[np.unique(face[face > 0]).astype(np.int64) + own] = True
        whole = _Open(np.concatenate(sizes), np.concatenate(touched), _every(pairs.pop(0, [])))
        number, left, joined = whole.joined(still)
        number = number.astype(np.min_scalar_type(len(left.sizes)))
        told = complete[0] + joined

        def numbered(parcel: _Face) -> _Face:
            face, own, _ = parcel
            return number[np.where(face > 0, face.astype(np.int64) + own, 0)], 0, world.index

        exchange.finish(world, numbered)
        return told if world.count == 1 else _join_stretches(told, left, pairs, world)

    between = sum((-(-n // b) - 1) / n for n, b in zip(layout.shape, layout.block, strict=True))
    return FoldPass(
        name,
        kernel,
        take,
        finish,
        (image,),
        (1, 1, 1) if selects else (0, 0, 0),
        voxel_bytes=24,
        kept_bytes=FACE_BYTES * between,
        assumed=complete[0],
    )


def _join_stretches(complete: Components, left: _Open, pairs: dict[int, list[np.ndarray]], world: World) -> Components:
    """Join what goes on in the stretches of other processes; `pairs` touch at faces to each of
    these.
    """
    touching = {sender: np.unique(_every(met), axis=0) for sender, met in pairs.items()}
    told = world.give({0: (complete, left, touching)})
    if world.first:
        parts = [told[k] for k in range(world.count)]
        # The number 0 of every process stays alone; the first one stands for all in `joined`.
        starts = np.cumsum([0, *(len(part.sizes) for _, part, _ in parts)])
        met = [found + starts[[sender, k]] for k, (_, _, some) in enumerate(parts) for sender, found in some.items()]
        for part, _, _ in parts[1:]:
            complete += part
        every = _Open(
            np.concatenate([part.sizes for _, part, _ in parts]),
            np.concatenate([part.touched for _, part, _ in parts]),
            _every([*met, np.array([[0, start] for start in starts[:-1]])]),
        )
        complete += every.joined(np.zeros(len(every.sizes), bool))[2]
    return world.broadcast(complete)


def _every(pairs: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros((0, 2), np.int64), *pairs])


def _touching(low: np.ndarray, low_base: int, high: np.ndarray, high_base: int) -> np.ndarray:
    """Return the pairs of numbers that touch at a face, seen from both sides."""
    low, high = low.ravel(), high.ravel()
    both = (low > 0) & (high > 0)
    pairs = np.unique(np.stack([low[both], high[both]], axis=1), axis=0)
    return pairs + np.array([low_base, high_base])


def _at_border(block: PassBlock) -> np.ndarray:
    """Voxels of the core with a face on the border of the selection or of the image."""
    valid = block.valid_or_all()
    # Outside of the image nothing is selected.
    grown = np.pad(valid, [(int(c.start == 0), int(c.stop == n)) for c, n in zip(block.core, valid.shape, strict=True)])
    center = triple(slice(1, n + 1) for n in block.size)
    border = np.zeros(block.size, bool)
    for axis in range(3):
        for step in (-1, 1):
            moved = tuple(slice(s.start + step, s.stop + step) if a == axis else s for a, s in enumerate(center))
            border |= ~grown[moved]
    return border & block.inner(valid)
