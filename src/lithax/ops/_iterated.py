"""Denoising by iteration with nothing crossing the faces of the image: what its kinds share, and
anisotropic diffusion.

Total variation and diffusion look at differences between neighbouring voxels. A difference counts
where both voxels are inside the image and taken in; elsewhere it is zero, so that no boundary rule
is asked for and voxels left out influence nothing. Each iteration uses up one voxel of halo, and a
block equals the whole.
"""

import math
from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, namespace, put_inside, repeat_times
from lithax.grid import Halo
from lithax.ops._context import Context
from lithax.ops._parameters import cast, is_number
from lithax.ops._separable import shifted
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


def within_faces(halo: Any, static: tuple[str, ...], masked: Any) -> Any:
    """Make an operation of a body that looks at nothing outside the image."""
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


def cut(x: Array, *starts: int, size: int = 2) -> Array:
    """Return `size` voxels fewer along every axis, from `starts` on."""
    return x[tuple(slice(b, n - size + b) for b, n in zip(starts, x.shape, strict=True))]


def inside(x: Array, axis: int = -1, step: int = 0, size: int = 2) -> Array:
    """Return what has neighbours on both sides, moved by `step` along `axis`."""
    return cut(x, *(1 + step * (a == axis) for a in range(3)), size=size)


def bonds_of(valid: Array) -> list[Array]:
    """Return whether a voxel and the next one along each axis both count."""
    return [valid & neighbour(valid, axis, 1) for axis in range(3)]


def start(block: Array, valid: Array | None, context: Context) -> tuple[Array, Array, list[Array]]:
    """Return a block as floats, 0 where a voxel does not count; which do; and the bonds between
    those, along each axis to the next one.
    """
    xp = namespace(block)
    counted = context.valid
    if counted is None:
        counted = xp.ones_like(block, dtype=xp.bool)
    if valid is not None:
        counted = counted & valid
    x = as_real(block)
    return xp.where(counted, x, xp.zeros_like(x)), counted, bonds_of(counted)


def inner_core(x: Array, reach: int) -> Array:
    """Return a block without its halo."""
    for axis in range(3):
        x = shifted(x, axis, reach, x.shape[axis] - 2 * reach)
    return x


def check_iterations(iterations: Any, most: float = MOST_ITERATIONS) -> int:
    """Return a number of iterations, of which each widens the halo."""
    if isinstance(iterations, bool) or not isinstance(iterations, int) or not 1 <= iterations <= most:
        raise ValueError(
            f"iterations={iterations!r} must be a whole number from 1 to {MOST_ITERATIONS}; each one widens the halo by a voxel."
        )
    return iterations


def check_time_step(step: Any) -> None:
    """Raise ValueError for a time step with which diffusion to six neighbours is not stable."""
    if is_number(step) and not 0 < step <= 1.0 / 6.0 + 1e-12:
        raise ValueError(f"step={step!r} must be positive and at most 1/6, or the iteration is not stable.")


def iterated_halo(iterations: int = 10, reach: int | None = None) -> Halo:
    """Return how far an iteration looks: a voxel each time, unless `reach` says that nothing lies
    beyond.
    """
    steps = check_iterations(iterations, MOST_ITERATIONS if reach is None else math.inf)
    reach = steps if reach is None else reach
    return reach, reach, reach


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
    check_time_step(step)
    if conductance not in ("exponential", "rational"):
        raise ValueError(f"conductance={conductance!r} is not known; use 'exponential' or 'rational'.")
    reach = iterated_halo(iterations, reach)[0]
    x, counted, bonds = start(block, valid, context)
    xp = namespace(x)
    scale, step = 1.0 / cast(kappa, x.dtype, "kappa"), cast(step, x.dtype, "step")

    before = [inside(bond, axis, -1) for axis, bond in enumerate(bonds)]
    after = [inside(bond) for bond in bonds]

    def flux(slope: Array, bond: Array) -> Array:
        slope = xp.where(bond, slope, xp.zeros_like(slope))
        ratio = slope * scale
        return slope * xp.exp(-ratio * ratio) if conductance == "exponential" else slope / (1.0 + ratio * ratio)

    def turn(now: Array) -> Array:
        here = inside(now)
        change: Any = None
        for axis in range(3):
            part = flux(inside(now, axis, 1) - here, after[axis]) - flux(here - inside(now, axis, -1), before[axis])
            change = part if change is None else change + part
        return put_inside(now, here + step * change)

    smooth = repeat_times(iterations, turn, x)
    return xp.where(inner_core(counted, reach), inner_core(smooth, reach), inner_core(as_real(block), reach))


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


@within_faces(iterated_halo, ("iterations", "conductance", "reach"), _diffusion_masked)
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
