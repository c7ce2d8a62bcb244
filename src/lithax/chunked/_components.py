"""Connected components of an image of any size: blocks are labelled apart, then joined across their faces.

Two blocks side by side, seen at their common face::

    left  1 1 0 2        pairs of labels that touch: (1, a), (1, b), (2, b)
    right a b 0 b        so 1, 2, a and b are one component

Only the labels on the faces and the sizes of the components are kept, no labelled image. Several processes label a stretch of
the blocks each, and exchange what lies on the faces between their stretches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.arrays import label_block, merge_labels
from lithax.chunked._layout import owner
from lithax.chunked._reduce import BlockReader, ReadBlock, each_block
from lithax.grid import Index


@dataclass(frozen=True)
class Components:
    """The components of a phase, by size and by what they touch.

    `voxels` has one entry per component. `low` and `high` (components x 3) say whether a component reaches the first
    and the last layer of the image along each axis; `edge`, whether it touches the border of what was selected.
    """

    voxels: np.ndarray
    low: np.ndarray
    high: np.ndarray
    edge: np.ndarray
    selected: int
    """Voxels selected, of this phase or not."""


@dataclass
class _BlockLabels:
    start: Index
    sizes: np.ndarray
    touches: np.ndarray
    faces: dict[tuple[int, int], np.ndarray]
    selected: int


@dataclass
class _Stretch:
    """What one process found in its stretch of the blocks; labels count from 1 in each process."""

    labels: int
    sizes: np.ndarray
    touches: np.ndarray
    pairs: np.ndarray
    low: dict[tuple[Index, int], np.ndarray]
    """Faces to a block of an earlier process, by that block and the axis."""
    high: dict[tuple[Index, int], np.ndarray]
    """Faces to a block of a later process, by the block on this side and the axis."""
    selected: int


def find_components(
    reader: BlockReader, phase: Any, gather: Callable[[Any], list[Any]] = lambda value: [value], **run: Any
) -> Components:
    """Return the components, connected through voxel faces, of the voxels for which ``phase(block)`` is True.

    The reader must give the image a halo of one voxel and the rule "nearest", so that the border of the selection is seen.
    """
    shape, core = reader.layout.shape, reader.layout.block
    faces: dict[tuple[Index, int], np.ndarray] = {}
    waiting: dict[tuple[Index, int], np.ndarray] = {}
    sizes, touches, pairs = [np.zeros(0, np.int64)], [np.zeros((0, 7), bool)], [np.zeros((0, 2), np.int64)]
    base, selected = 1, 0
    grid = reader.layout.grid
    index, count_of_all = run.get("share", (0, 1))

    def elsewhere(start: Index) -> bool:
        i, j, k = (s // c for s, c in zip(start, core, strict=True))
        return owner(grid, (i, j, k), count_of_all) != index

    def work(read: ReadBlock) -> _BlockLabels:
        values = read.blocks[0][
            tuple(slice(h, n - h) for h, n in zip(reader.halos[0], read.blocks[0].shape, strict=True))
        ]
        inside = np.asarray(phase(values)) & read.valid
        labels, count = label_block(inside)
        touched = np.zeros((count + 1, 7), bool)
        extent = tuple(min(c, n - s) for c, n, s in zip(core, shape, read.start, strict=True))
        cut = {}
        for axis in range(3):
            for side, layer in ((0, 0), (1, extent[axis] - 1)):
                face = np.take(labels, layer, axis=axis)
                cut[axis, side] = face.copy()
                at_image_face = read.start[axis] == 0 if side == 0 else read.start[axis] + extent[axis] == shape[axis]
                if at_image_face:
                    touched[np.unique(face), 3 * side + axis] = True
        if read.around is None:
            touched[:, 6] = touched[:, :6].any(axis=1)
        else:
            touched[np.unique(labels[_at_border(read.around, read, shape)]), 6] = True
        sizes_here = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        return _BlockLabels(read.start, sizes_here, touched[1:], cut, int(np.count_nonzero(read.valid)))

    def take(_: int, block: _BlockLabels) -> None:
        nonlocal base, selected
        selected += block.selected
        sizes.append(block.sizes)
        touches.append(block.touches)
        for axis in range(3):
            x, y, z = (s - (core[axis] if a == axis else 0) for a, s in enumerate(block.start))
            before = (x, y, z)
            low = _numbered(block.faces[axis, 0], base)
            if before[axis] >= 0 and elsewhere(before):
                waiting[before, axis] = low
            other = faces.pop((before, axis), None)
            if other is not None:
                pairs.append(_touching(low, other))
            if block.start[axis] + core[axis] < shape[axis]:
                faces[block.start, axis] = _numbered(block.faces[axis, 1], base)
        base += len(block.sizes)

    each_block(reader, work, take, **run)
    stretches = gather(
        _Stretch(
            base - 1, np.concatenate(sizes), np.concatenate(touches), np.concatenate(pairs), waiting, faces, selected
        )
    )
    joined = []
    offset, open_faces = 0, {}
    for part in stretches:
        joined.append(part.pairs + offset)
        for key, low in part.low.items():
            if key in open_faces:
                joined.append(_touching(_numbered(low, 1 + offset), open_faces.pop(key)))
        open_faces |= {key: _numbered(high, 1 + offset) for key, high in part.high.items()}
        offset += part.labels
    number, count = merge_labels(np.concatenate(joined), offset + 1)
    # Number 0 stands for "no component"; it is alone in its set.
    every = np.concatenate([np.zeros(1, np.int64), *(part.sizes for part in stretches)])
    marks = np.concatenate([np.zeros((1, 7), bool), *(part.touches for part in stretches)])
    voxels = np.bincount(number, weights=every, minlength=count).astype(np.int64)
    touched = np.zeros((count, 7), bool)
    np.logical_or.at(touched, number, marks)
    keep = np.arange(count) != number[0]
    return Components(
        voxels[keep], touched[keep, :3], touched[keep, 3:6], touched[keep, 6], sum(part.selected for part in stretches)
    )


def _touching(low: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the pairs of labels that touch at a face, seen from both sides."""
    both = (low > 0) & (other > 0)
    return np.unique(np.stack([low[both], other[both]], axis=1), axis=0)


def _numbered(face: np.ndarray, base: int) -> np.ndarray:
    face = face.astype(np.int64)
    return np.where(face > 0, face + (base - 1), 0)


def _at_border(around: np.ndarray, read: ReadBlock, shape: Index) -> np.ndarray:
    """Voxels of the core with a face on the border of the selection or of the image."""
    core = read.valid.shape
    center = tuple(slice(1, n + 1) for n in core)
    border = np.zeros(core, bool)
    for axis in range(3):
        for step in (-1, 1):
            moved = tuple(slice(s.start + step, s.stop + step) if a == axis else s for a, s in enumerate(center))
            border |= ~around[moved]
        first, last = -read.start[axis], shape[axis] - 1 - read.start[axis]
        at = [slice(None)] * 3
        for layer in (first, last):
            if 0 <= layer < core[axis]:
                at[axis] = slice(layer, layer + 1)
                border[tuple(at)] = True
    return border & read.valid
