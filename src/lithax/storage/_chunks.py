"""How an image is cut into chunks and shards when it is created."""

import math
import operator
from collections.abc import Sequence
from typing import Any

from lithax.grid import Index, triple

CHUNK_EDGE = 128
"""Edge of the default chunk [voxel]: 2 MiB of bytes, 4 MiB of 16-bit, 8 MiB of 32-bit and 16 MiB of
64-bit voxels.

It does not depend on the data type, so that an image, its mask and what is computed from it share
one grid."""

_AXES = "xyz"


def resolve_chunks(
    shape: Index,
    chunks: int | str | Sequence[int] | None = "auto",
    shards: int | Sequence[int] | None = None,
    processes: int = 1,
) -> tuple[Index, Index | None]:
    """Return the chunk and the shard of a new image.

    Parameters
    ----------
    shape
        Number of voxels along each axis.
    chunks
        "auto" (or None): near-cubic, of about 128³ voxels, dividing the shard. "nprocs":
        near-cubic, as many as there are processes. An integer: edge length, cut to the image where
        that is thinner. A tuple: edge per axis; -1 is the whole axis.
    shards
        None for none, an edge length, or a tuple; multiples of the chunk.
    processes
        Number of processes, for "nprocs".

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong kind, not positive, or the chunk does not divide the shard.
    """
    shard = None if shards is None else _edges("shards", shards, shape)
    if chunks is None or (isinstance(chunks, str) and chunks == "auto"):
        return _auto(shape, shard), shard
    if isinstance(chunks, str) and chunks == "nprocs":
        if shard is not None:
            raise ValueError(
                "chunks='nprocs' cannot be combined with shards; use chunks='auto', which divides the shard."
            )
        return split_evenly(shape, processes), None
    if isinstance(chunks, str):
        raise ValueError(f"chunks={chunks!r} must be 'auto', 'nprocs', an edge length, or three edge lengths.")
    chunk = _edges("chunks", chunks, shape)
    if shard is not None:
        for axis, c, s in zip(_AXES, chunk, shard, strict=True):
            if s % c:
                raise ValueError(
                    f"chunks={chunk} must divide shards={shard} along every axis, and {c} does not divide {s} along "
                    f"{axis}; use chunks='auto', or shards that are multiples of the chunk."
                )
    elif _is_integer(chunks):
        chunk = triple(min(c, n) for c, n in zip(chunk, shape, strict=True))
    return chunk, shard


def _is_integer(value: Any) -> bool:
    return hasattr(value, "__index__") and not hasattr(value, "__len__")


def _edges(name: str, value: Any, shape: Index) -> Index:
    rule = "must be an edge length, or three of them along x, y and z"
    if isinstance(value, bool | str | float):
        raise TypeError(f"{name}={value!r} {rule}.")
    try:
        edges = (operator.index(value),) * 3 if _is_integer(value) else tuple(operator.index(v) for v in value)
    except TypeError as error:
        raise TypeError(f"{name}={value!r} {rule}.") from error
    if len(edges) != 3:
        raise ValueError(f"{name}={value!r} {rule}; it holds {len(edges)}.")
    edges = tuple(n if edge == -1 else edge for edge, n in zip(edges, shape, strict=True))
    if min(edges) < 1:
        raise ValueError(f"{name}={value!r} must be positive along every axis (or -1 for the whole axis).")
    return triple(edges)


def _auto(shape: Index, shard: Index | None) -> Index:
    limits = shape if shard is None else shard
    targets = _near_cube(limits, CHUNK_EDGE**3)
    if shard is None:
        # Equal parts waste no voxel of the last chunk; up to an eighth above the target saves a
        # thin remainder.
        return triple(math.ceil(n / math.ceil(n / (1.125 * t))) for n, t in zip(shape, targets, strict=True))
    return triple(
        min(_divisors(s), key=lambda d, t=t: (abs(math.log(d / t)), d)) for s, t in zip(shard, targets, strict=True)
    )


def _near_cube(limits: Index, volume: float) -> tuple[float, float, float]:
    """Return edges of about `volume` voxels, as equal as the limits allow: thin axes are used up
    first.
    """
    edges = [0.0, 0.0, 0.0]
    order = sorted(range(3), key=lambda axis: limits[axis])
    for position, axis in enumerate(order):
        edges[axis] = min(float(limits[axis]), volume ** (1 / (3 - position)))
        volume /= edges[axis]
    return triple(edges)


def _divisors(number: int) -> list[int]:
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def split_evenly(shape: Index, count: int) -> Index:
    """Return the chunk that cuts an image into `count` near-cubic parts, or a few more if no
    regular grid has `count`.

    Raises
    ------
    ValueError
        If the image has fewer voxels than `count`.
    """
    if count > math.prod(shape):
        raise ValueError(f"shape={shape} cannot be cut into {count} parts; use fewer processes, or chunks='auto'.")
    for parts in range(count, math.prod(shape) + 1):
        best = None
        for a in _divisors(parts):
            for b in _divisors(parts // a):
                chunk = triple(math.ceil(n / k) for n, k in zip(shape, (a, b, parts // a // b), strict=True))
                made = math.prod(math.ceil(n / c) for n, c in zip(shape, chunk, strict=True))
                # A cube has the least surface for its volume.
                score = sum(1 / c for c in chunk)
                if made == parts and (best is None or score < best[0]):
                    best = score, chunk
        if best is not None:
            return best[1]
    raise AssertionError("one voxel a part always fits")
