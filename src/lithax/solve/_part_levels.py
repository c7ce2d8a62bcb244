"""Levels of multigrid over devices: fine ones lie over them, levels of few cells are kept by every
device as a whole, which costs less than to ask the others.

Functions of parts run inside `jax.shard_map`.
"""

import math

import jax
from jax import lax
from jax import numpy as jnp

from lithax.grid import Index
from lithax.sharded import ShardedGrid, axis_names
from lithax.solve._face_operator import FaceOperator, padded_faces, real
from lithax.solve._layout import AbstractLayout, Layout
from lithax.solve._multigrid import OVER, aggregated_excess, coarsened, coarsening, summed
from lithax.solve._part_layout import PartLayout

REPLICATED = 300_000
"""At how many cells a level is kept by every device as a whole."""
OVERLAP = 3
"""How many layers parts overlap by, below the finest level: a visit with two steps of the smoother
before and after then asks next door once.
"""
THICK = 8
"""How many layers the thinnest part must have for that, twice what its neighbours read of it."""


def plan_levels(
    shape: Index, strengths: tuple[float, float, float]
) -> tuple[tuple[Index, ...], tuple[tuple[bool, bool, bool], ...], int, Index]:
    """Return the shapes and steps of all levels, how many of them lie over the devices, and what
    the parts must be a multiple of.
    """
    shapes, steps = coarsening(shape, strengths)
    count = next((k for k, s in enumerate(shapes) if math.prod(s) <= REPLICATED), len(shapes))
    count = min(max(count, 1), max(1, len(shapes) - 1))
    x, y, z = (2 ** sum(s[axis] for s in steps[:count]) for axis in range(3))
    return shapes, steps, count, (x, y, z)


def part_layouts(
    grid: ShardedGrid,
    levels: tuple[tuple[Index, ...], tuple[tuple[bool, bool, bool], ...], int, Index],
    periodic: tuple[bool, bool, bool],
    held: tuple[bool, bool, bool] = (False, False, False),
) -> tuple[AbstractLayout, ...]:
    """Lay out the levels that `plan_levels` found over the devices of a grid."""
    shapes, steps, count, _ = levels
    names, counts, part = axis_names(grid.mesh), grid.counts, grid.part
    parts = [part]
    for step in steps[: count - 1]:
        a, b, c = (n // 2 if halved else n for n, halved in zip(parts[-1], step, strict=True))
        parts.append((a, b, c))
    thinnest = min((n for n, c in zip(parts[-1], counts, strict=True) if c > 1), default=0)
    overlap = OVERLAP if thinnest >= THICK and not any(periodic) else 0

    def laid_out(k: int) -> AbstractLayout:
        if k >= count:
            return Layout(shapes[k], periodic, held)
        return PartLayout(
            shape=parts[k], whole=shapes[k], names=names, counts=counts, periodic=periodic, held=held,
            overlapping=overlap if k > 0 else 0,
        )  # fmt: skip

    return tuple(laid_out(k) for k in range(len(shapes)))


def aggregated_part_faces(
    fine: PartLayout, faces: jax.Array, axis: int, step: tuple[bool, bool, bool], ghosts: Index = (0, 0, 0)
) -> jax.Array:
    """Return the weights of the lower faces of a device's aggregates along an axis, as `coarsened`
    does; `faces` are those of its cells, and of as many ghost cells around them.
    """
    c, n, ghost = real(faces), fine.shape[axis], ghosts[axis]
    window = [slice(g, g + m) for g, m in zip(ghosts, fine.shape, strict=True)]
    if step[axis]:
        window[axis] = slice(ghost, ghost + n, 2)
        lower = c[tuple(window)]
        if fine.held[axis] and fine.whole[axis] % 2:
            # An odd last cell stands alone: its upper face is an even one of the aggregates.
            window[axis] = slice(ghost - 1, ghost - 1 + n, 2)
            place = fine.positions(axis)[tuple(slice(None, None, 2 if a == axis else 1) for a in range(3))]
            lower = jnp.where(place == fine.whole[axis] + 1, c[tuple(window)], lower)
        lower = lower / OVER
    else:
        lower = c[tuple(window)]
    if any(p for a, p in enumerate(fine.periodic) if a != axis):  # filler holds copies there
        halves = tuple(slice(None, None, 2 if step[axis] and a == axis else 1) for a in range(3))
        lower = jnp.where(jnp.broadcast_to(fine.across(axis), fine.shape)[halves], lower, 0)
    return summed(lower, tuple(halved and other != axis for other, halved in enumerate(step)))


def coarser_part(operator: FaceOperator, layout: AbstractLayout, step: tuple[bool, bool, bool]) -> FaceOperator:
    """Return the operator of the aggregates, as `coarsened` does, on each device its part."""
    fine = operator.layout
    if not isinstance(fine, PartLayout):
        assert isinstance(layout, Layout)
        return coarsened(operator, layout, step)
    x, y, z = (aggregated_part_faces(fine, c, axis, step, fine.ghosts) for axis, c in enumerate(operator.faces))
    excess = None if operator.excess is None else aggregated_excess(fine.cells(operator.excess), fine.whole, step)
    return of_aggregates(fine, layout, (x, y, z), excess)


def of_aggregates(
    fine: PartLayout, layout: AbstractLayout, lowers: tuple[jax.Array, ...], excess: jax.Array | None
) -> FaceOperator:
    """Return the operator on the level below a device's cells, as that level is kept."""
    faces = []
    for axis, lower in enumerate(lowers):
        if isinstance(layout, PartLayout):
            faces.append(layout.filled(layout.surrounded(lower)))
            continue
        assert isinstance(layout, Layout)
        x, y, z = (n + int(layout.held[axis] and a == axis) for a, n in enumerate(layout.shape))
        all_of_them = fine.collected(lower, (x, y, z))
        end = None
        if layout.held[axis]:
            end = lax.slice_in_dim(all_of_them, layout.shape[axis], layout.shape[axis] + 1, axis=axis)
        x, y, z = layout.shape
        faces.append(padded_faces(layout, axis, all_of_them[:x, :y, :z], end))
    if excess is not None:
        excess = layout.pad(fine.joined(excess, layout))
        excess = layout.filled(excess) if layout.overlap else excess
    return FaceOperator(layout, (faces[0], faces[1], faces[2]), excess)
