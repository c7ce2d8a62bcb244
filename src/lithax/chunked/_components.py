"""Connected components of an image of any size: blocks are labelled apart, then joined across their faces.

Two blocks side by side, seen at their common face::

    left  1 1 0 2        pairs of labels that touch: (1, a), (1, b), (2, b)
    right a b 0 b        so 1, 2, a and b are one component

Only the labels on the faces and the sizes of the components are kept, no labelled image.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.arrays import label_block, merge_labels
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


def find_components(reader: BlockReader, phase: Any, **run: Any) -> Components:
    """Return the components, connected through voxel faces, of the voxels for which ``phase(block)`` is True.

    The reader must give the image a halo of one voxel and the rule "nearest", so that the border of the selection is seen.
    """
    shape, core = reader.layout.shape, reader.layout.block
    faces: dict[tuple[Index, int], np.ndarray] = {}
    sizes, touches, pairs = [np.zeros(1, np.int64)], [np.zeros((1, 7), bool)], []
    base, selected = 1, 0

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

    def take(block: _BlockLabels) -> None:
        nonlocal base, selected
        selected += block.selected
        sizes.append(block.sizes)
        touches.append(block.touches)
        for axis in range(3):
            before = tuple(s - (core[axis] if a == axis else 0) for a, s in enumerate(block.start))
            low = _numbered(block.faces[axis, 0], base)
            other = faces.pop((before, axis), None)
            if other is not None:
                both = (low > 0) & (other > 0)
                pairs.append(np.unique(np.stack([low[both], other[both]], axis=1), axis=0))
            if block.start[axis] + core[axis] < shape[axis]:
                faces[block.start, axis] = _numbered(block.faces[axis, 1], base)
        base += len(block.sizes)

    each_block(reader, work, take, **run)
    joined = np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64)
    number, count = merge_labels(joined, base)
    voxels = np.bincount(number, weights=np.concatenate(sizes), minlength=count).astype(np.int64)
    touched = np.zeros((count, 7), bool)
    np.logical_or.at(touched, number, np.concatenate(touches))
    # Number 0 stands for "no component"; it is alone in its set.
    keep = np.arange(count) != number[0]
    return Components(voxels[keep], touched[keep, :3], touched[keep, 3:6], touched[keep, 6], selected)


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
