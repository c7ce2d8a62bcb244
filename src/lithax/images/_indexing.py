"""Selections with arrays of indices and masks, as NumPy means them, read and written chunk by
chunk.
"""

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from lithax.grid import Index, triple


def as_arrays(selection: Any) -> Any:
    """Turn lists, and images used as masks, into arrays."""
    if isinstance(selection, tuple):
        return tuple(s if isinstance(s, slice) or s is Ellipsis else _index_array(s) for s in selection)
    return _index_array(selection)


def _index_array(item: Any) -> np.ndarray:
    array = np.asarray(item)
    # An empty list holds no index, whatever type NumPy gives it.
    return array.astype(np.intp) if array.size == 0 and isinstance(item, list | tuple) else array


def voxel_numbers(selection: Any, shape: Index) -> np.ndarray:
    """Return the number, in C order, of the voxel that stands at each place of
    ``array[selection]``.

    NumPy applies its own rules to the selection: axes of a lazily made array of numbers.

    Raises
    ------
    IndexError
        As NumPy does.
    """
    # The numbers of voxels are a sum of three terms, one per axis: no array of the size of the
    # image is needed.
    terms = []
    for axis, (n, step) in enumerate(zip(shape, (shape[1] * shape[2], shape[2], 1), strict=True)):
        line = (np.arange(n, dtype=np.int64) * step).reshape(tuple(-1 if a == axis else 1 for a in range(3)))
        try:
            terms.append(np.broadcast_to(line, shape)[selection])
        except IndexError as error:
            raise IndexError(_worded(str(error))) from None
    return np.asarray(terms[0] + terms[1] + terms[2])


def _worded(text: str) -> str:
    # NumPy's words, with the names of the axes.
    text = re.sub(
        r"for axis ([012]) with size (\d+)", lambda m: f"along {'xyz'[int(m[1])]}, which has {m[2]} voxels", text
    )
    return text.replace("is out of bounds", "is out of range").replace("too many indices for array", "too many indices")


def read_numbers(numbers: np.ndarray, shape: Index, chunks: Index, read: Callable[[Any], np.ndarray]) -> np.ndarray:
    """Return the voxels of some numbers, from a function that reads boxes.

    Parameters
    ----------
    numbers
        Of voxels, in C order over the image, of any shape.
    shape, chunks
        Of the image.
    read
        Returns the voxels of a box.
    """
    flat = numbers.reshape(-1)
    out: np.ndarray | None = None
    for _, where, box, inside in _by_chunk(flat, shape, chunks):
        values = read(box)[inside]
        if out is None:
            out = np.empty(flat.shape, values.dtype)
        out[where] = values
    if out is None:
        out = read((slice(0, 0),) * 3).reshape(-1)[:0]
    return out.reshape(numbers.shape)


def _by_chunk(numbers: np.ndarray, shape: Index, chunks: Index) -> Any:
    """Yield each chunk that holds some of the voxels, their places in `numbers`, the box around
    them, and places in it.
    """
    i, j, k = np.unravel_index(numbers, shape)
    grid = triple(-(-n // c) for n, c in zip(shape, chunks, strict=True))
    chunk = ((i // chunks[0]) * grid[1] + j // chunks[1]) * grid[2] + k // chunks[2]
    order = np.argsort(chunk, kind="stable")  # stable: of two values for one voxel the later stays the later
    bounds = np.flatnonzero(np.diff(chunk[order], prepend=-1, append=-1))
    for start, stop in itertools.pairwise(bounds):
        where = order[start:stop]
        index = [axis[where] for axis in (i, j, k)]
        low = [int(axis.min()) for axis in index]
        box = triple(slice(a, int(axis.max()) + 1) for a, axis in zip(low, index, strict=True))
        yield int(chunk[where[0]]), where, box, tuple(axis - a for axis, a in zip(index, low, strict=True))


def spread(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return values as they are assigned to a selection of a shape: leading axes of length one are
    dropped, as NumPy does, and the rest is broadcast.

    Raises
    ------
    ValueError
        If the values do not fit.
    """
    trimmed = values
    while trimmed.ndim > len(shape) and trimmed.shape[0] == 1:
        trimmed = trimmed[0]
    try:
        return np.broadcast_to(trimmed, shape)
    except ValueError:
        raise ValueError(
            f"values have the shape {values.shape}, and the voxels selected {shape}; they must agree, or be broadcast to it."
        ) from None
