"""Conduction over several devices and processes: the host's loop, the same on every process.

What one device solves by `_conduction`, in parts: the voxels by `_over_devices`, the clusters by
`_part_percolation`, the levels and the step by `_parts`.
"""

import contextlib
import math
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.images import save, together
from lithax.sharded import ShardedGrid
from lithax.solve import _parts as parts_of
from lithax.solve._assembled import assembled
from lithax.solve._bounds import bounds
from lithax.solve._conduction_setup import AXES, Boundaries, Run, plan_run
from lithax.solve._conduction_solve import Tolerances
from lithax.solve._conductivity import Conductivity
from lithax.solve._conjugate_gradients import loop
from lithax.solve._domain import check_loading, section_of
from lithax.solve._over_devices import (
    Voxels,
    counted_section,
    mesh_of,
    read_voxels,
    returned,
    source_over_devices,
    volume_of,
)
from lithax.solve._part_levels import plan_levels
from lithax.solve._part_percolation import percolation_of_parts
from lithax.solve._watch import Watch


def conductivity_over_devices(
    image: Any, axis: str, boundaries: Boundaries, shape: Any, pore: Any, values: Any, fluid: Any, where: Any, area: Any,
    spacing: Any, tolerance: float, gradient_tolerance: float, fields: bool, gradient: Any, unit: str, most: int,
    throw: bool, watch: Watch, refused: list[str],
) -> Conductivity:  # fmt: skip
    """Solve as `conductivity` does, on all devices that hold the voxels, or shall; its arguments.

    Raises
    ------
    ValueError
        Also if an option is given that is not available here (`refused`).
    """
    source, world = source_over_devices(image, shape, spacing)
    if refused:
        raise ValueError(
            f"{refused[0]}= is not available over several devices; leave it out, or solve on one device: "
            "jax.device_put(image, jax.devices()[0])."
        )
    wants_gradient = gradient is not None and gradient is not False
    if wants_gradient and axis == "all":
        raise ValueError("gradient= is that of one value; name the axis.")
    size = source.frame.shape
    wanted = range(3) if axis == "all" else (AXES.index(axis),)
    for a in wanted:
        if size[a] < 2:
            raise ValueError(
                f"axis={axis!r}, but image has shape {size}: one voxel thick along {AXES[a]}, where no current can be driven; "
                "choose another axis."
            )
    if where is not None:
        check_loading(boundaries.linear)
    if fluid is None and values is None and (source.boolean or pore is not None):
        fluid = 1.0
    if fluid is not None and not 0 < float(fluid) < math.inf:
        raise ValueError(f"fluid={fluid!r} must be finite and above 0, the conductivity of the pore fluid.")
    whole = axis == "all" and boundaries.whole
    first = plan_run(size, None if whole else wanted[0], boundaries, source.spacing, 1.0, 0)
    levels = plan_levels(size, _in_order(first, first.settings.strengths))
    held = [any(boundaries.held(a)[b] for a in wanted) for b in range(3)]
    grid = ShardedGrid(size, mesh_of(image, source), levels[3], [int(h) for h in held])
    with together(world):
        voxels = read_voxels(image, source, grid, world, pore, values, where)
    with jax.enable_x64(True) if voxels.medium.dtype == np.float64 else contextlib.nullcontext():
        return _Solve(
            voxels,
            source,
            boundaries,
            fluid,
            area,
            unit,
            tolerance,
            gradient_tolerance,
            fields,
            gradient,
            most,
            throw,
            watch,
        ).result(axis, levels, image)


def _in_order(run: Run, of_solver: Any) -> tuple[Any, Any, Any]:
    """Return what a run has for the solver's axes in the order of the image's."""
    x, y, z = (of_solver[run.order.index(a)] for a in range(3))
    return x, y, z


class _Solve:
    """One call."""

    def __init__(
        self, voxels: Voxels, source: Any, boundaries: Boundaries, fluid: Any, area: Any, unit: str, tolerance: float,
        gradient_tolerance: float, fields: bool, gradient: Any, most: int, throw: bool, watch: Watch,
    ) -> None:  # fmt: skip
        self.voxels, self.source, self.boundaries, self.fluid = voxels, source, boundaries, fluid
        self.area, self.unit, self.most, self.throw = area, unit, most, throw
        self.watch = replace(watch, progress=watch.progress and voxels.world.first)
        self.fields, self.gradient = fields, gradient
        self.ends = "linear" if boundaries.linear else boundaries.ends
        self.tolerance = tolerance
        given = Tolerances.of(tolerance, gradient_tolerance, most, voxels.medium.dtype)
        self.wants_gradient = gradient is not None and gradient is not False
        self.tolerances = given.for_gradient() if self.wants_gradient else given

    def result(self, axis: str, levels: Any, image: Any) -> Conductivity:
        """Solve along each axis, and put the numbers together."""
        voxels, world = self.voxels, self.voxels.world
        inside = {start: voxels.inside(start, v.shape) for start, _, v in voxels.pieces()}
        cells = volume_of(voxels, inside)
        if cells == 0:
            raise ValueError(f"where= leaves no voxel of the image of shape {voxels.shape}; check its place and size.")
        largest = max(float(np.max(voxels.conductivity(voxels.present))), 0.0)
        scale = np.asarray(largest if largest > 0 else 1.0, voxels.medium.dtype)
        conducting, pore = {}, 0
        for start, _, v in voxels.pieces():
            mask = inside[start]
            conducts, pores = voxels.conductivity(v) > 0, voxels.pore(v)
            conducting[start] = conducts if mask is None else conducts & mask
            pore += int(np.count_nonzero(pores if mask is None else pores & mask))
        porosity = sum(world.gather(pore)) / cells
        whole = axis == "all" and self.boundaries.whole
        axes = (None,) if whole else range(3) if axis == "all" else (AXES.index(axis),)
        found, shares = [], []
        for a in axes:
            planes = counted_section(voxels, inside, a)
            section = section_of(planes, cells, voxels.shape, a, self.area, self.source.spacing)
            run = plan_run(voxels.shape, a, self.boundaries, self.source.spacing, section, 0)
            joined = percolation_of_parts(
                conducting, voxels.shape, a, self.ends, self.boundaries.periodic(a or 0), world
            )
            shares.append([n / cells for n in (joined.total, joined.accessible, joined.percolating)])
            found.append(self._solved(run, joined.keep, levels, scale))
        result = self._assembled(axis, found, scale, porosity, np.asarray(shares), inside, cells, image)
        self.watch.end()
        return result

    def _solved(self, run: Run, keep: Any, levels: Any, scale: np.ndarray) -> Any:
        voxels = self.voxels
        parts = parts_of.plan_parts(
            voxels.grid, levels, self.boundaries.periodic(run.axis or 0), self.boundaries.held(run.axis or 0),
            _in_order(run, run.geometry), run.axis, self.boundaries.linear,
        )  # fmt: skip
        shares = {
            start: (device, np.where(keep[start], voxels.conductivity(v) / scale, 0).astype(scale.dtype))
            for start, device, v in voxels.pieces()
        }
        conductivities = (voxels.put(shares),)
        hierarchy = parts_of.levels_of(parts, conductivities)
        rows = np.asarray([_in_order(run, row) for row in run.drives], scale.dtype)
        potentials, ended = [], []
        for number, row in enumerate(rows):
            settings = (parts, row.tolist(), float(scale), voxels.world.count)
            look = self.watch.start(run, number, (v for _, v in shares.values()), settings)
            state = look.restored(parts_of.begin(parts, hierarchy, row))

            def take(state: Any, row: Any = row) -> Any:
                voxels.world.check()
                return parts_of.advance(parts, hierarchy, row, self.tolerances, state)

            state = loop(take, state, self.most, look)
            ended.append(jax.tree.map(np.asarray, parts_of.stats_of(parts, hierarchy, row, state)))
            potentials.append(state.u)
        matrix = jnp.asarray(np.asarray(parts_of.energies(parts, hierarchy, rows, tuple(potentials))))
        slopes = None
        if self.wants_gradient:
            (slopes,) = parts_of.slopes(parts, conductivities, rows[0], potentials[0])
            chain = jax.grad(lambda m: run.conductivity(m[None, None], scale, self.fluid))(matrix[0, 0])
            slopes = slopes * np.asarray(chain / scale)
        phi = (
            [parts_of.potential(parts, row, u) for row, u in zip(rows, potentials, strict=True)] if self.fields else []
        )
        currents = [
            np.asarray(parts_of.currents(parts, hierarchy, row, u, n if run.axis is None else run.axis))
            for n, (row, u) in enumerate(zip(rows, potentials, strict=True))
            if self.fields
        ]
        return run, matrix, ended, slopes, phi, currents

    def _assembled(
        self, axis: str, found: Any, scale: np.ndarray, porosity: float, share: np.ndarray, inside: Any, cells: int,
        image: Any,
    ) -> Conductivity:  # fmt: skip
        medium, several = self.voxels.medium, axis == "all"
        values = [run.conductivity(matrix, scale, self.fluid) for run, matrix, *_ in found]
        stats = jax.tree.map(lambda *v: jnp.asarray(np.stack(v)), *(s for _, _, ended, *_ in found for s in ended))
        result = assembled(
            values, stats, share, porosity, self._bounds(inside, cells), axis=axis, boundaries=self.boundaries,
            medium=medium, fluid=self.fluid, tolerance=self.tolerance, unit=self.unit,
        )  # fmt: skip
        slopes, potential, currents = found[0][3], None, None
        if self.fields:
            phi = [self._returned(p, "potential", image) for *_, found_phi, _ in found for p in found_phi]
            flows = [c for *_, found_currents in found for c in found_currents]
            potential, currents = (phi, flows) if several else (phi[0], flows[0])
        if slopes is not None:
            slopes = self._returned(slopes, "derivative of the effective conductivity", image)
        if self.throw and not bool(np.all(np.asarray(result.converged))):
            raise RuntimeError(
                f"conductivity() did not converge to tolerance={self.tolerance:g} in max_iterations={self.most} steps; ask for "
                f"less accuracy, or allow more steps. The best estimate of the error is {float(np.max(np.asarray(result.solver_error))):.2g}."
            )
        return replace(result, currents=currents, potential=potential, gradient=slopes)

    def _returned(self, array: jax.Array, name: str, image: Any) -> Any:
        if self.source.image is None:
            return returned(array, image, self.voxels.grid)
        store = self.gradient if name.startswith("derivative") and self.gradient is not True else None
        return save(array, store, like=image, field_name=name)

    def _bounds(self, inside: Any, cells: int) -> Any:
        """Return the bounds: exact sums over the values that occur, or over all voxels."""
        voxels = self.voxels
        dtype = voxels.medium.dtype
        if not voxels.is_field:
            counts = voxels.tally
            if voxels.selection is not None:
                own = np.zeros(len(voxels.present), int)
                for start, _, v in voxels.pieces():
                    own += np.bincount(np.searchsorted(voxels.present, v[inside[start]]), minlength=len(own))
                counts = np.sum(voxels.world.gather(own), 0)
            return bounds(voxels.conductivity(voxels.present), np.asarray(counts / cells, dtype))
        shares = {
            start: (
                device,
                np.full(v.shape, 1 / cells, dtype) if inside[start] is None else inside[start] / dtype.type(cells),
            )
            for start, device, v in voxels.pieces()
        }
        values = {start: (device, v.astype(dtype)) for start, device, v in voxels.pieces()}
        return jax.tree.map(lambda v: jnp.asarray(np.asarray(v)), bounds(voxels.put(values), voxels.put(shares)))
