"""Conduction on one slab of an image larger than memory: what is done with planes of the finest
level in each reading of the image.

The equations are those of `_conduction_problem`, the cycle that of `_slab_cycle`. A slab comes with
skirts, as many planes of its neighbours as the stencils reach; what is computed there is right as
far as its reach goes, and thrown away. Weights are made again from the voxels each time: one byte
to read in place of twelve.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
from jax import lax
from jax import numpy as jnp

from lithax.arrays import stage
from lithax.solve._conduction_problem import Drive, Faces, face_values, face_weights, over_rows, pore_faces
from lithax.solve._face_operator import FaceOperator, real
from lithax.solve._fields import through_both_faces
from lithax.solve._layout import AbstractLayout, summed_apart
from lithax.solve._slab_cycle import handed_down, raised, weights_below
from lithax.solve._slab_layout import SlabLayout, Slabs, cut_free, slab_of


class Finest(eqx.Module):
    """What decides the compiled programs: how the finest level is cut, and what its weights are
    made of; static.
    """

    slabs: Slabs = eqx.field(static=True)
    geometry: tuple[float, float, float] = eqx.field(static=True)
    """Area over distance of the faces along x, y and z."""
    linear: bool = eqx.field(static=True)
    of_cubes: bool = eqx.field(static=True)
    """Whether voxels are cubes, of a pore space that conducts all alike: the weights are bytes
    then, relative to the conductivity times area over distance.
    """


def _conductivities(voxels: jax.Array, table: jax.Array | None) -> jax.Array:
    if table is None:
        return voxels
    if len(table) == 2:  # to look up takes four times as long
        return jnp.where(voxels > 0, table[1], table[0])
    return table[voxels.astype(jnp.int32)]


def _faces(finest: Finest, layout: SlabLayout, s: jax.Array) -> Faces:
    """Return the weights of the lower faces of the planes of a slab, the end faces among them."""
    slabs, geometry = finest.slabs, 1 if s.dtype == jnp.int8 else finest.geometry[0]

    def along(axis: int) -> jax.Array:
        def made(s: jax.Array, places: jax.Array) -> jax.Array:
            if s.dtype == jnp.int8:
                c = pore_faces(layout.within, s)[axis]
            else:
                c = face_weights(layout.within, (s, s, s), finest.geometry)[axis]
            if axis or not slabs.layout.held[0]:
                return c
            first, behind = slabs.ends(places)
            below = jnp.concatenate([jnp.zeros_like(s[:1]), s[:-1]])
            # Nothing is joined to what lies beyond the ends: there the weights are zero so far.
            return c + layout.within.pad(2 * geometry * (jnp.where(first, s, 0) + jnp.where(behind, below, 0)))

        return stage(made, s, layout.places)

    x, y, z = (along(axis) for axis in range(3))
    return x, y, z


def _operator(finest: Finest, places: jax.Array, voxels: jax.Array, table: jax.Array | None) -> FaceOperator:
    layout = slab_of(finest.slabs.layout, places)
    s = (voxels > 0).astype(jnp.int8) if finest.of_cubes else _conductivities(voxels, table)
    return FaceOperator(layout, _faces(finest, layout, s))


def _shares(slabs: Slabs, places: jax.Array, dtype: Any) -> jax.Array:
    """Return the share of a step of the ramp that lies below each plane, flat."""
    if not slabs.layout.held[0]:
        return jnp.ones(places.shape, dtype)
    first, behind = slabs.ends(places)
    return jnp.where(first | behind, 0.5, 1.0).astype(dtype).reshape(-1)


@partial(jax.jit, static_argnums=0)
def begin(finest: Finest, places: jax.Array, voxels: jax.Array, table: jax.Array | None, drive: Drive) -> Any:
    """Return the first residual of a slab, what the next level is asked for, its part of the
    weights of the next level, and the power of the ramp.

    Parameters
    ----------
    finest
        The finest level, and how it is cut.
    places, voxels
        Numbers of the planes with skirts of `Slabs.down`, and their voxels.
    table
        What the voxels' values conduct, relative to the largest; None where they hold it.
    drive
        The step of the ramp.

    Returns
    -------
        Residual and request as rows of the slab; faces along x, y and z padded, and the upper end
        face along x; power of each plane's lower faces, with the plane above the slab.
    """
    slabs = finest.slabs
    skirt = slabs.down
    operator = _operator(finest, places, voxels, table)
    layout, faces = operator.layout, operator.faces
    shares = _shares(slabs, places, drive.steps.dtype)

    def driven(x: jax.Array) -> jax.Array:
        low = layout.shifted(x, 0, 0).reshape(layout.shape[0], -1) * shares[:, None]
        high = layout.shifted(x, 0, 1).reshape(layout.shape[0], -1) * jnp.append(shares[1:], 1)[:, None]
        return layout.widened(drive.steps[0] * (high - low))

    b = stage(driven, faces[0])
    x = real(slabs.core(layout.cells(faces[0]), skirt, 1))
    drops = drive.steps[0] * slabs.core(shares, skirt, 1)
    power = _sums_of_planes(layout, x, lambda c: c * (drops**2).reshape(-1, 1, 1))
    return (
        slabs.core(layout.cells(b), skirt),
        handed_down(slabs, operator, b),
        weights_below(slabs, faces, places, skirt),
        power,
    )


@partial(jax.jit, static_argnums=0)
def move(
    finest: Finest, places: jax.Array, voxels: jax.Array, table: jax.Array | None, drive: Drive, vectors: Any, alpha: Any,
    beta: Any, look: Any,
) -> Any:  # fmt: skip
    """Take a step of the conjugate gradients in a slab, and begin the next cycle.

    Parameters
    ----------
    finest, places, voxels, table, drive
        As for `begin`.
    vectors
        u, r, q and z, with skirts.
    alpha, beta
        How far the step goes, and how much of q is kept.
    look
        Whether to sum what the value and the balance of the currents are read off.

    Returns
    -------
        u, r and q after the step, and what the next level is asked for, as rows of the slab; and
        `seen`'s sums.
    """
    slabs = finest.slabs
    skirt = slabs.down
    operator = _operator(finest, places, voxels, table)
    layout = operator.layout
    u, r, q, z = vectors
    q = stage(lambda z, q: layout.pad(z + beta * q), z, q)
    image = stage(operator, q)
    r = stage(lambda r, image: layout.pad(r) - alpha * image, r, image)
    u = stage(lambda u, q: layout.pad(u) + alpha * q, u, q)
    request = handed_down(slabs, operator, r)
    sums = partial(_seen, finest, places, drive)
    nothing = jax.tree.map(lambda v: jnp.zeros(v.shape, v.dtype), jax.eval_shape(sums, operator.faces, u, r))
    seen = lax.cond(look, sums, lambda *_: nothing, operator.faces, u, r)
    return *(slabs.core(layout.cells(v), skirt) for v in (u, r, q)), request, seen


def _seen(finest: Finest, places: jax.Array, drive: Drive, faces: Faces, u: jax.Array, r: jax.Array) -> Any:
    """Return sums over each plane of lower faces across x, with the plane above the slab: current,
    power, power by the ramp's step, and uᵀKu; the power along y and z; Σ ramp r.
    """
    slabs = finest.slabs
    skirt, count = slabs.down, slabs.thickness
    layout = slab_of(slabs.layout, places)
    drops = (drive.steps[0] * slabs.core(_shares(slabs, places, u.dtype), skirt, 1)).reshape(-1, 1, 1)
    x, above, below = (lax.slice_in_dim(layout.cells(v), k, k + count + 1) for v, k in
                       ((faces[0], skirt), (u, skirt), (u, skirt - 1)))  # fmt: skip
    current = stage(lambda x, above, below: x * (drops + (above - below)), x, above, below)
    currents = _sums_of_planes(layout, current, lambda c: c)
    power = _sums_of_planes(layout, stage(lambda c, a, b: c * (drops + (a - b)), current, above, below), lambda c: c)
    own = _sums_of_planes(layout, stage(lambda x, a, b: x * (a - b) ** 2, x, above, below), lambda c: c)
    within = cut_free(slabs.layout, count)
    v = within.filled(slabs.padded_core(u, skirt))

    def lateral(axis: int) -> jax.Array:
        def along(c: jax.Array, v: jax.Array) -> jax.Array:
            return face_values(within, c, axis) * drive.differences(within, v, axis) ** 2

        return summed_apart(within.total, along, slabs.once(places, skirt, slabs.padded_core(faces[axis], skirt), 1), v)

    ramp = jnp.asarray(0.0, u.dtype)
    if finest.linear:
        heights = drive.steps[0] * (slabs.core(places, skirt) + 0.5).astype(u.dtype)
        ramp = jnp.sum(heights * _sums_of_planes(layout, slabs.core(layout.cells(r), skirt), lambda c: c))
    return currents, power, currents * drops.reshape(-1), own, lateral(1) + lateral(2), ramp


def _sums_of_planes(layout: AbstractLayout, v: jax.Array, of: Any) -> jax.Array:
    return stage(lambda v: over_rows(jnp.sum(of(v), 2)), v)


@partial(jax.jit, static_argnums=0)
def finish(
    finest: Finest, places: jax.Array, voxels: jax.Array, table: jax.Array | None, r: jax.Array, below: jax.Array
) -> Any:
    """End a cycle in a slab, of which the next level has been.

    Parameters
    ----------
    finest, table
        As for `begin`.
    places, voxels, r
        Numbers of the planes with skirts of `Slabs.up`, their voxels and residuals.
    below
        As for `raised`; zeros where there is no plane.

    Returns
    -------
        z as rows of the slab; rᵀz and zᵀKz, summed over it.
    """
    slabs = finest.slabs
    skirt = slabs.up
    operator = _operator(finest, places, voxels, table)
    layout = operator.layout
    r = layout.pad(r)
    v = raised(slabs, operator, r, below)
    image = stage(operator, v)
    own, left, moved = (slabs.core(layout.cells(w), skirt) for w in (v, r, image))
    total = cut_free(slabs.layout, slabs.thickness).total
    once = slabs.once(places, skirt, own)
    return own, stage(lambda a, b: total(a * b), left, once), stage(lambda a, b: total(a * b), once, moved)


@partial(jax.jit, static_argnums=0)
def slopes(
    finest: Finest, places: jax.Array, voxels: jax.Array, table: jax.Array | None, drive: Drive, u: jax.Array
) -> jax.Array:
    """Return the derivative of the power with respect to every voxel's conductivity, relative to
    the largest, in a slab; skirts of one plane.
    """
    slabs, layout = finest.slabs, slab_of(finest.slabs.layout, places)
    within, v = layout.within, layout.filled(layout.pad(u))
    drops = (drive.steps[0] * _shares(slabs, places, u.dtype)).reshape(-1, 1, 1)
    below = jnp.concatenate([jnp.zeros_like(u[:1]), u[:-1]])
    squares = ((drops + (u - below)) ** 2, *(drive.differences(within, v, axis) ** 2 for axis in (1, 2)))

    def power(s: jax.Array) -> jax.Array:
        x, y, z = _faces(finest, layout, s)
        total = jnp.sum(layout.cells(x) * squares[0])
        for axis, c in ((1, y), (2, z)):
            total = total + jnp.sum(face_values(within, c, axis) * squares[axis])
        return total

    s = _conductivities(voxels, table)
    # Nothing holds the potential where a voxel insulates.
    return slabs.core(jnp.where(s > 0, jax.grad(power)(s), 0), 1)


@partial(jax.jit, static_argnums=(0, 6))
def flux(
    finest: Finest, places: jax.Array, voxels: jax.Array, table: jax.Array | None, drive: Drive, u: jax.Array, axis: int
) -> jax.Array:
    """Return the sum of the currents through the two faces of each voxel across an axis, in a slab;
    skirts of one plane.
    """
    slabs, operator = finest.slabs, _operator(finest, places, voxels, table)
    layout, faces = operator.layout, operator.faces
    assert isinstance(layout, SlabLayout)
    if axis:
        both = through_both_faces(layout.within, drive, faces[axis], layout.filled(layout.pad(u)), axis)
        return slabs.core(both, 1)
    drops = (drive.steps[0] * _shares(slabs, places, u.dtype)).reshape(-1, 1, 1)
    below = jnp.concatenate([jnp.zeros_like(u[:1]), u[:-1]])
    current = real(layout.cells(faces[0])) * (drops + (u - below))
    return slabs.core(current, 1) + slabs.core(current, 2)
