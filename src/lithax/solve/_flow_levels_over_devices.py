"""The levels below the finest of a flow's multigrid cycles, where the voxels lie over devices.

The stencils of the finest level are those of one device (`shifted` asks next door). Restriction,
the coarser levels and the correction run on every device's part, on the levels of `_part_levels`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from lithax.arrays import fence, settled, stage
from lithax.sharded import ShardedGrid, axis_names
from lithax.solve._face_operator import FaceOperator
from lithax.solve._layout import AbstractLayout
from lithax.solve._multigrid import Multigrid, doubled, pseudo_inverse, summed
from lithax.solve._part_layout import PartLayout
from lithax.solve._part_levels import (
    aggregated_part_excess,
    aggregated_part_faces,
    coarser_part,
    of_aggregates,
    part_layouts,
    plan_levels,
)
from lithax.typing import Array


class _Plan(eqx.Module):
    """What decides the compiled programs; static."""

    grid: ShardedGrid = eqx.field(static=True)
    layouts: tuple[AbstractLayout, ...] = eqx.field(static=True)
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
    plan: _Plan = eqx.field(static=True)
    weights: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    visits: tuple[int, ...] = eqx.field(static=True)


Finest = Callable[[Any, int | None], Array]
"""Returns of the arrays of the finest level the weights of the lower faces of its cells along an
axis, or what exceeds their sum on the diagonal (None).
"""


def shapes_of(grid: ShardedGrid, strengths: tuple[float, ...]) -> Any:
    """Return the shapes of all levels and along which axes each is halved."""
    x, y, z = strengths
    return plan_levels(grid.shape, (x, y, z))[:2]


def levels_over_devices(
    grid: ShardedGrid,
    periodic: tuple[bool, bool, bool],
    strengths: tuple[float, ...],
    finest: Finest,
    arrays: Any,
    weights: tuple[tuple[float, ...], ...],
    visits: tuple[int, ...],
) -> LevelsOverDevices:
    """Build the levels below the finest.

    Parameters
    ----------
    grid
        With parts that are the multiple `plan_levels` asks for.
    periodic, strengths
        Along x, y and z; the strengths as for `multigrid`.
    finest, arrays
        What is known of the finest level, and what of.
    weights
        Of the smoother on the levels below the finest.
    visits
        Of each of these levels, in a cycle of the one above it.
    """
    x, y, z = strengths
    levels = plan_levels(grid.shape, (x, y, z))
    plan = _Plan(grid, part_layouts(grid, levels, periodic), levels[1])
    return LevelsOverDevices(jax.tree.map(settled, _built(plan, finest, arrays)), plan, weights, visits)


@partial(jax.jit, static_argnums=(0, 1))
def _built(plan: _Plan, finest: Finest, arrays: Any) -> Any:
    fine, (step, *steps) = plan.finest, plan.steps

    def make(x: Array, y: Array, z: Array, excess: Array) -> Any:
        operators = [of_aggregates(fine, plan.layouts[1], (x, y, z), excess)]
        for coarse, halved in zip(plan.layouts[2:], steps, strict=True):
            operators.append(coarser_part(operators[-1], coarse, halved))
        return tuple((*o.faces, o.excess) for o in operators), pseudo_inverse(operators[-1])

    # Of the finest level one array is there at a time.
    lowers = [
        plan.run(
            partial(aggregated_part_faces, fine, axis=axis, step=step), plan.own, plan.own,
            stage(lambda arrays, axis=axis: finest(arrays, axis), arrays),
        )
        for axis in range(3)
    ]  # fmt: skip
    excess = stage(lambda arrays: finest(arrays, None), arrays)
    excess = plan.run(partial(aggregated_part_excess, fine, step=step), plan.own, plan.own, excess)
    return plan.run(make, (plan.own,) * 4, plan.of_levels, *lowers, excess)


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
        b = fence(first.pad(fine.joined(summed(rest, step), first)))
        e = fence(fine.own(first.cells(fence(coarse.visited(b))), first, step))
        return jnp.where(active, z + doubled(e, step), 0)

    return plan.run(work, (plan.of_levels, *(plan.own,) * 3), plan.own, levels.arrays, rest, z, active)
