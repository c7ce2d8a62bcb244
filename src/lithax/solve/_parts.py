"""A conduction problem over many devices, each of which runs these functions on its part
(`jax.shard_map`): the weights of the faces, what drives the current, the levels, one step.

The equations are those of `_conduction_problem`, the cycle and the step those of one device.
Everything is said of the lower faces of a device's own cells; the upper end faces of a held axis
are lower faces of filler cells. Fine levels lie over the devices; levels of few cells are kept by
every device as a whole, which costs less than to ask the others.

The ghost cells of u are right from the beginning to the end: a step adds a direction whose ghost
cells were exchanged.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from lithax.arrays import stage
from lithax.grid import Index
from lithax.sharded import ShardedGrid, axis_names
from lithax.solve._conduction_problem import harmonic_mean, lost_power, spread, symmetric, typical_spread
from lithax.solve._conduction_solve import Spread, Stats, Tolerances, ended
from lithax.solve._conjugate_gradients import State, loop, start, step
from lithax.solve._face_operator import FaceOperator
from lithax.solve._layout import AbstractLayout, between_zeros, summed_apart
from lithax.solve._multigrid import Multigrid, pseudo_inverse, smoothing, visits_of
from lithax.solve._part_layout import PartLayout
from lithax.solve._part_levels import coarser_part, part_layouts


class Parts(eqx.Module):
    """What decides the compiled programs: the grid, its levels, the boundaries; static."""

    grid: ShardedGrid
    layouts: tuple[AbstractLayout, ...] = eqx.field(static=True)
    steps: tuple[tuple[bool, bool, bool], ...] = eqx.field(static=True)
    geometry: tuple[float, float, float] = eqx.field(static=True)
    """Area over distance of the faces along x, y and z."""
    axis: int | None = eqx.field(static=True)
    """Along which the current is driven; None for each."""
    linear: bool = eqx.field(static=True)

    @property
    def layout(self) -> PartLayout:
        """That of the finest level."""
        first = self.layouts[0]
        assert isinstance(first, PartLayout)
        return first

    @property
    def shapes(self) -> tuple[Index, ...]:
        """Of all levels, without filler."""
        return tuple(layout.whole if isinstance(layout, PartLayout) else layout.shape for layout in self.layouts)

    @property
    def own(self) -> PartitionSpec:
        """Of an array that lies over the devices."""
        return PartitionSpec(*axis_names(self.grid.mesh))

    def run(self, function: Callable[..., Any], into: Any, *arguments: Any, out: Any) -> Any:
        """Run a function on every device; `into` and `out` say which arguments and results lie over
        the devices.
        """
        mapped = jax.shard_map(function, mesh=self.grid.mesh, in_specs=into, out_specs=out, check_vma=False)
        return mapped(*arguments)


def plan_parts(
    grid: ShardedGrid,
    levels: Any,
    periodic: tuple[bool, bool, bool],
    held: tuple[bool, bool, bool],
    geometry: tuple[float, float, float],
    axis: int | None,
    linear: bool,
) -> Parts:
    """Lay out the levels over the devices of a grid."""
    return Parts(grid, part_layouts(grid, levels, periodic, held), levels[1], geometry, axis, linear)


def _rows(layout: PartLayout, v: jax.Array, axis: int, steps: int) -> jax.Array:
    """Return what `shifted` returns by layers along x: what depends on the place along an axis is
    then a column or a row, which the compiler's loops need not work out for every cell.
    """
    return layout.shifted(v, axis, steps).reshape(layout.shape[0], -1)


def _places(layout: PartLayout, axis: int) -> jax.Array:
    """Return where `_rows` lie along an axis: a column along x, a row along y and z."""
    if axis == 0:
        return layout.positions(0).reshape(-1, 1)
    _, y, z = layout.padded
    return jnp.broadcast_to(layout.positions(axis, padded=True), (1, y, z)).reshape(1, -1)


def _face_weights(parts: Parts, fields: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the weights of the lower faces, padded; `fields`: padded, filled, one, or one for each
    axis.
    """
    layout = parts.layout

    def along(axis: int, s: jax.Array) -> jax.Array:
        below, here = _rows(layout, s, axis, -1), _rows(layout, s, axis, 0)
        whole = s.dtype == jnp.int8  # 0 and 1
        c, place = below * here if whole else harmonic_mean(below, here), _places(layout, axis)
        if layout.held[axis]:
            c = jnp.where(place == 0, 2 * here, jnp.where(place == layout.whole[axis], 2 * below, c))
        elif not layout.periodic[axis]:
            c = jnp.where(place == 0, 0, c)  # in memory the row before lies there
        return between_zeros(c if whole else parts.geometry[axis] * c, layout.padded)

    x, y, z = (layout.filled(stage(partial(along, axis), fields[axis % len(fields)])) for axis in range(3))
    return x, y, z


def _drop(layout: PartLayout, steps: jax.Array, u: jax.Array | None, axis: int, above: int = 0) -> jax.Array:
    """Return step + Δu in rows, on the lower faces or the upper ones (`above` = 1); `u`: filled, or
    None for zero.
    """
    change = 0 if u is None else _rows(layout, u, axis, above) - _rows(layout, u, axis, above - 1)
    return change + _ramp(layout, steps, axis, above, steps.dtype)


def _ramp(layout: PartLayout, steps: jax.Array, axis: int, above: int, dtype: Any) -> jax.Array:
    """Return the step over the lower faces, or the upper ones: a column or a row."""
    place = _places(layout, axis) + above
    half = (place == 0) | (place == layout.whole[axis]) if layout.held[axis] else jnp.zeros_like(place, bool)
    return jnp.where(half, 0.5, 1.0).astype(dtype) * steps[axis]


def _right_hand_side(layout: PartLayout, faces: Any, steps: jax.Array) -> jax.Array:
    b = jnp.zeros((), steps.dtype)
    for axis in range(3):
        for above, sign in ((1, 1), (0, -1)):
            b = b + sign * _rows(layout, faces[axis], axis, above) * _ramp(layout, steps, axis, above, b.dtype)
    return layout.widened(b)


def _energy(
    layout: PartLayout, faces: Any, one: Any, u: jax.Array | None, other: Any, v: jax.Array | None
) -> jax.Array:
    """Return Σ c (step + Δu)(step' + Δv) over all faces of the grid; `u` and `v`: filled, or None
    for zero.
    """

    def power(x: jax.Array, y: jax.Array, z: jax.Array, u: jax.Array | None, v: jax.Array | None) -> jax.Array:
        total = jnp.zeros((), one.dtype)
        for axis, c in enumerate((x, y, z)):
            drops = _drop(layout, one, u, axis) * _drop(layout, other, v, axis)
            total = total + layout.once(_rows(layout, c, axis, 0) * drops)
        return total

    return summed_apart(layout.total, power, *faces, u, v)


def _slice_currents(layout: PartLayout, faces: Any, steps: jax.Array, u: jax.Array, axis: int) -> jax.Array:
    """Return the current through every plane of faces across an axis, on all devices; `u`:
    filled.
    """

    def along(c: jax.Array, u: jax.Array) -> jax.Array:
        return layout.once(_rows(layout, c, axis, 0) * _drop(layout, steps, u, axis))

    def through_planes(current: jax.Array) -> jax.Array:
        if axis > 0:
            # Rows along z first, or columns along y, as they are: what is converted and then summed
            # over layers, the compiler would write down in double precision.
            current = jnp.sum(current.reshape(-1, *layout.padded[1:]), 3 - axis)
        with jax.enable_x64(True):
            sums = jnp.sum(current.astype(jnp.float64), 0 if axis else 1)
            if axis > 0:
                ghost = layout.ghosts[axis]
                sums = sums[ghost : ghost + layout.shape[axis]]
            sums = layout.gathered(sums)
            present = [c for c, name in zip(layout.counts, layout.names, strict=True) if name is not None]
            where = [a for a, name in enumerate(layout.names) if name is not None]
            sums = sums.reshape(*present, layout.shape[axis])
            sums = jnp.sum(sums, tuple(k for k, a in enumerate(where) if a != axis)).reshape(-1)
        return sums[: layout.whole[axis] + int(layout.held[axis])].astype(u.dtype)

    return through_planes(stage(along, faces[axis], u))


def _imbalance(
    parts: Parts, faces: Any, steps: jax.Array, u: jax.Array, r: jax.Array, of: Spread = spread
) -> jax.Array:
    layout = parts.layout
    if not parts.linear:
        axes = range(3) if parts.axis is None else (parts.axis,)
        spreads = [of(_slice_currents(layout, faces, steps, u, axis)) for axis in axes]
        return sum((jnp.where(steps[a] > 0, s, 0) for a, s in zip(axes, spreads, strict=True)), jnp.zeros((), u.dtype))
    ramp = jnp.zeros((1, 1, 1), u.dtype)
    for axis in range(3):
        ramp = ramp + steps[axis] * (layout.positions(axis) + 0.5).astype(u.dtype)
    power = _energy(layout, faces, steps, u, steps, u)
    return lost_power(layout.dot(layout.pad(jnp.broadcast_to(ramp, layout.shape)), r), power)


Levels = tuple[tuple[tuple[jax.Array, jax.Array, jax.Array], ...], jax.Array]


def _multigrid(parts: Parts, levels: Any) -> Multigrid:
    faces, inverse = levels
    operators = tuple(FaceOperator(layout, tuple(f)) for layout, f in zip(parts.layouts, faces, strict=True))
    return Multigrid(operators, inverse, parts.steps, smoothing(parts.shapes, parts.steps), visits_of(parts.steps))


def _level_specs(parts: Parts) -> Any:
    specs = [parts.own if isinstance(layout, PartLayout) else PartitionSpec() for layout in parts.layouts]
    return tuple((s, s, s) for s in specs), PartitionSpec()


def _state_specs(parts: Parts) -> State:
    over, same = parts.own, PartitionSpec()
    return State(over, over, over, *[same] * 11)


@partial(jax.jit, static_argnums=0)
def levels_of(parts: Parts, fields: tuple[jax.Array, ...]) -> Levels:
    """Return the weights on all levels, and the inverse of the last.

    Parameters
    ----------
    parts
        The problem.
    fields
        Conductivities on the grid, zero in the filler and where a voxel takes no part: one, or one
        for each axis. One of bytes, 0 and 1, gives weights in bytes, for a geometry of ones.
    """

    def make(*fields: jax.Array) -> Any:
        layout = parts.layout
        faces = _face_weights(parts, tuple(layout.filled(layout.pad(s)) for s in fields))
        operators = [FaceOperator(layout, faces)]
        for coarse, halved in zip(parts.layouts[1:], parts.steps, strict=True):
            operators.append(coarser_part(operators[-1], coarse, halved))
        return tuple(tuple(o.faces) for o in operators), pseudo_inverse(operators[-1])

    return parts.run(make, (parts.own,) * len(fields), *fields, out=_level_specs(parts))


@partial(jax.jit, static_argnums=0)
def begin(parts: Parts, levels: Levels, steps: jax.Array, guess: jax.Array | None = None) -> State:
    """Return the state before the first step; `guess`: what is added to the ramp to begin with, on
    the grid.
    """

    def make(levels: Any, steps: jax.Array, *guess: jax.Array) -> State:
        layout, operator = parts.layout, _multigrid(parts, levels).levels[0]
        b = _right_hand_side(layout, operator.faces, steps)
        u = layout.filled(layout.pad(guess[0].astype(b.dtype))) if guess else None
        return start(operator, b, u, _energy(layout, operator.faces, steps, u, steps, u))

    given = () if guess is None else (guess,)
    into = (_level_specs(parts), PartitionSpec(), *(parts.own for _ in given))
    return parts.run(make, into, levels, steps, *given, out=_state_specs(parts))


@partial(jax.jit, static_argnums=0, donate_argnums=4)
def advance(parts: Parts, levels: Levels, steps: jax.Array, tolerances: Tolerances, state: State, last: Any) -> State:
    """Take steps until the solve is done or `last` were taken; the state handed in is used up."""

    def take(levels: Any, steps: jax.Array, tolerances: Tolerances, state: State, last: jax.Array) -> State:
        cycle = _multigrid(parts, levels)
        operator = cycle.levels[0]
        balance = partial(_imbalance, parts, operator.faces, steps, of=typical_spread)
        one = partial(step, operator, cycle, tolerance=tolerances.value, balance=balance, allowed=tolerances.balance)
        return loop(one, state, last)

    same = PartitionSpec()
    into = (_level_specs(parts), same, same, _state_specs(parts), same)
    return parts.run(take, into, levels, steps, tolerances, state, last, out=_state_specs(parts))


@partial(jax.jit, static_argnums=0)
def stats_of(parts: Parts, levels: Levels, steps: jax.Array, state: State, allowed: Any) -> tuple[Stats, jax.Array]:
    """Return how a solve ended (see `ended`), and the power: the current for a drop of one."""

    def make(faces: Any, steps: jax.Array, state: State, allowed: Any) -> tuple[Stats, jax.Array]:
        layout, u = parts.layout, state.u
        power = _energy(layout, faces, steps, u, steps, u)
        current = _energy(layout, faces, steps, u, steps, None)
        own = _energy(layout, faces, jnp.zeros_like(steps), u, jnp.zeros_like(steps), u)
        return ended(state, power, current, own, _imbalance(parts, faces, steps, u, state.r), allowed), power

    same = PartitionSpec()
    into = ((parts.own,) * 3, same, _state_specs(parts), same)
    return parts.run(make, into, levels[0][0], steps, state, allowed, out=(Stats(*[same] * 5), same))


@partial(jax.jit, static_argnums=0)
def energies(parts: Parts, levels: Levels, rows: jax.Array, u: tuple[jax.Array, ...]) -> jax.Array:
    """Return the symmetric matrix of the currents along every drive (a row) for a drop along every
    other.
    """
    count = len(u)

    def make(faces: Any, rows: jax.Array, *u: jax.Array) -> jax.Array:
        return symmetric(lambda i, j: _energy(parts.layout, faces, rows[i], u[i], rows[j], u[j]), count)

    into = ((parts.own,) * 3, PartitionSpec(), *(parts.own,) * count)
    return parts.run(make, into, levels[0][0], rows, *u, out=PartitionSpec())


@partial(jax.jit, static_argnums=0)
def slopes(
    parts: Parts, fields: tuple[jax.Array, ...], steps: jax.Array, u: jax.Array, other: jax.Array, v: jax.Array
) -> tuple[jax.Array, ...]:
    """Return the derivative of the current along one drive for a drop of one along another (or the
    same) with respect to each conductivity, on the grid.

    Each voxel's is that of the energy of its own six faces, its neighbours held fixed: no device
    needs to know of another's derivative.
    """

    def make(steps: jax.Array, u: jax.Array, other: jax.Array, v: jax.Array, *fields: jax.Array) -> Any:
        layout = parts.layout
        around = tuple(layout.filled(layout.pad(s)) for s in fields)
        drops = [
            [_drop(layout, steps, u, axis, above) * _drop(layout, other, v, axis, above) for above in (0, 1)]
            for axis in range(3)
        ]

        # Own cells as seen from themselves, neighbours as constants.
        def seen(own: tuple[jax.Array, ...]) -> jax.Array:
            total = jnp.zeros((), u.dtype)
            for axis in range(3):
                s, mine, n = around[axis % len(around)], own[axis % len(own)], layout.whole[axis]
                below, above = _rows(layout, s, axis, -1), _rows(layout, s, axis, 1)
                here, place = _rows(layout, mine, axis, 0), _places(layout, axis)
                lower, upper = harmonic_mean(below, here), harmonic_mean(here, above)
                if layout.held[axis]:
                    lower, upper = jnp.where(place == 0, 2 * here, lower), jnp.where(place == n - 1, 2 * here, upper)
                elif not layout.periodic[axis]:
                    lower, upper = jnp.where(place == 0, 0, lower), jnp.where(place == n - 1, 0, upper)
                # Faces between two own cells count once for each, the other held fixed.
                both = lower * drops[axis][0] + upper * drops[axis][1]
                total = total + parts.geometry[axis] * jnp.sum(both)
            return total

        rates = jax.grad(seen)(around)
        return tuple(
            jnp.where(layout.valid() & (s > 0), layout.cells(g), 0) for g, s in zip(rates, fields, strict=True)
        )

    into = (PartitionSpec(), parts.own, PartitionSpec(), parts.own, *(parts.own,) * len(fields))
    return parts.run(make, into, steps, u, other, v, *fields, out=(parts.own,) * len(fields))


@partial(jax.jit, static_argnums=0)
def potential(parts: Parts, steps: jax.Array, u: jax.Array) -> jax.Array:
    """Return the potential at voxel centres on the grid, falling by one along the axis."""

    def make(steps: jax.Array, u: jax.Array) -> jax.Array:
        layout = parts.layout
        ramp = jnp.zeros((1, 1, 1), u.dtype)
        for axis in range(3):
            ramp = ramp + steps[axis] * (layout.positions(axis) + 0.5).astype(u.dtype)
        return jnp.where(layout.valid(), 1 - (layout.cells(u) + ramp), 0)

    return parts.run(make, (PartitionSpec(), parts.own), steps, u, out=parts.own)


@partial(jax.jit, static_argnums=0)
def current_density(
    parts: Parts, levels: Levels, steps: jax.Array, u: jax.Array, scales: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the current density along x, y and z at voxel centres on the grid: the mean of that
    through the two faces of a voxel, times `scales`, one number for each axis.
    """

    def make(faces: Any, steps: jax.Array, u: jax.Array, scales: jax.Array) -> Any:
        layout = parts.layout
        found = []
        for axis in range(3):
            both = jnp.zeros((), u.dtype)
            for above in (0, 1):
                both = both + _rows(layout, faces[axis], axis, above) * _drop(layout, steps, u, axis, above)
            mean = layout.cells(layout.widened(0.5 * scales[axis] * both))
            found.append(jnp.where(layout.valid(), mean, 0))
        return tuple(found)

    into = ((parts.own,) * 3, PartitionSpec(), parts.own, PartitionSpec())
    return parts.run(make, into, levels[0][0], steps, u, scales, out=(parts.own,) * 3)


@partial(jax.jit, static_argnums=(0, 4))
def currents(parts: Parts, levels: Levels, steps: jax.Array, u: jax.Array, axis: int) -> jax.Array:
    """Return the current through every plane of faces across an axis, relative to their mean."""

    def make(faces: Any, steps: jax.Array, u: jax.Array) -> jax.Array:
        found = _slice_currents(parts.layout, faces, steps, u, axis)
        mean = jnp.mean(found)
        return found / jnp.where(mean == 0, 1, mean)

    into = ((parts.own,) * 3, PartitionSpec(), parts.own)
    return parts.run(make, into, levels[0][0], steps, u, out=PartitionSpec())
