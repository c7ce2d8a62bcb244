"""Selections and values: what may stand in the brackets of an image, and what may be assigned."""

from typing import Any

import numpy as np

from lithax.arrays import refuse_masked, to_numpy
from lithax.grid import Index

Ranges = tuple[range, range, range]


def basic_selection(selection: Any, shape: Index) -> tuple[Ranges, tuple[Any, ...]] | None:
    """Translate integers, slices and an ellipsis.

    Returns
    -------
        One range of indices per axis, and the index that removes the axes that were given as
        integers from what the ranges select; None if the selection is of another kind (arrays,
        lists).

    Raises
    ------
    IndexError
        If there are too many indices, or one is out of range.
    """
    items = selection if isinstance(selection, tuple) else (selection,)
    if not all(item is Ellipsis or isinstance(item, slice) or _is_index(item) for item in items):
        if any(item is None for item in items):
            raise IndexError("an image has three axes; add others to the array that is returned, not in the selection.")
        return None
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexError(f"selection {selection!r} may hold one ellipsis (...) only.")
    given = [item for item in items if item is not Ellipsis]
    if len(given) > 3:
        raise IndexError(f"selection {selection!r} has {len(given)} indices; an image has three axes.")
    position = next((n for n, item in enumerate(items) if item is Ellipsis), len(items))
    full: list[Any] = [*given[:position], *[slice(None)] * (3 - len(given)), *given[position:]]
    ranges, keep = [], []
    for axis, item, n in zip("xyz", full, shape, strict=True):
        if isinstance(item, slice):
            ranges.append(range(n)[item])
            keep.append(slice(None))
            continue
        index = int(item)
        if not -n <= index < n:
            raise IndexError(f"index {index} is out of range along {axis}, which has {n} voxels.")
        index %= n
        ranges.append(range(index, index + 1))
        keep.append(0)
    return (ranges[0], ranges[1], ranges[2]), tuple(keep)


def _is_index(item: Any) -> bool:
    if isinstance(item, bool | np.bool_):
        return False
    return hasattr(item, "__index__") and getattr(item, "ndim", 0) == 0


def check_values(values: Any, dtype: np.dtype) -> np.ndarray:
    """Return values as an array that may be cast to `dtype` without surprise.

    Allowed is what NumPy calls "same kind", and integers or booleans as long as every value fits.

    Raises
    ------
    TypeError
        If the kinds differ (real to integer, complex to real).
    OverflowError
        If an integer does not fit.
    """
    refuse_masked(values, "values")
    array = np.asarray(to_numpy(values))
    if array.dtype.kind not in "biufc":
        if array.dtype.kind == "O" and array.size and all(isinstance(v, int) for v in array.flat):
            raise OverflowError(f"values hold integers that do not fit the image's {dtype}; use another dtype.")
        raise TypeError(f"values of type {array.dtype} cannot be assigned to an image of {dtype}; give numbers.")
    if array.dtype.kind in "biu" and dtype.kind in "biu":
        if array.dtype == dtype or dtype.kind == array.dtype.kind == "b" or array.size == 0:
            return array
        lowest, highest = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        for value in (int(array.min()), int(array.max())):
            if not lowest <= value <= highest:
                raise OverflowError(
                    f"values hold {value}, which does not fit the image's {dtype} ({lowest} to {highest}); "
                    "clip them, cast them with astype(), or use an image of a wider type."
                )
        return array
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise TypeError(
            f"values of type {array.dtype} cannot be assigned to an image of {dtype} without losing what they hold; "
            f"cast them first, for example with astype({str(dtype)!r})."
        )
    return array
