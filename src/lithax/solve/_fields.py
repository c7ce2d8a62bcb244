"""Fields of a solution in the order of the image: potential, current density, current through
slices; first guesses.
"""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp

from lithax.solve._conduction_problem import Drive, Faces, face_values, slice_currents
from lithax.solve._conduction_setup import Run


def driven(run: Run, number: int) -> int:
    """Return the solver's axis that a drive is along."""
    return number if run.axis is None else 0


def _in_order(run: Run, v: jax.Array) -> jax.Array:
    """Return an array of the solver in the order of the image, without the reservoirs."""
    if run.reservoir:
        v = v[run.reservoir : v.shape[0] - run.reservoir]
    return v.transpose(np.argsort(run.order))


@eqx.filter_jit
def potential_of(run: Run, drive: Drive, u: jax.Array, number: int) -> jax.Array:
    """Return the potential at voxel centres, falling by one along the axis."""
    axis = driven(run, number)
    n = run.spans[axis]
    ramp = ((jnp.arange(n) + 0.5) * drive.steps[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
    return _in_order(run, 1 - (run.settings.layout.cells(u) + ramp).astype(u.dtype))


@eqx.filter_jit
def current_density(
    run: Run, drive: Drive, faces: Faces, u: jax.Array, scale: jax.Array, number: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the current density along x, y and z at voxel centres, for a mean gradient of one over
    the sample.

    Means of the two faces of a voxel.
    """
    layout = run.settings.layout
    length = run.lengths[driven(run, number)]
    found: dict[int, jax.Array] = {}
    for axis in range(3):
        current = face_values(layout, faces[axis], axis) * drive.differences(layout, layout.filled(u), axis)
        ends = current.shape[axis] - layout.shape[axis]
        if ends == 0:
            upper = jnp.roll(current, -1, axis)
            both = current + upper
        else:
            if ends < 0:
                current = jnp.pad(current, [(int(a == axis), int(a == axis)) for a in range(3)])
            low, high = (
                tuple(w if a == axis else slice(None) for a in range(3)) for w in (slice(None, -1), slice(1, None))
            )
            both = current[low] + current[high]
        # Area over distance, times the distance: the area of a face in units of the mean voxel
        # length.
        step = run.lengths[axis] / (run.spans[axis] - (2 * run.reservoir if axis == 0 else 0))
        face = run.geometry[axis] * step
        found[run.order[axis]] = _in_order(run, both * (0.5 * scale * length / face))
    return found[0], found[1], found[2]


@eqx.filter_jit
def relative_currents(run: Run, drive: Drive, faces: Faces, u: jax.Array, number: int) -> jax.Array:
    """Return the current through every plane of faces across the axis, relative to their mean."""
    currents = slice_currents(run.settings.layout, faces, drive, u, driven(run, number))
    mean = jnp.mean(currents)
    return currents / jnp.where(mean == 0, 1, mean)


def guess_from(x0: Any, run: Run, number: int, shape: tuple[int, int, int], reservoir: int) -> jax.Array:
    """Return u of a first guess, from a potential of the image's shape or a coarser one.

    Raises
    ------
    TypeError, ValueError
        If there is no potential, it is finer than the image, or not finite.
    """
    potential = potential_to_start_from(x0, run, number)
    potential = np.asarray(potential[...] if hasattr(potential, "frame") else potential)
    factors = whole_multiples(potential.shape, shape)
    check_finite(potential)
    axis = run.order[driven(run, number)]
    dtype = np.result_type(potential.dtype, np.float32)
    ramp = ramp_of(np.arange(potential.shape[axis], dtype=dtype), potential.shape[axis])
    deviation = 1 - ramp.reshape([-1 if a == axis else 1 for a in range(3)]) - potential
    for a, factor in enumerate(factors):
        deviation = np.repeat(deviation, factor, a) if factor > 1 else deviation
    turned = deviation.transpose(run.order)
    if reservoir:
        turned = np.pad(turned, [(reservoir, reservoir), (0, 0), (0, 0)])
    return jnp.asarray(turned)


def potential_to_start_from(x0: Any, run: Run, number: int) -> Any:
    """Return the potential of one drive from a result, or from potentials as a result has them.

    Raises
    ------
    ValueError
        If the result has none.
    """
    potential = getattr(x0, "potential", x0)
    if potential is None:
        raise ValueError("x0= has no potential; solve with fields=True to start from the result.")
    if isinstance(potential, list | tuple):
        potential = potential[number if run.axis is None else (run.axis if len(potential) == 3 else 0)]
    return potential


def whole_multiples(coarse: tuple[int, ...], shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return how many voxels of an image lie along each axis in one of a first guess.

    Raises
    ------
    ValueError
        If they are no whole numbers.
    """
    if len(coarse) != 3 or any(m > n or n % m for m, n in zip(coarse, shape, strict=True)):
        raise ValueError(
            f"x0= has shape {tuple(coarse)}, the image {shape}; along each axis the image must have as many voxels or a whole "
            f"multiple of them."
        )
    x, y, z = (n // m for m, n in zip(coarse, shape, strict=True))
    return x, y, z


def check_finite(potential: np.ndarray) -> None:
    """Raise ValueError for a first guess that says nothing of some voxels."""
    if not np.isfinite(potential).all():
        raise ValueError("x0= holds potentials that are not finite; leave it out, or give a potential for every voxel.")


def ramp_of(places: Any, count: int) -> Any:
    """Return how far the ramp has risen at the centres of `count` voxels.

    A guess gives the deviation from it, which coarse voxels hold for all of theirs.
    """
    return (places + 0.5) / count
