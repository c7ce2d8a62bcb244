"""Conduction through a rock: formation factor, tortuosity, effective diffusivity, thermal
conductivity.
"""

import contextlib
import dataclasses
import math
import warnings
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from lithax.arrays import is_traced
from lithax.runtime import SerialWorld, connected
from lithax.solve._bounds import bounds
from lithax.solve._conduction_again import SolveAgain
from lithax.solve._conduction_budget import ConductionBudget
from lithax.solve._conduction_over_devices import conductivity_over_devices
from lithax.solve._conduction_setup import AXES, Boundaries, Run, plan_run, turned, weights
from lithax.solve._conduction_solve import (
    Settings,
    Solved,
    Tolerances,
    begin,
    begin_again,
    energies,
    solve_compiled,
    solve_on_host,
)
from lithax.solve._conduction_threshold import check_segmentation
from lithax.solve._conduction_trend import check_budget
from lithax.solve._conductivity import Conductivity, Porosities
from lithax.solve._domain import Domain, check_section, domain_of
from lithax.solve._fields import current_density, potential_of, relative_currents
from lithax.solve._medium import Medium, conducting_of, conducting_on_host, read_medium
from lithax.solve._over_devices import lies_over_devices
from lithax.solve._percolation import Percolation, percolation
from lithax.solve._solve_memory import check_memory, memory_of_conduction
from lithax.solve._source import Source, read_source
from lithax.solve._watch import Watch, watch_of

_MOST = 400


def conductivity(
    image: Any,
    *,
    axis: str = "x",
    pore: Any = None,
    values: Any = None,
    fluid: Any = None,
    where: Any = None,
    area: Any = None,
    ends: str = "potential",
    sides: str = "insulating",
    loading: str | None = None,
    reservoir: Any = 0,
    spacing: Any = None,
    shape: Any = None,
    tolerance: Any = 5e-3,
    gradient_tolerance: Any = 1e-2,
    x0: Any = None,
    fields: bool = False,
    gradient: Any = None,
    budget: Any = (),
    segmentation: Any = None,
    percolation_at: Any = None,
    unit: str = "",
    max_iterations: Any = _MOST,
    throw: bool = False,
    progress: bool = False,
    checkpoint: Any = None,
    memory_limit: Any = None,
) -> Conductivity:
    """Solve ∇·(σ∇φ) = 0 for the effective conductivity of an image [unit of the voxels'
    conductivity].

    Finite volumes with harmonic means on voxel faces, any σ ≥ 0. With ``ends="potential"`` the two
    faces of the image across the axis are held at potentials 1 and 0; the length is that between
    these faces (PoreSpy's `tortuosity_fd` holds the centres of the first and last voxels instead).
    The same number is the formation factor (1/F), the effective diffusivity (D_eff/D₀) and, with
    conductivities in W/m/K, the thermal conductivity.

    Parameters
    ----------
    image
        An image or array: booleans (True is pore, conductivity 1), a segmentation of integers with
        `pore` or `values`, or real conductivities, one per voxel or three (along x, y and z)
        stacked to shape (3, nx, ny, nz).
    axis
        Along which the current is driven; "all" for each of the three.
    pore
        Which value, or values, of a segmentation are pore; they conduct, with conductivity 1,
        unless `values` says otherwise.
    values
        The conductivity of each value of a segmentation.
    fluid
        Conductivity of the pore fluid, σ_w, in F = σ_w/σ_eff. 1 by default where `pore` or booleans
        say what conducts; without it, F is not computed for `values` and fields.
    where
        Which voxels belong to the sample: a region, a boolean image or array, `lithax.domain(...)`.
        What is outside insulates, and leaves area, volume and porosity.
    area
        Cross-section of the sample, in the square of the unit of `spacing`, where that of `where`
        varies along the axis.
    ends
        "potential": held at the two faces across the axis; "periodic": the image repeats itself
        along the axis.
    sides
        "insulating", or "periodic".
    loading
        "linear": the potential of a uniform field on all six faces, instead of `ends` and `sides`.
    reservoir
        Open voxels before and behind the sample, of the conductivity `fluid`; what they add is
        taken off again, and lengths are the sample's.
    spacing
        Voxel length, one number or one per axis; by default the image's.
    shape
        Of the image, where an array has filler beyond its upper faces, as `lithax.shard` makes it.
    tolerance
        Relative error of the value at which the iterations end [-]; see
        `Conductivity.solver_error`.
    gradient_tolerance
        Relative error (L2) of the derivative of the value under differentiation [-].
    x0
        Where to start: the `Conductivity` of an earlier solve with `fields=True`, or its potential;
        also of a coarser shape.
    fields
        Also return the potential, the current density and the current through every slice; images
        for an image.
    gradient
        True for the derivative of the value with respect to the conductivity of every voxel, in
        `Conductivity.gradient`; a store (for an image), to keep it there as an image. Zero where a
        voxel insulates or joins no end.
    budget
        Lines of the error budget that take further solves: "grid" (voxels split in two: eight times
        the work), "resolution" (image coarsened 2× and 3×), and "sample_size" (no solve: the
        scatter of the porosity between sub-cubes, at this volume, times Archie's m).
    segmentation
        Grey levels, threshold and its uncertainty: the line of the error budget for the threshold,
        from the derivative of the value for every voxel of the softened segmentation (one more
        solve); pores are darker.
    percolation_at
        Where every voxel of a field conducts, from which conductivity on a voxel counts for the
        percolation that a note reports; half the largest by default.
    unit
        Of the conductivities, for the text.
    max_iterations
        Steps at most.
    throw
        Raise RuntimeError where the solve does not converge, rather than saying so in the result.
    progress
        Whether to show a bar.
    checkpoint
        A folder in which a long solve keeps its state now and then, and when Ctrl-C ends it: the
        same call goes on from there. What it kept is removed when the call returns.
    memory_limit
        What it may use [byte], or a text such as "8 GiB"; by default what is free; see
        `lithax.plan`.

    Returns
    -------
        `Conductivity`. ``str()`` of it is a text to quote.

    Raises
    ------
    TypeError, ValueError
        If an option is not one of those above, integers come without a meaning, conductivities are
        negative or not finite, `where` leaves nothing or its cross-section varies, or the image is
        one voxel thick along the axis.
    MemoryLimitError
        If it would need more memory than it may use; before anything is read.

    Notes
    -----
    An array that lies over several devices (`lithax.shard`) is solved on these, an image on all
    devices of processes that work together (``connect("jax")``), or on those of
    `lithax.runtime.using`: every process reads and labels its own part, and the value does not
    depend on how many there are. There `reservoir`, `x0`, `budget`, `segmentation`,
    `percolation_at`, the flux and conductivities along three axes are not available, and paths
    through corners are not looked for. Arrays in the result lie as the one handed in.

    Under `jax.jit`, `jax.grad`, `jax.vmap` give arrays: the loop is compiled, parts that do not
    join the ends are found on the host in between, and under `vmap` members that have converged
    stay as they are while others go on. The value and the tensor have derivatives of first and
    second order (forward over reverse), the fields of first order.

    Examples
    --------
    >>> import numpy as np, lithax as lx
    >>> rock = np.ones((8, 8, 8), bool)
    >>> rock[:, :4] = False
    >>> result = lx.solve.conductivity(rock)
    >>> round(float(result.formation_factor), 3), round(float(result.tortuosity_factor), 3)
    (2.0, 1.0)
    """
    boundaries = _boundaries(axis, ends, sides, loading, reservoir)
    _check_numbers(tolerance, gradient_tolerance, max_iterations, reservoir)
    over_devices = lies_over_devices(image)
    memory = memory_of_conduction(image, shape, axis, boundaries.whole, fields, gradient, over_devices)
    if memory is not None:
        check_memory("conductivity()", memory, memory_limit)
    if over_devices:
        refused = {
            "reservoir": reservoir, "x0": x0 is not None, "budget": budget, "segmentation": segmentation is not None,
            "percolation_at": percolation_at is not None,
        }  # fmt: skip
        return conductivity_over_devices(
            image, axis, boundaries, shape, pore, values, fluid, where, area, spacing, tolerance, gradient_tolerance,
            fields, gradient, unit, max_iterations, throw, watch_of(progress, checkpoint, connected()),
            [name for name, given in refused.items() if given],
        )  # fmt: skip
    if shape is not None:
        image = _without_filler(image, shape)
    source = read_source(image, spacing)
    medium = read_medium(source.array, pore, values)
    guest = _under_a_transformation(medium, fluid)
    if gradient is not None and gradient is not False:
        if axis == "all":
            raise ValueError(
                "gradient= is that of one value; name the axis, or differentiate with jax.grad for all three."
            )
        if guest:
            raise ValueError("gradient= is for the host's loop; under a transformation differentiate with jax.grad.")
        if gradient is not True and source.image is None:
            raise ValueError("gradient= names a store, but image is an array; pass gradient=True, or an image.")
    wanted_lines = check_budget(budget)
    levels = check_segmentation(segmentation, medium.shape)
    if levels is not None and (guest or not medium.insulating_grains):
        raise ValueError(
            "segmentation= is the threshold between one conducting phase and grains that insulate, outside of compiled functions; "
            "leave it out here."
        )
    if guest and wanted_lines:
        raise ValueError(f"budget={budget!r} takes further solves on the host; leave it out under a transformation.")
    if guest and source.image is not None:
        raise TypeError(
            "conductivity() was called with an image under jax.jit, jax.grad or another transformation, which sees no files; "
            "call it with an array (image[...]), or use lx.chunk_loss for losses over images."
        )
    if fluid is None and values is None and (source.boolean or pore is not None):
        fluid = 1.0
    _check_fluid(fluid, reservoir, medium)
    domain = domain_of(where, source, boundaries.linear)
    wanted = range(3) if axis == "all" else (AXES.index(axis),)
    for a in wanted:
        if medium.shape[a] < 2:
            raise ValueError(
                f"axis={axis!r}, but image has shape {medium.shape}: one voxel thick along {AXES[a]}, where no current can be "
                f"driven; choose another axis."
            )
    solver = _Solver(
        source, medium, domain, boundaries, fluid, area, reservoir, unit, tolerance, gradient_tolerance, fields,
        gradient, max_iterations, throw, x0, watch_of(progress, checkpoint, SerialWorld()), [], percolation_at,
    )  # fmt: skip
    # A scope, and only where it is needed: JAX's setting stays as it is.
    double = medium.dtype == np.float64
    with jax.enable_x64(True) if double else contextlib.nullcontext():
        result = solver.compiled(axis) if guest else solver.on_host(axis)
    if not wanted_lines and levels is None:
        return result
    settings = {
        "ends": ends, "sides": sides, "loading": loading, "tolerance": tolerance, "max_iterations": max_iterations,
        "progress": progress,
    }  # fmt: skip
    again = SolveAgain(conductivity, settings, source, medium, domain, axis, area, fluid, reservoir)
    found = {name: again.line(name, result) for name in wanted_lines}
    if levels is not None:
        found["segmentation"] = again.segmentation(*levels, gradient_tolerance)
    return dataclasses.replace(result, error_budget=dataclasses.replace(result.error_budget, **found))


@dataclass(frozen=True, eq=False)
class _Solver:
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
    fields: bool
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
        section = check_section(self.domain, self.medium.shape, axis, self.area, self.source.spacing)
        means = (1.0, 1.0, 1.0)
        if self.medium.directed and not self.medium.traced:
            x, y, z = (float(np.mean(np.asarray(part))) for part in self.medium.data)
            means = (x, y, z)
        return plan_run(
            self.medium.shape, axis, self.boundaries, self.source.spacing, section, self.reservoir, means, wide
        )

    def tolerances(self) -> Tolerances:
        dtype = self.medium.dtype
        # The spread over slices falls as the root of the error of the value, which is of second
        # order.
        allowed = 2 * math.sqrt(self.tolerance)
        value, balance, gradient = (np.asarray(v, dtype) for v in (self.tolerance, allowed, self.gradient_tolerance))
        given = Tolerances(value, balance, gradient, np.asarray(self.most, np.int32))
        return jax.tree.map(np.asarray, given.for_gradient()) if self.wants_gradient else given

    @property
    def wants_gradient(self) -> bool:
        """Whether the derivative for every voxel is asked for."""
        return self.gradient is not None and self.gradient is not False

    def on_host(self, axis: str) -> Conductivity:
        """Solve with the host's loop."""
        conducting = conducting_on_host(self.medium)
        conducting_voxels = int(np.count_nonzero(conducting))
        if self.domain.mask is not None:
            conducting = conducting & self.domain.mask
        pore = conducting if self.medium.pore is None else np.asarray(self.medium.pore) & self.domain.inside
        cells, notes, found = self.domain.count(self.medium.shape), list(_air(pore, axis, self.domain)), []
        for run in self.runs(axis):
            joined = percolation(conducting, run.axis, self._ends, self.boundaries.periodic(run.axis or 0))
            if joined.corners_only:
                warnings.warn(
                    f"nothing joins the ends along {AXES[run.axis or 0]} through voxel faces, but something does through edges and "
                    "corners: throats are at the limit of the voxels; scan or segment at a finer resolution.",
                    UserWarning,
                    stacklevel=4,
                )
                notes.append("paths through edges and corners of voxels were not counted: throats at the voxel limit")
            notes += self._percolation_note(run, conducting_voxels, cells)
            found.append((run, joined, *self._solve_on_host(run, joined, conducting_voxels)))
        share = [[j.total / cells, j.accessible / cells, j.percolating / cells] for _, j, *_ in found]
        result = self._result(
            axis, found, np.count_nonzero(pore) / cells, np.asarray(share), tuple(notes), self._bounds(cells)
        )
        self.watch.end()
        return result

    def _percolation_note(self, run: Run, conducting: int, cells: int) -> list[str]:
        """Say what joins the ends from a conductivity on, where all of a field conducts."""
        medium = self.medium
        data = medium.data
        if medium.table is not None or data.dtype == bool or medium.directed or conducting < math.prod(medium.shape):
            return []
        field = np.asarray(data)
        largest = float(field.max())
        if self.percolation_at is None and float(field.min()) == largest:
            return []
        level = 0.5 * largest if self.percolation_at is None else float(self.percolation_at)
        above = field >= level
        joined = percolation(
            above if self.domain.mask is None else above & self.domain.mask, run.axis, self._ends,
            self.boundaries.periodic(run.axis or 0), look_at_corners=False,
        )  # fmt: skip
        along = "" if run.axis is None else f" along {AXES[run.axis]}"
        text = f"every voxel conducts; of at least {level:.4g} are {100 * joined.total / cells:.3g} % of the sample"
        return [f"{text}, and {100 * joined.percolating / cells:.3g} % join the ends{along}"]

    @property
    def _ends(self) -> str:
        return "linear" if self.boundaries.linear else self.boundaries.ends

    def _solve_on_host(self, run: Run, joined: Percolation, conducting: int) -> tuple[Solved, Any, Any]:
        medium = turned(self.medium, run.order)
        # What insulates needs no mask: it insulates.
        everything = joined.percolating == conducting
        keep = None if everything else jnp.asarray(joined.keep.transpose(run.order))
        section = self.domain.section(run)
        fluid = np.asarray(0.0 if self.fluid is None else self.fluid, medium.dtype)
        faces, scale = weights(medium, keep, fluid, section, run.settings.layout, run.geometry, run.reservoir)
        drives = jnp.asarray(run.drives, medium.dtype)
        cycle, potentials, ended = None, [], []
        for number, drive in enumerate(_drives(drives)):
            guess = self._guess(run, number)
            if cycle is None:
                cycle, state = begin(faces, drive, guess, run.settings)
                faces = cycle.levels[0].faces  # one copy is enough
            else:
                state = begin_again(cycle, drive, guess, run.settings)
            given = repr((run.settings, run.geometry, run.reservoir, float(fluid), number))
            look = self.watch.start(run, number, (medium.data, medium.table, keep), given)
            u, stats = solve_on_host(cycle, state, drive, self.tolerances(), run.settings, look)
            potentials.append(run.settings.layout.filled(u))
            ended.append(stats)
        matrix = _matrix(faces, drives, tuple(potentials), run.settings)
        stats = jax.tree.map(lambda *v: jnp.stack(v), *ended)
        solved = Solved(matrix, tuple(potentials) if self.fields else None, stats)
        if self.wants_gradient:
            self.gradients.append(
                _gradient(
                    medium, keep, fluid, section, drives, tuple(potentials), run.settings, run.geometry, run.reservoir
                )
            )
        return solved, scale, faces if self.fields else None

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
        pore = conducting if medium.pore is None else jnp.asarray(medium.pore) & self.domain.inside
        found, shares = [], []
        for run in self.runs(axis, wide=False):
            keep, share = _percolation_on_host(conducting, run, self._ends, self.boundaries, cells)
            shares.append(share)
            turned_keep = keep.transpose(run.order)
            fluid = jnp.asarray(0.0 if self.fluid is None else self.fluid, medium.dtype)
            solved, scale, faces = _compiled(
                turned(medium, run.order), turned_keep, fluid, self.domain.section(run),
                jnp.asarray(run.drives, medium.dtype), jax.tree.map(jnp.asarray, self.tolerances()), run.settings,
                run.geometry, run.reservoir, self.fields,
            )  # fmt: skip
            found.append((run, None, solved, scale, faces))
        porosity = jnp.sum(pore) / cells
        return self._result(axis, found, porosity, jnp.stack(shares), (), self._bounds(cells))

    def _bounds(self, cells: int) -> Any:
        medium, inside = self.medium, self.domain.mask
        if not medium.traced and medium.data.dtype == bool and medium.table is None:
            pore = np.count_nonzero(np.asarray(medium.data) & self.domain.inside) / cells
            return bounds(np.asarray([0, 1], medium.dtype), np.asarray([1 - pore, pore], medium.dtype))
        s = lax.stop_gradient(medium.conductivities())
        s = jnp.mean(s, 0) if medium.directed else s
        return _bounds_of(s, None if inside is None else jnp.asarray(inside), cells)

    def _result(
        self, axis: str, found: list[Any], porosity: Any, share: Any, notes: tuple[str, ...], limits: Any
    ) -> Conductivity:
        values, tensor = [], None
        for run, _, solved, scale, _ in found:
            values.append(run.conductivity(solved.matrix, scale, self.fluid))
        if axis == "all" and self.boundaries.whole:
            tensor = values[0]
            value = jnp.diagonal(tensor)
        else:
            value = jnp.stack(values) if axis == "all" else values[0]
        stats = jax.tree.map(lambda *v: jnp.concatenate(v), *(solved.stats for _, _, solved, *_ in found))
        if axis != "all":
            stats, share = jax.tree.map(lambda v: v[0], stats), share[0]
        total, accessible, percolating = (share[..., n] for n in range(3))
        if axis == "all" and self.boundaries.whole:
            accessible, percolating = accessible[0], percolating[0]
        total = porosity if self.medium.pore is not None else total[0] if axis == "all" else total
        result = Conductivity(
            value=value,
            tensor=tensor,
            porosity=porosity,
            porosities=Porosities(total, accessible, percolating),
            bounds=limits,
            fluid=self.fluid,
            converged=stats.done & (stats.error <= self.tolerance),
            iterations=stats.iterations,
            residual=stats.residual,
            balance=stats.balance,
            solver_error=stats.error,
            gradient_error=jnp.sqrt(stats.error),
            error_budget=ConductionBudget(solver=stats.error, balance=stats.balance),
            axis=axis,
            ends="linear" if self.boundaries.linear else self.boundaries.ends,
            sides="linear" if self.boundaries.linear else self.boundaries.sides,
            unit=self.unit,
            meaning=self.medium.meaning,
            insulating_grains=self.medium.insulating_grains,
            notes=notes,
        )
        result = self._with_gradient(self._with_fields(result, found, axis), found)
        return self._checked(result)

    def _with_fields(self, result: Conductivity, found: list[Any], axis: str) -> Conductivity:
        if not self.fields:
            return result
        phi, flux, currents = [], [], []
        for run, _, solved, scale, faces in found:
            for number, row in enumerate(_drives(jnp.asarray(run.drives, self.medium.dtype))):
                u = solved.u[number]
                phi.append(potential_of(run, row, u, number))
                flux.append(current_density(run, row, faces, u, scale, number))
                currents.append(relative_currents(run, row, faces, u, number))
        if axis != "all":
            phi, flux, currents = phi[0], flux[0], currents[0]
        phi, flux = (
            self.source.as_images(phi, "potential", ""),
            self.source.as_images(flux, "current density", self.unit),
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
        text = (
            f"conductivity() did not converge to tolerance={self.tolerance:g} in max_iterations={self.most} steps; ask for less "
            "accuracy, allow more steps, or pass a float64 field if rounding is the limit."
        )
        if is_traced(result.converged):
            ok = jnp.all(result.converged)
            return eqx.tree_at(lambda r: r.value, result, eqx.error_if(result.value, ~ok, text))
        if not bool(np.all(np.asarray(result.converged))):
            raise RuntimeError(
                f"{text} The best estimate of the error is {float(np.max(np.asarray(result.solver_error))):.2g}."
            )
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

    largest = jnp.max(s) if not reservoir else jnp.maximum(jnp.max(s), fluid)
    slopes = jax.grad(current)(s) * jnp.where(largest > 0, largest, 1)
    return jnp.where(s > 0, slopes, 0)  # nothing holds the potential where a voxel insulates


@eqx.filter_jit
def _matrix(faces: Any, steps: Any, u: Any, settings: Settings) -> jax.Array:
    return energies(settings.layout, faces, steps, u)


@eqx.filter_jit
def _bounds_of(s: jax.Array, inside: jax.Array | None, cells: int) -> Any:
    flat = s.reshape(-1)
    share = jnp.full(flat.shape, 1 / cells, flat.dtype)
    return bounds(flat, share if inside is None else jnp.where(inside.reshape(-1), share, 0))


def _drives(rows: jax.Array) -> Any:
    from lithax.solve._conduction_problem import Drive

    return [Drive(rows[n]) for n in range(rows.shape[0])]


def _percolation_on_host(
    conducting: jax.Array, run: Run, ends: str, boundaries: Boundaries, cells: int
) -> tuple[jax.Array, jax.Array]:
    periodic = boundaries.periodic(run.axis or 0)

    def find(mask: Any) -> tuple[np.ndarray, np.ndarray]:
        joined = percolation(np.asarray(mask), run.axis, ends, periodic, look_at_corners=False)
        counts = np.asarray([joined.total, joined.accessible, joined.percolating], float) / cells
        return joined.keep, counts.astype(np.float32)

    shapes = (jax.ShapeDtypeStruct(conducting.shape, bool), jax.ShapeDtypeStruct((3,), np.float32))
    return jax.pure_callback(find, shapes, conducting, vmap_method="sequential")


def _without_filler(image: Any, shape: Any) -> Any:
    size = tuple(shape)
    if (
        hasattr(image, "frame")
        or len(size) != 3
        or any(not 0 < n <= m for n, m in zip(size, image.shape[-3:], strict=True))
    ):
        raise ValueError(
            f"shape={shape!r} must be three numbers, none beyond image's {tuple(image.shape)}, and is for arrays with filler; "
            "leave it out."
        )
    x, y, z = size
    return image[..., :x, :y, :z]


def _under_a_transformation(medium: Medium, fluid: Any) -> bool:
    # Within jax.jit even a new array of zeros is traced, whatever the arguments are.
    return medium.traced or is_traced(fluid) or is_traced(jnp.zeros(()))


def _boundaries(axis: Any, ends: Any, sides: Any, loading: Any, reservoir: Any) -> Boundaries:
    for name, value, known in (
        ("axis", axis, (*AXES, "all")),
        ("ends", ends, ("potential", "periodic")),
        ("sides", sides, ("insulating", "periodic")),
        ("loading", loading, (None, "linear")),
    ):
        if value not in known:
            raise ValueError(f"{name}={value!r} must be one of {', '.join(repr(k) for k in known)}.")
    if loading == "linear" and (ends != "potential" or sides != "insulating"):
        raise ValueError(f"loading='linear' takes the place of ends={ends!r} and sides={sides!r}; leave these two out.")
    if reservoir and (loading == "linear" or ends == "periodic"):
        raise ValueError(f"reservoir={reservoir!r} needs ends='potential' and no loading: leave it out here.")
    return Boundaries(ends, sides, loading == "linear")


def _check_numbers(tolerance: Any, gradient_tolerance: Any, most: Any, reservoir: Any) -> None:
    for name, value in (("tolerance", tolerance), ("gradient_tolerance", gradient_tolerance)):
        if not isinstance(value, int | float | np.number) or not 0 < value < 1:
            raise ValueError(f"{name}={value!r} must lie between 0 and 1: a relative error, such as 5e-3.")
    for name, value, least in (("max_iterations", most, 1), ("reservoir", reservoir, 0)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name}={value!r} must be a whole number >= {least}.")


def _check_fluid(fluid: Any, reservoir: int, medium: Medium) -> None:
    if fluid is None:
        if reservoir:
            raise ValueError(f"reservoir={reservoir} needs fluid=, the conductivity of what is in it.")
        return
    if is_traced(fluid):
        return
    if not isinstance(fluid, int | float | np.number) and getattr(fluid, "shape", None) != ():
        raise TypeError(f"fluid={fluid!r} must be a number, the conductivity of the pore fluid.")
    if not 0 < float(fluid) < np.inf:
        raise ValueError(f"fluid={fluid!r} must be finite and above 0, the conductivity of the pore fluid.")


def _air(pore: np.ndarray, axis: str, domain: Domain) -> Any:
    """Say if the box around a plug was taken for pore: all four edges along an axis are pore."""
    if domain.mask is not None or axis == "all" or min(pore.shape) < 8 or pore.all():
        return
    along = np.moveaxis(pore, AXES.index(axis), 0)
    if all(along[:, j, k].all() for j in (0, -1) for k in (0, -1)):
        yield (
            "the pore space fills all four edges of the image along the axis: it may be the air around a plug; pass "
            "where=lx.regions.Cylinder(...) to leave it out"
        )
