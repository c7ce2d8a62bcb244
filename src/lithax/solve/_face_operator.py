"""The seven-point operator of every conservation law on voxels: weights on faces, and what leaves the cell elsewhere.

(K v)_i = Σ_faces c_f (v_i − v_j) + e_i v_i. It is symmetric and positive semi-definite for weights c, e ≥ 0. Along x the
lowest and the highest layer of faces may carry weights, too: they join the cells to the ghost cells there, which are
zero in K v: electrodes, or faces of constant pressure.
"""

import equinox as eqx
import jax
from jax import numpy as jnp

from lithax.solve._layout import Layout


class FaceOperator(eqx.Module):
    """Weights of the faces below every cell, along x, y and z, in the padded form of `layout`.

    Along periodic axes the ghost cells hold copies; the layer above the last cells along x holds the upper end faces.
    Made by `face_operator`.
    """

    layout: Layout
    faces: tuple[jax.Array, jax.Array, jax.Array]
    excess: jax.Array | None = None

    def diagonal(self) -> jax.Array:
        """Return, flat, the diagonal of K for all cells between the first and last layer along x."""
        lay = self.layout
        total = None if self.excess is None else lay.shifted(self.excess, 0, 0)
        for axis, c in enumerate(self.faces):
            both = lay.shifted(c, axis, 0) + lay.shifted(c, axis, 1)
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
            out = lay.shifted(c, axis, 0) * (own - lay.shifted(v, axis, -1))
            out = out + lay.shifted(c, axis, 1) * (own - lay.shifted(v, axis, 1))
            total = out if total is None else total + out
        assert total is not None
        return total

    def __call__(self, v: jax.Array) -> jax.Array:
        """Return K v in padded form; ghost cells of the result mean nothing along periodic axes, and are zero along x."""
        return self.layout.widened(self.flat(self.layout.filled(v)))

    def residual(self, v: jax.Array, b: jax.Array) -> jax.Array:
        """Return b − K v in padded form."""
        lay = self.layout
        return lay.widened(lay.shifted(b, 0, 0) - self.flat(lay.filled(v)))

    def scaled(self, r: jax.Array, weight: float) -> jax.Array:
        """Return weight · D⁻¹ r: one step of Jacobi's method from zero."""
        lay = self.layout
        return lay.widened(weight * lay.shifted(r, 0, 0) * self._inverse(r))

    def relaxed(self, v: jax.Array, b: jax.Array, weight: float) -> jax.Array:
        """Return v + weight · D⁻¹ (b − K v): one step of Jacobi's method."""
        lay = self.layout
        v = lay.filled(v)
        step = (lay.shifted(b, 0, 0) - self.flat(v)) * self._inverse(v)
        return lay.widened(lay.shifted(v, 0, 0) + weight * step)

    def _inverse(self, v: jax.Array) -> jax.Array:
        # Cells that nothing joins to another (solids, ghosts) are left as they are.
        diagonal = self.diagonal()
        return jnp.where(diagonal > 0, 1 / jnp.where(diagonal > 0, diagonal, 1), 0).astype(v.dtype)


def face_operator(
    x: jax.Array,
    y: jax.Array,
    z: jax.Array,
    *,
    periodic: tuple[bool, bool, bool] = (False, False, False),
    upper: jax.Array | None = None,
    excess: jax.Array | None = None,
) -> FaceOperator:
    """Make an operator of the weights of the lower faces of all cells.

    Parameters
    ----------
    x, y, z
        Weight of the face between a cell and the one before it along the axis, shape of the cells. The first layer holds
        the face to the last cell where the axis is periodic; along x otherwise the faces to the ghost cells below; along
        y and z otherwise it is ignored.
    periodic
        Which axes are.
    upper
        Shape (1, ny, nz), where x is not periodic: weights of the faces to the ghost cells above.
    excess
        What the diagonal exceeds the sum of the face weights by (e in the module's formula).
    """
    layout = Layout((int(x.shape[0]), int(x.shape[1]), int(x.shape[2])), periodic)
    nx = layout.shape[0]
    padded = []
    for axis, c in enumerate((x, y, z)):
        if axis > 0 and not periodic[axis]:
            first = [slice(None)] * 3
            first[axis] = slice(0, 1)
            c = c.at[tuple(first)].set(0)
        padded.append(layout.filled(layout.pad(c)))
    if upper is not None and not periodic[0]:
        end = [(0, 0), *((g, g) for g in layout.ghosts[1:])]
        above = jnp.pad(upper, end)
        padded[0] = padded[0].at[nx + 1 : nx + 2].set(above)
    return FaceOperator(layout, tuple(padded), None if excess is None else layout.pad(excess))
