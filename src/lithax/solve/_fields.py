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
from lithax.solve._layout import Layout

POTENTIAL, FLUX = "potential", ("flux_x", "flux_y", "flux_z")
"""Paths of the images in a store."""


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
    found: dict[int, jax.Array] = {}
    for axis in range(3):
        both = through_both_faces(layout, drive, faces[axis], layout.filled(u), axis)
        found[run.order[axis]] = _in_order(run, both * density_of(run, axis, number, scale))
    return found[0], found[1], found[2]


def through_both_faces(layout: Layout, drive: Drive, c: jax.Array, u: jax.Array, axis: int) -> jax.Array:
    """Return the sum of the currents through the two faces of each voxel across an axis, given the
    weights of these faces; `u` is filled.
    """
    current = face_values(layout, c, axis) * drive.differences(layout, u, axis)
    ends = current.shape[axis] - layout.shape[axis]
    if ends == 0:
        return current + jnp.roll(current, -1, axis)
    if ends < 0:
        current = jnp.pad(current, [(int(a == axis), int(a == axis)) for a in range(3)])
    low, high = (tuple(w if a == axis else slice(None) for a in range(3)) for w in (slice(None, -1), slice(1, None)))
    return current[low] + current[high]


def density_of(run: Run, axis: int, number: int, scale: Any) -> Any:
    """Return the current density along one of the solver's axes, for a mean gradient of one, where
    the currents through both faces of a voxel add up to one.
    """
    # Area over distance, times the distance: the area of a face in units of the mean voxel length.
    step = run.lengths[axis] / (run.spans[axis] - (2 * run.reservoir if axis == 0 else 0))
    return 0.5 * scale * run.lengths[driven(run, number)] / (run.geometry[axis] * step)


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
    factors = whole_multiples(np.shape(potential), shape)
    turned = guessed(potential, run, number, factors, 0, shape[run.order[0]])
    if reservoir:
        turned = np.pad(turned, [(reservoir, reservoir), (0, 0), (0, 0)])
    return jnp.asarray(turned)


def guessed(potential: Any, run: Run, number: int, factors: tuple[int, int, int], begin: int, end: int) -> np.ndarray:
    """Return planes of u across the solver's first axis, in its order and without reservoirs.

    Parameters
    ----------
    potential
        An image or an array, of the image's shape or a coarser one; these planes of it are read.
    run, number
        Of the solve.
    factors
        See `whole_multiples`.
    begin, end
        Numbers of the planes.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    first, axis = run.order[0], run.order[driven(run, number)]
    planes = slice(begin // factors[first], -(-end // factors[first]))
    values = np.asarray(potential[tuple(planes if a == first else slice(None) for a in range(3))])
    check_finite(values)
    dtype = np.result_type(values.dtype, np.float32)
    places = np.arange(potential.shape[axis], dtype=dtype)[planes if axis == first else slice(None)]
    ramp = ramp_of(places, potential.shape[axis])
    deviation = 1 - ramp.reshape([-1 if a == axis else 1 for a in range(3)]) - values
    for a, factor in enumerate(factors):
        deviation = np.repeat(deviation, factor, a) if factor > 1 else deviation
    skipped = begin % factors[first]
    return deviation.transpose(run.order)[skipped : skipped + end - begin]


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
