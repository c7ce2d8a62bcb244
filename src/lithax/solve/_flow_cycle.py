"""One multigrid cycle for a velocity component, or for the pressure, whose finest level is not
stored.

A level of `FaceOperator` holds four fields. The finest one of a velocity component follows from
the diagonal of A, that of the pressure from the response of each face, which 16 bits hold well
enough: what stands here preconditions, and decides no value. Only coarser levels, together a
seventh of that size, are kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import equinox as eqx
import jax
from jax import numpy as jnp

from lithax.arrays import fence, is_traced, stage
from lithax.solve._face_operator import FaceOperator, face_operator
from lithax.solve._flow_levels_over_devices import (
    LevelsOverDevices,
    aggregated_over_devices,
    corrected_over_devices,
    levels_over_devices,
    plan_over_devices,
)
from lithax.solve._mac import present, viscous_at
from lithax.solve._multigrid import (
    Multigrid,
    aggregated_excess,
    aggregated_faces,
    chebyshev_weights,
    coarsening,
    coarser_levels,
    doubled,
    is_stretched,
    multigrid,
    pseudo_inverse,
    summed,
    visits_of,
)
from lithax.solve._one_voxel_further import Axes, NextDoor, PartedAxis, neighbours, next_door, shifted, stencil
from lithax.solve._spares import Spares, give, into_spare, spare_of
from lithax.typing import Array

_SWEEPS = 2


class VelocityLevel(eqx.Module):
    """A for one component of the velocity."""

    visits: ClassVar[int] = 2

    diagonal: Array
    half: Array | None
    weights: tuple[Any, Any, Any]
    wrap: Axes = eqx.field(static=True)

    @property
    def active(self) -> Array:
        """Which faces carry flow: what coarser levels leave in others would be read as velocity."""
        return self.diagonal > 0

    def faces(self) -> tuple[tuple[Array, Array, Array], Array]:
        """Return the couplings to the cells below, and the diagonal."""
        return couplings(self.diagonal, self.half, self.weights, self.wrap), self.diagonal

    def over_diagonal(self, v: Array) -> Array:
        """D⁻¹ v; 0 where no flow is."""
        return jnp.where(self.active, v / jnp.where(self.active, self.diagonal, 1), 0)

    near: ClassVar = ()
    """Along which axes the neighbours of its arrays are read: of none."""

    def rest(self, v: Array, b: Array) -> Array:
        """b − A v, in faces that carry flow."""
        return b - viscous_at(self.wrap, self.weights, v, self.diagonal, *present(self.half))


class PressureLevel(eqx.Module):
    """Gᵀ W G, with W slope² as `given` for each face."""

    visits: ClassVar[int] = 4
    """Walls hold a velocity everywhere, and nothing but the ends holds a pressure: in tight pore
    space a W-cycle leaves half of its error, and the flow takes twice as many iterations.
    """

    given: tuple[Array, Array, Array]
    """In 16 bits (`narrowed`)."""
    inverse: Array
    """Of the diagonal; 0 in voxels without fluid. In 16 bits."""
    open: Array
    half: Array | None
    wrap: Axes = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)

    near: ClassVar = ((0,), (1,), (2,))
    """Along which axes the neighbours of its arrays are read, of the first three."""

    @property
    def active(self) -> Array:
        """Which voxels hold fluid."""
        return self.open

    def faces(self) -> tuple[tuple[Array, Array, Array], Array]:
        """Return the couplings to the cells below, and the diagonal."""
        lower = [widened(stored, self.dtype) for stored in self.given]
        if self.half is not None:  # at a held pressure there is no voxel beyond to be coupled to
            lower[0] = jnp.where(self.half < 1, 0, lower[0])
        x, y, z = lower
        return (x, y, z), pressure_diagonal(self.given, self.open, self.wrap, self.dtype)

    def over_diagonal(self, v: Array) -> Array:
        """D⁻¹ v; 0 where no fluid is."""
        return widened(self.inverse, self.dtype) * v

    def rest(self, v: Array, b: Array) -> Array:
        """b − Gᵀ W G v."""
        for axis, stored in enumerate(self.given):
            below, above = neighbours(v, axis, self.wrap[axis])
            b = b - widened(stored, self.dtype) * (v - below)
            b = b + widened(shifted(stored, axis, 1, self.wrap[axis]), self.dtype) * (above - v)
        return b


def pressure_level(
    given: tuple[Array, Array, Array], open_voxels: Array, half: Array | None, wrap: Axes, dtype: Any
) -> PressureLevel:
    """Return the finest level for the pressure, with W slope² for the faces along each axis in 16
    bits.
    """
    inverse = fence(_inverse(given, open_voxels, wrap, dtype))
    return PressureLevel(given, inverse, open_voxels, half, wrap, dtype)


@partial(jax.jit, static_argnames=("wrap", "dtype"))
def _inverse(given: tuple[Array, Array, Array], open_voxels: Array, wrap: Axes, dtype: Any) -> Array:
    total = pressure_diagonal(given, open_voxels, wrap, dtype)
    return narrowed(jnp.where(total > 0, 1 / jnp.where(total > 0, total, 1), 0))


def pressure_diagonal(given: tuple[Array, Array, Array], open_voxels: Array, wrap: Axes, dtype: Any) -> Array:
    """Return the diagonal of Gᵀ W G."""
    total = jnp.zeros((), dtype)
    for axis, stored in enumerate(given):
        total = total + widened(stored, dtype) + widened(shifted(stored, axis, 1, wrap[axis]), dtype)
    return jnp.where(open_voxels, total, 0)


def narrowed(values: Array) -> Array:
    """Return numbers in 16 bits, half of a float32: its sign, its exponent and seven digits."""
    return jax.lax.bitcast_convert_type(values.astype(jnp.bfloat16), jnp.uint16)


def widened(bits: Array, dtype: Any) -> Array:
    """Return the numbers that `narrowed` made 16 bits of.

    By a shift of whole numbers: XLA on the CPU writes every bfloat16 it reads at two places into an
    array first, which takes four times as long as the stencil.
    """
    return jax.lax.bitcast_convert_type(bits.astype(jnp.uint32) << 16, jnp.float32).astype(dtype)


Level = VelocityLevel | PressureLevel


class FlowCycle(eqx.Module):
    """One cycle, z ≈ K⁻¹ r, as a function of r and of the finest level; made by `flow_cycle`."""

    coarse: Multigrid | LevelsOverDevices
    """All levels below the finest; all levels where there is but one."""
    step: tuple[bool, bool, bool] | None = eqx.field(static=True)
    """Which axes are halved below the finest level; None if there is but one."""

    def __call__(self, r: Array, level: Level, spares: Spares | None = None) -> Array:
        (z,) = together((self,), (r,), (level,), spares)
        return z


def together(
    cycles: Sequence[FlowCycle], r: Sequence[Array], levels: Sequence[Level], spares: Spares | None = None
) -> list[Array]:
    """Return what each of a few cycles makes of its right-hand side; where they lie over devices,
    they ask next door at once.
    """
    r, levels = list(r), list(levels)
    if is_traced(r[0]):  # constants for a transformation, as in `Multigrid`
        r, levels = jax.lax.stop_gradient((r, levels))
    if cycles[0].step is None:
        return [stage(_directly, cycle.coarse, v) for cycle, v in zip(cycles, r, strict=True)]
    first, *others = chebyshev_weights(_SWEEPS)
    z = [stage(_scaled, v, level, first, spare_of(spares, v)) for v, level in zip(r, levels, strict=True)]

    def beyond() -> Sequence[Any]:
        return (None,) if len(z) == 1 else next_door(z, levels[0].wrap)

    def smooth(weight: float) -> None:
        for d, asked in enumerate(beyond()):
            better = stage(_relaxed, z[d], r[d], levels[d], weight, spare_of(spares, r[d]), asked)
            give(spares, z[d])
            z[d] = better

    for weight in others:
        smooth(weight)
    for d, asked in enumerate(beyond()):
        rest = stage(_rest, z[d], r[d], levels[d], spare_of(spares, r[d]), asked)
        z[d] = _with_correction(cycles[d], z[d], rest, levels[d], spares)
    for weight in (first, *others):
        smooth(weight)
    return z


def _with_correction(cycle: FlowCycle, z: Array, rest: Array, level: Level, spares: Spares | None) -> Array:
    """Add what the coarser levels make of the rest, which is used up."""
    if isinstance(cycle.coarse, LevelsOverDevices):
        z = stage(corrected_over_devices, cycle.coarse, rest, z, level.active)
        give(spares, rest)
        return z
    target = stage(partial(_restricted, step=cycle.step), rest)
    give(spares, rest)
    return stage(partial(_prolonged, step=cycle.step), z, stage(_corrected, cycle.coarse, target), level)


def flow_cycle(level: Level, strengths: tuple[float, ...], like: Array, spares: Spares | None = None) -> FlowCycle:
    """Build the levels below the finest.

    Parameters
    ----------
    level
        The finest one.
    strengths
        As for `multigrid`.
    like
        An array of the type and shape of the vectors that the level acts on.
    spares
        Arrays to be written over.
    """
    # Conduction smooths longer below its finest level; flow gains no iteration by it, unless cells
    # are stretched.
    short, long = chebyshev_weights(_SWEEPS), chebyshev_weights(4 * _SWEEPS)

    def below(shapes: Any, steps: Any) -> tuple[tuple[float, ...], ...]:
        flat = 1 in shapes[0]
        return tuple(
            long if flat or is_stretched(shape, step) else short
            for shape, step in zip(shapes[1:], steps[1:], strict=False)
        )

    def aggregates(of: Callable[[Array, int | None], Array]) -> tuple[Array, ...]:
        # Of the finest level one array is there at a time.
        found = []
        for axis in (0, 1, 2, None):
            fine = fence(_of_finest(level, axis, spare_of(spares, like)))
            found.append(fence(of(fine, axis)))
            give(spares, fine)
        return tuple(found)

    level = jax.lax.stop_gradient(level)
    first = level.wrap[0]
    if isinstance(first, PartedAxis):
        x, y, z = (bool(axis) for axis in level.wrap)
        plan = plan_over_devices(first.grid, (x, y, z), strengths)
        found = aggregates(lambda fine, axis: aggregated_over_devices(fine, plan, axis))
        visits = visits_of(plan.steps, level.visits)[1:]
        return FlowCycle(levels_over_devices(plan, found, below(plan.shapes, plan.steps), visits), plan.steps[0])
    shapes, steps = coarsening(like.shape, strengths)
    if not steps:
        x, y, z, excess = (_of_finest(level, axis, None) for axis in (0, 1, 2, None))
        return FlowCycle(multigrid(_as_operator(x, y, z, excess, level.wrap), strengths=strengths), None)
    top = _as_operator(*aggregates(lambda fine, axis: _aggregated(fine, axis, steps[0])), level.wrap)
    levels = (top, *coarser_levels(top, shapes[1:], steps[1:]))
    visits = visits_of(steps, level.visits)[1:]
    return FlowCycle(Multigrid(levels, pseudo_inverse(levels[-1]), steps[1:], below(shapes, steps), visits), steps[0])


@partial(into_spare, static_argnames="axis")
def _of_finest(level: Level, axis: int | None, spare: Array | None) -> Array:
    """Return the couplings to the cells below along an axis, or what the diagonal exceeds the sum
    of all couplings by (None).
    """
    faces, diagonal = level.faces()
    if axis is not None:
        return faces[axis]
    joined = sum(c + shifted(c, axis, 1, level.wrap[axis]) for axis, c in enumerate(faces))
    return jnp.maximum(diagonal - joined, 0)


@partial(jax.jit, static_argnums=(1, 2))
def _aggregated(fine: Array, axis: int | None, step: tuple[bool, bool, bool]) -> Array:
    return aggregated_excess(fine, fine.shape, step) if axis is None else aggregated_faces(fine, axis, step)


@partial(jax.jit, static_argnums=4)
def _as_operator(x: Array, y: Array, z: Array, excess: Array, wrap: Any) -> FaceOperator:
    return face_operator(x, y, z, periodic=wrap, excess=excess)


@partial(jax.jit, static_argnames="wrap")
def couplings(diagonal: Array, half: Array | None, weights: tuple, wrap: tuple) -> tuple[Array, Array, Array]:
    """Return minus the off-diagonal of A between each face and the one below it along each axis."""
    active = (diagonal > 0).astype(diagonal.dtype)
    found = []
    for axis in range(3):
        joined = weights[axis] * active * shifted(active, axis, -1, wrap[axis])
        found.append(joined if half is None or axis == 0 else half * joined)
    x, y, z = found
    return x, y, z


@jax.jit
def _directly(coarse: Multigrid, r: Array) -> Array:
    return coarse.on_cells(r)


@into_spare
def _scaled(r: Array, level: Level, weight: Any, spare: Array | None) -> Array:
    """Return weight · D⁻¹ r: one step of Jacobi's method from zero."""
    return level.over_diagonal(weight * r)


@into_spare
def _relaxed(z: Array, r: Array, level: Level, weight: Any, spare: Array | None, beyond: NextDoor | None) -> Array:
    """Return z + weight · D⁻¹ (r − K z)."""
    return _on(level, lambda level, z, r: z + level.over_diagonal(weight * level.rest(z, r)), z, r, beyond)


@into_spare
def _rest(z: Array, r: Array, level: Level, spare: Array | None, beyond: NextDoor | None) -> Array:
    return _on(level, lambda level, z, r: jnp.where(level.active, level.rest(z, r), 0), z, r, beyond)


def _on(level: Level, function: Any, z: Array, r: Array, beyond: NextDoor | None) -> Array:
    """Return ``function(level, z, r)``, a stencil on z; `beyond`: what lies next door to it, if it
    was asked for.
    """
    leaves, form = jax.tree.flatten(level)

    def at(wrap: Axes, z: Array, r: Array, *leaves: Array) -> Array:
        return function(replace(jax.tree.unflatten(form, leaves), wrap=wrap), z, r)

    return stencil(at, level.wrap, (z, r, *leaves), ((0, 1, 2), (), *level.near), (beyond,))


@partial(jax.jit, static_argnames="step")
def _restricted(v: Array, step: tuple[bool, bool, bool]) -> Array:
    """Sum the cells of each aggregate."""
    return summed(v, step)


@jax.jit
def _corrected(coarse: Multigrid, target: Array) -> Array:
    """Return what the coarser levels make of a right-hand side."""
    layout = coarse.levels[0].layout
    return layout.cells(coarse.visited(layout.pad(target)))


@partial(jax.jit, static_argnames="step", donate_argnums=0)
def _prolonged(z: Array, e: Array, level: Level, step: tuple[bool, bool, bool]) -> Array:
    """Add to every active cell the value of its aggregate."""
    e = doubled(e, step)
    x, y, z_ = z.shape
    return jnp.where(level.active, z + e[:x, :y, :z_], 0)
