"""The seven-point operator of every conservation law on voxels: weights on faces, and what leaves
the cell elsewhere.

(K v)_i = Σ_faces c_f (v_i − v_j) + e_i v_i. It is symmetric and positive semi-definite for weights
c, e ≥ 0. The lowest and the highest layer of faces may carry weights, too: they join the cells to
ghost cells that hold zero: electrodes, or faces of constant pressure.

Weights that are whole numbers, as those of a pore space of cubic voxels, may be bytes: a sweep is
as long as what it reads from memory, and that is the weights more than anything else.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import stage
from lithax.solve._layout import AbstractLayout, Layout


def real(weights: jax.Array) -> jax.Array:
    """Return weights as real numbers."""
    return weights.astype(jnp.float32) if weights.dtype == jnp.int8 else weights


class FaceOperator(eqx.Module):
    """Weights of the faces below every cell, along x, y and z, in the padded form of `layout`.

    Along periodic axes the ghost cells hold copies; the layer above the last cells holds the upper
    end faces of a held axis. Made by `face_operator`.
    """

    layout: AbstractLayout
    faces: tuple[jax.Array, jax.Array, jax.Array]
    excess: jax.Array | None = None

    @property
    def dtype(self) -> np.dtype:
        """Of the vectors that it acts on."""
        return np.dtype(np.result_type(self.faces[0].dtype, np.float32))

    def diagonal(self) -> jax.Array:
        """Return, flat, the diagonal of K for all cells between the first and last layer along
        x.
        """
        lay = self.layout
        total = None if self.excess is None else lay.shifted(self.excess, 0, 0)
        for axis, c in enumerate(self.faces):
            both = real(lay.shifted(c, axis, 0)) + real(lay.shifted(c, axis, 1))
            total = both if total is None else total + both
        assert total is not None
        return total

    def flat(self, v: jax.Array) -> jax.Array:
        """Return K v, flat; the ghost cells of `v` must be filled."""
        lay = self.layout
        own = lay.shifted(v, 0, 0)
        total = None if self.excess is None else lay.shifted(self.excess, 0, 0) * own
        for axis, c in enumerate(self.faces):
            # Differences first: near the solution they are small, and their rounding with them.
            out = real(lay.shifted(c, axis, 0)) * (own - lay.shifted(v, axis, -1))
            out = out + real(lay.shifted(c, axis, 1)) * (own - lay.shifted(v, axis, 1))
            total = out if total is None else total + out
        assert total is not None
        return total

    def __call__(self, v: jax.Array) -> jax.Array:
        """Return K v in padded form; ghost cells of the result mean nothing along periodic axes,
        and are zero along x.
        """
        return self.layout.widened(self.flat(self.layout.seen(v)))

    def residual(self, v: jax.Array, b: jax.Array) -> jax.Array:
        """Return b − K v in padded form."""
        lay = self.layout
        return lay.widened(lay.shifted(b, 0, 0) - self.flat(lay.seen(v)))

    def scaled(self, r: jax.Array, weight: float | jax.Array) -> jax.Array:
        """Return weight · D⁻¹ r: one step of Jacobi's method from zero."""
        lay = self.layout
        return lay.widened(self._divided(weight * lay.shifted(r, 0, 0)))

    def relaxed(self, v: jax.Array, b: jax.Array, weight: float | jax.Array) -> jax.Array:
        """Return v + weight · D⁻¹ (b − K v): one step of Jacobi's method."""
        lay = self.layout
        return self.moved(lay.seen(v), lay.shifted(b, 0, 0), weight)

    def moved(self, v: jax.Array, b: jax.Array, weight: float | jax.Array) -> jax.Array:
        """Return the same of filled `v` and flat `b`."""
        lay = self.layout
        return lay.widened(lay.shifted(v, 0, 0) + self._divided(weight * (b - self.flat(v))))

    def _divided(self, flat: jax.Array) -> jax.Array:
        # Cells that nothing joins to another (solids, ghosts) are left as they are.
        diagonal = self.diagonal()
        return jnp.where(diagonal > 0, flat / jnp.where(diagonal > 0, diagonal, 1), 0).astype(flat.dtype)


residual, scaled, relaxed = (jax.jit(f) for f in (FaceOperator.residual, FaceOperator.scaled, FaceOperator.relaxed))
"""The methods as functions of an operator, which `stage` traces once for all of one shape."""


class Known(NamedTuple):
    """A padded array, and how many layers of other devices' cells are right in it."""

    values: jax.Array
    layers: int = 0

    def exchanged(self, layout: AbstractLayout) -> "Known":
        """Return it with its ghost cells right; other devices are asked if no layer is."""
        return self if self.layers else Known(layout.exchanged(self.values), layout.overlap + 1)


def asked(method: Callable[..., jax.Array], operator: FaceOperator, v: Known, *more: Any) -> Known:
    """Return what one of them makes of `v`, as a stage; other devices are asked before, if need
    be.
    """
    v = v.exchanged(operator.layout)
    return Known(stage(method, operator, v.values, *more), min(v.layers - 1, operator.layout.overlap))


def face_operator(
    x: jax.Array,
    y: jax.Array,
    z: jax.Array,
    *,
    periodic: tuple[bool, bool, bool] = (False, False, False),
    upper: jax.Array | tuple[jax.Array | None, jax.Array | None, jax.Array | None] | None = None,
    excess: jax.Array | None = None,
) -> FaceOperator:
    """Make an operator of the weights of the lower faces of all cells.

    Parameters
    ----------
    x, y, z
        Weight of the face between a cell and the one before it along the axis, shape of the cells.
        The first layer holds the face to the last cell where the axis is periodic, that to the
        ghost cell below where it is held, and is ignored where it is neither.
    periodic
        Which axes are.
    upper
        Weights of the faces to the ghost cells above, for x, y and z (one array: for x), one layer
        thick; an axis that has them, and is not periodic, is held.
    excess
        What the diagonal exceeds the sum of the face weights by (e in the module's formula).
    """
    ends = upper if isinstance(upper, tuple) else (upper, None, None)
    a, b, c = (end is not None and not p for end, p in zip(ends, periodic, strict=True))
    layout = Layout((int(x.shape[0]), int(x.shape[1]), int(x.shape[2])), periodic, (a, b, c))
    faces = []
    for axis, weights in enumerate((x, y, z)):
        if not periodic[axis] and not layout.held[axis]:
            first = tuple(slice(0, 1) if a == axis else slice(None) for a in range(3))
            weights = weights.at[first].set(0)
        faces.append(padded_faces(layout, axis, weights, ends[axis]))
    return FaceOperator(layout, tuple(faces), None if excess is None else layout.pad(excess))


def padded_faces(layout: AbstractLayout, axis: int, lower: jax.Array, upper: jax.Array | None) -> jax.Array:
    """Return the weights of the faces along an axis in padded form: lower faces of all cells, upper
    ones of the last.
    """
    if layout.held[axis] and upper is not None:
        widths = [(g, g) for g in layout.ghosts]
        widths[axis] = (1, 0)
        return jnp.pad(jnp.concatenate([lower, upper], axis), widths)
    return layout.filled(layout.pad(lower)) if layout.periodic[axis] else layout.pad(lower)
