"""Denoising by total variation: an iteration on a dual field, of one vector per voxel.

Bonds between neighbours count where both are inside the image and taken in (see `_iterated`). The
dual field is all that one iteration hands to the next, so that a long iteration can be cut into
passes over an image, each with a small halo: `lithax.total_variation`.
"""

import math
from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, fence, namespace, put_inside, repeat_times
from lithax.grid import Halo
from lithax.ops._context import Context
from lithax.ops._iterated import bonds_of, check_iterations, cut, inner_core, inside, iterated_halo, start, within_faces
from lithax.ops._parameters import cast, is_number
from lithax.ops._separable import shifted
from lithax.ops._smooth_root import smooth_root
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array

STEP = 1.0 / 6.0

Dual = tuple[Array, Array, Array]


def check_weight(weight: Any) -> None:
    """Raise ValueError for a weight that is not positive."""
    if is_number(weight) and not (weight > 0 and math.isfinite(weight)):
        raise ValueError(f"weight={weight!r} must be positive, in the unit of the image; about the noise is usual.")


def _smoothed(x: Array, dual: Dual) -> Array:
    # On all voxels but the first of every axis.
    out = inside(x, size=1)
    for axis, p in enumerate(dual):
        out = out - inside(p, size=1) + inside(p, axis, -1, size=1)
    return out


def _stepped(x: Array, bonds: list[Array], dual: Dual, weight: Any, steps: Any) -> Dual:
    """Take dual steps on all voxels but the outermost ones of the arrays."""
    xp = namespace(x)
    between = [inside(bond) for bond in bonds]

    def turn(dual: Dual) -> Dual:
        out = fence(_smoothed(x, dual))
        here = cut(out, 0, 0, 0, size=1)
        slopes = [cut(out, *(int(a == axis) for a in range(3)), size=1) - here for axis in range(3)]
        slopes = [xp.where(bond, slope, xp.zeros_like(slope)) for bond, slope in zip(between, slopes, strict=True)]
        norm = smooth_root(slopes[0] ** 2 + slopes[1] ** 2 + slopes[2] ** 2)
        scale = 1.0 / (1.0 + norm * (STEP / cast(weight, x.dtype, "weight")))
        a, b, c = (put_inside(p, (inside(p) - STEP * g) * scale) for p, g in zip(dual, slopes, strict=True))
        return a, b, c

    return repeat_times(steps, turn, dual)


def _begun(dual: tuple[Array, ...], x: Array, counted: Array) -> Dual:
    # Outside the image and of voxels left out the dual field is zero, and at first everywhere.
    xp = namespace(x)
    zero = xp.zeros_like(x)
    a, b, c = (xp.where(counted, p, zero) for p in dual) if dual else (zero, zero, zero)
    return a, b, c


def _result(
    block: Array,
    dual: tuple[Array, ...],
    valid: Array | None,
    weight: Any,
    iterations: int,
    reach: Any,
    context: Context,
) -> Array:
    check_weight(weight)
    reach = iterated_halo(iterations, reach)[0]
    x, counted, bonds = start(block, valid, context)
    found = _stepped(x, bonds, _begun(dual, x, counted), weight, iterations - 1)
    given = inner_core(as_real(block), reach)
    smooth = _smoothed(x, found)
    for axis in range(3):
        smooth = shifted(smooth, axis, reach - 1, given.shape[axis])
    return namespace(x).where(inner_core(counted, reach), smooth, given)


def _total_variation_masked(
    x: Shaped[Any, "x y z"],
    valid: Bool[Any, "x y z"],
    *,
    weight: Any = 0.1,
    iterations: int = 10,
    reach: int | None = None,
    block: Context,
) -> Float[Any, "_ _ _"]:
    return _result(x, (), valid, weight, iterations, reach, block)


@within_faces(iterated_halo, ("iterations", "reach"), _total_variation_masked)
def total_variation(
    x: Shaped[Any, "x y z"], *, weight: Any = 0.1, iterations: int = 10, reach: int | None = None, block: Context
) -> Float[Any, "_ _ _"]:
    """Remove variation that edges do not need, a fixed number of dual steps;
    `skimage.restoration.denoise_tv_chambolle`.

    Minimises ``|y - x|² / 2 + weight * TV(y)``: noise goes, and steps between grey levels stay
    sharp. The numbers are scikit-image's with ``eps=0, max_num_iter=iterations``. Nothing crosses
    the faces of the image, whatever the boundary rule; the halo is `iterations` voxels, and what it
    costs to compute them again in every block is what `lx.plan` shows: `lithax.total_variation`
    does many iterations in several passes. Integers and booleans are smoothed as floats.

    Parameters
    ----------
    x
        Grey levels, one per voxel; padded by `iterations` voxels.
    weight
        Strength, in the unit of `x`; about the standard deviation of the noise. May be traced.
    iterations
        Dual steps, from 1 (which changes nothing) to 200; of a whole array as many as wanted.
    reach
        Voxels of halo; by default `iterations`, and 1 for a whole array, beyond whose faces nothing
        is looked at.

    Returns
    -------
        The smoothed field, in the unit of `x`. Masked: differences to voxels left out do not count.

    Raises
    ------
    ValueError
        If `weight` is not positive, or `iterations` out of range.

    References
    ----------
    Chambolle, An algorithm for total variation minimization and applications, Journal of
    Mathematical Imaging and Vision 20 (2004) 89-97, eq. 9. doi:10.1023/B:JMIV.0000011325.36760.1e
    """
    return _result(x, (), None, weight, iterations, reach, block)


def dual_halo(steps: int) -> Halo:
    """Return how far dual steps look: a voxel each."""
    reach = check_iterations(steps)
    return reach, reach, reach


def _dual_masked(
    *blocks: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], weight: Any, steps: int, block: Context
) -> tuple[Float[Any, "_ _ _"], Float[Any, "_ _ _"], Float[Any, "_ _ _"]]:
    return _dual(blocks[0], blocks[1:], valid, weight, steps, block)


def _dual(x: Array, dual: tuple[Array, ...], valid: Array | None, weight: Any, steps: int, context: Context) -> Dual:
    check_weight(weight)
    reach = dual_halo(steps)[0]
    x, counted, bonds = start(x, valid, context)
    a, b, c = (inner_core(p, reach) for p in _stepped(x, bonds, _begun(dual, x, counted), weight, steps))
    return a, b, c


@voxel_op(halo=dual_halo, static=("steps",), masked=_dual_masked, context=True)
def total_variation_dual(
    *arrays: Shaped[Any, "x y z"], weight: Any, steps: int, block: Context
) -> tuple[Float[Any, "_ _ _"], Float[Any, "_ _ _"], Float[Any, "_ _ _"]]:
    """Take some of the steps of `total_variation`, and give the dual field to go on from.

    Parameters
    ----------
    *arrays
        Grey levels, and, unless these are the first steps, the three components of the dual field.
    weight
        As for `total_variation`.
    steps
        Dual steps, from 1 to 200; a voxel of halo each.

    Returns
    -------
        The components of the dual field along x, y and z, in the unit of the grey levels.

    Raises
    ------
    ValueError
        If `weight` is not positive, or `steps` out of range.
    """
    return _dual(arrays[0], arrays[1:], None, weight, steps, block)


def _ended_masked(
    *blocks: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], weight: Any, iterations: int, block: Context
) -> Float[Any, "_ _ _"]:
    return _result(blocks[0], blocks[1:], valid, weight, iterations, None, block)


@voxel_op(halo=iterated_halo, static=("iterations",), masked=_ended_masked, context=True)
def total_variation_ended(
    x: Shaped[Any, "x y z"],
    a: Float[Any, "x y z"],
    b: Float[Any, "x y z"],
    c: Float[Any, "x y z"],
    *,
    weight: Any,
    iterations: int,
    block: Context,
) -> Float[Any, "_ _ _"]:
    """Take the last iterations of `total_variation`, beginning with a dual field.

    Parameters
    ----------
    x
        Grey levels.
    a, b, c
        The dual field that `total_variation_dual` gave: its components along x, y and z.
    weight, iterations
        As for `total_variation`; `iterations` are those left.

    Returns
    -------
        The smoothed field, in the unit of `x`.

    Raises
    ------
    ValueError
        If `weight` is not positive, or `iterations` out of range.
    """
    return _result(x, (a, b, c), None, weight, iterations, None, block)


def total_variation_steps(x: Array, counted: Array, dual: Dual, weight: Any, steps: Any) -> Dual:
    """Take dual steps in a padded field, or a slab of one: on all voxels but the outermost ones.

    Parameters
    ----------
    x, counted
        Grey levels, 0 where a voxel does not count, and which do: none outside the image.
    dual
        The components of the dual field along x, y and z.
    weight
        As for `total_variation`.
    steps
        Dual steps, each of which uses up a voxel at a face that is not one of the image. May be
        traced.

    Returns
    -------
        The dual field.
    """
    return _stepped(x, bonds_of(counted), dual, weight, steps)


def total_variation_smoothed(x: Array, dual: Dual) -> Array:
    """Return the smoothed grey levels of a padded field, without its outermost voxels."""
    return cut(_smoothed(x, dual), 0, 0, 0, size=1)
