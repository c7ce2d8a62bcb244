"""Geometry of a conduction solve: which axis lies first, how long and wide the sample is, what is
left out.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from lithax.arrays import is_traced
from lithax.solve._conduction_problem import Faces, face_weights, pore_faces
from lithax.solve._conduction_solve import Settings
from lithax.solve._layout import Layout
from lithax.solve._medium import Medium

AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Boundaries:
    """What happens at the faces of the image."""

    ends: str
    sides: str
    linear: bool

    @property
    def whole(self) -> bool:
        """Whether one operator serves all axes, so that the tensor is determined."""
        return self.linear or (self.ends == "periodic" and self.sides == "periodic")

    def periodic(self, axis: int) -> tuple[bool, bool, bool]:
        """Along which axes the image goes on at the other side, the current being driven along
        `axis`.
        """
        if self.linear:
            return False, False, False
        x, y, z = ((self.ends if a == axis else self.sides) == "periodic" for a in range(3))
        return x, y, z

    def held(self, axis: int) -> tuple[bool, bool, bool]:
        """Along which axes the end faces have a given potential."""
        if self.linear:
            return True, True, True
        x, y, z = (a == axis and self.ends == "potential" for a in range(3))
        return x, y, z


@dataclass(frozen=True)
class Run:
    """One operator: the axis that lies first in memory, and the numbers that turn energies into
    conductivities.
    """

    axis: int | None
    """The axis of the current; None if one operator serves all three."""
    order: tuple[int, int, int]
    """The image's axes in the order of the solver's."""
    settings: Settings
    geometry: tuple[float, float, float]
    """Area over distance of the faces along the solver's axes, lengths in units of the mean voxel
    length.
    """
    reservoir: int
    lengths: tuple[float, float, float]
    """Of the sample along the solver's axes, in the same unit."""
    spans: tuple[int, int, int]
    """Voxels along the solver's axes, reservoirs included."""
    area: float
    """Cross-section, or for all axes at once the volume, in the same unit."""
    reservoir_resistance: float
    """Of both reservoirs, times their conductivity, in the inverse of the same unit."""

    @property
    def drives(self) -> np.ndarray:
        """The steps of the potential from voxel to voxel, one row per solve."""
        rows = range(3) if self.axis is None else (0,)
        return np.asarray([[1 / self.spans[a] if a == row else 0.0 for a in range(3)] for row in rows])

    def drives_along(self, along: Any, dtype: Any) -> Any:
        """Return the same, nothing along an axis where nothing joins the ends (`along`): what joins
        them along another would carry a current of rounding.
        """
        rows = self.drives.astype(dtype)
        if self.axis is not None:
            return rows
        xp = np if isinstance(along, tuple) else jnp
        return rows * xp.asarray(along)[:, None].astype(dtype)

    @np.errstate(over="ignore")  # the result says so
    def conductivity(self, matrix: Any, scale: Any, fluid: Any) -> Any:
        """Return the conductivity, or its tensor, from the currents for drops of one."""
        if self.axis is None:
            x, y, z = self.lengths
            return matrix * scale * np.outer((x, y, z), (x, y, z)).astype(matrix.dtype) / self.area
        conductance = matrix[0, 0] * scale
        if self.reservoir:
            # Resistances in series: what the open ends add is known, and is not the sample's.
            open_ends = self.reservoir_resistance / fluid
            flows = conductance > 0
            conductance = jnp.where(flows, 1 / (1 / jnp.where(flows, conductance, 1) - open_ends), 0)
        return conductance * (self.lengths[0] / self.area)

    def of_cubes(self) -> bool:
        """Whether area over distance is the same along all axes, and nothing is added at the ends:
        the weights of a pore space are whole numbers then, times that.
        """
        return self.reservoir == 0 and len(set(self.geometry)) == 1


def plan_run(
    shape: tuple[int, int, int],
    axis: int | None,
    boundaries: Boundaries,
    spacing: tuple[float, float, float],
    section: float,
    reservoir: int,
    means: tuple[float, float, float] = (1.0, 1.0, 1.0),
    wide: bool = True,
    opening: float | None = None,
) -> Run:
    """Lay out one operator.

    Parameters
    ----------
    shape, spacing
        Of the image.
    axis
        The axis of the current; None for all three.
    boundaries
        What happens at the faces.
    section
        Cross-section in voxel faces across the axis, or for all three the volume in voxels.
    reservoir
        Open voxels before and behind the sample.
    means
        Mean conductivity along x, y and z, which of the couplings are strong.
    wide
        Whether sums are taken in double precision.
    opening
        Cross-section of the reservoirs in voxel faces, where it is not that of the image: `section`
        may be what the user calls the sample's.
    """
    first = 0 if axis is None else axis
    a, b, c = (first, *(n for n in range(3) if n != first))
    order = (a, b, c)
    mean = math.prod(spacing) ** (1 / 3)
    h = [spacing[n] / mean for n in order]
    sizes = [shape[n] for n in order]
    sizes[0] += 2 * reservoir
    geometry = tuple(math.prod(h) / step**2 for step in h)
    strengths = tuple(g * means[n] for g, n in zip(geometry, order, strict=True))
    held = boundaries.held(first)
    periodic = boundaries.periodic(first)
    layout = Layout(
        (sizes[0], sizes[1], sizes[2]),
        (periodic[a], periodic[b], periodic[c]),
        (held[a], held[b], held[c]),
        wide,
    )
    # Rounded: means that differ little must not compile twice.
    x, y, z = (2.0 ** (round(2 * math.log2(s / max(strengths))) / 2) if s > 0 else 0.0 for s in strengths)
    lengths = tuple(shape[n] * step for n, step in zip(order, h, strict=True))
    opening = sizes[1] * sizes[2] if opening is None else opening
    return Run(
        axis,
        order,
        Settings(layout, (x, y, z), None if axis is None else 0, boundaries.linear),
        (geometry[0], geometry[1], geometry[2]),
        reservoir,
        (lengths[0], lengths[1], lengths[2]),
        (sizes[0], sizes[1], sizes[2]),
        section * (math.prod(h) if axis is None else h[1] * h[2]),
        2 * reservoir * h[0] / (opening * h[1] * h[2]) if opening else 0.0,
    )


def turned(medium: Medium, order: tuple[int, int, int]) -> Medium:
    """Return the medium with the axes in another order."""
    if order == (0, 1, 2):
        return medium
    if medium.directed:
        data = medium.data[np.asarray(order)].transpose(0, *(n + 1 for n in order))
    else:
        data = medium.data.transpose(order)
    return eqx.tree_at(lambda m: m.data, medium, data)


@partial(eqx.filter_jit)
def weights(
    medium: Medium,
    keep: jax.Array | None,
    fluid: Any,
    section: Any,
    layout: Layout,
    geometry: tuple[float, float, float],
    reservoir: int,
) -> tuple[Faces, jax.Array]:
    """Return the weights of all faces relative to the largest conductivity, and that;
    differentiable in the medium.

    Parameters
    ----------
    medium, keep
        Voxels in the order of the solver, and which of them take part.
    fluid, section
        Conductivity of the reservoirs, and their cross-section: boolean, shape (1, ny, nz), or None
        for all of it.
    layout, geometry, reservoir
        As `plan_run` makes them.
    """
    s = medium.conductivities()
    scale = largest_of(s, keep, fluid, reservoir)
    fields = []
    for axis in range(3):
        field = (s[axis] if medium.directed else s) / scale
        field = field if keep is None else jnp.where(keep, field, 0)
        if reservoir:
            # Before a sample that nothing passes they would only carry a current of rounding.
            joins = jnp.any(s > 0 if keep is None else keep)
            ends = jnp.where(joins, jnp.asarray(fluid, s.dtype) / scale, 0)
            ends = ends if section is None else jnp.where(section, ends, 0)
            ends = jnp.broadcast_to(ends, (reservoir, *field.shape[1:]))
            field = jnp.concatenate([ends, field, ends], 0)
        fields.append(field)
    return face_weights(layout, fields, geometry), scale


def largest_of(s: jax.Array, keep: jax.Array | None, fluid: Any, reservoir: int) -> jax.Array:
    """Return the largest conductivity of what takes part, which the solve is relative to; 1 if it
    is 0. What else there is may be so large that nothing beside it is left of the others.
    """
    largest = lax.stop_gradient(jnp.max(s if keep is None else jnp.where(keep, s, 0)))
    if reservoir:
        largest = jnp.maximum(largest, lax.stop_gradient(jnp.asarray(fluid, s.dtype)))
    return jnp.where(largest > 0, largest, 1)


@partial(jax.jit, static_argnums=2)
def weights_of_pores(pore: jax.Array, keep: jax.Array | None, layout: Layout) -> Faces:
    """Return the weights of all faces of a pore space, in bytes, where `Run.of_cubes` says so.

    Parameters
    ----------
    pore, keep
        Boolean, in the order of the solver: voxels that conduct, and which of them take part.
    layout
        As `plan_run` makes it.
    """
    return pore_faces(layout, pore if keep is None else pore & keep)


def driven_axes(axis: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return along which axes the current is driven; ValueError where there is one voxel."""
    wanted = (0, 1, 2) if axis == "all" else (AXES.index(axis),)
    for a in wanted:
        if shape[a] < 2:
            raise ValueError(
                f"axis={axis!r}, but image has shape {shape}: one voxel thick along {AXES[a]}, where no current can be driven; "
                "choose another axis."
            )
    return wanted


def fluid_of(fluid: Any, reservoir: int, values: Any, pore: Any, boolean: bool) -> Any:
    """Return the conductivity of the fluid: 1 where only the pores are named; None: not known.

    Raises
    ------
    TypeError, ValueError
        If there is none for reservoirs, it is no conductivity, or the pores conduct something else.
    """
    if fluid is None and values is None and (boolean or pore is not None):
        return 1.0
    if fluid is None and reservoir:
        raise ValueError(f"reservoir={reservoir} needs fluid=, the conductivity of what is in it.")
    if fluid is None or is_traced(fluid):
        return fluid
    if not isinstance(fluid, int | float | np.number) and getattr(fluid, "shape", None) != ():
        raise TypeError(f"fluid={fluid!r} must be a number, the conductivity of the pore fluid.")
    if not 0 < float(fluid) < np.inf:
        raise ValueError(f"fluid={fluid!r} must be finite and above 0, the conductivity of the pore fluid.")
    if float(fluid) != 1 and values is None and (boolean or pore is not None):
        label = 1 if pore is None else int(np.ravel(pore)[0])
        raise ValueError(
            f"fluid={fluid!r}, and pores that {'booleans name' if pore is None else f'pore={pore!r} names'} conduct 1: F would be wrong. "
            f"Leave fluid out, F does not depend on it; or give the conductivity of each phase: values={{{label}: {fluid!r}, "
            f"{int(label == 0)}: 0}}."
        )
    return fluid
