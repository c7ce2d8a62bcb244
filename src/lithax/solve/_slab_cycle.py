"""One cycle of the multigrid on a slab of a level: what is done with its planes on the way to the
next level, and on the way back.

The cycle is that of `_multigrid`, step by step. The finest level makes its weights from the voxels
and goes on to move along a direction (`_slab_stages`); the levels below it, whose weights lie on
disk, are visited by `asked` and `visited`.
"""

from functools import partial

import jax
from jax import lax
from jax import numpy as jnp

from lithax.arrays import stage
from lithax.solve._conduction_problem import Faces
from lithax.solve._face_operator import FaceOperator, Known, real, residual
from lithax.solve._layout import Layout, between_zeros
from lithax.solve._multigrid import MORE, OVER, coarsened, doubled, smoothed, smoothed_from_zero, summed
from lithax.solve._slab_layout import SlabLayout, Slabs, cut_free, slab_of


def handed_down(slabs: Slabs, operator: FaceOperator, r: jax.Array) -> jax.Array:
    """Return what the next level is asked for, rows of the slab, given a right-hand side with
    skirts of `Slabs.down`.
    """
    left = stage(residual, operator, smoothed_from_zero(operator, r, slabs.weights).values, r)
    layout, skirt = operator.layout, slabs.down
    assert isinstance(layout, SlabLayout)

    def asked(v: jax.Array, places: jax.Array) -> jax.Array:
        return summed(slabs.once(places, skirt, slabs.core(layout.cells(v), skirt)), slabs.step)

    return stage(asked, left, layout.places)


def raised(slabs: Slabs, operator: FaceOperator, r: jax.Array, below: jax.Array) -> jax.Array:
    """Return what a cycle makes of a right-hand side with skirts of `Slabs.up`; `below` is what the
    next level makes of the request, one plane for each of the slab's.
    """
    layout = operator.layout
    _, y, z = layout.shape
    step = (False, *slabs.step[1:])
    v = smoothed_from_zero(operator, r, slabs.weights).values
    v = stage(lambda v, e: v + layout.pad(doubled(e, step)[:, :y, :z]), v, below)
    return smoothed(operator, Known(v), r, slabs.weights).values


def weights_below(slabs: Slabs, faces: Faces, places: jax.Array, skirt: int) -> tuple[Faces, jax.Array]:
    """Return a slab's part of the weights of the next level, given the padded ones of the level
    itself.

    Returns
    -------
        Faces along x, y and z as rows of the slab, padded along all axes; the upper end face along
        x, which is the last slab's.
    """
    layout = slab_of(slabs.layout, places)
    x, y, z = (slabs.padded_core(c, skirt) for c in faces)
    y, z = (slabs.once(places, skirt, c, 1) for c in (y, z))
    own = FaceOperator(cut_free(slabs.layout, slabs.thickness), (x, y, z))
    rows = -(-slabs.thickness // 2) if slabs.step[0] else slabs.thickness
    coarse = coarsened(own, cut_free(Layout(slabs.coarse.shape, slabs.coarse.periodic, slabs.coarse.held), rows),
                       slabs.step)  # fmt: skip
    lower = real(slabs.core(layout.cells(faces[0]), skirt, 1))
    _, behind = slabs.ends(lax.slice_in_dim(places, skirt, skirt + slabs.thickness + 1))
    end = summed(jnp.sum(jnp.where(behind, lower, 0), 0, keepdims=True), (False, *slabs.step[1:]))
    a, b, c = coarse.faces
    return (a, b, c), end if not slabs.step[0] else end / OVER


def _kept_operator(slabs: Slabs, places: jax.Array, faces: Faces) -> FaceOperator:
    """Return the operator of planes whose weights come from disk, padded along y and z."""
    layout = slab_of(slabs.layout, places)
    x, y, z = (between_zeros(c, layout.padded) for c in faces)
    return FaceOperator(layout, (x, y, z))


@partial(jax.jit, static_argnums=0)
def coarser_weights(slabs: Slabs, places: jax.Array, faces: Faces) -> tuple[Faces, jax.Array]:
    """Return `weights_below` of planes with skirts of one, whose weights come from disk."""
    return weights_below(slabs, _kept_operator(slabs, places, faces).faces, places, 1)


@partial(jax.jit, static_argnums=0)
def asked(slabs: Slabs, places: jax.Array, faces: Faces, r: jax.Array, e: jax.Array) -> jax.Array:
    """Begin a visit of a level in a slab.

    Parameters
    ----------
    slabs
        How the level is cut.
    places, faces
        Numbers of the planes with skirts of `Slabs.down`, and their weights, padded along y and z.
    r, e
        What the level is asked for, and what its visits have made of it.

    Returns
    -------
        What the next level is asked for, rows of the slab.
    """
    operator = _kept_operator(slabs, places, faces)
    layout = operator.layout
    return handed_down(slabs, operator, stage(residual, operator, layout.pad(e), layout.pad(r)))


@partial(jax.jit, static_argnums=0)
def visited(slabs: Slabs, places: jax.Array, faces: Faces, r: jax.Array, e: jax.Array, below: jax.Array) -> jax.Array:
    """End a visit of a level in a slab.

    Parameters
    ----------
    slabs, places, faces, r, e
        As for `asked`, with skirts of `Slabs.up`.
    below
        As for `raised`.

    Returns
    -------
        What the visits have made of the request by now, planes of the slab.
    """
    operator = _kept_operator(slabs, places, faces)
    layout = operator.layout
    v = raised(slabs, operator, stage(residual, operator, layout.pad(e), layout.pad(r)), below)
    return slabs.core(layout.cells(stage(lambda e, v: layout.pad(e) + MORE * v, e, v)), slabs.up)
