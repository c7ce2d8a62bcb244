"""One direction of flow through one image: set-up on the host, solve, value with its derivative."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import at_once, is_traced, settled
from lithax.solve import _stokes as stokes
from lithax.solve._flow_clusters import Clusters, find_clusters
from lithax.solve._flow_input import FlowInput, area_of
from lithax.solve._flow_medium import FlowGeometry, FlowMedium, make_geometry, operator_of
from lithax.solve._flow_solve import Flow, FlowSettings, solve_flow, stationary_value
from lithax.solve._mac import Fields
from lithax.solve._mac_walls import Boundary
from lithax.solve._solve_memory import give_back
from lithax.solve._spares import spares_for

SOLID_PERMEABILITY = 1e-3
"""Permeability of a soft voxel that is all solid [reference²]: 0.2 % above the no-slip answer at 16
voxels a cell.
"""

SOFTNESS = 0.01
"""q of the drag's interpolation: the smaller, the freer a half-filled voxel."""


class FlowProblem(NamedTuple):
    """What is needed to solve for one direction, axis 0 of its arrays (or any, if all are
    periodic).
    """

    geometry: FlowGeometry
    medium: FlowMedium
    volume: float
    """Sample volume that velocities are averaged over [voxel], reservoirs included."""
    shortening: float
    """Length of the sample over that of the domain."""
    clusters: Clusters | None
    reference: Any
    """Geometric mean of the voxel lengths."""


def prepare(
    given: FlowInput, boundaries: tuple[Boundary, Boundary, Boundary], rule: str, reservoir: int, area: float | None,
    axes: tuple[int, ...] = (0,),
) -> FlowProblem:  # fmt: skip
    """Set up flow along axis 0, or along all `axes` of a periodic image; without geometry if
    nothing joins the ends."""
    shape = (given.shape[0] + 2 * reservoir, *given.shape[1:])
    reference, weights = reference_lengths(given.spacing)
    dtype = given.precision
    section = _section(given, area, axes)
    clusters = None
    choose = _all_of_them
    if given.open is None:
        filled = np.ones(shape, bool)
    elif is_traced(given.open):
        filled = _with_reservoir(given.open, given.inside, reservoir)
        choose = partial(_percolating, boundaries=boundaries, axes=axes)
    else:
        filled = _with_reservoir(given.open, given.inside, reservoir)
        filled, clusters = find_clusters(filled, boundaries, axes, reservoir)
        if not filled.any():
            return FlowProblem(None, None, 1.0, 1.0, clusters, reference)  # pyright: ignore[reportArgumentType]
    plain = weights if all(isinstance(w, float) for w in weights) else None
    geometry = make_geometry(filled, boundaries, rule, plain, dtype, choose)
    drag, solidity = medium_fields(given, reference, reservoir, dtype)
    shortening = given.shape[0] / shape[0]
    return FlowProblem(
        geometry, FlowMedium(drag, solidity, weights), section * shape[0], shortening, clusters, reference
    )


def _all_of_them(open_voxels: np.ndarray) -> np.ndarray:
    return open_voxels


def _percolating(open_voxels: np.ndarray, boundaries: Any, axes: tuple[int, ...]) -> np.ndarray:
    return find_clusters(open_voxels, boundaries, axes)[0]


def medium_fields(given: FlowInput, reference: Any, reservoir: int, dtype: Any) -> tuple[Any, Any]:
    """Return drag and solidity on the grid of the image with its reservoirs; None where there is
    none.
    """

    def pad(values: Any, filler: float) -> Any:
        return (
            jnp.pad(values, [(reservoir, reservoir), (0, 0), (0, 0)], constant_values=filler) if reservoir else values
        )

    unit_area = area_of(given.voxel_unit)

    def in_voxels(number: Any, area: float | None) -> Any:
        """A permeability over the square of the reference length; plain numbers are in the unit of
        the result.
        """
        in_lengths = number if unit_area is None else number * ((1.0 if area is None else area) / unit_area)
        return in_lengths / reference**2

    if given.soft is not None and (given.open is None or given.free is None):
        solidity = jnp.clip(1 - given.soft.astype(dtype), 0, 1)
        # Convex in the solidity, so that a half-filled voxel is no dam: Borrvall and Petersson,
        # Int. J. Numer. Meth. Fluids 41 (2003) 77, eq. 32, with q = SOFTNESS.
        drag = solidity * (SOFTNESS / (SOFTNESS + 1 - solidity)) / SOLID_PERMEABILITY
        return pad(drag, 0.0), pad(solidity, 0.0)
    if given.soft is not None and given.open is not None and given.free is not None:
        porous = jnp.asarray(given.open & ~given.free)
        fraction = jnp.where(porous, given.soft.astype(dtype), 0.5)
        matrix = in_voxels(given.matrix(fraction), None)
        fixed = jax.lax.stop_gradient(matrix)
        if not is_traced(fixed) and not bool(settled(((fixed > 0) & jnp.isfinite(fixed)).all())):
            raise ValueError(
                "permeability(porosity) returned values that are not positive for porosities between 0 and 1; voxels of "
                "porosity 0 are solid already."
            )
        return pad(jnp.where(porous, 1 / matrix, 0).astype(dtype), 0.0), None
    if not given.phases:
        return None, None
    drag = jnp.zeros(given.shape, dtype)
    for where, number, area in given.phases:
        drag = jnp.where(jnp.asarray(where), jnp.asarray(1 / in_voxels(number, area), dtype), drag)
    return pad(drag, 0.0), None


def reference_lengths(spacing: Any) -> tuple[Any, tuple[Any, Any, Any]]:
    """Return the reference length, and (reference / length)² along each axis."""
    if isinstance(spacing, tuple):
        if len(set(spacing)) == 1:
            return spacing[0], (1.0, 1.0, 1.0)
        reference = float(np.exp(np.mean(np.log(spacing))))
        x, y, z = ((reference / h) ** 2 for h in spacing)
        return reference, (x, y, z)
    if spacing.shape == ():
        return spacing, (1.0, 1.0, 1.0)
    reference = jnp.exp(jnp.mean(jnp.log(spacing)))
    x, y, z = ((reference / spacing[axis]) ** 2 for axis in range(3))
    return reference, (x, y, z)


def _with_reservoir(open_voxels: Any, inside: np.ndarray | None, reservoir: int) -> Any:
    if reservoir == 0:
        return open_voxels
    face = np.ones((1, *open_voxels.shape[1:]), bool) if inside is None else inside[:1]
    layers = np.repeat(face, reservoir, axis=0)
    return (jnp if is_traced(open_voxels) else np).concatenate([layers, open_voxels, layers])


def _section(given: FlowInput, area: float | None, axes: tuple[int, ...]) -> float:
    """Return the cross-section that the flux is divided by, in voxel faces."""
    inside, shape = given.inside, given.shape
    if area is not None:
        if not isinstance(given.spacing, tuple):
            raise ValueError(
                "area= needs voxel lengths that are numbers; leave one of area= and a traced spacing= out."
            )
        return float(area / (given.spacing[1] * given.spacing[2]))
    if inside is None:
        return float(np.prod(shape[1:]))
    for axis in axes:
        check_section(inside.sum(tuple(a for a in range(3) if a != axis)))
    return float(inside[0].sum())


def check_section(sections: np.ndarray) -> None:
    """Raise ValueError if the region's voxels in the planes across the flow vary in number."""
    if sections.min() != sections.max():
        raise ValueError(
            f"where= has a cross-section that varies along the flow, from {sections.min()} to {sections.max()} voxels; flow "
            f"along its axis, give area= (in the square of the unit of spacing), or take a piece of it with straight sides."
        )


def solve_problem(
    problem: FlowProblem, axis: int, settings: tuple[FlowSettings, FlowSettings], report: Any, kept: Any = None
) -> Flow:
    """Solve; under differentiation by the second settings, where no states are `kept`. The result
    carries no derivative (see `value_of`).
    """
    if not _traced_anywhere(problem):
        plain, precise = settings

        @jax.custom_jvp
        def run(medium: FlowMedium) -> Flow:
            return _run(problem.geometry, medium, axis, plain, report, kept)

        @run.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            with at_once(problem.geometry, primals[0]):
                flow = _run(problem.geometry, primals[0], axis, precise, report)
            return flow, jax.tree.map(_no_tangent, flow)

        return jax.lax.stop_gradient(run(problem.medium))
    return jax.lax.stop_gradient(_compiled(problem.geometry, problem.medium, axis, settings))


def _traced_anywhere(problem: FlowProblem) -> bool:
    fixed = jax.lax.stop_gradient((problem.medium, problem.geometry))
    return any(is_traced(leaf) for leaf in jax.tree.leaves(fixed))


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _compiled(geometry: FlowGeometry, medium: FlowMedium, axis: int, settings: Any) -> Flow:
    return _run(jax.lax.optimization_barrier(geometry), medium, axis, settings[0], None)


@_compiled.defjvp
def _(axis: int, settings: Any, primals: Any, tangents: Any) -> Any:
    geometry, medium = primals
    flow = _run(jax.lax.optimization_barrier(geometry), medium, axis, settings[1], None)
    return flow, jax.tree.map(_no_tangent, flow)


def _no_tangent(value: Any) -> Any:
    if jnp.issubdtype(jnp.result_type(value), jnp.inexact):
        return jnp.zeros_like(value)
    return np.zeros(np.shape(value), jax.dtypes.float0)


def _run(
    geometry: FlowGeometry, medium: FlowMedium, axis: int, settings: FlowSettings, report: Any, kept: Any = None
) -> Flow:
    operator = operator_of(geometry, medium)
    spares = spares_for(operator.diagonal[0])
    precondition = stokes.make_preconditioner(operator, spares)
    give_back(operator.open.shape)
    return solve_flow(operator, precondition, axis, settings, report, spares, kept)


def value_of(problem: FlowProblem, x: Fields, y: Fields | None = None, axes: tuple[int, int] = (0, 0)) -> Any:
    """Return k_L [reference²] of two solutions, differentiable in the medium with both held
    fixed.
    """
    operator = operator_of(problem.geometry, problem.medium)
    product = stationary_value(operator, x, x if y is None else y, axes)
    return product * (problem.shortening / problem.volume)


def fields_with_derivative(problem: FlowProblem, x: Fields, settings: FlowSettings) -> Fields:
    """Attach to solved fields their derivative in the medium: one solve for each tangent or
    cotangent.
    """
    return _attached(problem.geometry, problem.medium, x, settings)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _attached(geometry: FlowGeometry, medium: FlowMedium, x: Fields, settings: FlowSettings) -> Fields:
    return x


@_attached.defjvp
def _(settings: FlowSettings, primals: Any, tangents: Any) -> Any:
    geometry, medium, x = primals
    _, change = jax.jvp(lambda m: operator_of(geometry, m)(x), (medium,), (tangents[1],))
    operator = operator_of(geometry, medium)

    def solve(_: Any, b: Fields) -> Fields:
        return stokes.solve_for(operator, stokes.make_preconditioner(operator), b, settings)

    nothing = 0 * sum(change)  # every part must be seen to depend on the tangent: JAX transposes all or none
    rhs = tuple(nothing - part for part in change)
    return x, jax.lax.custom_linear_solve(operator, rhs, solve, symmetric=True)
