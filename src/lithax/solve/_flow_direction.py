"""One direction of a permeability: how it is solved and watched, and the fields it leaves."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import settled
from lithax.solve._checkpoint import Checkpoint
from lithax.solve._flow_checkpoint import kept_flow
from lithax.solve._flow_input import AXES, FlowInput
from lithax.solve._flow_problem import FlowProblem, fields_with_derivative, solve_problem, value_of
from lithax.solve._flow_solve import FlowSettings
from lithax.solve._mac import Fields
from lithax.solve._mac_walls import Boundary
from lithax.solve._one_voxel_further import Axis, shifted
from lithax.solve._permeability_of_flow import Direction, slices_of
from lithax.typing import Array

ORDERS = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
"""The axes of the image with that of the flow first."""

Boundaries = tuple[Boundary, Boundary, Boundary]


class Call(NamedTuple):
    """How to solve, whatever the voxels."""

    axis: str
    boundaries: Boundaries
    reservoir: int
    area: float | None
    settings: tuple[FlowSettings, FlowSettings]
    fields: bool
    progress: bool
    checkpoint: Checkpoint | None = None


@contextlib.contextmanager
def _bar(problem: FlowProblem, axis: int, progress: bool) -> Iterator[Callable[[int, Any, float], None] | None]:
    """Give a function that moves a bar with each iteration, or None."""
    if not progress:
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=f"permeability along {AXES[axis]}", unit=" steps") as bar:

        def see(iteration: int, state: Any, spread: float) -> None:
            k = float(state.stationary) * problem.shortening / problem.volume
            bar.set_postfix_str(f"k = {k:.5g} voxel², flux spread {100 * spread:.2g} %", refresh=False)
            bar.update()

        yield see


def solve_direction(
    problem: FlowProblem, given: FlowInput, axis: int, along: int, call: Call, check: Callable[[], Any] | None = None
) -> Direction:
    """Solve flow along axis `along` of the problem's arrays, which is `axis` of the image.

    Parameters
    ----------
    problem, given
        The problem, and what it was made of.
    axis, along
        Of the image, and of the problem.
    call
        How to solve.
    check
        Called after each step; raises where another process has failed.
    """
    if problem.geometry is None:
        return Direction(problem, None, jnp.zeros((), np.float32), None, None, axis, along)

    with _bar(problem, axis, call.progress) as bar:

        def see(iteration: int, state: Any, spread: float) -> None:
            if check is not None:
                check()
            if bar is not None:
                bar(iteration, state, spread)

        kept = None
        if call.checkpoint is not None:
            options = (axis, along, call.boundaries, call.reservoir, call.checkpoint.world.count)
            kept = kept_flow(call.checkpoint, AXES[axis], problem, call.settings[0], options)
        flow = solve_problem(problem, along, call.settings, see, kept)
    value = value_of(problem, flow.x, axes=(along, along))
    velocity = pressure = None
    if call.fields:
        x = fields_with_derivative(problem, flow.x, call.settings[1])
        reservoir = (problem.geometry.length - given.shape[0]) // 2
        parts = [part[reservoir : reservoir + given.shape[0]] for part in at_centres(problem, x)]
        velocity, pressure = in_image_order(
            [jnp.transpose(p, back(axis)) if along != axis else p for p in parts], axis, along
        )
    slices = slices_of(problem, flow, along)
    return Direction(problem, flow, value, velocity, pressure, axis, along, slices)


def at_centres(problem: FlowProblem, x: Fields) -> list[Array]:
    """Return the velocity along the three axes and the pressure, both at voxel centres."""
    wrap = problem.geometry.wrap
    return [*(settled(_between_faces(x[d], d, wrap[d])) for d in range(3)), x[3]]


@partial(jax.jit, static_argnums=(1, 2))
def _between_faces(u: Array, axis: int, wrap: Axis) -> Array:
    return 0.5 * (u + shifted(u, axis, 1, wrap))


def back(axis: int) -> tuple[int, int, int]:
    """Return the axes of turned arrays in the order of the image's."""
    x, y, z = (ORDERS[axis].index(a) for a in range(3))
    return x, y, z


def in_image_order(parts: list[Any], axis: int, along: int) -> tuple[tuple[Any, ...], Any]:
    """Return the components of the velocity in the order of the image's axes, and the pressure."""
    first = [parts[b] for b in back(axis)] if along != axis else parts[:3]
    return tuple(first), parts[3]
