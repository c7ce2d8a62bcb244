"""∇·(σ∇φ) = 0 on voxels: the weights of the faces, what drives the current, and what is read off
the solution.

The potential is a ramp plus u: along a driven axis it rises by the same step from voxel to voxel,
half of it between an end face and the centre of the first or last voxel. u is zero on held ends, or
periodic. All that is asked for are the differences between voxels, step + Δu, so that the ramp
itself is never formed and periodic images need no special case.

The current through a face is c_f (step + Δu), with c_f = area / distance × the harmonic mean of the
two conductivities (Patankar, Numerical Heat Transfer and Fluid Flow (1980), eq. 4.9). The energy Σ
c_f (step + Δu)² is the current for a drop of one, and stationary at the solution: its error is the
square of that of u.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
from jax import lax
from jax import numpy as jnp

from lithax.solve._face_operator import FaceOperator, padded_faces, real
from lithax.solve._layout import AbstractLayout, Layout, summed_apart

Faces = tuple[jax.Array, jax.Array, jax.Array]


def face_weights(
    layout: Layout, fields: Sequence[jax.Array], geometry: Sequence[float], keep: jax.Array | None = None
) -> Faces:
    """Return the weights of the faces along x, y and z in padded form; differentiable in the
    fields.

    Parameters
    ----------
    layout
        Shape of the voxels and their ends.
    fields
        Conductivity along x, y and z, each of the shape of the voxels.
    geometry
        Area over distance of the faces along x, y and z.
    keep
        Boolean, True where a voxel takes part.
    """
    x, y, z = (_along(layout, axis, fields[axis], geometry[axis], keep) for axis in range(3))
    return x, y, z


def pore_faces(layout: Layout, pore: jax.Array) -> Faces:
    """Return the same for cubic voxels that conduct all alike, or not at all, relative to the
    conductivity times area over distance: 0, 1, and 2 at held ends, in bytes.

    Parameters
    ----------
    layout
        Shape of the voxels and their ends.
    pore
        Boolean, True where a voxel conducts.
    """
    open_voxels = pore.astype(jnp.int8)
    x, y, z = (_along(layout, axis, open_voxels, 1, None, jnp.multiply) for axis in range(3))
    return x, y, z


def _along(
    layout: Layout, axis: int, field: jax.Array, geometry: float, keep: jax.Array | None, mean: Any = None
) -> jax.Array:
    mean = harmonic_mean if mean is None else mean
    s = field if keep is None else jnp.where(keep, field, 0)
    first, last = (tuple(w if a == axis else slice(None) for a in range(3)) for w in (slice(0, 1), slice(-1, None)))
    lower = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
    upper = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
    inner = mean(s[lower], s[upper])
    end = None
    if layout.held[axis]:
        begin, end = 2 * s[first], 2 * geometry * s[last]
    elif layout.periodic[axis]:
        begin = mean(s[last], s[first])
    else:
        begin = jnp.zeros_like(s[first])
    return padded_faces(layout, axis, geometry * jnp.concatenate([begin, inner], axis), end)


def harmonic_mean(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return 2ab/(a + b), zero where both are."""
    both = a + b
    return jnp.where(both > 0, 2 * a * b / jnp.where(both > 0, both, 1), 0)


class Drive(eqx.Module):
    """The step of the ramp from voxel to voxel along x, y and z, for a drop of one over the whole
    length.
    """

    steps: jax.Array

    def differences(self, layout: Layout, u: jax.Array | None, axis: int) -> jax.Array:
        """Return step + Δu on all faces along an axis, each once, of padded, filled `u`; None is
        zero.
        """
        v = _only(layout, jnp.zeros(layout.padded, self.steps.dtype) if u is None else u, axis)
        low, high = (
            tuple(w if a == axis else slice(None) for a in range(3)) for w in (slice(None, -1), slice(1, None))
        )
        delta = v[high] - v[low]
        step = jnp.full(delta.shape[axis], self.steps[axis])
        if layout.held[axis]:
            step = step.at[0].multiply(0.5).at[-1].multiply(0.5)
        return delta + step.reshape([-1 if a == axis else 1 for a in range(3)])


def face_values(layout: Layout, c: jax.Array, axis: int) -> jax.Array:
    """Return the weights of all faces along an axis that `Drive.differences` speaks of, each
    once.
    """
    faces = _only(layout, real(c), axis)
    return faces[tuple(slice(1, None) if a == axis else slice(None) for a in range(3))]


def _only(layout: Layout, v: jax.Array, axis: int) -> jax.Array:
    """Drop the ghost cells of the other axes, and along `axis` those that no face of this image
    belongs to.
    """
    window = []
    for a, (n, ghost) in enumerate(zip(layout.shape, layout.ghosts, strict=True)):
        if a != axis:
            window.append(slice(ghost, ghost + n))
        elif layout.held[a]:
            window.append(slice(0, n + 2))
        elif layout.periodic[a]:
            window.append(slice(0, n + 1))
        else:
            window.append(slice(ghost, ghost + n))
    return v[tuple(window)]


def right_hand_side(layout: Layout, faces: Faces, drive: Drive) -> jax.Array:
    """Return b of K u = b, in the shape of the voxels: what the ramp alone would leave in every
    voxel.
    """
    if _in_rows(layout):
        (_, y, z), rows, steps = faces, _rows(layout), drive.steps
        b = flat_right_hand_side(layout, faces, drive).reshape(layout.shape[0], -1)
        b = b + steps[1] * (rows(y, 1, 1) - rows(y, 1, 0)) + steps[2] * (rows(z, 2, 1) - rows(z, 2, 0))
        return b.reshape(layout.shape)
    nothing = jnp.zeros(layout.padded, drive.steps.dtype)
    b = jnp.zeros(layout.shape, drive.steps.dtype)
    for axis in range(3):
        current = face_values(layout, faces[axis], axis) * drive.differences(layout, nothing, axis)
        ends = current.shape[axis] - layout.shape[axis]  # 1 held, 0 periodic, -1 closed
        if ends == 0:
            b = b + jnp.roll(current, -1, axis) - current
        else:
            widths = [(0, 0)] * 3
            if ends < 0:
                widths[axis] = (1, 1)
            b = b + jnp.diff(jnp.pad(current, widths), axis=axis)
    return b


def flat_right_hand_side(layout: AbstractLayout, faces: Faces, drive: Drive) -> jax.Array:
    """Return the same for a drive along x alone, flat, as `Layout.shifted` has it."""
    rows, ends = _rows(layout), _end_steps(layout, drive.steps.dtype)
    return (drive.steps[0] * (rows(faces[0], 0, 1) * ends[1:] - rows(faces[0], 0, 0) * ends[:-1])).reshape(-1)


def mixed_energy(
    layout: Layout, faces: Faces, drive: Drive, u: jax.Array | None, other: Drive, v: jax.Array | None
) -> jax.Array:
    """Return Σ c (step + Δu)(step' + Δv); None for zero, which is then not written down."""
    u, v = (None if w is None else layout.filled(w) for w in (u, v))
    if _in_rows(layout):
        return summed_apart(layout.total, lambda *arrays: _power_in_rows(layout, drive, other, *arrays), *faces, u, v)

    def power(axis: int) -> jax.Array:
        def along(c: jax.Array, u: jax.Array | None, v: jax.Array | None) -> jax.Array:
            drops = drive.differences(layout, u, axis) * other.differences(layout, v, axis)
            return face_values(layout, c, axis) * drops

        return summed_apart(layout.total, along, faces[axis], u, v)

    return power(0) + power(1) + power(2)


def _in_rows(layout: Layout) -> bool:
    """Whether layers along x are whole in memory: nothing is joined around, or held, along y and
    z.
    """
    return layout.ghosts == (1, 0, 0)


def _rows(layout: AbstractLayout, more: int = 0) -> Callable[[jax.Array, int, int], jax.Array]:
    """Return `Layout.shifted` by layers along x, shape (nx, ny nz), and `more` of them above."""
    margin, count = layout.strides[0], layout.shape[0] + more

    def rows(v: jax.Array, axis: int, steps: int) -> jax.Array:
        start = margin + steps * layout.strides[axis]
        return real(v.reshape(-1)[start : start + count * margin]).reshape(count, margin)

    return rows


def _end_steps(layout: AbstractLayout, dtype: Any) -> jax.Array:
    """Return the share of a step that lies below every layer along x, and above the last."""
    whole = jnp.ones((layout.shape[0] + 1, 1), dtype)
    return whole.at[0].set(0.5).at[-1].set(0.5) if layout.held[0] else whole


def _power_in_rows(
    layout: Layout, drive: Drive, other: Drive, x: Any, y: Any, z: Any, u: jax.Array | None, v: jax.Array | None
) -> jax.Array:
    """Return c (step + Δu)(step' + Δv), summed over the three lower faces of every cell."""
    more = int(layout.held[0])  # the upper end face is the lower one of the layer above
    rows, ends = _rows(layout, more), _end_steps(layout, drive.steps.dtype)[: layout.shape[0] + more]

    def change(u: jax.Array | None, axis: int) -> Any:
        return 0 if u is None else rows(u, 0, 0) - rows(u, axis, -1)

    total = None
    for axis, c in enumerate((x, y, z)):
        share = ends if axis == 0 else 1
        drop = drive.steps[axis] * share + change(u, axis)
        again = other.steps[axis] * share + change(v, axis)
        power = rows(c, 0, 0) * (drop * again)
        total = power if total is None else total + power
    assert total is not None
    return total


@eqx.filter_custom_jvp
def stationary_energy(
    layout: Layout, faces: Faces, drive: Drive, u: jax.Array, other: Drive, v: jax.Array
) -> jax.Array:
    """Return the same; its derivative in u and v is zero where they solve, and is taken to be
    zero.
    """
    return mixed_energy(layout, faces, drive, u, other, v)


@stationary_energy.def_jvp
def _stationary_energy_jvp(primals: Any, tangents: Any) -> Any:
    layout, faces, drive, u, other, v = primals
    changes = tangents[1]
    out = stationary_energy(layout, faces, drive, u, other, v)
    change = jnp.zeros_like(out)
    u, v = layout.filled(u), layout.filled(v)
    for axis in range(3):
        if changes[axis] is not None:
            drop = drive.differences(layout, u, axis) * other.differences(layout, v, axis)
            change = change + layout.total(face_values(layout, changes[axis], axis) * drop)
    return out, change


def slice_currents(layout: Layout, faces: Faces, drive: Drive, u: jax.Array, axis: int) -> jax.Array:
    """Return the current through every plane of faces across an axis."""

    def along(c: jax.Array, u: jax.Array) -> jax.Array:
        return face_values(layout, c, axis) * drive.differences(layout, u, axis)

    def through_planes(current: jax.Array) -> jax.Array:
        current = jnp.moveaxis(current, axis, 0)
        return over_rows(jnp.sum(current, 2), layout.wide)

    return summed_apart(through_planes, along, faces[axis], layout.filled(u))


def over_rows(rows: jax.Array, wide: bool = True) -> jax.Array:
    """Return sums over y of sums over z, in double precision where `wide`: the
    compiler writes down an array that it is told to sum so over both axes.
    """
    if not wide:
        return jnp.sum(rows, 1)
    with jax.enable_x64(True):
        return jnp.sum(rows.astype(jnp.float64), 1).astype(rows.dtype)


def energy_and_spread(
    layout: AbstractLayout, faces: Faces, drive: Drive, u: jax.Array, r: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the energy and the spread of the currents along x, where a drive runs between held
    ends.

    What is left in a plane is by how much the current through its two sides differs, so that the
    currents are those through the first faces and sums of residuals. The energy is the drop times
    the current minus u r, which is small by then: the residual is read, and no weight.

    Parameters
    ----------
    layout, faces, drive
        Of the problem.
    u, r
        Potential beside the ramp and residual b − K u, padded; `u` filled.
    """
    low = real(layout.cells(faces[0])[:1]) * (0.5 * drive.steps[0] + layout.cells(u)[:1])
    (_, gy, gz), (nx, ny, nz) = layout.ghosts, layout.shape
    # Rows are summed before the ghost layers along x go: a slice within memory would be written.
    left = over_rows(jnp.sum(r[:, gy : gy + ny, gz : gz + nz], 2))[1 : nx + 1]
    with jax.enable_x64(True):
        currents = jnp.append(over_rows(jnp.sum(low, 2)), left).astype(jnp.float64)
        currents = jnp.cumsum(currents).astype(u.dtype)
    steps = drive.steps[0] * _end_steps(layout, u.dtype)[:, 0]
    return jnp.sum(steps * currents) - layout.dot(u, r), spread(currents)


def symmetric(entry: Callable[[int, int], jax.Array], count: int) -> jax.Array:
    """Return the symmetric matrix whose entries on and above the diagonal are given."""
    upper = {(i, j): entry(i, j) for i in range(count) for j in range(i, count)}
    return jnp.stack([jnp.stack([upper[min(i, j), max(i, j)] for j in range(count)]) for i in range(count)])


def lost_power(lost: jax.Array, power: jax.Array) -> jax.Array:
    """Return what the residual adds to the power at the surface, relative to the power."""
    return jnp.abs(lost) / jnp.where(power > 0, power, 1)


def spread(currents: jax.Array) -> jax.Array:
    """Return how far the largest and smallest current through a plane lie apart, relative to their
    mean.
    """
    mean = jnp.mean(currents)
    return (jnp.max(currents) - jnp.min(currents)) / jnp.where(mean == 0, 1, jnp.abs(mean))


def typical_spread(currents: jax.Array) -> jax.Array:
    """Return the same, or 20/3 standard deviations if that is less.

    It is the range of a thousand normal numbers: that of more planes grows although no plane is
    worse, and a few planes of thousands say little of the whole.
    """
    mean = jnp.mean(currents)
    deviation = jnp.sqrt(jnp.mean((currents - mean) ** 2)) / jnp.where(mean == 0, 1, jnp.abs(mean))
    return jnp.minimum(spread(currents), (20 / 3) * deviation)


def operator_of(layout: Layout, faces: Faces) -> FaceOperator:
    """Return the operator for the weights, which carries no derivative."""
    return FaceOperator(layout, lax.stop_gradient(faces))
