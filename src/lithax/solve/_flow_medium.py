"""From voxels to the operator: what is fixed (which faces carry flow, walls) and what may be
differentiated.

`FlowGeometry` is made once, on the host, from which voxels hold fluid. `FlowMedium` holds what
derivatives reach: drag and solidity of each voxel, and the ratio of voxel lengths. `operator_of`
joins them with the diagonal of A,

    D = walls + ½ (σ + σ′) + Σ s over transverse neighbours,

σ = 1/K the drag of the two voxels of a face [1/voxel²], and s what brings the wall of a soft solid,
or of a porous phase whose layer of Brinkman's is thinner than a voxel, from the first face within
it to where it is. Of soft solids it is the solidity of the neighbouring face.

Of porous phases it follows from a plane interface half a voxel from the face. Flow in the phase
fades as exp(−y / √K), so the stress is that of a wall 1/2 + √K away; of the differences without s
it is one 1/2 + √(K + 1/4) away, hence a whole voxel for a tight phase, which makes a slit of h
voxels ((h + 1) / h)³ times too permeable. With

    s(K) = 1 / (1/2 + √K) − 1 / (1/2 + √(K + 1/4))

it is where it should be: s tends to 1, the half-voxel rule, for a tight phase, and to K^(−3/2) / 8
for a resolved one. Only what s exceeds that of the face itself counts: none within a phase, whose
K stays its own.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from lithax.arrays import is_traced, settled
from lithax.solve._mac import MacOperator
from lithax.solve._mac_walls import (
    AbstractLines,
    Boundary,
    HostLines,
    active_faces,
    beyond_ends,
    raw_runs,
    wall_diagonal,
)
from lithax.solve._one_voxel_further import Axes, length_of, shifted
from lithax.typing import Array


class FlowGeometry(eqx.Module):
    """The part of the operator that is found on the host."""

    walls: tuple[Any, Any, Any]
    """For each velocity component what walls add to the diagonal: an array, or one for each axis.
    """
    open: Array
    """True in voxels that hold fluid."""
    half: Array | None
    boundaries: tuple[Boundary, Boundary, Boundary] = eqx.field(static=True)
    length: int = eqx.field(static=True)
    """Voxels along axis 0 between the two ends."""
    wrap: Axes = eqx.field(static=True)
    """Which axes are periodic, and how they lie over devices."""


class FlowMedium(eqx.Module):
    """The part of the operator that derivatives reach."""

    drag: Array | None
    """1 / K of each voxel [1 / reference²], on the grid of the image; None if all fluid is free."""
    solidity: Array | None
    """Share of each voxel that is solid, for soft walls; None if walls are sharp."""
    weights: tuple[Any, Any, Any]
    """(reference / voxel length)² along each axis."""


def make_geometry(
    open_voxels: Any,
    boundaries: tuple[Boundary, Boundary, Boundary],
    rule: str,
    weights: tuple[float, float, float] | None,
    dtype: Any,
    choose: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> FlowGeometry:
    """Find faces and walls, on the host, also from within a compiled function.

    Parameters
    ----------
    open_voxels
        True where there is fluid, free or in a porous medium; may be traced.
    boundaries
        What lies beyond the image along each axis; "pressure" only along axis 0.
    rule
        "half_voxel" or "accurate".
    weights
        (reference / voxel length)² along each axis; None keeps the axes apart, for derivatives.
    dtype
        Of the fields.
    choose
        Takes away, on the host, what carries no flow.
    """
    length = open_voxels.shape[0]
    extra = int(boundaries[0] == "pressure")

    def find(found: Any) -> Any:
        return _on_host(choose(np.asarray(found, bool)), boundaries, rule, weights, dtype)

    if is_traced(open_voxels):
        shape = (length + extra, *open_voxels.shape[1:])
        one, flags = jax.ShapeDtypeStruct(shape, dtype), jax.ShapeDtypeStruct(shape, bool)
        walls = (one,) * 3 if weights is not None else ((one,) * 3,) * 3
        walls, filled = jax.pure_callback(find, (walls, flags), open_voxels, vmap_method="sequential")
    else:
        walls, filled = jax.tree.map(jnp.asarray, find(open_voxels))
    x, y, z = (boundary == "periodic" for boundary in boundaries)
    half = None
    if extra:
        half = jnp.asarray(half_at_ends(np.arange(length + 1), length, dtype)).reshape(-1, 1, 1)
    return FlowGeometry(walls, filled, half, boundaries, length, (x, y, z))


def half_at_ends(places: Any, length: int, dtype: Any) -> Any:
    """Return which share of a voxel the planes of faces own between two held pressures."""
    return np.where((places == 0) | (places == length), dtype(0.5), dtype(1))


def _on_host(
    open_voxels: np.ndarray, boundaries: tuple[Boundary, Boundary, Boundary], rule: str, weights: Any, dtype: Any
) -> tuple[tuple[Any, ...], np.ndarray]:
    """Return walls, and 1 in open voxels, on the grid of the faces."""
    x, y, z = open_voxels.shape
    if boundaries[0] == "pressure":
        open_voxels = np.concatenate([open_voxels, np.zeros_like(open_voxels[:1])])
    lines = HostLines(open_voxels.shape, (x, y, z))
    return walls_of(lines, open_voxels, boundaries, rule, weights, dtype), open_voxels


def walls_of(
    lines: AbstractLines, open_voxels: Any, boundaries: tuple[Boundary, ...], rule: str, weights: Any, dtype: Any
) -> tuple[Any, Any, Any]:
    """Return what walls add to the diagonal for each velocity component: their sum, or without
    weights what each axis adds.
    """
    active = active_faces(lines, open_voxels, boundaries)
    # Rows along axis 0 are counted first: of the layers that are looked at together they leave.
    counted = [raw_runs(lines, active[c], 0) if rule == "accurate" and c > 0 else (None,) * 3 for c in range(3)]
    ends = [(lead, tail) for _, lead, tail in counted]

    def some(lines: AbstractLines, open_voxels: Any, x: Any, y: Any, z: Any, *counts: Any) -> tuple[Any, ...]:
        active, found = (x, y, z), []
        for component in range(3):
            runs = None
            if counts[component] is not None:
                runs = beyond_ends(lines, active[component], 0, boundaries[0], counts[component], *ends[component])
            parts = (
                wall_diagonal(
                    lines, open_voxels, active, boundaries, component, axis, rule, runs if axis == 0 else None
                ).astype(dtype)
                for axis in range(3)
            )
            if weights is None:
                found += parts
            else:
                found.append(sum(dtype(weight) * part for weight, part in zip(weights, parts, strict=True)))
        return tuple(found)

    walls = lines.by_layers(
        some, boundaries[0] == "periodic", open_voxels, *active, *(length for length, _, _ in counted)
    )
    return walls if weights is not None else (walls[:3], walls[3:6], walls[6:])


def operator_of(geometry: FlowGeometry, medium: FlowMedium) -> MacOperator:
    """Return K; differentiable in the medium."""
    wrap = geometry.wrap
    slopes = tuple(weight**0.5 for weight in medium.weights)
    diagonals, mirrors = [], tuple(boundary in ("mirror", "pressure") for boundary in geometry.boundaries)
    for component in range(3):
        walls, half = geometry.walls[component], geometry.half if component == 0 else None
        if isinstance(walls, tuple):
            walls = sum(weight * part for weight, part in zip(medium.weights, walls, strict=True))
        if medium.drag is not None:
            if medium.solidity is None:
                nearer = settled(
                    _nearer_walls(walls, medium.drag, half, medium.weights, component, wrap, geometry.length)
                )
                walls = walls + nearer
            walls = settled(_with_drag(walls, medium.drag, component, wrap))
        if medium.solidity is not None:
            walls = _with_soft_walls(
                walls, medium.solidity, half, medium.weights, component, wrap, geometry.length, mirrors
            )
        diagonals.append(settled(walls))
    return MacOperator(tuple(diagonals), geometry.open, medium.weights, slopes, geometry.half, wrap)


@partial(jax.jit, static_argnames=("component", "wrap"))
def _with_drag(walls: Array, drag: Array, component: int, wrap: tuple) -> Array:
    """Add half the drag of either voxel of a face; a face at a held pressure owns half of one."""
    drag = _lengthened(drag, walls)
    both = 0.5 * (drag + shifted(drag, component, -1, wrap[component]))
    return jnp.where(walls > 0, walls + both, 0)


@partial(jax.jit, static_argnames=("component", "wrap", "length"))
def _nearer_walls(
    walls: Array, drag: Array, half: Array | None, weights: tuple, component: int, wrap: Axes, length: int
) -> Array:
    """Return what porous phases beside a face add, so that their wall is where it should be."""
    drag = _lengthened(drag, walls)
    below = shifted(drag, component, -1, wrap[component])
    if half is not None:
        below, drag = _mirrored_at_ends(below, drag, length)
    drag, beside = jnp.where(walls > 0, 0.5 * (drag + below), 0), 0.0
    for e in range(3):
        if e != component:
            mine = _nearness(drag / weights[e])
            further = (jnp.maximum(shifted(mine, e, step, wrap[e]) - mine, 0) for step in (1, -1))
            beside = beside + weights[e] * sum(further)
    return jnp.where(walls > 0, beside if half is None else half * beside, 0)


def _nearness(drag: Array) -> Array:
    """Return s(K) for a drag of 1 / K [1/voxel²]; 0 without drag, with a derivative of 0."""
    some = drag > 0
    y = jnp.where(some, drag, 1) ** 0.5
    root = (4 + y**2) ** 0.5
    return jnp.where(some, 2 * (y / (y + 2)) * (y / (y + root)) * (y / (2 + root)), 0)


def _mirrored_at_ends(below: Array, above: Array, length: int) -> tuple[Array, Array]:
    """Return the voxels of each face along the flow, where the image goes on as its mirror image
    beyond held pressures.
    """
    place = jnp.arange(above.shape[0])[:, None, None]
    below = jnp.where(place == 0, above, below)
    return below, jnp.where(place == length, below, above)


@partial(jax.jit, static_argnames=("component", "wrap", "length", "mirrors"))
def _with_soft_walls(
    walls: Array, solidity: Array, half: Array | None, weights: tuple, component: int, wrap: Axes, length: int,
    mirrors: tuple[bool, bool, bool],
) -> Array:  # fmt: skip
    """Add the solidity of transverse neighbours: as it grows to one, a wall half a voxel away."""
    void = 1 - _lengthened(solidity, walls)
    below = shifted(void, component, -1, wrap[component])
    if half is not None:
        below, void = _mirrored_at_ends(below, void, length)
    solid = jnp.where(walls > 0, 1 - void * below, 0)
    beside = 0.0
    for e in range(3):
        if e != component:
            lower, upper = (shifted(solid, e, step, wrap[e]) for step in (-1, 1))
            if mirrors[e]:  # beyond lies the face's own image
                place = lax.broadcasted_iota(np.int32, solid.shape, e)
                last = (length if e == 0 else length_of(solid, e, wrap[e])) - 1
                lower, upper = jnp.where(place == 0, solid, lower), jnp.where(place == last, solid, upper)
            beside = beside + weights[e] * (lower + upper)
    return jnp.where(walls > 0, walls + (beside if half is None else half * beside), 0)


def _lengthened(values: Array, like: Array) -> Array:
    """Add the closed layer beyond the end of axis 0 where the grid of faces has one."""
    missing = like.shape[0] - values.shape[0]
    return values if missing == 0 else jnp.pad(values, [(0, missing), (0, 0), (0, 0)])
