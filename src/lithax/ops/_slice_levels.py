"""Grey levels put right slice by slice, and ring by ring."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from lithax.arrays import as_real, axis_number, is_array, lookup, namespace
from lithax.geometry import check_center
from lithax.ops._context import Context
from lithax.ops._parameters import cast, is_number
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array


def _per_slice(values: Any, name: str, block: Array, context: Context, axis: int) -> Any:
    if is_number(values) or (is_array(values) and values.ndim == 0):
        return cast(values, block.dtype, name)
    length = context.shape[axis]
    values = as_table(values, name)
    if tuple(values.shape) != (length,):
        raise ValueError(
            f"{name} must be a number, or an array of one number for each of the {length} slices across axis {axis}, as "
            f"lx.measure.reference_levels gives it."
        )
    return _along(xp_table(values, block), context, axis, block)


def as_table(values: Any, name: str) -> Array:
    """Return an array as it is, and what else holds numbers, such as a list, as a NumPy array."""
    if is_array(values):
        return values
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is a {type(values).__name__} that does not hold numbers; give an array.") from None


def xp_table(values: Any, block: Array) -> Array:
    """Return a table of numbers as an array of the library, device and dtype of a block."""
    xp = namespace(block)
    if type(values) is type(block) or namespace(values) is xp:
        return xp.astype(values, block.dtype, copy=False)
    return xp.asarray(values, dtype=block.dtype)


def _along(table: Array, context: Context, axis: int, block: Array) -> Array:
    xp = namespace(block)
    index = context.index(block)[axis]
    return lookup(table, xp.clip(index, 0, table.shape[0] - 1))


@voxel_op(context=True, static="axis")
def normalise_slices(
    x: Shaped[Any, "x y z"], *, low: Any, high: Any, axis: Any = 2, targets: Any = (0.0, 1.0), block: Context
) -> Float[Any, "x y z"]:
    """Move two reference grey levels, which may differ from slice to slice, to two targets.

    ``t0 + (t1 - t0) (x - low) / (high - low)``: a tube that drifts along a core changes the levels
    of air and of a reference rod; with them every slice is put back. With numbers for `low` and
    `high` it is `rescale`. scikit-image has no counterpart.

    Parameters
    ----------
    x
        Grey levels, one per voxel.
    low, high
        Grey levels of the two references, in the unit of `x`: numbers, or arrays of one number per
        slice across `axis` (`lx.measure.reference_levels` measures them); may be traced.
    axis
        Axis across which the slices lie: 0, 1, 2 or "x", "y", "z".
    targets
        The two grey levels that the references get.

    Raises
    ------
    ValueError
        If an array is not as long as the image along `axis`.
    """
    number = axis_number(axis)
    values = as_real(x)
    lower = _per_slice(low, "low", values, block, number)
    upper = _per_slice(high, "high", values, block, number)
    if is_number(lower) and is_number(upper) and lower == upper:
        raise ValueError(f"low={low!r} and high={high!r} are the same grey level; give two different references.")
    if not isinstance(targets, tuple | list) or len(targets) != 2:
        raise ValueError(f"targets={targets!r} must be two grey levels, those that the references get.")
    first, second = (cast(t, values.dtype, "targets") for t in targets)
    return first + (second - first) * (values - lower) / (upper - lower)


def radii(block: Array, context: Context, axis: int, center: Any) -> Array:
    """Return the distance of the voxels from an axis [voxel], to broadcast against the block."""
    xp = namespace(block)
    index = context.index(block)
    across = [a for a in range(3) if a != axis]
    squared: Any = None
    for a, c in zip(across, check_center(center), strict=True):
        d = xp.astype(index[a], block.dtype) - c
        squared = d * d if squared is None else squared + d * d
    return xp.sqrt(squared)


@voxel_op(context=True, static=("axis", "center"))
def subtract_rings(
    x: Shaped[Any, "x y z"], *, table: Any, center: Any, axis: Any = 2, block: Context
) -> Float[Any, "x y z"]:
    """Subtract a value that depends on the distance from an axis, and on the slice.

    Between the distances of the table the value is interpolated; beyond them it is 0.
    ``lx.measure.rings(image).remove(image)`` does it with the rings that it finds.

    Parameters
    ----------
    x
        Grey levels, one per voxel.
    table
        Shape (slices, distances): the value at the distances 0, 1, 2, ... voxels from the axis, in
        the unit of `x`. A single row serves all slices.
    center
        Where the axis cuts a slice: two voxel indices, along the two other axes in their order.
    axis
        Axis of the rings: 0, 1, 2 or "x", "y", "z".
    """
    number = axis_number(axis)
    values = as_real(x)
    xp = namespace(values)
    table = as_table(table, "table")
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(
            f"table has shape {tuple(table.shape)}; give a row for all slices, or one for each, (rows, distances)."
        )
    rows, width = table.shape
    if rows not in (1, block.shape[number]):
        raise ValueError(
            f"table has {rows} rows; give one, or one for each of the {block.shape[number]} slices across axis {number}."
        )
    flat = xp.reshape(xp_table(table, values), (-1,))
    r = radii(values, block, number, center)
    cell = xp.astype(xp.floor(r), xp.int32)
    share = r - xp.astype(cell, values.dtype)
    row = 0
    if rows > 1:
        row = xp.clip(xp.astype(block.index(values)[number], xp.int32), 0, rows - 1) * width
    total: Any = None
    for step, weight in ((0, 1.0 - share), (1, share)):
        at = cell + step
        value = lookup(flat, row + xp.clip(at, 0, width - 1))
        part = xp.where(at < width, weight, xp.zeros_like(weight)) * value
        total = part if total is None else total + part
    return values - total


@voxel_op(context=True, static=("axis", "center"))
def divide_cupping(
    x: Shaped[Any, "x y z"],
    *,
    coefficients: Any,
    center: Any,
    scale: Any,
    along: Any = 1.0,
    axis: Any = 2,
    block: Context,
) -> Float[Any, "x y z"]:
    """Divide by a polynomial of the squared distance from an axis, and by a number per slice.

    ``x / (along[z] * (c0 + c1 (r/scale)² + c2 (r/scale)⁴ + ...))``;
    ``lx.measure.cupping(image).remove(image)`` does it with what it finds.

    Parameters
    ----------
    x
        Grey levels, one per voxel.
    coefficients
        c0, c1, ... [-], an array; may be traced.
    center
        Where the axis cuts a slice: two voxel indices, along the two other axes in their order.
    scale
        Unit of the distance [voxel].
    along
        A number, or an array of one number per slice across `axis`.
    axis
        Axis of the core: 0, 1, 2 or "x", "y", "z".
    """
    number = axis_number(axis)
    values = as_real(x)
    if is_number(scale) and not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"scale={scale!r} must be a positive number of voxels, the unit of the distance.")
    coefficients = as_table(coefficients, "coefficients")
    if coefficients.ndim != 1 or 0 in coefficients.shape:
        raise ValueError(f"coefficients has shape {tuple(coefficients.shape)}; give c0, c1, ... in one row.")
    r = radii(values, block, number, center) / cast(scale, values.dtype, "scale")
    squared = r * r
    row = xp_table(coefficients, values)
    factor: Any = None
    for position in reversed(range(row.shape[0])):
        c = row[position]
        factor = c if factor is None else factor * squared + c
    return values / (factor * _per_slice(along, "along", values, block, number))
