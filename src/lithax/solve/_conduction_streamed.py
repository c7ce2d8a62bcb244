"""Conduction through an image larger than memory: the finest level on disk, and of the others those
that do not fit.

What `_conduction_solver` solves in memory, slab by slab: the voxels by `_streamed_voxels`, the
clusters by `_part_percolation`, the steps by `_streamed_solve`, the coarser levels by
`_streamed_levels`.
"""

import contextlib
import warnings
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.images import as_domain, make_selection
from lithax.solve._arguments import is_wanted
from lithax.solve._assembled import assembled
from lithax.solve._conduction_notes import AIR, CORNERS, corners_warning, level_note, refuse_unconverged
from lithax.solve._conduction_setup import Boundaries, Run, driven_axes, plan_run
from lithax.solve._conduction_solve import Stats, Tolerances
from lithax.solve._conductivity import Conductivity
from lithax.solve._domain import check_loading, section_of
from lithax.solve._scratch import ScratchVolume, check_room
from lithax.solve._solve_memory import give_back
from lithax.solve._source import Source, source_of
from lithax.solve._streamed_levels import cuts_of
from lithax.solve._streamed_memory import StreamPlan
from lithax.solve._streamed_solve import StreamedSolve
from lithax.solve._streamed_voxels import (
    StreamedImage,
    bounds_of_image,
    copied,
    counted,
    joined,
    meaning_of,
    written,
)
from lithax.solve._watch import Watch


@dataclass(frozen=True, eq=False)
class StreamedConduction:
    """One call: its arguments."""

    image: Any
    plan: StreamPlan
    boundaries: Boundaries
    pore: Any
    values: Any
    fluid: Any
    where: Any
    area: Any
    reservoir: int
    spacing: Any
    tolerance: float
    gradient_tolerance: float
    gradient: Any
    percolation_at: Any
    unit: str
    most: int
    throw: bool
    watch: Watch

    def result(self, axis: str) -> Conductivity:
        """Solve along each axis, and put the numbers together."""
        source = source_of(self.image, self.spacing)
        if self.where is not None:
            check_loading(self.boundaries.linear)
        wanted = driven_axes(axis, source.frame.shape)
        check_room("conductivity()", self.plan.folder, self.plan.scratch)
        found = [self._along(a, source) for a in wanted]
        medium = found[0].medium
        stats = jax.tree.map(lambda *v: np.stack([np.asarray(w) for w in v]), *(f.stats for f in found))
        first = found[0]
        several = axis == "all"
        notes = [note for f in found for note in f.notes if note != AIR or not several]
        cut = self.plan.deepest
        notes.append(
            f"larger than memory: solved in slabs of {self.plan.thickness} planes, with {len(cut.thicknesses)} of {cut.levels} levels "
            f"of the multigrid on disk ({self.plan.scratch / 1e9:.3g} GB)"
        )
        with medium.precision():
            result = assembled(
                [f.value for f in found], stats, np.asarray([f.share for f in found]), first.porosity, first.bounds,
                axis=axis, boundaries=self.boundaries, medium=medium, fluid=self.fluid, tolerance=self.tolerance,
                unit=self.unit, notes=tuple(notes),
            )  # fmt: skip
        give_back(source.frame.shape)
        if self.throw:
            refuse_unconverged(result, self.tolerance, self.most)
        self.watch.end()
        return replace(result, gradient=first.slopes)

    def _along(self, a: int, source: Source) -> "_Along":
        """Solve along one axis."""
        selection = make_selection(as_domain(self.where), source.frame)
        unit = plan_run(source.frame.shape, a, self.boundaries, source.spacing, 1.0, self.reservoir)
        image = StreamedImage(self.image, selection, unit.order, self.plan.cuts[a].at_once)
        fluid = self.fluid
        with contextlib.ExitStack() as files:
            raw, tally = copied(image, self.plan.folder)
            files.callback(raw.close)
            if tally.cells == 0:
                raise ValueError(
                    f"where= leaves no voxel of the image of shape {source.frame.shape}; check its place and size."
                )
            meaning = meaning_of(tally, self.pore, self.values)
            medium = meaning.medium
            files.enter_context(medium.precision())
            ends = "linear" if self.boundaries.linear else self.boundaries.ends
            layout = unit.settings.layout
            found, joins = counted(image, raw, meaning, tally), joined(image, raw, meaning, ends, layout.periodic)
            section = section_of(found.sections, tally.cells, source.frame.shape, a, self.area, source.spacing)
            run = plan_run(source.frame.shape, a, self.boundaries, source.spacing, section, self.reservoir)
            air = selection is None and found.edges and min(image.shape) >= 8 and found.pore < tally.cells
            notes = [AIR] if air else []
            if joins.percolating == 0 and joins.total and ends == "potential":
                nowhere = (False, False, False)
                if joined(image, raw, meaning, ends, nowhere, connectivity=26).percolating:
                    warnings.warn(corners_warning(a), UserWarning, stacklevel=5)
                    notes.append(CORNERS)
            if tally.everywhere and (self.percolation_at is not None or tally.present[0] < tally.present[-1]):
                level = tally.highest / 2 if self.percolation_at is None else float(self.percolation_at)
                least = float(np.nextafter(tally.present.dtype.type(level), tally.present.dtype.type(-1)))
                above = joined(image, raw, meaning, ends, layout.periodic, least)
                notes.append(level_note(level, above.total / tally.cells, above.percolating / tally.cells, a))
            largest = max(float(meaning.conductivities.max()), float(fluid) if self.reservoir else 0.0)
            scale = medium.dtype.type(largest if largest > 0 else 1)
            voxels, table = written(image, raw, meaning, joins, scale, self.reservoir, fluid, self.plan.folder)
            files.callback(voxels.close)
            raw.close()
            value, stats, slopes = self._solved(run, voxels, table, scale, fluid, medium.dtype, source, a)
            share = [n / tally.cells for n in (joins.total, joins.accessible, joins.percolating)]
            limits = bounds_of_image(meaning, tally, found)
        return _Along(value, stats, share, found.pore / tally.cells, limits, medium, tuple(notes), slopes)

    def _solved(
        self, run: Run, voxels: ScratchVolume, table: Any, scale: Any, fluid: Any, dtype: Any, source: Source, a: int
    ) -> tuple[Any, Stats, Any]:
        given = Tolerances.of(self.tolerance, self.gradient_tolerance, self.most, dtype)
        if is_wanted(self.gradient):
            given = jax.tree.map(np.asarray, given.for_gradient())
        of_cubes = run.of_cubes() and table is not None and len(table) == 2 and dtype == np.float32
        cuts = cuts_of(run, self.plan.cuts[a].thicknesses)
        solve = StreamedSolve(run, cuts, of_cubes, voxels, table, self.plan.folder, dtype)
        with contextlib.closing(solve):
            look = self.watch.start(run, 0, (), ())
            stats, power = solve.solve(given, look)
            matrix = np.asarray(power)[None, None]
            value = run.conductivity(matrix, scale * dtype.type(run.geometry[0]) if of_cubes else scale, fluid)
            slopes = None
            if is_wanted(self.gradient):
                chain = jax.grad(lambda m: run.conductivity(m[None, None], scale, fluid))(jnp.asarray(matrix[0, 0]))
                solve.slopes(solve.z)
                turned = _Turned(solve.z, run, dtype.type(chain / scale), source.frame.shape)
                slopes = source.as_image(turned, "derivative of the effective conductivity", "", self.gradient)
        return value, stats, slopes


@dataclass(frozen=True, eq=False)
class _Along:
    """What was found along one axis."""

    value: Any
    stats: Stats
    share: list[float]
    porosity: float
    bounds: Any
    medium: Any
    notes: tuple[str, ...]
    slopes: Any


@dataclass(frozen=True, eq=False)
class _Turned:
    """A volume of the solver in the order of the image, without the reservoirs, times a factor;
    sliced, it is read.
    """

    volume: ScratchVolume
    run: Run
    factor: Any
    shape: tuple[int, int, int]

    @property
    def dtype(self) -> Any:
        return self.volume.dtype

    @property
    def ndim(self) -> int:
        return 3

    def __getitem__(self, box: tuple[slice, slice, slice]) -> np.ndarray:
        x, y, z = (box[n] for n in self.run.order)
        begin, end, _ = x.indices(self.shape[self.run.order[0]])
        found = self.volume.box((slice(begin + self.run.reservoir, end + self.run.reservoir), y, z))
        return found.transpose(np.argsort(self.run.order)) * self.factor
