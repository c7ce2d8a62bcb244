"""Denoising by iteration: total variation and anisotropic diffusion, with nothing crossing the
faces of the image.

Both look at differences between neighbouring voxels. A difference counts where both voxels are
inside the image and taken in; elsewhere it is zero, so that no boundary rule is asked for and
voxels left out influence nothing. Each iteration uses up one voxel of halo, and a block equals the
whole.
"""

import math
from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, fence, namespace, put_inside, repeat_times
from lithax.grid import Halo
from lithax.ops._context import Context
from lithax.ops._parameters import cast, is_number
from lithax.ops._separable import shifted
from lithax.ops._smooth_root import smooth_root
from lithax.ops._voxel_op import VoxelOp
from lithax.typing import Array

MOST_ITERATIONS = 200


class _WithinFaces(VoxelOp):
    """An operation that looks at nothing outside the image: of a whole array no more than its
    outermost voxels is padded.
    """

    def __call__(self, *arrays: Array, **parameters: Any) -> Any:
        parameters.setdefault("reach", 1)
        return super().__call__(*arrays, **parameters)


def _within_faces(halo: Any, static: tuple[str, ...], masked: Any) -> Any:
    return lambda body: _WithinFaces(body, halo=halo, static=static, masked=masked, context=True)


def neighbour(x: Array, axis: int, step: int) -> Array:
    """Return the neighbour of every voxel along an axis; at the face of the block, where the halo
    is used up, zero or False.
    """
    xp = namespace(x)
    length = x.shape[axis]
    zeros = xp.zeros_like(shifted(x, axis, 0, 1))
    if step > 0:
        return xp.concat([shifted(x, axis, 1, length - 1), zeros], axis=axis)
    return xp.concat([zeros, shifted(x, axis, 0, length - 1)], axis=axis)


def _cut(x: Array, *starts: int, size: int = 2) -> Array:
    # `size` voxels fewer along every axis, from `starts` on.
    return x[tuple(slice(b, n - size + b) for b, n in zip(starts, x.shape, strict=True))]


def _inside(x: Array, axis: int = -1, step: int = 0, size: int = 2) -> Array:
    # What has neighbours on both sides, moved by `step` along `axis`.
    return _cut(x, *(1 + step * (a == axis) for a in range(3)), size=size)


def _bonds(valid: Array) -> list[Array]:
    # Whether a voxel and the next one along each axis both count.
    return [valid & neighbour(valid, axis, 1) for axis in range(3)]


def _start(block: Array, valid: Array | None, context: Context) -> tuple[Array, Array, list[Array]]:
    xp = namespace(block)
    counted = context.valid
    if counted is None:
        counted = xp.ones_like(block, dtype=xp.bool)
    if valid is not None:
        counted = counted & valid
    x = as_real(block)
    return xp.where(counted, x, xp.zeros_like(x)), counted, _bonds(counted)


def _core(x: Array, reach: int) -> Array:
    for axis in range(3):
        x = shifted(x, axis, reach, x.shape[axis] - 2 * reach)
    return x


def _check_iterations(iterations: Any) -> int:
    if isinstance(iterations, bool) or not isinstance(iterations, int) or not 1 <= iterations <= MOST_ITERATIONS:
        raise ValueError(
            f"iterations={iterations!r} must be a whole number from 1 to {MOST_ITERATIONS}; each one widens the halo by a voxel."
        )
    return iterations


def iterated_halo(iterations: int = 10, reach: int | None = None) -> Halo:
    """Return how far an iteration looks: a voxel each time, unless `reach` says that nothing lies
    beyond.
    """
    steps = _check_iterations(iterations)
    reach = steps if reach is None else reach
    return reach, reach, reach


def _total_variation(
    block: Array, valid: Array | None, weight: Any, iterations: int, reach: Any, context: Context
) -> Array:
    if is_number(weight) and not (weight > 0 and math.isfinite(weight)):
        raise ValueError(f"weight={weight!r} must be positive, in the unit of the image; about the noise is usual.")
    reach = iterated_halo(iterations, reach)[0]
    x, counted, bonds = _start(block, valid, context)
    xp = namespace(x)
    step = 1.0 / 6.0
    zero = xp.zeros_like(x)

    def smoothed(dual: tuple[Array, Array, Array]) -> Array:
        # On all voxels but the first of every axis.
        out = _inside(x, size=1)
        for axis, p in enumerate(dual):
            out = out - _inside(p, size=1) + _inside(p, axis, -1, size=1)
        return out

    between = [_inside(bond) for bond in bonds]

    def turn(dual: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        out = fence(smoothed(dual))
        here = _cut(out, 0, 0, 0, size=1)
        slopes = [_cut(out, *(int(a == axis) for a in range(3)), size=1) - here for axis in range(3)]
        slopes = [xp.where(bond, slope, xp.zeros_like(slope)) for bond, slope in zip(between, slopes, strict=True)]
        norm = smooth_root(slopes[0] ** 2 + slopes[1] ** 2 + slopes[2] ** 2)
        scale = 1.0 / (1.0 + norm * (step / cast(weight, x.dtype)))
        a, b, c = (put_inside(p, (_inside(p) - step * g) * scale) for p, g in zip(dual, slopes, strict=True))
        return a, b, c

    dual = repeat_times(iterations - 1, turn, (zero, zero, zero))
    given = _core(as_real(block), reach)
    smooth = smoothed(dual)
    for axis in range(3):
        smooth = shifted(smooth, axis, reach - 1, given.shape[axis])
    return xp.where(_core(counted, reach), smooth, given)


def _total_variation_masked(
    x: Shaped[Any, "x y z"],
    valid: Bool[Any, "x y z"],
    *,
    weight: Any = 0.1,
    iterations: int = 10,
    reach: int | None = None,
    block: Context,
) -> Float[Any, "_ _ _"]:
    return _total_variation(x, valid, weight, iterations, reach, block)


@_within_faces(iterated_halo, ("iterations", "reach"), _total_variation_masked)
def total_variation(
    x: Shaped[Any, "x y z"], *, weight: Any = 0.1, iterations: int = 10, reach: int | None = None, block: Context
) -> Float[Any, "_ _ _"]:
    """Remove variation that edges do not need, a fixed number of dual steps;
    `skimage.restoration.denoise_tv_chambolle`.

    Minimises ``|y - x|² / 2 + weight * TV(y)``: noise goes, and steps between grey levels stay
    sharp. The numbers are scikit-image's with ``eps=0, max_num_iter=iterations``. Nothing crosses
    the faces of the image, whatever the boundary rule; the halo is `iterations` voxels, and what it
    costs to compute them again in every block is what `lx.plan` shows: for many iterations take
    large blocks. Integers and booleans are smoothed as floats.

    Parameters
    ----------
    x
        Grey levels, one per voxel; padded by `iterations` voxels.
    weight
        Strength, in the unit of `x`; about the standard deviation of the noise. May be traced.
    iterations
        Dual steps, from 1 (which changes nothing) to 200.
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
    return _total_variation(x, None, weight, iterations, reach, block)


def _diffused(
    block: Array,
    valid: Array | None,
    kappa: Any,
    iterations: int,
    step: Any,
    conductance: str,
    reach: Any,
    context: Context,
) -> Array:
    if is_number(kappa) and not (kappa > 0 and math.isfinite(kappa)):
        raise ValueError(
            f"kappa={kappa!r} must be positive: the difference of neighbours beyond which there is an edge."
        )
    if is_number(step) and not 0 < step <= 1.0 / 6.0 + 1e-12:
        raise ValueError(f"step={step!r} must be positive and at most 1/6, or the iteration is not stable.")
    if conductance not in ("exponential", "rational"):
        raise ValueError(f"conductance={conductance!r} is not known; use 'exponential' or 'rational'.")
    reach = iterated_halo(iterations, reach)[0]
    x, counted, bonds = _start(block, valid, context)
    xp = namespace(x)
    scale, step = 1.0 / cast(kappa, x.dtype), cast(step, x.dtype)

    before = [_inside(bond, axis, -1) for axis, bond in enumerate(bonds)]
    after = [_inside(bond) for bond in bonds]

    def flux(slope: Array, bond: Array) -> Array:
        slope = xp.where(bond, slope, xp.zeros_like(slope))
        ratio = slope * scale
        return slope * xp.exp(-ratio * ratio) if conductance == "exponential" else slope / (1.0 + ratio * ratio)

    def turn(now: Array) -> Array:
        here = _inside(now)
        change: Any = None
        for axis in range(3):
            part = flux(_inside(now, axis, 1) - here, after[axis]) - flux(here - _inside(now, axis, -1), before[axis])
            change = part if change is None else change + part
        return put_inside(now, here + step * change)

    smooth = repeat_times(iterations, turn, x)
    return xp.where(_core(counted, reach), _core(smooth, reach), _core(as_real(block), reach))


def _diffusion_masked(
    x: Shaped[Any, "x y z"],
    valid: Bool[Any, "x y z"],
    *,
    kappa: Any,
    iterations: int = 10,
    step: Any = 1.0 / 7.0,
    conductance: str = "exponential",
    reach: int | None = None,
    block: Context,
) -> Float[Any, "_ _ _"]:
    return _diffused(x, valid, kappa, iterations, step, conductance, reach, block)


@_within_faces(iterated_halo, ("iterations", "conductance", "reach"), _diffusion_masked)
def anisotropic_diffusion(
    x: Shaped[Any, "x y z"],
    *,
    kappa: Any,
    iterations: int = 10,
    step: Any = 1.0 / 7.0,
    conductance: str = "exponential",
    reach: int | None = None,
    block: Context,
) -> Float[Any, "_ _ _"]:
    """Let grey levels diffuse where neighbours differ little (Perona and Malik); scikit-image has
    no counterpart.

    Each iteration adds ``step * Σ c(d) d`` over the differences d to the six neighbours, with the
    conductance ``c = exp(-(d/kappa)²)`` or ``1 / (1 + (d/kappa)²)``. The sum of all grey levels
    stays; nothing crosses the faces of the image, whatever the boundary rule. Integers and booleans
    are smoothed as floats.

    Parameters
    ----------
    x
        Grey levels, one per voxel; padded by a voxel per iteration.
    kappa
        Difference of neighbours beyond which there is an edge, in the unit of `x`; two to three
        times the noise. May be traced.
    iterations
        From 1 to 200.
    step
        Length of the time step [-], at most 1/6.
    conductance
        "exponential", which favours sharp edges, or "rational", which favours wide regions.
    reach
        Voxels of halo, as in `total_variation`.

    Returns
    -------
        The smoothed field, in the unit of `x`. Masked: nothing flows to or from voxels left out.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    Perona and Malik, Scale-space and edge detection using anisotropic diffusion, IEEE Transactions
    on Pattern Analysis and Machine Intelligence 12 (1990) 629-639, eqs. 7 and 10.
    doi:10.1109/34.56205
    """
    return _diffused(x, None, kappa, iterations, step, conductance, reach, block)
