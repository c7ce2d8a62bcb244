"""Times of arrival of a front of speed one: the eikonal equation, first order, in whole numbers.

A voxel of the phase is reached from the neighbours along each axis that were reached before it: its
time t is the least with ``Σ max(t - a_i, 0)² >= 1`` over the earlier neighbour a_i of each axis
(Godunov's scheme: Sethian, PNAS 93 (1996), 1591-1595, doi:10.1073/pnas.93.4.1591). Times count
`PER_VOXEL`ths of a voxel and t is rounded up, so that the scheme is exact in whole numbers: t grows
with each a_i and with nothing else, hence one set of times solves it, whatever the order in which
voxels are done, and blocks agree in every bit.
"""

import math

import numpy as np

PER_VOXEL = 1 << 20
NEVER = np.int64(1 << 62)
"""Time of a voxel that is not reached."""


def settle_times(times: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Return the times of arrival, from times that are nowhere too early.

    Parameters
    ----------
    times
        int64: 0 at the sources, `NEVER` elsewhere, or what an earlier call returned.
    taken
        Voxels that a front enters; the times of the others stay, and a front starts from them.
    """
    padded = np.pad(times, 1, constant_values=NEVER)
    open_ = np.pad(taken, 1).reshape(-1)
    flat = padded.reshape(-1)
    strides = (padded.shape[1] * padded.shape[2], padded.shape[2], 1)
    steps = np.array([*strides, *(-s for s in strides)])
    active = np.flatnonzero(open_)
    while active.size:
        found = _arrivals([np.minimum(flat[active - s], flat[active + s]) for s in strides])
        earlier = found < flat[active]
        active = active[earlier]
        flat[active] = found[earlier]
        # Those beside a voxel that changed are done again.
        near = (active + steps[:, None]).reshape(-1)
        active = np.unique(near[open_[near]])
    return padded[1:-1, 1:-1, 1:-1]


def _arrivals(earliest: list[np.ndarray]) -> np.ndarray:
    """Return the time of arrival from the earlier neighbour along each axis."""
    low, mid, high = earliest
    low, mid = np.minimum(low, mid), np.maximum(low, mid)
    mid, high = np.minimum(mid, high), np.maximum(mid, high)
    low, mid = np.minimum(low, mid), np.maximum(low, mid)
    # Counted from the first of them; what comes more than a voxel later has no part.
    second, third = np.minimum(mid - low, PER_VOXEL), np.minimum(high - low, PER_VOXEL)
    square = PER_VOXEL * PER_VOXEL
    after = (second + np.sqrt((2 * square - second * second).astype(float))) / 2
    after = _least(after.astype(np.int64), second, None, square)
    all_three = third < after
    if all_three.any():
        b, c = second[all_three], third[all_three]
        inside = (b + c) ** 2 - 3 * (b * b + c * c - square)
        guess = ((b + c + np.sqrt(np.maximum(inside, 0).astype(float))) / 3).astype(np.int64)
        after[all_three] = _least(guess, b, c, square)
    return np.where(low >= NEVER, NEVER, low + after)


def _least(guess: np.ndarray, second: np.ndarray, third: np.ndarray | None, square: int) -> np.ndarray:
    """Return the least whole number that solves the scheme, next to a guess from floating point."""

    def enough(t: np.ndarray) -> np.ndarray:
        total = t * t + np.maximum(t - second, 0) ** 2
        return (total if third is None else total + np.maximum(t - third, 0) ** 2) >= square

    found = guess + 2
    for t in (guess + 1, guess, guess - 1):
        found = np.where(enough(t), t, found)
    return found


def voxels_of(times: np.ndarray) -> np.ndarray:
    """Return times as distances [voxel], infinite where no front arrives."""
    return np.where(times >= NEVER, math.inf, times / PER_VOXEL)
