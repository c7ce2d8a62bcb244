"""The levels below the finest of a flow's multigrid cycles, where the voxels lie over devices.

The stencils of the finest level are those of one device (`shifted` asks next door). Restriction,
the coarser levels and the correction run on every device's part, on the levels of `_part_levels`.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from lithax.arrays import fence, settled, stage
from lithax.grid import Index
from lithax.sharded import ShardedGrid, axis_names
from lithax.solve._face_operator import FaceOperator
from lithax.solve._layout import AbstractLayout
from lithax.solve._multigrid import Multigrid, aggregated_excess, doubled, pseudo_inverse, summed
from lithax.solve._part_layout import PartLayout
from lithax.solve._part_levels import (
    aggregated_part_faces,
    coarser_part,
    of_aggregates,
    part_layouts,
    plan_levels,
)
from lithax.typing import Array


class Plan(eqx.Module):
    """What decides the compiled programs; static."""

    grid: ShardedGrid = eqx.field(static=True)
    layouts: tuple[AbstractLayout, ...] = eqx.field(static=True)
    shapes: tuple[Index, ...] = eqx.field(static=True)
    steps: tuple[tuple[bool, bool, bool], ...] = eqx.field(static=True)

    @property
    def finest(self) -> PartLayout:
        """The layout of the finest level."""
        first = self.layouts[0]
        assert isinstance(first, PartLayout)
        return first

    @property
    def own(self) -> PartitionSpec:
        """Of an array that lies over the devices."""
        return PartitionSpec(*axis_names(self.grid.mesh))

    @property
    def of_levels(self) -> Any:
        """Of the arrays of all levels below the finest, and of the inverse of the last."""
        levels = [self.own if isinstance(layout, PartLayout) else PartitionSpec() for layout in self.layouts[1:]]
        return tuple(levels), PartitionSpec()

    def run(self, function: Any, into: Any, out: Any, *arguments: Any) -> Any:
        """Run a function of the parts on every device."""
        return jax.shard_map(function, mesh=self.grid.mesh, in_specs=into, out_specs=out, check_vma=False)(*arguments)


class LevelsOverDevices(eqx.Module):
    """All levels below the finest."""

    arrays: Any
    """Weights of the faces and the excess of each level, and the inverse of the last."""
    plan: Plan = eqx.field(static=True)
    weights: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    visits: tuple[int, ...] = eqx.field(static=True)


def plan_over_devices(grid: ShardedGrid, periodic: tuple[bool, bool, bool], strengths: tuple[float, ...]) -> Plan:
    """Lay out all levels.

    Parameters
    ----------
    grid
        With parts that are the multiple `plan_levels` asks for.
    periodic, strengths
        Along x, y and z; the strengths as for `multigrid`.
    """
    x, y, z = strengths
    levels = plan_levels(grid.shape, (x, y, z))
    return Plan(grid, part_layouts(grid, levels, periodic), levels[0], levels[1])


@partial(jax.jit, static_argnums=(1, 2))
def aggregated_over_devices(fine: Array, plan: Plan, axis: int | None) -> Array:
    """Return what the aggregates below the finest level have of the weights of its lower faces
    along an axis, or of its excess (None).
    """
    if axis is None:
        work = partial(aggregated_excess, whole=plan.finest.whole, step=plan.steps[0])
    else:
        work = partial(aggregated_part_faces, plan.finest, axis=axis, step=plan.steps[0])
    return plan.run(work, plan.own, plan.own, fine)


def levels_over_devices(
    plan: Plan, aggregates: tuple[Array, ...], weights: tuple[tuple[float, ...], ...], visits: tuple[int, ...]
) -> LevelsOverDevices:
    """Build the levels below the finest.

    Parameters
    ----------
    plan
        The levels.
    aggregates
        Weights of the lower faces of the aggregates along the three axes, and their excess.
    weights
        Of the smoother on the levels below the finest.
    visits
        Of each of these levels, in a cycle of the one above it.
    """
    return LevelsOverDevices(jax.tree.map(settled, _built(plan, *aggregates)), plan, weights, visits)


@partial(jax.jit, static_argnums=0)
def _built(plan: Plan, x: Array, y: Array, z: Array, excess: Array) -> Any:
    def make(x: Array, y: Array, z: Array, excess: Array) -> Any:
        operators = [of_aggregates(plan.finest, plan.layouts[1], (x, y, z), excess)]
        for coarse, halved in zip(plan.layouts[2:], plan.steps[1:], strict=True):
            operators.append(coarser_part(operators[-1], coarse, halved))
        return tuple((*o.faces, o.excess) for o in operators), pseudo_inverse(operators[-1])

    return plan.run(make, (plan.own,) * 4, plan.of_levels, x, y, z, excess)


@partial(jax.jit, donate_argnames="z")
def corrected_over_devices(levels: LevelsOverDevices, rest: Array, z: Array, active: Array) -> Array:
    """Add to every active cell what the coarser levels make of what remains of the right-hand side;
    `z` is used up.
    """
    plan = levels.plan
    fine, first, step = plan.finest, plan.layouts[1], plan.steps[0]

    def work(arrays: Any, rest: Array, z: Array, active: Array) -> Array:
        kept, inverse = arrays
        operators = tuple(
            FaceOperator(layout, (x, y, z), excess)
            for layout, (x, y, z, excess) in zip(plan.layouts[1:], kept, strict=True)
        )
        coarse = Multigrid(operators, inverse, plan.steps[1:], levels.weights, levels.visits)
        target = stage(partial(summed, step=step), rest)
        b = fence(first.pad(fine.joined(target, first)))
        e = fence(fine.own(fence(coarse.visited(b)), first, step))
        return jnp.where(active, z + doubled(e, step), 0)

    return plan.run(work, (plan.of_levels, *(plan.own,) * 3), plan.own, levels.arrays, rest, z, active)
