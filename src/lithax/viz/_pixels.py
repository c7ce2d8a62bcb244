"""From voxel values to colours: pure functions of arrays."""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Shaped, UInt8


def grey_pixels(
    values: Shaped[np.ndarray, "rows columns"], low: float, high: float
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Return grey levels as colours: `low` is black, `high` white, in between linear; NaN is white.

    Parameters
    ----------
    values
        One slice.
    low, high
        In the unit of `values`; where they are equal everything is middle grey.
    """
    values = np.asarray(values, np.float64)
    share = np.full(values.shape, 0.5) if not high > low else np.clip((values - low) / (high - low), 0.0, 1.0)
    grey = np.where(np.isfinite(share), np.round(255 * share), 255.0).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def blend(
    pixels: UInt8[np.ndarray, "rows columns 3"],
    where: Bool[np.ndarray, "rows columns"],
    color: Sequence[int],
    alpha: float,
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Return the pixels with a colour laid over some of them.

    Parameters
    ----------
    where
        True where the colour goes.
    color
        Red, green and blue, 0 to 255.
    alpha
        Opacity of the colour, 0 to 1.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha!r} must lie between 0 (nothing to see) and 1 (nothing shines through).")
    mixed = np.round((1 - alpha) * pixels + alpha * np.asarray(color, np.float64)).astype(np.uint8)
    return np.where(where[..., None], mixed, pixels)


def colorize(
    values: Shaped[np.ndarray, "rows columns"],
    low: float,
    high: float,
    table: UInt8[np.ndarray, "colors 3"],
    not_a_number: Sequence[int] = (255, 255, 255),
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Return values as colours of a table, from `low` (the first) to `high` (the last), linearly in
    between.

    Parameters
    ----------
    values
        One slice of real numbers or booleans; infinities have the first and the last colour.
    low, high
        In the unit of `values`; where they are equal everything has the colour in the middle.
    table
        Red, green and blue.
    not_a_number
        Colour of NaN.
    """
    values = np.asarray(values)
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2 and values.size > 1 << 14:
        colors = _color_of_each(values.dtype, float(low), float(high), table.tobytes())
        return colors[values.astype(np.intp) - np.iinfo(values.dtype).min]
    with np.errstate(invalid="ignore", over="ignore"):
        pixels = table[_place(values.astype(np.float64), low, high, len(table))]
    if values.dtype.kind == "f":
        pixels[np.isnan(values)] = not_a_number
    return pixels


def _place(numbers: np.ndarray, low: float, high: float, count: int) -> np.ndarray:
    """Return which of `count` colours numbers have."""
    if not high > low:
        return np.full(numbers.shape, (count - 1) // 2 + 1, np.intp)
    share = np.clip((numbers - low) / (high - low), 0.0, 1.0)
    return np.round((count - 1) * np.nan_to_num(share, nan=0.0)).astype(np.intp)


@functools.lru_cache(4)  # three slices have the same colours, and the next three, too
def _color_of_each(dtype: np.dtype, low: float, high: float, table: bytes) -> np.ndarray:
    """Return the colour of each value that a small integer can have."""
    colors = np.frombuffer(table, np.uint8).reshape(-1, 3)
    info = np.iinfo(dtype)
    return colors[_place(np.arange(info.min, info.max + 1, dtype=np.float64), low, high, len(colors))]
