"""One call of `conductivity`: the host's loop, which shows progress and can be cut off, and the
compiled one.
"""

import warnings
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from lithax.arrays import is_traced
from lithax.solve._air_around import air_notes
from lithax.solve._arguments import is_wanted
from lithax.solve._assembled import assembled
from lithax.solve._bounds import Bounds, bounds
from lithax.solve._conduction_notes import CORNERS, corners_warning, level_note, not_converged, refuse_unconverged
from lithax.solve._conduction_problem import Drive
from lithax.solve._conduction_setup import (
    AXES,
    Boundaries,
    Run,
    driven_axes,
    largest_of,
    plan_run,
    turned,
    weights,
    weights_of_pores,
)
from lithax.solve._conduction_solve import (
    Settings,
    Solved,
    Tolerances,
    begin,
    energies,
    levels_of,
    solve_compiled,
    solve_on_host,
)
from lithax.solve._conductivity import Conductivity
from lithax.solve._domain import Domain, check_section
from lithax.solve._fields import FLUX, POTENTIAL, current_density, potential_of, relative_currents
from lithax.solve._medium import Medium, along_any, conducting_of, conducting_on_host
from lithax.solve._percolation import Percolation, percolation
from lithax.solve._solve_memory import give_back
from lithax.solve._source import Source
from lithax.solve._watch import Watch


@dataclass(frozen=True, eq=False)
class ConductionSolver:
    """One call: what was asked for, and the two ways to do it."""

    source: Source
    medium: Medium
    domain: Domain
    boundaries: Boundaries
    fluid: Any
    area: float | None
    reservoir: int
    unit: str
    tolerance: float
    gradient_tolerance: float
    fields: Any
    gradient: Any
    most: int
    throw: bool
    x0: Any
    watch: Watch
    gradients: list[Any]
    percolation_at: float | None

    def runs(self, axis: str, wide: bool = True) -> tuple[Run, ...]:
        """One operator for all axes where the boundaries allow it, one for each otherwise."""
        if axis == "all" and self.boundaries.whole:
            return (self._run(None, wide),)
        return tuple(self._run(a, wide) for a in (range(3) if axis == "all" else (AXES.index(axis),)))

    def _run(self, axis: int | None, wide: bool) -> Run:
        shape, mask = self.medium.shape, self.domain.mask
        section = check_section(self.domain, shape, axis, self.area, self.source.spacing)
        opening = None if mask is None or axis is None else float(np.count_nonzero(mask.take(0, axis)))
        means = (1.0, 1.0, 1.0)
        if self.medium.directed and not self.medium.traced:
            x, y, z = (float(np.mean(np.asarray(part))) for part in self.medium.data)
            means = (x, y, z)
        return plan_run(
            shape, axis, self.boundaries, self.source.spacing, section, self.reservoir, means, wide, opening
        )

    def tolerances(self) -> Tolerances:
        given = Tolerances.of(self.tolerance, self.gradient_tolerance, self.most, self.medium.dtype)
        return jax.tree.map(np.asarray, given.for_gradient()) if self.wants_gradient else given

    @property
    def wants_gradient(self) -> bool:
        """Whether the derivative for every voxel is asked for."""
        return is_wanted(self.gradient)

    def on_host(self, axis: str) -> Conductivity:
        """Solve with the host's loop."""
        conducting = conducting_on_host(self.medium)
        conducting_voxels = int(np.count_nonzero(along_any(self.medium, conducting)))
        if self.domain.mask is not None:
            conducting = conducting & self.domain.mask
        pore = along_any(self.medium, conducting)
        if self.medium.pore is not None:
            pore = np.asarray(self.medium.pore) & self.domain.inside
        cells, notes, found, share = self.domain.count(self.medium.shape), [], [], []
        if self.domain.mask is None:
            axes, pores = driven_axes(axis, self.medium.shape), {(0, 0, 0): pore}
            notes += air_notes(axes, self.boundaries.sides, pores, self.medium.shape, named=axis == "all")
        for run in self.runs(axis):
            joined = percolation(conducting, run.axis, self._ends, self.boundaries.periodic(run.axis or 0))
            if joined.corners_only:
                warnings.warn(corners_warning(run.axis or 0), UserWarning, stacklevel=3)
                notes.append(CORNERS)
            notes += self._percolation_note(run, joined.total, cells)
            rows = run.drives_along(joined.along, self.medium.dtype)
            found.append((run, rows, *self._solve_on_host(run, rows, joined, conducting_voxels)))
            share.append([n / cells for n in (joined.total, joined.accessible, joined.percolating)])
            give_back(self.medium.shape)
        result = self._result(
            axis, found, np.count_nonzero(pore) / cells, np.asarray(share), tuple(notes), self._bounds(cells)
        )
        self.watch.end()
        return result

    def _percolation_note(self, run: Run, conducting: int, cells: int) -> list[str]:
        """Say what joins the ends from a conductivity on, where all of a field conducts."""
        medium = self.medium
        data = medium.data
        if medium.table is not None or data.dtype == bool or medium.directed or conducting < cells:
            return []
        field, inside = np.asarray(data), self.domain.inside
        largest = float(np.max(field, where=inside, initial=0))
        if self.percolation_at is None and float(np.min(field, where=inside, initial=largest)) == largest:
            return []
        level = 0.5 * largest if self.percolation_at is None else float(self.percolation_at)
        above = field >= level
        joined = percolation(
            above if self.domain.mask is None else above & self.domain.mask, run.axis, self._ends,
            self.boundaries.periodic(run.axis or 0), look_at_corners=False,
        )  # fmt: skip
        return [level_note(level, joined.total / cells, joined.percolating / cells, run.axis)]

    @property
    def _ends(self) -> str:
        return "linear" if self.boundaries.linear else self.boundaries.ends

    def _solve_on_host(
        self, run: Run, drives: np.ndarray, joined: Percolation, conducting: int
    ) -> tuple[Solved, Any, Any]:
        medium = turned(self.medium, run.order)
        # What insulates needs no mask: it insulates.
        everything = joined.percolating == conducting
        keep = None if everything else jnp.asarray(joined.keep.transpose(run.order))
        section = self.domain.section(run)
        fluid = np.asarray(0.0 if self.fluid is None else self.fluid, medium.dtype)
        if medium.data.dtype == bool and medium.table is None and run.of_cubes():
            faces = weights_of_pores(jnp.asarray(medium.data), keep, run.settings.layout)
            scale = np.asarray(run.geometry[0], medium.dtype)
        else:
            faces, scale = weights(medium, keep, fluid, section, run.settings.layout, run.geometry, run.reservoir)
        cycle = levels_of(faces, run.settings)
        faces = cycle.levels[0].faces  # one copy is enough
        potentials, ended, power = [], [], None
        for number, drive in enumerate(_drives(drives)):
            state = begin(cycle, drive, self._guess(run, number), run.settings)
            given = (run.settings, run.geometry, run.reservoir, float(fluid), number)
            look = self.watch.start(run, number, (medium.data, medium.table, keep), given)
            u, stats, power = solve_on_host(cycle, state, drive, self.tolerances(), run.settings, look)
            potentials.append(run.settings.layout.filled(u))
            ended.append(stats)
        # From here on single numbers, by NumPy: each of JAX's operations on them is a program.
        one = len(drives) == 1
        matrix = np.asarray(power)[None, None] if one else _matrix(faces, drives, tuple(potentials), run.settings)
        stats = jax.tree.map(lambda *v: np.stack(v), *jax.device_get(ended))
        solved = Solved(np.asarray(matrix), tuple(potentials) if self.fields else None, stats)
        if self.wants_gradient:
            self.gradients.append(
                _gradient(
                    medium, keep, fluid, section, drives, tuple(potentials), run.settings, run.geometry, run.reservoir
                )
            )
        return solved, np.asarray(scale), faces if self.fields else None

    def _guess(self, run: Run, number: int) -> Any:
        if self.x0 is None:
            return None
        from lithax.solve._fields import guess_from

        return guess_from(self.x0, run, number, self.medium.shape, self.reservoir)

    def compiled(self, axis: str) -> Conductivity:
        """Solve in compiled loops, under a transformation."""
        if self.x0 is not None:
            raise ValueError("x0= starts the host's loop; leave it out under jax.jit, jax.grad and jax.vmap.")
        medium = self.medium
        conducting = lax.stop_gradient(conducting_of(medium))
        if self.domain.mask is not None:
            conducting = conducting & self.domain.mask
        cells = self.domain.count(medium.shape)
        pore = along_any(medium, conducting)
        if medium.pore is not None:
            pore = jnp.asarray(medium.pore) & self.domain.inside
        found, shares = [], []
        for run in self.runs(axis, wide=False):
            keep, share, along = _percolation_on_host(conducting, run, self._ends, self.boundaries, cells)
            shares.append(share)
            turned_keep, rows = keep.transpose(run.order), run.drives_along(along, medium.dtype)
            fluid = jnp.asarray(0.0 if self.fluid is None else self.fluid, medium.dtype)
            solved, scale, faces = _compiled(
                turned(medium, run.order), turned_keep, fluid, self.domain.section(run),
                jnp.asarray(rows), jax.tree.map(jnp.asarray, self.tolerances()), run.settings,
                run.geometry, run.reservoir, self.fields,
            )  # fmt: skip
            found.append((run, rows, solved, scale, faces))
        porosity = jnp.sum(pore) / cells
        result = self._result(axis, found, porosity, jnp.stack(shares), (), self._bounds(cells))
        return _spoilt(result, medium)

    def _bounds(self, cells: int) -> Bounds:
        medium, inside = self.medium, self.domain.mask
        if not medium.traced and medium.data.dtype == bool and medium.table is None:
            pore = np.count_nonzero(np.asarray(medium.data) & self.domain.inside) / cells
            return bounds(np.asarray([0, 1], medium.dtype), np.asarray([1 - pore, pore], medium.dtype))
        s = lax.stop_gradient(medium.conductivities())
        inside = None if inside is None else jnp.asarray(inside)
        if not medium.directed:
            return _bounds_of(s, inside, cells)
        # A current meets no less than the least of a voxel's three conductivities, and no more than
        # the largest.
        low, high = _bounds_of(jnp.min(s, 0), inside, cells), _bounds_of(jnp.max(s, 0), inside, cells)
        return Bounds((low.wiener[0], high.wiener[1]), (low.hashin_shtrikman[0], high.hashin_shtrikman[1]))

    def _result(
        self, axis: str, found: list[Any], porosity: Any, share: Any, notes: tuple[str, ...], limits: Any
    ) -> Conductivity:
        values = [run.conductivity(solved.matrix, scale, self.fluid) for run, _, solved, scale, _ in found]
        xp = np if isinstance(found[0][2].matrix, np.ndarray) else jnp
        stats = jax.tree.map(lambda *v: xp.concatenate(v), *(solved.stats for _, _, solved, *_ in found))
        result = assembled(
            values, stats, share, [scale for _, _, _, scale, _ in found], porosity, limits, axis=axis,
            boundaries=self.boundaries, medium=self.medium, fluid=self.fluid, tolerance=self.tolerance, most=self.most,
            unit=self.unit, notes=notes,
        )  # fmt: skip
        # Before stores are written: an error would leave them, and the next call would be refused.
        result = self._checked(result)
        return self._with_gradient(self._with_fields(result, found, axis), found)

    def _with_fields(self, result: Conductivity, found: list[Any], axis: str) -> Conductivity:
        if not self.fields:
            return result
        phi, flux, currents = [], [], []
        for run, rows, solved, scale, faces in found:
            for number, row in enumerate(_drives(rows)):
                u = solved.u[number]
                phi.append(potential_of(run, row, u, number))
                flux.append(current_density(run, row, faces, u, scale, number))
                currents.append(relative_currents(run, row, faces, u, number))
        if axis != "all":
            phi, flux, currents = phi[0], flux[0], currents[0]
        if self.fields is True:
            phi = self.source.as_images(phi, "potential", "")
            flux = self.source.as_images(flux, "current density", self.unit)
        else:
            phi = self.source.as_image(phi, "potential", "", self.fields, POTENTIAL)
            flux = tuple(
                self.source.as_image(v, "current density", self.unit, self.fields, path)
                for v, path in zip(flux, FLUX, strict=True)
            )
        return eqx.tree_at(
            lambda r: (r.potential, r.flux, r.currents), result, (phi, flux, currents), is_leaf=lambda v: v is None
        )

    def _with_gradient(self, result: Conductivity, found: list[Any]) -> Conductivity:
        if not self.gradients:
            return result
        (run, *_), slopes = found[0], self.gradients[0]
        # The chain rule through the reservoirs and the units: one number.
        matrix, scale = found[0][2].matrix, found[0][3]
        chain = jax.grad(lambda m: run.conductivity(m[None, None], scale, self.fluid))(matrix[0, 0])
        slopes = slopes * (chain / scale)
        if self.medium.directed:
            slopes = slopes.transpose(0, *(1 + n for n in np.argsort(run.order)))[np.argsort(run.order)]
        else:
            slopes = slopes.transpose(np.argsort(run.order))
        if self.source.image is not None and not self.medium.directed:
            store = None if self.gradient is True else self.gradient
            slopes = self.source.as_image(slopes, "derivative of the effective conductivity", "", store)
        return eqx.tree_at(lambda r: r.gradient, result, slopes, is_leaf=lambda v: v is None)

    def _checked(self, result: Conductivity) -> Conductivity:
        if not self.throw:
            return result
        if is_traced(result.converged):
            ok, text = jnp.all(result.converged), not_converged(self.tolerance, self.most)
            return eqx.tree_at(lambda r: r.value, result, eqx.error_if(result.value, ~ok, text))
        refuse_unconverged(result.converged, result.solver_error, self.tolerance, self.most)
        return result


@eqx.filter_jit
def _compiled(
    medium: Medium, keep: Any, fluid: Any, section: Any, steps: Any, tolerances: Tolerances, settings: Settings,
    geometry: Any, reservoir: int, fields: bool,
) -> tuple[Solved, Any, Any]:  # fmt: skip
    faces, scale = weights(medium, keep, fluid, section, settings.layout, geometry, reservoir)
    solved = solve_compiled(faces, steps, tolerances, settings, fields)
    return solved, scale, faces if fields else None


@eqx.filter_jit
def _gradient(
    medium: Medium,
    keep: Any,
    fluid: Any,
    section: Any,
    steps: Any,
    u: Any,
    settings: Settings,
    geometry: Any,
    reservoir: int,
) -> jax.Array:
    """Return the derivative of the current for a drop of one with respect to the conductivity of
    every voxel, times the scale.
    """
    s = medium.conductivities()

    def current(s: jax.Array) -> jax.Array:
        plain = Medium(s, None, None, "", False)
        faces, _ = weights(plain, keep, fluid, section, settings.layout, geometry, reservoir)
        return energies(settings.layout, faces, steps, u)[0, 0]

    slopes = jax.grad(current)(s) * largest_of(s, keep, fluid, reservoir)
    return jnp.where(s > 0, slopes, 0)  # nothing holds the potential where a voxel insulates


@eqx.filter_jit
def _matrix(faces: Any, steps: Any, u: Any, settings: Settings) -> jax.Array:
    return energies(settings.layout, faces, steps, u)


@eqx.filter_jit
def _bounds_of(s: jax.Array, inside: jax.Array | None, cells: int) -> Any:
    flat = s.reshape(-1)
    share = jnp.full(flat.shape, 1 / cells, flat.dtype)
    return bounds(flat, share if inside is None else jnp.where(inside.reshape(-1), share, 0))


def _spoilt(result: Conductivity, medium: Medium) -> Conductivity:
    """Return the result, with NaN for its numbers and their derivatives where voxels are wrong that
    a transformation hides.
    """
    if medium.wrong is None:
        return result
    # Added, and to every conductivity: what does not conduct would hide it from a derivative.
    numbers = jnp.sum(jnp.asarray(medium.data if medium.table is None else medium.table))
    poison = jnp.where(medium.wrong, np.nan, 0).astype(numbers.dtype) * numbers
    parts = (result.value, result.tensor, result.potential, result.flux, result.currents)
    value, tensor, potential, flux, currents = jax.tree.map(lambda v: v + poison.astype(v.dtype), parts)
    return replace(
        result, value=value, tensor=tensor, potential=potential, flux=flux, currents=currents,
        converged=result.converged & ~medium.wrong,
    )  # fmt: skip


def _drives(rows: Any) -> list[Drive]:
    return [Drive(jnp.asarray(row)) for row in rows]


def _percolation_on_host(
    conducting: jax.Array, run: Run, ends: str, boundaries: Boundaries, cells: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    periodic = boundaries.periodic(run.axis or 0)

    def find(mask: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        joined = percolation(np.asarray(mask), run.axis, ends, periodic, look_at_corners=False)
        counts = np.asarray([joined.total, joined.accessible, joined.percolating], float) / cells
        return joined.keep, counts.astype(np.float32), np.asarray(joined.along)

    shapes = tuple(
        jax.ShapeDtypeStruct(s, t) for s, t in ((conducting.shape[-3:], bool), ((3,), np.float32), ((3,), bool))
    )
    return jax.pure_callback(find, shapes, conducting, vmap_method="sequential")
