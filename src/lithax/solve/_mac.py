"""The Stokes–Brinkman operator on a staggered grid, matrix-free, as separate stages.

Unknowns, for viscosity 1 and a reference voxel length 1: the pressure p at voxel centres, and the
velocity u_d on the lower face of each voxel along axis d. The system

    A u + G p = f,    Gᵀ u = g

is symmetric: A = −∇² with walls and Brinkman drag in its diagonal (`_mac_walls`), G the difference
of the pressure across a face, Gᵀ = −div. Fields are tuples of arrays, and each stencil is a
compiled function of its own: XLA on the CPU recomputes a stencil for every shifted use of its
result.

Where the pressure is held at both ends of axis 0 the arrays are one voxel longer than the image
along it, for the last plane of faces; the two end planes own half a voxel.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import equinox as eqx
from jax import numpy as jnp

from lithax.solve._one_voxel_further import Axes, NextDoor, neighbours, next_door, shifted, stencil
from lithax.solve._spares import into_spare
from lithax.typing import Array

Fields = tuple[Array, ...]
"""u along x, y and z, and p."""
Beyond = tuple[NextDoor | None, ...]
"""What lies next door to several fields; see `stencil`."""


class MacOperator(eqx.Module):
    """K = [A G; Gᵀ 0] on one grid."""

    diagonal: tuple[Array, Array, Array]
    """Diagonal of A; 0 where a face carries no flow."""
    open: Array
    """True in voxels that hold fluid."""
    weights: tuple[Any, Any, Any]
    """(reference / voxel length)² along each axis: minus the off-diagonals of A."""
    slopes: tuple[Any, Any, Any]
    """reference / voxel length along each axis: what a pressure difference is multiplied by."""
    half: Array | None
    """Share of a voxel that a face owns, by its plane along axis 0; None if all own one."""
    wrap: Axes = eqx.field(static=True)
    """Which axes are periodic, and how they lie over devices."""

    def __call__(self, x: Fields) -> Fields:
        return tuple(self.part(x, c) for c in range(4))

    def beyond(self, x: Fields) -> Beyond:
        """Return what K x asks of the devices next door, by one message."""
        return next_door(x, self.wrap)

    def part(self, x: Fields, component: int, spare: Array | None = None, beyond: Beyond = (None,) * 4) -> Array:
        """Return one of the four fields of K x, written over `spare`; without `beyond` the devices
        next door are asked for each.
        """
        if component == 3:
            return divergence(x[:3], self.open, self.slopes, self.wrap, spare, beyond[:3])
        return momentum(
            x[component], x[3], self.diagonal[component], self.half_of(component), self.weights, self.slopes[component],
            component, self.wrap, spare, (beyond[3], beyond[component]),
        )  # fmt: skip

    def half_of(self, component: int) -> Array | None:
        """`half` for the component along axis 0, None for the others."""
        return self.half if component == 0 else None

    def gradient_of(self, p: Array, component: int, spare: Array | None = None) -> Array:
        """G p on the faces along an axis that carry flow, written over `spare`."""
        return gradient(p, self.diagonal[component], self.slopes[component], component, self.wrap, spare)

    def divergence(self, u: Sequence[Array], spare: Array | None = None) -> Array:
        """Gᵀ u, minus the divergence, in the open voxels; written over `spare`."""
        return divergence(tuple(u), self.open, self.slopes, self.wrap, spare)


def viscous_at(wrap: Axes, weights: tuple, v: Array, diagonal: Array, half: Array | None = None) -> Array:
    """A v for one component, also where v's face carries no flow; for `stencil`."""
    across = []
    for e in range(3):
        below, above = neighbours(v, e, wrap[e])
        across.append(weights[e] * (above + below))
    sides = across[1] + across[2]
    return diagonal * v - across[0] - (sides if half is None else half * sides)


@partial(into_spare, static_argnames=("component", "wrap"))
def momentum(
    v: Array, p: Array, diagonal: Array, half: Array | None, weights: tuple, slope: Any, component: int, wrap: tuple,
    spare: Array | None = None, beyond: Beyond = (),
) -> Array:  # fmt: skip
    """A v + G p for one component of the velocity."""

    def at(wrap: Axes, p: Array, v: Array, diagonal: Array, *half: Array) -> Array:
        push = slope * (p - shifted(p, component, -1, wrap[component]))
        return jnp.where(diagonal > 0, viscous_at(wrap, weights, v, diagonal, *half) + push, 0)

    return stencil(at, wrap, (p, v, diagonal, *present(half)), ((component,), (0, 1, 2)), beyond)


@partial(into_spare, static_argnames=("component", "wrap"))
def gradient(p: Array, diagonal: Array, slope: Any, component: int, wrap: tuple, spare: Array | None = None) -> Array:
    """G p for one component of the velocity."""

    def at(wrap: Axes, p: Array, diagonal: Array) -> Array:
        return jnp.where(diagonal > 0, slope * (p - shifted(p, component, -1, wrap[component])), 0)

    return stencil(at, wrap, (p, diagonal), ((component,),))


@partial(into_spare, static_argnames="wrap")
def divergence(
    u: tuple, open_voxels: Array, slopes: tuple, wrap: tuple, spare: Array | None = None, beyond: Beyond = ()
) -> Array:
    """Gᵀ u."""

    def at(wrap: Axes, x: Array, y: Array, z: Array, open_voxels: Array) -> Array:
        return jnp.where(
            open_voxels, sum(slopes[d] * (u - shifted(u, d, 1, wrap[d])) for d, u in enumerate((x, y, z))), 0
        )

    return stencil(at, wrap, (*u, open_voxels), ((0,), (1,), (2,)), beyond)


def present(half: Array | None) -> tuple[Array, ...]:
    """Return `half` as one more argument, or none."""
    return () if half is None else (half,)
