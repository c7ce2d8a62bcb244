"""Slow, plain references: one voxel at a time, in NumPy."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np


def neighbourhood(
    block: np.ndarray,
    valid: np.ndarray | None,
    offsets: Sequence[tuple[int, int, int]],
    reduce: Callable[[np.ndarray, np.ndarray], object],
    halo: tuple[int, int, int] | None = None,
) -> np.ndarray:
    """Reduce the neighbours of every voxel that are taken in: the reference of masked stencils.

    Parameters
    ----------
    block
        Any field of three axes, padded by `halo`.
    valid
        True for voxels taken in, of the shape of `block`; None means all.
    offsets
        The neighbours, relative to the voxel [voxel].
    reduce
        Called for each voxel as ``reduce(values, offsets)`` with the values of the neighbours taken
        in, in the order of `offsets`, and with their offsets as an array of three columns. Not
        called where there are none.
    halo
        Padding of `block`; by default the furthest offset along each axis.

    Returns
    -------
        One value per voxel of the core: NaN where no neighbour is taken in, or 0 and False where
        there is no NaN.
    """
    table = np.asarray(offsets, dtype=int).reshape(-1, 3)
    reach = np.abs(table).max(axis=0) if halo is None else np.asarray(halo)
    core = tuple(int(n - 2 * h) for n, h in zip(block.shape, reach, strict=True))
    results: list[object] = []
    for position in itertools.product(*map(range, core)):
        index = tuple((table + reach + position).T)
        taken = np.ones(len(table), dtype=bool) if valid is None else valid[index]
        results.append(reduce(block[index][taken], table[taken]) if taken.any() else None)
    found = [np.asarray(r) for r in results if r is not None]
    dtype = np.result_type(*{r.dtype for r in found}) if found else block.dtype
    absent = np.nan if np.issubdtype(dtype, np.inexact) else 0
    return np.array([absent if r is None else r for r in results], dtype=dtype).reshape(core)


def box_offsets(size: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Return the offsets of a box; an even one holds one voxel more on the lower side, as in
    scipy.ndimage.
    """
    x, y, z = (range(-(n // 2), n - n // 2) for n in size)
    return list(itertools.product(x, y, z))


def ball_offsets(radius: float | int) -> list[tuple[int, int, int]]:
    """Return the offsets whose Euclidean length is at most `radius` [voxel]."""
    reach = range(-int(radius), int(radius) + 1)
    cube = itertools.product(reach, reach, reach)
    return [(x, y, z) for x, y, z in cube if x * x + y * y + z * z <= radius * radius + 1e-9]


def gaussian_mean(sigma: Sequence[float | int]) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return a `reduce` for `neighbourhood`: the mean weighted by a Gaussian of the given standard
    deviations [voxel].
    """

    def reduce(values: np.ndarray, offsets: np.ndarray) -> float:
        weights = np.exp(-0.5 * ((offsets / np.asarray(sigma)) ** 2).sum(axis=1))
        return float((weights * values).sum() / weights.sum())

    return reduce
