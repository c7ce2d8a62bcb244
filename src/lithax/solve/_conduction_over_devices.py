"""Conduction over several devices and processes: the host's loop, the same on every process.

What one device solves by `_conduction`, in parts: the voxels by `_over_devices`, the clusters by
`_part_percolation`, the levels and the step by `_parts`.
"""

import math
import warnings
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import at_once, is_traced
from lithax.images import save, together
from lithax.sharded import ShardedGrid
from lithax.solve import _parts as parts_of
from lithax.solve._air_around import air_notes
from lithax.solve._arguments import is_wanted
from lithax.solve._assembled import assembled
from lithax.solve._bounds import Bounds, bounds, bounds_of_field, sums_over
from lithax.solve._conduction_notes import CORNERS, corners_warning, level_note, refuse_unconverged
from lithax.solve._conduction_setup import AXES, Boundaries, Run, driven_axes, fluid_of, plan_run
from lithax.solve._conduction_solve import Tolerances
from lithax.solve._conductivity import Conductivity
from lithax.solve._conjugate_gradients import loop, until
from lithax.solve._derivative_over_devices import (
    PAIRS,
    refuse_further_derivatives,
    with_derivative,
    without_derivative,
)
from lithax.solve._domain import check_loading, section_of
from lithax.solve._guess_over_devices import guess_over_devices
from lithax.solve._over_devices import (
    Voxels,
    between_reservoirs,
    counted_section,
    extremes_of,
    mesh_of,
    offset_along,
    pieces_of,
    read_voxels,
    regridded,
    returned,
    source_over_devices,
    volume_of,
)
from lithax.solve._part_levels import plan_levels
from lithax.solve._part_percolation import PartPercolation, percolation_of_parts
from lithax.solve._watch import Watch


def conductivity_over_devices(
    image: Any, axis: str, boundaries: Boundaries, shape: Any, pore: Any, values: Any, fluid: Any, where: Any, area: Any,
    reservoir: int, spacing: Any, tolerance: float, gradient_tolerance: float, x0: Any, fields: bool, gradient: Any,
    percolation_at: float | None, unit: str, most: int, throw: bool, watch: Watch, refused: list[str],
) -> Conductivity:  # fmt: skip
    """Solve as `conductivity` does, on all devices that hold the voxels, or shall; its arguments.

    Raises
    ------
    ValueError
        Also if an option is given that is not available here (`refused`).
    """
    handed_in, image = image, without_derivative(image)
    differentiated = is_traced(handed_in) or is_traced(fluid) or any(is_traced(v) for v in (values or {}).values())
    source, world = source_over_devices(image, shape, spacing)
    if refused:
        raise ValueError(
            f"{refused[0]}= is not available over several devices; leave it out, or solve on one device: "
            "jax.device_put(image, jax.devices()[0])."
        )
    if differentiated:
        refuse_further_derivatives(values, fluid, reservoir, fields, gradient)
    if is_wanted(gradient) and axis == "all":
        raise ValueError("gradient= is that of one value; name the axis.")
    size = source.frame.shape
    wanted = driven_axes(axis, size)
    if where is not None:
        check_loading(boundaries.linear)
    fluid = fluid_of(fluid, reservoir, values, pore, source.boolean)
    whole = axis == "all" and boundaries.whole
    first = plan_run(size, None if whole else wanted[0], boundaries, source.spacing, 1.0, 0)
    levels = plan_levels(size, _in_order(first, first.settings.strengths))
    held = [any(boundaries.held(a)[b] for a in wanted) for b in range(3)]
    grid = ShardedGrid(size, mesh_of(image, source), levels[3], [int(h) for h in held])
    with at_once(image), together(world):
        voxels = read_voxels(image, source, grid, world, pore, values, where)
    with voxels.medium.precision():
        with at_once(image):
            solve = _Solve(
                voxels, source, boundaries, without_derivative(fluid), area, reservoir, unit, tolerance, gradient_tolerance,
                x0, fields, gradient, percolation_at, most, throw, watch, is_traced(handed_in),
            )  # fmt: skip
            result = solve.result(axis, levels, image)
            slopes = [returned(slope, image, grid) for slope in solve.slopes] if is_traced(handed_in) else []
        if is_traced(fluid):
            result = replace(result, fluid=fluid)
        return with_derivative(result, handed_in, slopes) if slopes else result


def _in_order(run: Run, of_solver: Any) -> tuple[Any, Any, Any]:
    """Return what a run has for the solver's axes in the order of the image's."""
    x, y, z = (of_solver[run.order.index(a)] for a in range(3))
    return x, y, z


class _Solve:
    """One call."""

    def __init__(
        self, voxels: Voxels, source: Any, boundaries: Boundaries, fluid: Any, area: Any, reservoir: int,
        unit: str, tolerance: float, gradient_tolerance: float, x0: Any, fields: bool, gradient: Any,
        percolation_at: float | None, most: int, throw: bool, watch: Watch, differentiated: bool,
    ) -> None:  # fmt: skip
        self.voxels, self.source, self.boundaries, self.fluid = voxels, source, boundaries, fluid
        self.area, self.reservoir, self.unit, self.most, self.throw = area, reservoir, unit, most, throw
        self.x0, self.percolation_at = x0, percolation_at
        self.watch = replace(watch, progress=watch.progress and voxels.world.first)
        self.fields, self.gradient = fields, gradient
        self.ends = "linear" if boundaries.linear else boundaries.ends
        self.tolerance = tolerance
        given = Tolerances.of(tolerance, gradient_tolerance, most, voxels.medium.dtype)
        self.wants_gradient = differentiated or is_wanted(gradient)
        self.slopes: list[jax.Array] = []
        """The derivative of the value for each axis, or of each entry of the tensor."""
        self.tolerances = given.for_gradient() if self.wants_gradient else given

    def result(self, axis: str, levels: Any, image: Any) -> Conductivity:
        """Solve along each axis, and put the numbers together."""
        voxels, world = self.voxels, self.voxels.world
        inside = {start: voxels.inside(start, v.shape) for start, _, v in voxels.pieces()}
        cells = volume_of(voxels, inside)
        if cells == 0:
            raise ValueError(f"where= leaves no voxel of the image of shape {voxels.shape}; check its place and size.")
        extremes = self._extremes(inside)
        largest = max(float(np.max(voxels.conductivity(extremes))), float(self.fluid) if self.reservoir else 0.0)
        scale = np.asarray(largest if largest > 0 else 1.0, voxels.medium.dtype)
        conducting, pores = {}, {}
        for start, _, v in voxels.pieces():
            mask, conducts = inside[start], voxels.meaning.conducts(v)
            conducting[start] = conducts if mask is None else conducts & mask
            pores[start] = voxels.pore(v) if mask is None else voxels.pore(v) & mask
        porosity = sum(world.gather(sum(int(np.count_nonzero(v)) for v in pores.values()))) / cells
        whole = axis == "all" and self.boundaries.whole
        axes = (None,) if whole else range(3) if axis == "all" else (AXES.index(axis),)
        found, shares, notes = [], [], []
        if voxels.selection is None:
            along, sides = driven_axes(axis, voxels.shape), self.boundaries.sides
            notes += air_notes(along, sides, pores, voxels.shape, world, named=axis == "all")
        for a in axes:
            planes = counted_section(voxels, inside, a)
            section = section_of(planes, cells, voxels.shape, a, self.area, self.source.spacing)
            opening = None if planes is None else float(planes[0])
            run = plan_run(
                voxels.shape, a, self.boundaries, self.source.spacing, section, self.reservoir, opening=opening
            )
            joined = percolation_of_parts(
                conducting, voxels.shape, a, self.ends, self.boundaries.periodic(a or 0), world
            )
            if joined.corners_only:
                if world.first:
                    warnings.warn(corners_warning(a or 0), UserWarning, stacklevel=4)
                notes.append(CORNERS)
            if voxels.is_field and joined.total == cells:
                notes += self._percolation_note(a, inside, cells, extremes)
            shares.append([n / cells for n in (joined.total, joined.accessible, joined.percolating)])
            found.append(self._solved(run, joined, levels, scale, inside, image))
        limits = self._bounds(inside, cells, extremes)
        result = self._assembled(axis, found, scale, porosity, np.asarray(shares), limits, image, tuple(notes))
        self.watch.end()
        return result

    def _extremes(self, inside: Any) -> np.ndarray:
        """Return the values that occur; of a field the extremes within the sample."""
        voxels = self.voxels
        if not voxels.is_field or voxels.selection is None:
            return voxels.present
        found = (v[inside[start]] for start, _, v in voxels.pieces())
        return extremes_of(found, voxels.world).astype(voxels.present.dtype)

    def _percolation_note(self, axis: int | None, inside: Any, cells: int, extremes: np.ndarray) -> list[str]:
        """Say what joins the ends from a conductivity on, where all of a field conducts."""
        voxels, world = self.voxels, self.voxels.world
        low, high = (float(v) for v in extremes)
        if self.percolation_at is None and low == high:
            return []
        level = 0.5 * high if self.percolation_at is None else float(self.percolation_at)
        above = {start: v >= level for start, _, v in voxels.pieces()}
        above = {start: v if inside[start] is None else v & inside[start] for start, v in above.items()}
        joined = percolation_of_parts(
            above, voxels.shape, axis, self.ends, self.boundaries.periodic(axis or 0), world, look_at_corners=False
        )
        return [level_note(level, joined.total / cells, joined.percolating / cells, axis)]

    def _laid_out(self, run: Run, levels: Any, geometry: tuple[float, float, float]) -> parts_of.Parts:
        """Return the grid and the levels of a solve: those of the image, or with its reservoirs;
        `geometry` as in `Parts`.
        """
        grid, axis = self.voxels.grid, run.axis
        if run.reservoir:
            assert axis is not None
            x, y, z = (n + 2 * k for n, k in zip(grid.shape, offset_along(axis, run.reservoir), strict=True))
            levels = plan_levels((x, y, z), _in_order(run, run.settings.strengths))
            grid = ShardedGrid((x, y, z), grid.mesh, levels[3], offset_along(axis, 1))
        return parts_of.plan_parts(
            grid, levels, self.boundaries.periodic(axis or 0), self.boundaries.held(axis or 0), geometry, axis,
            self.boundaries.linear,
        )  # fmt: skip

    def _in_bytes(self, run: Run) -> bool:
        """Whether weights are whole numbers, times the geometry, and nothing but the value is asked
        for.
        """
        medium = self.voxels.medium
        plain = medium.data.dtype == bool and medium.table is None
        return plain and run.of_cubes() and not (self.wants_gradient or self.fields)

    def _solved(
        self, run: Run, joined: PartPercolation, levels: Any, scale: np.ndarray, inside: Any, image: Any
    ) -> Any:
        voxels, dtype, keep = self.voxels, scale.dtype, joined.keep
        if self._in_bytes(run):
            parts, unit, kind = self._laid_out(run, levels, (1.0, 1.0, 1.0)), run.geometry[0], np.int8
            own = voxels.placed({start: (device, keep[start].view(kind)) for start, device, _ in voxels.pieces()}, kind)
        else:
            parts, unit = self._laid_out(run, levels, _in_order(run, run.geometry)), 1.0
            own = voxels.conducting(keep, scale)
        identity = [v for _, _, v in pieces_of(own, voxels.grid)]
        if run.reservoir:
            assert run.axis is not None
            section = None
            if voxels.selection is not None:
                masks = {start: (device, inside[start]) for start, device, _ in voxels.pieces()}
                section = voxels.placed(masks, bool)
            # Before a sample that nothing passes they would only carry a current of rounding.
            fluid = self.fluid / scale if joined.percolating else scale.dtype.type(0)
            own = between_reservoirs(own, section, fluid, voxels.shape, parts.grid, run.axis, run.reservoir)
        conductivities = (own,)
        hierarchy = parts_of.levels_of(parts, conductivities)
        rows = np.asarray([_in_order(run, row) for row in run.drives_along(joined.along, dtype)], dtype)
        potentials, ended, power = [], [], None
        for number, row in enumerate(rows):
            settings = (parts, row.tolist(), float(scale), voxels.world.count)
            look = self.watch.start(run, number, identity, settings)
            state = look.restored(parts_of.begin(parts, hierarchy, row, self._guess(run, number, parts.grid, image)))

            def take(state: Any, row: Any = row) -> Any:
                voxels.world.check()
                last = until(state, math.prod(parts.layout.shape), self.most)
                return parts_of.advance(parts, hierarchy, row, self.tolerances, state, last)

            state = loop(take, state, self.most, look)
            stats, power = jax.device_get(parts_of.stats_of(parts, hierarchy, row, state, self.tolerances.balance))
            ended.append(stats)
            potentials.append(state.u)
        if len(rows) > 1:
            power = parts_of.energies(parts, hierarchy, rows, tuple(potentials))
        matrix = jnp.asarray(unit * np.asarray(power).reshape(len(rows), len(rows)))
        slopes = (
            self._slopes(parts, conductivities, run, rows, potentials, matrix, scale) if self.wants_gradient else []
        )
        fields = [
            self._fields(parts, hierarchy, run, scale, number, row, u)
            for number, (row, u) in enumerate(zip(rows, potentials, strict=True))
            if self.fields
        ]
        return run, matrix, ended, slopes, fields

    def _slopes(
        self, parts: parts_of.Parts, fields: Any, run: Run, rows: np.ndarray, u: Any, matrix: Any, scale: np.ndarray
    ) -> list[jax.Array]:
        """Return the derivative of the value, or of each entry of the tensor, on the grid of the
        image.
        """
        found = []
        for i, j in PAIRS if run.axis is None else PAIRS[:1]:

            def entry(current: Any, i: int = i, j: int = j) -> Any:
                return run.conductivity(matrix.at[i, j].set(current), scale, self.fluid)[
                    (i, j) if run.axis is None else ()
                ]

            (slope,) = parts_of.slopes(parts, fields, rows[i], u[i], rows[j], u[j])
            found.append(self._of_image(slope, run) * np.asarray(jax.grad(entry)(matrix[i, j]) / scale))
        return found

    def _guess(self, run: Run, number: int, grid: ShardedGrid, image: Any) -> Any:
        if self.x0 is None:
            return None
        own = self.voxels.grid
        filled = own.filled if self.source.image is not None else tuple(image.shape)
        guess = guess_over_devices(self.x0, run, number, own, filled, self.voxels.medium.dtype)
        if not run.reservoir or run.axis is None:
            return guess
        return regridded(guess, own.shape, grid, by=offset_along(run.axis, run.reservoir))

    def _of_image(self, array: jax.Array, run: Run) -> jax.Array:
        """Return what was found on the grid of a solve on that of the image."""
        if not run.reservoir or run.axis is None:
            return array
        return regridded(array, self.voxels.shape, self.voxels.grid, by=offset_along(run.axis, -run.reservoir))

    def _fields(
        self, parts: parts_of.Parts, levels: Any, run: Run, scale: np.ndarray, number: int, row: Any, u: jax.Array
    ) -> tuple[Any, Any, Any]:
        """Return potential and current density on the grid of the image, and the current through
        every plane.
        """
        axis = number if run.axis is None else run.axis
        lengths, geometry = _in_order(run, run.lengths), _in_order(run, run.geometry)
        # Area over distance, times the distance: the area of a face, as in `current_density`.
        faces = [g * length / n for g, length, n in zip(geometry, lengths, self.voxels.shape, strict=True)]
        scales = np.asarray([float(scale) * lengths[axis] / face for face in faces], scale.dtype)
        flux = parts_of.current_density(parts, levels, row, u, scales)
        phi = self._of_image(parts_of.potential(parts, row, u), run)
        currents = np.asarray(parts_of.currents(parts, levels, row, u, axis))
        return phi, tuple(self._of_image(part, run) for part in flux), currents

    def _assembled(
        self, axis: str, found: Any, scale: np.ndarray, porosity: float, share: np.ndarray, limits: Bounds, image: Any,
        notes: tuple[str, ...],
    ) -> Conductivity:  # fmt: skip
        medium, several = self.voxels.medium, axis == "all"
        values = [run.conductivity(matrix, scale, self.fluid) for run, matrix, *_ in found]
        stats = jax.tree.map(lambda *v: jnp.asarray(np.stack(v)), *(s for _, _, ended, *_ in found for s in ended))
        result = assembled(
            values, stats, share, [scale] * len(values), porosity, limits, axis=axis, boundaries=self.boundaries,
            medium=medium, fluid=self.fluid, tolerance=self.tolerance, most=self.most, unit=self.unit, notes=notes,
        )  # fmt: skip
        if self.throw:  # before stores are written: an error would leave them
            refuse_unconverged(result.converged, result.solver_error, self.tolerance, self.most)
        fields = []
        for phi, flux, currents in (of_drive for *_, of_run in found for of_drive in of_run):
            density = tuple(self._returned(part, "current density", image, self.unit) for part in flux)
            fields.append((self._returned(phi, "potential", image), density, currents))
        potential, flux, currents = (list(of) for of in zip(*fields, strict=True)) if fields else (None,) * 3
        if fields and not several:
            potential, flux, currents = fields[0]
        self.slopes = [slope for *_, slopes, _ in found for slope in slopes]
        slopes = None
        if is_wanted(self.gradient):
            slopes = self._returned(self.slopes[0], "derivative of the effective conductivity", image)
        return replace(result, currents=currents, potential=potential, flux=flux, gradient=slopes)

    def _returned(self, array: jax.Array, name: str, image: Any, unit: str = "") -> Any:
        if self.source.image is None:
            return returned(array, image, self.voxels.grid)
        store = self.gradient if name.startswith("derivative") and self.gradient is not True else None
        if store is None and self.voxels.world.count > 1:
            return array  # an image in memory would be that of one process
        return save(array, store, like=image, field_name=name, field_unit=unit)

    def _bounds(self, inside: Any, cells: int, extremes: np.ndarray) -> Bounds:
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
        low, high = extremes
        sums = np.sum([sums_over(v, inside[start], low, high) for start, _, v in voxels.pieces()] or [np.zeros(4)], 0)
        means = np.sum(voxels.world.gather(sums), 0) / cells
        return bounds_of_field(means, low, high, dtype)
