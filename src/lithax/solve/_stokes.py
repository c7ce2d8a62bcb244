"""Stokes flow by preconditioned generalised conjugate residuals with a few stored directions.

The preconditioner is a block factorisation of K = [A G; Gᵀ 0]:

    u* = P_A r_u,    p = (c + P_S) (Gᵀ u* − r_p),    u = u* − P_A G p.

P_A is one multigrid cycle for each velocity component, P_S one for the pressure Laplacian Gᵀ W G,
whose weights W = P_A 1 are the response of each face to a unit push: in wide pores fluid yields
more. The mass matrix as a Schur complement, which textbooks use, fails here: its condition grows
with the square of (length / pore).

Value and stop. With x = (u, p), b = (f, 0) and r = b − K x, the permeability follows from the flux,
k_F = f·u / V, from the dissipation, k_E = u·A u / V, and from the functional
k_L = (2 b·x − x·K x) / V, stationary at the solution: its error is second order. The three agree
only when the solve is done, which a small residual does not prove.
"""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jax import numpy as jnp

from lithax.arrays import is_traced
from lithax.solve._face_operator import FaceOperator, face_operator
from lithax.solve._mac import Fields, MacOperator, shifted
from lithax.solve._multigrid import Multigrid, multigrid
from lithax.typing import Array


class Preconditioner(eqx.Module):
    """The block factorisation, with its multigrid cycles."""

    operator: MacOperator
    velocity: tuple[Multigrid, Multigrid, Multigrid]
    pressure: Multigrid
    damping: float = eqx.field(static=True)
    """c: what the pressure cycle is assisted by."""

    def __call__(self, r: Fields) -> Fields:
        start = self.relaxed(r[:3])
        excess = subtract(self.operator.divergence(start), r[3])
        p = combine(self.damping, excess, apply(self.pressure, excess, self.operator.open))
        back = self.relaxed(self.operator.gradient(p))
        return (*(subtract(a, b) for a, b in zip(start, back, strict=True)), p)

    def relaxed(self, r: tuple) -> tuple:
        """P_A r."""
        return tuple(map(apply, self.velocity, r, self.operator.diagonal))


def make_preconditioner(operator: MacOperator, damping: float = 1.0) -> Preconditioner:
    """Build the cycles."""
    strengths = tuple(_number(weight) for weight in operator.weights)
    velocity = []
    for component in range(3):
        diagonal, half = operator.diagonal[component], operator.half_of(component)
        faces = couplings(diagonal, half, operator.weights, operator.wrap)
        velocity.append(_cycle(faces, diagonal, operator.wrap, strengths))
    unit = push(operator)
    response = tuple(map(apply, velocity, unit, operator.diagonal))
    faces, diagonal = schur(response, operator.diagonal, operator.open, operator.slopes, operator.half, operator.wrap)
    return Preconditioner(operator, tuple(velocity), _cycle(faces, diagonal, operator.wrap, strengths), damping)


def _number(weight: Any) -> float:
    """Return a weight for deciding which axes are coarsened; 1 if it is traced."""
    fixed = jax.lax.stop_gradient(weight)
    return 1.0 if is_traced(fixed) else float(fixed)


def _cycle(faces: tuple, diagonal: Array, wrap: tuple, strengths: tuple) -> Multigrid:
    return multigrid(_faces(faces, diagonal, wrap), strengths=strengths)


@partial(jax.jit, static_argnames="wrap")
def _faces(faces: tuple, diagonal: Array, wrap: tuple) -> FaceOperator:
    joined = sum(c + shifted(c, axis, 1, wrap[axis]) for axis, c in enumerate(faces))
    return face_operator(*faces, periodic=wrap, excess=jnp.maximum(diagonal - joined, 0))


@jax.jit
def apply(cycle: Multigrid, r: Array, active: Array) -> Array:
    """Return the cycle's approximate solution where `active` is not 0; elsewhere it holds what
    coarse levels left.
    """
    return jnp.where(active > 0, cycle.on_cells(r), 0)


def push(operator: MacOperator) -> tuple[Array, Array, Array]:
    """Return a unit push on every face that carries flow, times the share of a voxel that it
    owns.
    """
    return tuple(_ones(operator.diagonal[d], operator.half_of(d)) for d in range(3))


@jax.jit
def _ones(diagonal: Array, half: Array | None) -> Array:
    ones = (diagonal > 0).astype(diagonal.dtype)
    return ones if half is None else half * ones


@partial(jax.jit, static_argnames="wrap")
def couplings(diagonal: Array, half: Array | None, weights: tuple, wrap: tuple) -> tuple[Array, Array, Array]:
    """Return minus the off-diagonal of A between each face and the one below it along each axis."""
    active = (diagonal > 0).astype(diagonal.dtype)
    found = []
    for axis in range(3):
        joined = weights[axis] * active * shifted(active, axis, -1, wrap[axis])
        found.append(joined if half is None or axis == 0 else half * joined)
    return tuple(found)


@partial(jax.jit, static_argnames="wrap")
def schur(
    response: tuple, diagonals: tuple, open_voxels: Array, slopes: tuple, half: Array | None, wrap: tuple
) -> tuple[tuple[Array, Array, Array], Array]:
    """Return Gᵀ W G as couplings between voxels and a diagonal."""
    found, total = [], jnp.zeros_like(open_voxels)
    for axis in range(3):
        active = diagonals[axis] > 0
        least = 0.25 / jnp.where(active, diagonals[axis], 1)  # a cycle is no positive matrix
        given = jnp.where(active, jnp.maximum(response[axis], least) * slopes[axis] ** 2, 0)
        if axis == 0 and half is not None:  # half a voxel away the pressure is held: twice the slope
            given = jnp.where(half < 1, 2 * given, given)
        total = total + given + shifted(given, axis, 1, wrap[axis])
        if axis == 0 and half is not None:  # and no voxel beyond to be coupled to
            given = jnp.where(half < 1, 0, given)
        found.append(given)
    return tuple(found), jnp.where(open_voxels > 0, total, 0)


class FlowState(NamedTuple):
    """What one step hands to the next."""

    x: Fields
    r: Fields
    directions: tuple[Fields, ...]
    images: tuple[Fields, ...]
    """K times the directions, normalised."""
    iteration: Any
    flux: Any
    """k_F, times V."""
    dissipation: Any
    """k_E, times V."""
    stationary: Any
    """k_L, times V."""
    change: Any
    """Relative change of u² in the last step (L2): what a gradient would have changed by."""


def first_state(b: Fields, stored: int) -> FlowState:
    """Return the state before the first step, from rest."""
    zero = tuple(jnp.zeros_like(part) for part in b)
    nothing = jnp.zeros((), b[0].dtype)
    none = jnp.zeros((), jnp.int32)
    return FlowState(zero, b, (zero,) * stored, (zero,) * stored, none, nothing, nothing, nothing, nothing)


def step(state: FlowState, b: Fields, precondition: Preconditioner) -> FlowState:
    """Take one step of truncated, right-preconditioned generalised conjugate residuals."""
    z = precondition(state.r)
    q = precondition.operator(z)
    for direction, image in zip(state.directions, state.images, strict=True):
        share = -dot(q, image)
        z, q = add(z, share, direction), add(q, share, image)
    scale = 1 / jnp.sqrt(jnp.maximum(dot(q, q), jnp.finfo(q[0].dtype).tiny))
    z, q = multiply(z, scale), multiply(q, scale)
    length = dot(state.r, q)
    x, r = add(state.x, length, z), add(state.r, -length, q)
    change = relative_change(x[:3], z[:3], length)
    pushed, remains, leaks = dot(b, x), dot(x, r), dot_one(x[3], r[3])
    directions, images = (*state.directions[1:], z), (*state.images[1:], q)
    if not state.directions:
        directions = images = ()
    return FlowState(
        x, r, directions, images, state.iteration + 1,
        flux=pushed, dissipation=pushed - remains + 2 * leaks, stationary=pushed + remains, change=change,
    )  # fmt: skip


def solve_for(operator: MacOperator, precondition: Preconditioner, b: Fields, settings: Any) -> Fields:
    """Solve K x = b for any right-hand side, as an adjoint has, until its residual is small."""
    size = jnp.sqrt(dot(b, b))
    limit = jnp.maximum(settings.gradient_tolerance * 1e-2 * size, jnp.finfo(size.dtype).tiny)

    def more(state: FlowState) -> Any:
        return (jnp.sqrt(dot(state.r, state.r)) > limit) & (state.iteration < settings.max_iterations)

    def go(state: FlowState) -> FlowState:
        return step(state, b, precondition)

    return jax.lax.while_loop(more, go, first_state(b, settings.stored)).x


@jax.jit
def add(x: Any, factor: Any, y: Any) -> Any:
    return jax.tree.map(lambda a, b: a + factor * b, x, y)


@jax.jit
def multiply(x: Any, factor: Any) -> Any:
    return jax.tree.map(lambda a: factor * a, x)


@jax.jit
def subtract(a: Array, b: Array) -> Array:
    return a - b


@jax.jit
def combine(factor: Any, a: Array, b: Array) -> Array:
    return factor * a + b


@jax.jit
def dot_one(a: Array, b: Array) -> Array:
    """Inner product; sums run over lines, then planes, then the rest, so that rounding does not
    pile up.
    """
    return (a * b).sum(2).sum(1).sum()


@jax.jit
def dot(a: Any, b: Any) -> Array:
    return sum(dot_one(x, y) for x, y in zip(a, b, strict=True))


@jax.jit
def relative_change(u: tuple, z: tuple, length: Any) -> Array:
    """Return by how much u² has changed with the step u − length·z → u, in the L2 norm."""
    now = sum(dot_one(a * a, a * a) for a in u)
    moved = [a * a - (a - length * b) ** 2 for a, b in zip(u, z, strict=True)]
    return jnp.sqrt(sum(dot_one(a, a) for a in moved) / jnp.maximum(now, jnp.finfo(u[0].dtype).tiny))
