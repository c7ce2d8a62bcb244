"""Phases: which labels there are, and which row of a table a label belongs to."""

from collections.abc import Collection, Iterable
from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from lithax.arrays import bincount, count_not_above, lookup, namespace, widest_integer
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import constant, dtype_name, plain
from lithax.measure._source import Source
from lithax.measure._state import by_pieces, combine_states
from lithax.typing import Array

Phases = int | np.integer | np.bool_ | Collection[Any]
"""Values of a segmentation, or a single one."""

FEW_PHASES = 16
"""So few phases are compared one by one, which compilers turn into vector instructions; more are
searched for.
"""

COUNTERS = 1 << 20
"""Counters that one pass over a segmentation may hold: 4 MiB on a device."""


def check_phases(phases: Any) -> np.ndarray:
    """Return phases as an ascending array of integers, without repetition.

    A single number is one phase. The dtype is int64, or uint64 for labels from 2⁶³ on.
    """
    if isinstance(phases, int | np.integer | np.bool_):
        phases = [phases]
    if isinstance(phases, str) or not isinstance(phases, Iterable):
        raise TypeError(f"phases={phases!r} is not a collection; give the values of the segmentation, such as (1, 2).")
    given = list(phases.tolist()) if isinstance(phases, np.ndarray) else list(phases)
    if not given:
        raise ValueError("phases is empty; name at least one value of the segmentation.")
    for phase in given:
        if not isinstance(phase, int | np.integer | np.bool_) or phase < 0:
            raise ValueError(f"phases contains {phase!r}; a phase is a value of a segmentation, an integer from 0 on.")
    numbers = sorted({int(phase) for phase in given})
    return np.asarray(numbers, np.uint64 if numbers[-1] > np.iinfo(np.int64).max else np.int64)


def check_segmentation(dtype: Any, name: str = "segmentation") -> np.dtype:
    """Return the dtype of a segmentation, or raise TypeError."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "bui":
        raise TypeError(
            f"{name} has dtype {dtype}; a segmentation holds unsigned integers or booleans. "
            "Threshold it, or cast it, first."
        )
    return dtype


def phase_row(segmentation: Array, phases: Array) -> Array:
    """Return for each voxel the position of its label among the ascending `phases`, or their number
    if it is not there.
    """
    labels = _labels(segmentation)
    xp = namespace(labels)
    size = phases.shape[0]
    # A phase that the dtype of the labels cannot hold becomes its largest value, which no label
    # has.
    largest = min(int(xp.iinfo(labels.dtype).max), int(np.iinfo(np.dtype(phases.dtype)).max))
    table = namespace(phases).minimum(phases, largest)
    table = constant(table, labels.dtype, like=labels)
    if size <= FEW_PHASES:
        row = xp.full_like(labels, size, dtype=xp.int32)
        for number in range(size):
            row = xp.minimum(row, size - xp.astype(labels == table[number], xp.int32) * (size - number))
        return row
    found = xp.clip(count_not_above(table, labels) - 1, 0, size - 1)
    return xp.where(lookup(table, found) == labels, found, constant(size, xp.int32, like=labels))


def find_phases(segmentation: Any, where: Any = None, beside: Source | None = None) -> np.ndarray:
    """Return the labels that occur among the voxels taken in, ascending.

    A segmentation that is a plain array, beside an image, is measured together with the voxels of
    that image, and `where` is theirs.

    Labels are found by their leading bits first, then by more and more of them: one pass up to 20
    bits, two for 32-bit labels, each with at most `COUNTERS` counters, whatever the largest label.
    Negative numbers are no phases.

    Raises
    ------
    ValueError
        If there are more than `COUNTERS` labels.
    """
    source, others = (Source(segmentation, where), ()) if beside is None else (beside, (segmentation,))
    dtype = check_segmentation(Source(segmentation).dtype)
    bits = 1 if dtype.kind == "b" else 8 * dtype.itemsize - (dtype.kind == "i")
    starts = np.zeros(1, np.uint64 if bits == 64 else np.int64)
    while bits:
        step = min(bits, (COUNTERS // starts.size).bit_length() - 1)
        if step == 0:
            raise ValueError(
                f"The segmentation has more than {COUNTERS // 2} labels; name those of interest with phases=(...)."
            )
        bits -= step
        interval, part = source.reduce(_Occupied(starts, bits, step), *others)
        starts = starts[interval] + (part.astype(starts.dtype) << starts.dtype.type(bits))
        if starts.size == 0:
            break
    return starts


class _Occupied(AbstractMeasurement):
    """Which of the 2**step equal parts, of 2**bits labels each, of the intervals from `starts` on
    hold a label.

    The segmentation is the last block.
    """

    exact: ClassVar[bool] = True

    starts: Array
    bits: int = eqx.field(static=True)
    step: int = eqx.field(static=True)

    def of(self, *blocks: Array, valid: Array | None = None) -> State:
        return by_pieces(self._of_piece, blocks[-1], valid, counters=self.starts.shape[0] << self.step)

    def _of_piece(self, segmentation: Array, valid: Array | None) -> State:
        labels = _labels(segmentation)
        xp = namespace(labels)
        starts = constant(self.starts, labels.dtype, like=labels)
        parts = 1 << self.step
        row = count_not_above(starts, labels) - 1
        part = labels - lookup(starts, xp.clip(row, 0, starts.shape[0] - 1))
        part = xp.bitwise_right_shift(part, constant(self.bits, labels.dtype, like=labels))
        inside = (row >= 0) & (part < parts)
        if valid is not None:
            inside = inside & valid
        length = starts.shape[0] * parts
        index = xp.where(inside, row * parts + xp.astype(part, xp.int32), constant(length, xp.int32, like=row))
        return {"count": bincount(index, length + 1)[:length]}

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        interval, part = np.nonzero(np.reshape(state["count"], (self.starts.shape[0], -1)))
        return interval, part


def _labels(segmentation: Array) -> Array:
    xp = namespace(segmentation)
    labels = plain(segmentation)
    wide = xp.isdtype(labels.dtype, "signed integer") and dtype_name(segmentation) == "int32"
    return xp.astype(labels, widest_integer(xp)) if wide else labels
