"""Stokes flow by preconditioned generalised conjugate residuals with a few stored directions.

The preconditioner is a block factorisation of K = [A G; Gᵀ 0]:

    u* = P_A r_u,    p = (c + P_S) (Gᵀ u* − r_p),    u = u* − P_A G p.

P_A is one multigrid cycle for each velocity component, P_S one or a few of them, as steps of
conjugate gradients (`_flow_pressure`), for the pressure Laplacian Gᵀ W G, whose weights W = P_A 1
are the response of each face to a unit push: in wide pores fluid yields more. The mass matrix as a
Schur complement, which textbooks use, fails here: its condition grows with the square of
(length / pore).

A step makes the residual smallest in the norm r_u·W r_u + r_p·r_p, a diagonal stand-in for what the
preconditioner would measure it by. In a pore h wide a unit push gives velocities of h² and
pressures of h: the plain sum of squares weighs divergences h times too much there, and walls as
much as the middle, so that a step which mends the flow seems to gain nothing, and the solve stalls.

Value and stop. With x = (u, p), b = (f, 0) and r = b − K x, the permeability follows from the flux,
k_F = f·u / V, from the dissipation, k_E = u·A u / V, and from the functional
k_L = (2 b·x − x·K x) / V, stationary at the solution: its error is second order. The three agree
only when the solve is done, which a small residual does not prove.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jax import numpy as jnp

from lithax.arrays import fence, is_traced, settled, stage
from lithax.solve._field_arithmetic import along, dot, dot_one, subtract, summed_in_planes
from lithax.solve._flow_cycle import (
    FlowCycle,
    PressureLevel,
    VelocityLevel,
    flow_cycle,
    narrowed,
    pressure_level,
    together,
    widened,
)
from lithax.solve._flow_pressure import cycles_for, pressure_of
from lithax.solve._mac import Fields, MacOperator
from lithax.solve._one_voxel_further import Axes, PartedAxis, on_each_device
from lithax.solve._spares import Spares, give, into_spare, spare_of
from lithax.typing import Array


class Preconditioner(eqx.Module):
    """The block factorisation, with its multigrid cycles."""

    operator: MacOperator
    velocity: tuple[FlowCycle, FlowCycle, FlowCycle]
    pressure: FlowCycle
    schur: PressureLevel
    cycles: Any
    """Of the pressure, in each step."""
    damping: float = eqx.field(static=True)
    """c: what the pressure's cycles are assisted by."""

    def __call__(self, r: Fields, spares: Spares | None = None) -> Fields:
        """Return z ≈ K⁻¹ r; the arrays of `r` are used up where there are spares."""
        if isinstance(self.operator.wrap[0], PartedAxis) and not is_traced(r[0]):
            return self._over_devices(r, spares)
        u = []
        for d in range(3):
            u.append(self.relaxed(r[d], d, spares))
            give(spares, r[d])
        p = self.pressure_for(tuple(u), r[3], spares)
        for d in range(3):  # one after the other: only one cycle's fields at a time
            u[d] = self.corrected(u[d], p, d, spares)
        return (*u, p)

    def _over_devices(self, r: Fields, spares: Spares | None) -> Fields:
        """Return the same; the three velocity components ask next door at once."""
        relaxed, pressure, corrected = (
            (_relaxed, _pressure, _corrected)
            if spares is None
            else (Preconditioner.all_relaxed, Preconditioner.pressure_for, Preconditioner.all_corrected)
        )
        u = [settled(v) for v in relaxed(self, r[:3], spares)]
        give(spares, *r[:3])
        p = settled(pressure(self, tuple(u), r[3], spares))
        return (*(settled(v) for v in corrected(self, u, p, spares)), p)

    def pressure_for(self, u: Fields, r: Array, spares: Spares | None = None) -> Array:
        """Return (c + P_S) (Gᵀ u − r); `r` is used up where there are spares."""
        excess = stage(subtract, self.operator.divergence(u, spare_of(spares, r)), r)
        give(spares, r)
        return pressure_of(self.pressure, self.schur, excess, self.damping, self.cycles, spares)

    def corrected(self, u: Array, p: Array, component: int, spares: Spares | None = None) -> Array:
        """Return u − P_A G p for one component."""
        slope = settled(self.operator.gradient_of(p, component, spare_of(spares, p)))
        response = self.relaxed(slope, component, spares)
        u = stage(subtract, u, response)
        give(spares, slope, response)
        return u

    def all_corrected(self, u: Sequence[Array], p: Array, spares: Spares | None = None) -> list[Array]:
        """Return u − P_A G p for all components."""
        slopes = [settled(self.operator.gradient_of(p, d, spare_of(spares, p))) for d in range(3)]
        responses = self.all_relaxed(slopes, spares)
        better = [stage(subtract, v, response) for v, response in zip(u, responses, strict=True)]
        give(spares, *slopes, *responses)
        return better

    @property
    def weights(self) -> tuple[Any, Any, Any, None]:
        """What squares of the four fields of a residual weigh in its norm: W, as W slope² in 16
        bits and slope²; None: 1.
        """
        x, y, z = zip(self.schur.given, self.operator.weights, strict=True)
        return x, y, z, None

    def product(self, a: Array, b: Array, component: int) -> Array:
        """Return the inner product of one of the four fields of two residuals in that norm, as
        numbers to be summed.
        """
        return _weighted_part(a, b, self.weights[component], self.operator.wrap)

    def size(self, a: Fields) -> Array:
        """Return the norm of a residual."""
        (total,) = _sums([[self.product(v, v, c) for c, v in enumerate(a)]])
        return jnp.sqrt(total)

    def relaxed(self, r: Array, component: int, spares: Spares | None = None) -> Array:
        """P_A r for one component."""
        level = velocity_level(self.operator, component)
        return self.velocity[component](r, level, spares)

    def all_relaxed(self, r: Sequence[Array], spares: Spares | None = None) -> list[Array]:
        """P_A r for all components."""
        return together(self.velocity, r, [velocity_level(self.operator, d) for d in range(3)], spares)


# Over devices each is one program: programs are waited for (`settled`), and whoever waits prepares
# none.
_relaxed = jax.jit(Preconditioner.all_relaxed)
_pressure = jax.jit(Preconditioner.pressure_for)
_cycles_for = jax.jit(cycles_for)
_corrected = jax.jit(Preconditioner.all_corrected)


def velocity_level(operator: MacOperator, component: int) -> VelocityLevel:
    """Return A for one component as a level of multigrid."""
    return VelocityLevel(operator.diagonal[component], operator.half_of(component), operator.weights, operator.wrap)


def make_preconditioner(operator: MacOperator, spares: Spares | None = None, damping: float = 1.0) -> Preconditioner:
    """Build the cycles."""
    strengths = tuple(_number(weight) for weight in operator.weights)
    velocity, given = [], []
    for component in range(3):
        level = velocity_level(operator, component)
        velocity.append(flow_cycle(level, strengths, level.diagonal, spares))
        unit = fence(_ones(level.diagonal, level.half, spare_of(spares, level.diagonal)))
        response = velocity[-1](unit, level, spares)
        given.append(fence(_given(response, level.diagonal, operator.slopes[component], level.half)))
        give(spares, unit, response)
    x, y, z = given
    schur = pressure_level((x, y, z), operator.open, operator.half, operator.wrap, operator.diagonal[0].dtype)
    pressure = flow_cycle(schur, strengths, operator.diagonal[0], spares)
    one_program = spares is None and isinstance(operator.wrap[0], PartedAxis) and not is_traced(x)
    cycles = _cycles_for(pressure, schur) if one_program else cycles_for(pressure, schur, spares)
    return Preconditioner(operator, tuple(velocity), pressure, schur, cycles, damping)


def _number(weight: Any) -> float:
    """Return a weight for deciding which axes are coarsened; 1 if it is traced."""
    fixed = jax.lax.stop_gradient(weight)
    return 1.0 if is_traced(fixed) else float(fixed)


def push(operator: MacOperator, component: int) -> Array:
    """Return a unit push on every face along an axis that carries flow, times the share of a voxel
    that it owns.
    """
    return _ones(operator.diagonal[component], operator.half_of(component), None)


def rest_of_push(
    operator: MacOperator, x: Fields, component: int, along: int, spare: Array | None = None, beyond: Any = (None,) * 4
) -> Array:
    """Return one of the four fields of b − K x for a unit push b along an axis, written over
    `spare`; `beyond` as in `MacOperator.part`.
    """
    image = settled(operator.part(x, component, spare, beyond))
    if component != along:
        return settled(_negative(image))
    diagonal = jax.lax.stop_gradient(operator.diagonal[component])
    return settled(_push_less(image, diagonal, operator.half_of(component)))


@partial(jax.jit, donate_argnums=0)
def _negative(image: Array) -> Array:
    return -image


@partial(jax.jit, donate_argnums=0)
def _push_less(image: Array, diagonal: Array, half: Array | None) -> Array:
    return _carrying(diagonal, half) - image


@into_spare
def _ones(diagonal: Array, half: Array | None, spare: Array | None) -> Array:
    return _carrying(diagonal, half)


def _carrying(diagonal: Array, half: Array | None) -> Array:
    """Return the share of a voxel that each face owns, 0 where it carries no flow."""
    ones = (diagonal > 0).astype(diagonal.dtype)
    return ones if half is None else half * ones


@jax.jit
def _given(response: Array, diagonal: Array, slope: Any, half: Array | None) -> Array:
    """Return W slope² for the faces along an axis, in 16 bits."""
    active = diagonal > 0
    least = 0.25 / jnp.where(active, diagonal, 1)  # a cycle is no positive matrix
    given = jnp.where(active, jnp.maximum(response, least) * slope**2, 0)
    if half is not None:  # half a voxel away the pressure is held: twice the slope
        given = jnp.where(half < 1, 2 * given, given)
    return narrowed(given)


class FlowState(NamedTuple):
    """What one step hands to the next."""

    x: Fields
    r: Fields
    directions: tuple[Fields, ...]
    sizes: tuple[Any, ...]
    """|K d|² of each, in the norm of residuals."""
    iteration: Any
    flux: Any
    """k_F, times V."""
    dissipation: Any
    """k_E, times V."""
    stationary: Any
    """k_L, times V."""
    length: Any
    """Of the last step, along the last of the directions."""


def first_state(b: Fields, directions: int) -> FlowState:
    """Return the state before the first step, from rest; `b` becomes its residual.

    In a compiled loop all stored directions must be there from the beginning, as zeros; elsewhere
    none costs nothing.
    """

    def rest() -> Fields:
        return tuple(jnp.zeros_like(part) for part in b)

    nothing = jnp.zeros((), b[0].dtype)
    none = jnp.zeros((), jnp.int32)
    stored = tuple(rest() for _ in range(directions))
    return FlowState(rest(), b, stored, (nothing + 1,) * directions, none, nothing, nothing, nothing, nothing)


def step(
    state: FlowState,
    work: Callable[[Fields], Any],
    rest: Callable[[Fields, int, Array | None, Any], Array],
    precondition: Preconditioner,
    stored: int,
    spares: Spares | None = None,
) -> FlowState:
    """Take one step of truncated, right-preconditioned generalised conjugate residuals.

    Images of the stored directions are computed again, which costs what reading them would: a
    direction takes four fields, not eight. So is the residual, which nobody reads while a new
    direction is made, when memory is short: four stencils of the hundreds of a step. The arrays of
    `state` are used up.

    Parameters
    ----------
    state
        The last one.
    work
        Returns b·x.
    rest
        Returns one of the four fields of b − K x, written over a spare array; given also what K x
        asks next door.
    precondition
        With the operator.
    stored
        Directions to be kept.
    spares
        Arrays to be written over.
    """
    operator = precondition.operator
    z, directions, sizes = precondition(state.r, spares), state.directions, state.sizes
    if directions:
        shares = _shares(_products(precondition, z, directions, spares), sizes)
        z = tuple(fence(along(z[c], shares, [d[c] for d in directions])) for c in range(4))
    if len(directions) == stored:
        give(spares, *directions[0])
        directions, sizes = directions[1:], sizes[1:]
    beyond = operator.beyond(state.x)
    r = tuple(fence(rest(state.x, c, spare_of(spares, z[c]), beyond)) for c in range(4))
    beyond = operator.beyond(z)
    q = tuple(fence(operator.part(z, c, spare_of(spares, z[c]), beyond)) for c in range(4))
    # One field after the other: the compiler writes down what it weighs, and memory is short here.
    squares, products = ([settled(precondition.product(fields[c], q[c], c)) for c in range(4)] for fields in (q, r))
    size, length, backwards = (settled(v) for v in _step_length(squares, products))
    x = tuple(along(a, [length], [b]) for a, b in zip(state.x, z, strict=True))
    r = tuple(along(a, [backwards], [b]) for a, b in zip(r, q, strict=True))
    give(spares, *q)
    del q
    flux, dissipation, stationary = _values(settled(work(x)), *map(settled, _remaining(x, r)))
    return FlowState(
        x, r, (*directions, z), (*sizes, size), state.iteration + 1,
        flux=flux, dissipation=dissipation, stationary=stationary, length=length,
    )  # fmt: skip


@jax.jit
def _step_length(squares: list[Any], products: list[Any]) -> tuple[Any, Any, Any]:
    """Return |q|², the length of the step along q that makes r smallest, and minus that; given q·q
    and r·q of the four fields, as numbers to be summed.
    """
    total, overlap = _sums([squares, products])
    size = jnp.maximum(total, jnp.finfo(total.dtype).tiny)
    length = overlap / size
    return size, length, -length


def _sums(products: Any) -> list[Array]:
    """Return the sum of each list of arrays of one length, all in one go over devices."""
    if not products:
        return []
    each = jnp.stack([part for parts in products for part in parts]).sum(1)
    return list(each.reshape(len(products), -1).sum(1))


@jax.jit
def _remaining(x: Fields, r: Fields) -> tuple[Any, Any]:
    """Return x·r, and the pressure's share of it."""
    parts = [dot_one(a, b) for a, b in zip(x, r, strict=True)]
    return sum(parts), parts[3]


@jax.jit
def _values(pushed: Any, remains: Any, leaks: Any) -> tuple[Any, Any, Any]:
    """Return k_F, k_E and k_L, times V."""
    return pushed, pushed - remains + 2 * leaks, pushed + remains


@jax.jit
def _shares(products: Any, sizes: Any) -> list[Any]:
    """Return what a new direction must be given of the stored ones to be at right angles to
    them.
    """
    return [-total / size for total, size in zip(_sums(products), sizes, strict=True)]


def _products(
    precondition: Preconditioner, z: Fields, directions: tuple[Fields, ...], spares: Spares | None
) -> list[list[Any]]:
    """Return K z · K d for each direction, part by part, as numbers to be summed; two fields are in
    memory at a time.
    """
    operator = precondition.operator
    found: list[list[Any]] = [[] for _ in directions]
    beyond, *of_directions = (operator.beyond(v) for v in (z, *directions))
    for part in range(4):
        mine = fence(operator.part(z, part, spare_of(spares, z[part]), beyond))
        for i, (d, of_d) in enumerate(zip(directions, of_directions, strict=True)):
            image = fence(operator.part(d, part, spare_of(spares, z[part]), of_d))
            found[i].append(settled(precondition.product(image, mine, part)))
            give(spares, image)
        give(spares, mine)
    return found


def solve_for(operator: MacOperator, precondition: Preconditioner, b: Fields, settings: Any) -> Fields:
    """Solve K x = b for any right-hand side, as an adjoint has, until its residual is small."""
    size = precondition.size(b)
    limit = jnp.maximum(settings.gradient_tolerance * 1e-2 * size, jnp.finfo(size.dtype).tiny)

    def more(state: FlowState) -> Any:
        return (precondition.size(state.r) > limit) & (state.iteration < settings.max_iterations)

    def rest(x: Fields, component: int, _: Array | None, beyond: Any) -> Array:
        return b[component] - operator.part(x, component, None, beyond)

    def go(state: FlowState) -> FlowState:
        return step(state, lambda x: dot(b, x), rest, precondition, settings.stored)

    return jax.lax.while_loop(more, go, first_state(b, settings.stored)).x


@partial(jax.jit, static_argnums=3)
def _weighted_part(a: Array, b: Array, weight: tuple[Array, Any] | None, wrap: Axes) -> Array:
    if weight is None:
        return on_each_device(lambda a, b: (a * b).sum(2).sum(0), wrap, a, b)
    given, square = weight
    of = partial(summed_in_planes, lambda a, b, w: a * (widened(w, b.dtype) * b))
    return on_each_device(of, wrap, a, b, given) / square


def relative_change(state: FlowState) -> Any:
    """Return by how much u² has changed with the last step (L2): what a gradient would have changed
    by.
    """
    moved = [_moved(u, z, state.length) for u, z in zip(state.x[:3], state.directions[-1][:3], strict=True)]
    sizes = [dot_squares(u, u) for u in state.x[:3]]
    return _root_of_share([settled(v) for v in moved], [settled(v) for v in sizes])


@jax.jit
def _moved(u: Array, z: Array, length: Any) -> Array:
    """Return Σ (u² − (u − length·z)²)²."""
    step = length * z
    return dot_squares(step, 2 * u - step)


@jax.jit
def dot_squares(a: Array, b: Array) -> Array:
    """Return Σ a² b²."""
    product = a * b
    return (product * product).sum(2).sum(1).sum()


@jax.jit
def _root_of_share(parts: Any, whole: Any) -> Array:
    return jnp.sqrt(sum(parts) / jnp.maximum(sum(whole), jnp.finfo(whole[0].dtype).tiny))
