"""Conduction through an image larger than memory: the finest level on disk, and of the others those
that do not fit.

What `_conduction_solver` solves in memory, slab by slab: the voxels by `_streamed_voxels`, the
clusters by `_part_percolation`, the steps by `_streamed_solve`, the coarser levels by
`_streamed_levels`.
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.images import as_domain, make_selection
from lithax.measure import RepresentativeVolume
from lithax.solve._air_around import FEWEST, air_along
from lithax.solve._arguments import is_wanted
from lithax.solve._assembled import assembled
from lithax.solve._conduction_again import OtherVoxels
from lithax.solve._conduction_notes import CORNERS, corners_warning, level_note, refuse_unconverged
from lithax.solve._conduction_setup import AXES, Boundaries, Run, driven_axes, plan_run
from lithax.solve._conduction_solve import Stats, Tolerances
from lithax.solve._conduction_threshold import ONE_PHASE
from lithax.solve._conduction_trend import sample_size
from lithax.solve._conductivity import Conductivity
from lithax.solve._domain import check_loading, section_of
from lithax.solve._fields import FLUX, POTENTIAL, density_of, guessed, potential_to_start_from, whole_multiples
from lithax.solve._scratch import ScratchVolume
from lithax.solve._solve_memory import give_back
from lithax.solve._source import Source, source_of
from lithax.solve._streamed_budget import resolution_trend_on_disk
from lithax.solve._streamed_checkpoint import KeptSolve, alone_in, check_rooms, clear, identity_of_volume
from lithax.solve._streamed_levels import cuts_of
from lithax.solve._streamed_memory import StreamPlan
from lithax.solve._streamed_solve import StreamedSolve
from lithax.solve._streamed_tensor import StreamedTensor
from lithax.solve._streamed_threshold import SoftImage, check_same_pores_on_disk, slope_in_threshold
from lithax.solve._streamed_voxels import (
    StreamedImage,
    bounds_of_image,
    copied,
    counted,
    joined,
    meaning_of,
    written,
)
from lithax.solve._voxel_meaning import Meaning
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
    fields: Any
    percolation_at: Any
    unit: str
    most: int
    throw: bool
    x0: Any
    watch: Watch
    checkpoint: Path | None
    segmentation: tuple[Any, float, float] | None
    """Grey levels, threshold and its uncertainty."""
    budget: tuple[str, ...]
    again: Callable[..., Conductivity]
    """Solves for other voxels with the same settings."""
    width: float | None = None
    """Of a softened segmentation, whose threshold the value is differentiated in."""

    def result(self, axis: str) -> Conductivity:
        """Solve along each axis, and put the numbers together."""
        source = source_of(self.image, self.spacing)
        if self.where is not None:
            check_loading(self.boundaries.linear)
        wanted = driven_axes(axis, source.frame.shape)
        with contextlib.ExitStack() as alone:
            if self.checkpoint is not None:
                alone.enter_context(alone_in(self.checkpoint))
            check_rooms("conductivity()", self.plan.folder, self.plan.scratch, self.checkpoint, self.plan.kept)
            result = self._of_axes(axis, wanted, source)
            if self.segmentation is not None:
                line = self._threshold_line(wanted, source)
                line = np.where(np.ravel(result.value) > 0, line, np.nan)
                line = np.asarray(line) if axis == "all" else line[0]
                result = replace(result, error_budget=replace(result.error_budget, segmentation=line))
            give_back(source.frame.shape)
            if self.throw:
                refuse_unconverged(result.converged, result.solver_error, self.tolerance, self.most)
            if self.checkpoint is not None:
                clear(self.checkpoint)
        return result

    def _of_axes(self, axis: str, wanted: Sequence[int], source: Source) -> Conductivity:
        several = len(wanted) > 1
        # Of a solve that others follow numbers are left, of which no image could be made again.
        images = is_wanted(self.gradient) or is_wanted(self.fields)
        others = several or ((self.segmentation is not None or bool(self.budget)) and not images)
        with contextlib.ExitStack() as files:
            tensor = None
            if several and self.boundaries.whole:
                if self.area is not None:
                    section_of(None, 0, source.frame.shape, None, self.area, source.spacing)  # refuses it
                tensor = StreamedTensor(self.plan.folder, self.plan.at_once)
                files.callback(tensor.close)
            found = [self._along(a, source, others, tensor) for a in wanted]
        medium = found[0].medium
        stats = jax.tree.map(lambda *v: np.stack([np.asarray(w) for w in v]), *(f.stats for f in found))
        first = found[0]
        notes = air_along([AXES[a] for a, f in zip(wanted, found, strict=True) if f.air], several)
        notes += [note for f in (found if tensor is None else found[:1]) for note in f.notes]
        cut = self.plan.deepest
        notes.append(
            f"larger than memory: solved in slabs of {self.plan.thickness} planes, with {len(cut.thicknesses)} of {cut.levels} levels "
            f"of the multigrid on disk ({(self.plan.scratch + self.plan.kept) / 1e9:.3g} GB)"
        )
        with medium.precision():
            values, share = [f.value for f in found], [f.share for f in found]
            if tensor is not None:
                values, share = [tensor.value.astype(medium.dtype)], share[:1]
            result = assembled(
                values, stats, np.asarray(share), [f.scale for f in found[: len(values)]], first.porosity, first.bounds,
                axis=axis, boundaries=self.boundaries, medium=medium, fluid=self.fluid, tolerance=self.tolerance,
                most=self.most, unit=self.unit, notes=tuple(notes),
            )  # fmt: skip
        potential, flux, currents = first.fields
        result = replace(result, gradient=first.slopes, potential=potential, flux=flux, currents=currents)
        lines = {name: self._line(name, result, first, source) for name in self.budget}
        return replace(result, error_budget=replace(result.error_budget, **lines))

    def _line(self, name: str, result: Conductivity, found: "_Along", source: Source) -> Any:
        """Return a line of the error budget, given the result and what was found along its first
        axis; None if nothing joins the ends.
        """
        if not np.any(np.asarray(result.value)):
            return None
        if name == "sample_size":
            if self.fluid is None or found.sizes is None:
                return None
            return sample_size(found.sizes, found.cells, result.cementation_exponent)
        area = self.area
        if self.where is not None and area is None and result.axis != "all":
            face = math.prod(h for n, h in enumerate(source.spacing) if n != AXES.index(result.axis))
            area = face * found.section
        shape = source.frame.shape
        others = OtherVoxels(
            self.again, {}, shape, found.cells, source.spacing, result.axis, area, self.fluid, self.reservoir
        )
        selection = make_selection(as_domain(self.where), source.frame)
        image = StreamedImage(self.image, selection, (0, 1, 2), self.plan.at_once)
        return resolution_trend_on_disk(image, found.meaning, result.value, others, self.plan.folder)

    def _along(self, a: int, source: Source, several: bool, tensor: StreamedTensor | None = None) -> "_Along":
        """Solve along one axis; `several`: other solves follow; `tensor` takes the solve in."""
        selection = make_selection(as_domain(self.where), source.frame)
        unit = plan_run(source.frame.shape, a, self.boundaries, source.spacing, 1.0, self.reservoir)
        image = StreamedImage(self.image, selection, unit.order, self.plan.cuts[a].at_once)
        fluid, guess = self.fluid, self._guess(unit, source.frame.shape, self.plan.cuts[a].at_once)
        with contextlib.ExitStack() as files:
            raw, tally = copied(image, self.plan.folder)
            files.callback(raw.close)
            if tally.cells == 0:
                raise ValueError(
                    f"where= leaves no voxel of the image of shape {source.frame.shape}; check its place and size."
                )
            meaning = meaning_of(tally, self.pore, self.values)
            medium = meaning.medium
            if self.segmentation is not None and not medium.insulating_grains:
                raise ValueError(ONE_PHASE)
            files.enter_context(medium.precision())
            ends = "linear" if self.boundaries.linear else self.boundaries.ends
            layout = unit.settings.layout
            found = counted(image, raw, meaning, tally, "sample_size" in self.budget)
            through = 0 if tensor is None else None
            joins, driven = joined(image, raw, meaning, ends, layout.periodic, axis=through)
            if self.segmentation is not None:
                grey, threshold, _ = self.segmentation
                check_same_pores_on_disk(image, raw, meaning, grey, threshold)
            section = 1.0  # the tensor is that of a volume
            if tensor is None:
                section = section_of(found.sections, tally.cells, source.frame.shape, a, self.area, source.spacing)
            opening = None if found.sections is None else float(found.sections[0])
            run = plan_run(
                source.frame.shape, a, self.boundaries, source.spacing, section, self.reservoir, opening=opening
            )
            notes, periodic = [], self.boundaries.sides == "periodic"
            air = selection is None and found.edges and min(image.shape) >= FEWEST and found.pore < tally.cells
            if joins.percolating == 0 and joins.total and ends == "potential":
                nowhere = (False, False, False)
                if joined(image, raw, meaning, ends, nowhere, connectivity=26)[1]:
                    warnings.warn(corners_warning(a), UserWarning, stacklevel=5)
                    notes.append(CORNERS)
            if tally.everywhere and (self.percolation_at is not None or tally.present[0] < tally.present[-1]):
                level = float(tally.present[-1]) / 2 if self.percolation_at is None else float(self.percolation_at)
                least = float(np.nextafter(tally.present.dtype.type(level), tally.present.dtype.type(-1)))
                above, _ = joined(image, raw, meaning, ends, layout.periodic, least, axis=through)
                along = a if tensor is None else None
                notes.append(level_note(level, above.total / tally.cells, above.percolating / tally.cells, along))
            largest = max(float(meaning.conductivities.max()), float(fluid) if self.reservoir else 0.0)
            scale = medium.dtype.type(largest if largest > 0 else 1)
            voxels, table = written(image, raw, meaning, joins, scale, self.reservoir, fluid, self.plan.folder)
            files.callback(voxels.close)
            raw.close()
            driven = driven or tensor is None  # alone it leaves the ramp, as in memory
            value, stats, slopes, fields = self._solved(
                run, voxels, table, scale, fluid, medium.dtype, source, a, several, guess, tensor, tally.cells, driven
            )
            share = [n / tally.cells for n in (joins.total, joins.accessible, joins.percolating)]
            limits = bounds_of_image(meaning, tally, found)
        return _Along(
            value, stats, share, found.pore / tally.cells, limits, medium, tuple(notes), slopes, fields, meaning,
            section, tally.cells, found.sizes, air and not periodic, scale,
        )  # fmt: skip

    def _solved(
        self,
        run: Run,
        voxels: ScratchVolume,
        table: Any,
        scale: Any,
        fluid: Any,
        dtype: Any,
        source: Source,
        a: int,
        several: bool,
        guess: Any,
        tensor: StreamedTensor | None,
        cells: int,
        driven: bool,
    ) -> tuple[Any, Stats, Any, Any]:
        given = Tolerances.of(self.tolerance, self.gradient_tolerance, self.most, dtype)
        if is_wanted(self.gradient) or self.width is not None:
            given = jax.tree.map(np.asarray, given.for_gradient())
        kept = None
        if self.checkpoint is not None:
            text = repr((run.settings, run.geometry, run.reservoir, float(fluid or 0), float(scale)))
            name = AXES[a] if self.width is None else f"soft-{AXES[a]}"
            kept = KeptSolve(self.checkpoint, name, identity_of_volume(voxels, table, text))
        of_cubes = run.of_cubes() and table is not None and len(table) == 2 and dtype == np.float32
        ended = None if kept is None or not several else kept.ended(given, 2)
        slopes, fields = None, (None, None, None)
        if ended is None:
            cuts = cuts_of(run, self.plan.cuts[a].thicknesses)
            solve = StreamedSolve(run, cuts, of_cubes, voxels, table, self.plan.folder, dtype, kept, guess, driven)
            with contextlib.closing(solve):
                stats, power = solve.solve(given, self.watch.start(run, a, (), ()))
                slope = 0.0
                wanted = is_wanted(self.gradient) or is_wanted(self.fields)
                if self.throw and wanted:  # before stores are written: an error would leave them
                    refuse_unconverged(stats.converged(self.tolerance), stats.error, self.tolerance, self.most)
                if tensor is not None:
                    tensor.add(a, solve, float(power), float(scale) * (run.geometry[0] if of_cubes else 1.0), cells)
                if self.width is not None:
                    slope = slope_in_threshold(solve, float(power), float(scale), self.width)
                if is_wanted(self.gradient):
                    slopes = self._slopes(solve, power, scale, fluid, source)
                if is_wanted(self.fields):
                    fields = self._fields(solve, scale * dtype.type(run.geometry[0]) if of_cubes else scale, source)
            ended = stats, np.asarray([power, slope], dtype)
            if kept is not None and several:
                kept.end(given, *ended)
        stats, (power, slope) = ended
        value = run.conductivity(power[None, None], scale * dtype.type(run.geometry[0]) if of_cubes else scale, fluid)
        return value, stats, slopes if self.width is None else float(slope), fields

    def _threshold_line(self, wanted: Sequence[int], source: Source) -> list[float]:
        """Return the relative error from the threshold's uncertainty along each axis, each from a
        solve of the softened segmentation.
        """
        assert self.segmentation is not None
        grey, threshold, uncertainty = self.segmentation
        again = replace(
            self, image=SoftImage(grey, threshold, uncertainty), pore=None, values=None, fluid=1.0, reservoir=0, x0=None,
            gradient=None, fields=False, percolation_at=None, segmentation=None, budget=(), width=uncertainty,
        )  # fmt: skip
        return [abs(again._along(a, source, True).slopes) * uncertainty for a in wanted]

    def _guess(self, run: Run, shape: tuple[int, int, int], at_once: int) -> Iterator[tuple[int, np.ndarray]] | None:
        """Return planes of the first guess in the order of the solver; None if there is none."""
        if self.x0 is None:
            return None
        potential = potential_to_start_from(self.x0, run, 0)
        factors = whole_multiples(np.shape(potential), shape)
        n = shape[run.order[0]]
        return (
            (begin + run.reservoir, guessed(potential, run, 0, factors, begin, min(begin + at_once, n)))
            for begin in range(0, n, at_once)
        )

    def _slopes(self, solve: StreamedSolve, power: np.ndarray, scale: Any, fluid: Any, source: Source) -> Any:
        """Return the image of the derivative for every voxel."""
        run = solve.run
        chain = jax.grad(lambda m: run.conductivity(m[None, None], scale, fluid))(jnp.asarray(power))
        factor = solve.dtype.type(chain / scale)
        turned = _Turned(solve.slopes(), run, source.frame.shape, lambda v, _: v * factor)
        return source.as_image(turned, "derivative of the effective conductivity", "", self.gradient)

    def _fields(self, solve: StreamedSolve, scale: Any, source: Source) -> tuple[Any, tuple[Any, Any, Any], np.ndarray]:
        """Return the images of the potential and of the current density along x, y and z, and the
        currents through planes.
        """
        run, dtype, shape = solve.run, solve.dtype, source.frame.shape
        step = dtype.type(run.drives[0, 0] * solve.driven)

        def potential(u: np.ndarray, places: np.ndarray) -> np.ndarray:
            return (1 - (u + (places + dtype.type(0.5)) * step)).astype(dtype)

        turned = _Turned(solve.vectors[0], run, shape, potential)
        phi = source.as_image(turned, "potential", "", self.fields, POTENTIAL)
        flux = {}
        for axis, along in enumerate(run.order):
            factor = dtype.type(density_of(run, axis, 0, scale))
            turned = _Turned(solve.flux(axis), run, shape, lambda v, _, factor=factor: v * factor)
            flux[along] = source.as_image(turned, "current density", self.unit, self.fields, FLUX[along])
        mean = np.mean(solve.currents)
        return phi, (flux[0], flux[1], flux[2]), solve.currents / np.where(mean == 0, 1, mean).astype(dtype)


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
    """An image; of a softened segmentation d ln σ / d threshold."""
    fields: tuple[Any, Any, Any]
    """Potential, flux and currents; None where they are not asked for."""
    meaning: Meaning
    section: float
    """Cross-section [voxel faces]."""
    cells: int
    """Voxels of the sample."""
    sizes: RepresentativeVolume | None
    air: bool
    """Whether the pores may be the air around a plug."""
    scale: Any
    """The conductivity that the solve was relative to."""


@dataclass(frozen=True, eq=False)
class _Turned:
    """What is made of a volume of the solver, in the order of the image, without the reservoirs;
    sliced, it is read.
    """

    volume: ScratchVolume
    run: Run
    shape: tuple[int, int, int]
    made: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """Of voxels and the numbers of their planes, of shape (n, 1, 1)."""

    @property
    def dtype(self) -> Any:
        return self.volume.dtype

    @property
    def ndim(self) -> int:
        return 3

    def __getitem__(self, box: tuple[slice, slice, slice]) -> np.ndarray:
        x, y, z = (box[n] for n in self.run.order)
        begin, end, _ = x.indices(self.shape[self.run.order[0]])
        begin, end = begin + self.run.reservoir, end + self.run.reservoir
        places = np.arange(begin, end, dtype=self.volume.dtype).reshape(-1, 1, 1)
        return self.made(self.volume.box((slice(begin, end), y, z)), places).transpose(np.argsort(self.run.order))
