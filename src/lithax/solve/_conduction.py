"""Conduction through a rock: formation factor, tortuosity, effective diffusivity, thermal
conductivity.
"""

import dataclasses
from functools import partial
from typing import Any

import jax
import numpy as np

from lithax.arrays import is_traced
from lithax.runtime import SerialWorld, connected
from lithax.solve._arguments import check_known, is_wanted
from lithax.solve._checkpoint import HOST_ONLY
from lithax.solve._conduction_again import SolveAgain
from lithax.solve._conduction_arguments import boundaries_of, check_fields, check_gradient, check_numbers
from lithax.solve._conduction_over_devices import conductivity_over_devices
from lithax.solve._conduction_setup import driven_axes, fluid_of
from lithax.solve._conduction_solver import ConductionSolver
from lithax.solve._conduction_streamed import StreamedConduction
from lithax.solve._conduction_threshold import ONE_PHASE, check_same_pores, check_segmentation
from lithax.solve._conduction_trend import check_budget
from lithax.solve._conductivity import Conductivity
from lithax.solve._derivative_over_devices import without_derivative
from lithax.solve._domain import domain_of, within
from lithax.solve._medium import Medium, conducting_on_host, read_medium
from lithax.solve._over_devices import lies_over_devices
from lithax.solve._solve_memory import check_memory, memory_allowed, memory_of_conduction
from lithax.solve._source import plain_array, read_source, size_of, without_filler
from lithax.solve._streamed_memory import not_from_disk, plan_streaming
from lithax.solve._watch import watch_of

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
    fields: Any = False,
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
    scratch: Any = None,
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
        say what conducts, and nothing else then; without it, F is not computed for `values` and
        fields.
    where
        Which voxels belong to the sample: a region, a boolean image or array, `lithax.domain(...)`.
        What is outside insulates, and leaves area, volume and porosity; a field may hold anything
        there.
    area
        Cross-section of the sample, in the square of the unit of `spacing`, where that of `where`
        varies along the axis; with ``axis="all"`` that across each of the three.
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
        Voxel length, one number or one per axis, or text such as "2 um"; by default the image's.
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
        True to return also the potential, the current density and the current through every slice;
        images for an image. A store (for an image, along one axis), to keep potential and current
        density there, as the images "potential", "flux_x", "flux_y" and "flux_z".
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
        Raise RuntimeError where the solve does not converge, rather than saying so in the result;
        under `jax.jit` where the value is used, not where only its derivative is
        (`jax.value_and_grad` rather than `jax.grad`).
    progress
        Whether to show a bar.
    checkpoint
        A folder in which a long solve keeps its state now and then, and when Ctrl-C ends it: the
        same call goes on from there. What it kept is removed when the call returns. From disk it is
        kept after each step (24 bytes a voxel there, 12 less in `scratch`).
    memory_limit
        What it may use [byte], or a text such as "8 GiB"; by default what is free; see
        `lithax.plan`. An image that does not fit is solved from disk (see Notes).
    scratch
        A folder for what a solve from disk keeps while it goes on (17 to 20.5 bytes a voxel of a
        segmentation, 8 more for a tensor); by default the one that TMPDIR names, or /var/tmp.

    Returns
    -------
        `Conductivity`. ``str()`` of it is a text to quote.

    Raises
    ------
    TypeError, ValueError
        If an option is not one of those above, integers come without a meaning, conductivities are
        negative or not finite, `where` leaves nothing or its cross-section varies, or the image is
        one voxel thick along the axis.
    FileExistsError
        If a store named by `fields` or `gradient` holds something already.
    MemoryLimitError
        If it would need more memory than it may use, from disk as well, or `scratch` or
        `checkpoint` has too little room; before anything is read.
    LockedError
        If another call keeps the state of a solve from disk in the same `checkpoint`.

    Notes
    -----
    An array that lies over several devices (`lithax.shard`) is solved on these, an image on all
    devices of processes that work together (``connect("jax")``), or on those of
    `lithax.runtime.using`: every process reads and labels its own part, and the value does not
    depend on how many there are. Arrays in the result lie as the one handed in; of an image over
    several processes they lie over the devices, with zeros beyond its upper faces, and
    ``lithax.save(result.potential, store, like=image)`` keeps them. There `budget`, `segmentation`
    and conductivities along three axes are not available. `jax.grad`, `jax.vjp` and `jax.jvp` of
    value and tensor with respect to a field over devices are taken there, and the gradient lies as
    the field; second derivatives and those of the potential are refused, and under `jax.jit` an
    array is that of one device.

    An image that does not fit into memory, or an array of NumPy whose solve does not, is solved
    from disk: voxels and potential of the finest level are read and written slab by slab in every
    step, and so are the coarser levels of the multigrid that do not fit. Discretisation, steps and
    stopping rule are those in memory, and the value agrees to rounding; the last note of the result
    says so. There the line "grid" of `budget`, ``fields=True`` and ``gradient=True`` (stores are
    written), and a checkpoint of a tensor are not available. Images coarsened for the line
    "resolution" are solved in memory where they fit.

    Under `jax.jit`, `jax.grad`, `jax.vmap` give arrays: the loop is compiled, parts that do not
    join the ends are found on the host in between, and under `vmap` members that have converged
    stay as they are while others go on. What cannot be looked at there (conductivities that are
    negative or not finite, values of a segmentation that `values` says nothing of) makes the value
    NaN. The value and the tensor have derivatives of first and
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
    check_numbers(tolerance, gradient_tolerance, max_iterations, reservoir, area, percolation_at, unit)
    boundaries, wanted_lines = boundaries_of(axis, ends, sides, loading, reservoir), check_budget(budget)
    check_known(spacing=spacing)
    image = plain_array(image)
    if shape is not None and hasattr(image, "shape"):
        shape = size_of(image, shape)
    whole = boundaries.whole
    if lies_over_devices(without_derivative(image)):
        voxels, wanted = without_derivative(image), True if is_traced(image) else gradient
        memory = memory_of_conduction(voxels, shape, axis, whole, fields, wanted, True, reservoir)
        if memory is not None:
            check_memory("conductivity()", memory, memory_limit, jax.local_device_count())
        refused = {"budget": budget, "segmentation": segmentation is not None}
        if not isinstance(fields, bool):
            raise ValueError(
                f"fields={fields!r} names a store; over several devices pass fields=True, and keep the fields with "
                "lithax.save(result.potential, store, like=image)."
            )
        return conductivity_over_devices(
            image, axis, boundaries, shape, pore, values, fluid, where, area, reservoir, spacing, tolerance,
            gradient_tolerance, x0, fields, gradient, percolation_at, unit, max_iterations, throw,
            watch_of(progress, checkpoint, connected()), [name for name, given in refused.items() if given],
        )  # fmt: skip
    check_gradient(gradient, axis, image)
    check_fields(fields, axis, image)
    settings = {
        "ends": ends, "sides": sides, "loading": loading, "tolerance": tolerance, "max_iterations": max_iterations,
        "progress": progress,
    }  # fmt: skip
    memory = memory_of_conduction(image, shape, axis, whole, fields, gradient, False, reservoir)
    if memory is not None and memory[1] > memory_allowed(memory_limit):
        options = {
            "axis": axis, "shape": shape, "fields": fields, "gradient": gradient, "budget": wanted_lines,
            "values": values, "fluid": fluid, "checkpoint": checkpoint,
        }  # fmt: skip
        without, allowed = not_from_disk(boundaries, options), memory_allowed(memory_limit)
        plan = plan_streaming(
            image,
            axis,
            boundaries,
            spacing,
            reservoir,
            scratch,
            checkpoint is not None,
            segmentation is not None,
            allowed,
        )
        if plan is None or without is not None:
            instead = "" if plan is None else f"leave out {without}, so that it is solved from disk; "
            check_memory("conductivity()", memory, memory_limit, instead=instead)
        else:
            check_memory("conductivity()", (memory[0], min(memory[1], plan.memory)), memory_limit)
            kept = watch_of(progress, checkpoint, SerialWorld()).checkpoint
            fluid = fluid_of(fluid, reservoir, values, pore, np.dtype(image.dtype) == bool)
            return StreamedConduction(
                image, plan, boundaries, pore, values, fluid, where, area, reservoir, spacing, tolerance,
                gradient_tolerance, gradient, fields, percolation_at, unit, max_iterations, throw, x0,
                watch_of(progress, None, SerialWorld()), None if kept is None else kept.folder,
                check_segmentation(segmentation, image.shape), wanted_lines,
                partial(conductivity, memory_limit=memory_limit, scratch=scratch, **settings),
            ).result(axis)  # fmt: skip
    if shape is not None:
        image = without_filler(image, shape)
    source = read_source(image, spacing)
    medium = read_medium(within(where, source, boundaries.linear), pore, values)
    guest = _under_a_transformation(medium, fluid)
    if guest and checkpoint is not None:
        raise ValueError(HOST_ONLY)
    if guest and is_wanted(gradient):
        raise ValueError("gradient= is for the host's loop; under a transformation differentiate with jax.grad.")
    if guest and not isinstance(fields, bool):
        raise ValueError("fields= names a store, which a transformation cannot write to; pass fields=True there.")
    levels = check_segmentation(segmentation, medium.shape)
    if levels is not None:
        if guest or not medium.insulating_grains:
            raise ValueError(ONE_PHASE)
        levels = (np.asarray(levels[0][...], np.float32), *levels[1:])
    if guest and wanted_lines:
        raise ValueError(f"budget={budget!r} takes further solves on the host; leave it out under a transformation.")
    if guest and source.image is not None:
        raise TypeError(
            "conductivity() was called with an image under jax.jit, jax.grad or another transformation, which sees no files; "
            "call it with an array (image[...]), or use lx.chunk_loss for losses over images."
        )
    fluid = fluid_of(fluid, reservoir, values, pore, source.boolean)
    domain = domain_of(where, source, boundaries.linear)
    if levels is not None:
        check_same_pores(levels[0], levels[1], conducting_on_host(medium), domain.inside)
    driven_axes(axis, medium.shape)
    solver = ConductionSolver(
        source, medium, domain, boundaries, fluid, area, reservoir, unit, tolerance, gradient_tolerance, fields,
        gradient, max_iterations, throw, x0, watch_of(progress, checkpoint, SerialWorld()), [], percolation_at,
    )  # fmt: skip
    with medium.precision():
        result = solver.compiled(axis) if guest else solver.on_host(axis)
    if not wanted_lines and levels is None:
        return result
    again = SolveAgain(conductivity, settings, source, medium, domain, axis, area, fluid, reservoir)
    found = {name: again.line(name, result) for name in wanted_lines}
    if levels is not None:
        found["segmentation"] = again.segmentation(*levels, gradient_tolerance, result)
    return dataclasses.replace(result, error_budget=dataclasses.replace(result.error_budget, **found))


def _under_a_transformation(medium: Medium, fluid: Any) -> bool:
    # Within jax.jit even a new array of zeros is traced, whatever the arguments are.
    return medium.traced or is_traced(fluid) or is_traced(jax.device_put(np.zeros((), np.float32)))
