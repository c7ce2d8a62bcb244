"""Absolute permeability by Stokes flow on the voxels: the public function."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import is_traced
from lithax.geometry import Frame
from lithax.runtime import SerialWorld, connected
from lithax.solve._checkpoint import HOST_ONLY, Checkpoint
from lithax.solve._conduction_threshold import check_same_pores, check_segmentation
from lithax.solve._derivative_over_devices import without_derivative
from lithax.solve._domain import cells_of, mean_sections
from lithax.solve._error_budget import ErrorBudget
from lithax.solve._flow_budget import check_budget, grid_change, resolution_trend
from lithax.solve._flow_direction import ORDERS, Boundaries, Call, solve_direction
from lithax.solve._flow_input import AXES, FlowInput, check_walls, precision_of, read_input, turned
from lithax.solve._flow_problem import prepare
from lithax.solve._flow_solve import FlowSettings
from lithax.solve._flow_words import SIDES, check_words, scale_of, wall_rule
from lithax.solve._multigrid import FEW_CELLS
from lithax.solve._over_devices import lies_over_devices
from lithax.solve._permeability_of_flow import (
    Direction,
    as_images,
    make_result,
    micro_phases,
    plain_numbers,
    tensor_of,
    with_narrow_share,
)
from lithax.solve._permeability_over_devices import permeability_over_devices
from lithax.solve._permeability_result import Permeability
from lithax.solve._solve_memory import check_memory, give_back, memory_of_flow
from lithax.solve._source import plain_array, size_of, without_filler
from lithax.solve._watch import watch_of


def permeability(
    image: Any,
    *,
    axis: Any = "x",
    pore: Any = None,
    permeability: Any = None,
    porosity: Any = None,
    where: Any = None,
    shape: Any = None,
    ends: Any = "pressure",
    sides: Any = "symmetric",
    reservoir: Any = 0,
    wall: Any = None,
    spacing: Any = None,
    area: Any = None,
    unit: Any = None,
    tolerance: Any = 5e-3,
    gradient_tolerance: Any = 1e-2,
    max_iterations: Any = 60,
    fields: Any = False,
    budget: Any = (),
    segmentation: Any = None,
    throw: bool = False,
    memory_limit: Any = None,
    progress: bool = False,
    checkpoint: Any = None,
) -> Permeability:
    """Solve Stokes flow through the pores of an image and return its permeability.

    Parameters
    ----------
    image
        Booleans, True in the pores; a segmentation (integers, with `pore` or `permeability`); or
        pore fractions between 0 and 1 (floats): a soft segmentation, or with a function as
        `permeability` a map of porosities. An image (lx.open) or an array. Pore fractions in
        float64 are solved for in float64, in twice the memory.
    axis
        Direction of flow, "x", "y" or "z"; or "all", one after the other.
    pore
        Value, or values, of a segmentation that are free fluid; needed for integers.
    permeability
        Porous phases: ``{2: "1.5 mD"}``. Plain numbers are in the unit of the image's length
        squared, in m² if it has one: in voxel² for plain arrays. For a map of porosities a function
        K(porosity). Flow there is Darcy–Brinkman–Stokes, with the fluid's own viscosity as the
        effective one (some codes use μ/φ).
    porosity
        Porosity of porous phases, by value, for the total.
    where
        Region of interest, as for `chunk_map`. What is outside is solid *and leaves volume and
        porosity*: a `Cylinder` is a jacketed plug.
    shape
        Of the image, for an array with filler, as `lithax.shard` adds to lay it over devices.
    ends
        "pressure": held on the two faces of the image, without tangential flow. "periodic".
    sides
        "symmetric": no shear and no flow across, as for a piece of a larger rock. "no_slip": a
        jacketed plug. "periodic".
    reservoir
        Open voxels added at both ends. Lengths are always the sample's.
    wall
        "accurate" (default for sharp walls): exact for slits, and nearly so for staircases.
        "half_voxel": no slip half a voxel from the first solid centre, as in finite-volume codes;
        the only rule for soft walls and porous phases. The rule moves k of coarse images by a
        fifth: quote it.
    spacing
        Voxel length, or three; a number, ``"2 um"``, or a pint quantity. By default the image's.
    area
        Cross-section that the flux is divided by, in the square of the unit of `spacing`, where
        that of the region varies.
    unit
        Of the result: "m²" (default if the image has a unit of length), "mD", "um²", ...
    tolerance
        Largest relative disagreement of flux, dissipation and stationary value, and spread of the
        flux over slices, at which the solve ends.
    gradient_tolerance
        Under differentiation, change of u² in the last step (relative L2): the derivative's error
        is first order where the value's is second.
    max_iterations
        Largest number of iterations for each direction.
    fields
        Keep velocity and pressure.
    budget
        Lines of the error budget that take further solves: "grid" (voxels split in two: eight times
        the work) and "resolution" (image coarsened 2× and 3×).
    segmentation
        Grey levels, threshold and its uncertainty: the line of the error budget for the threshold,
        from the derivative of k (`threshold_sensitivity`); pores are darker.
    throw
        Raise RuntimeError instead of returning a result that is not converged; under `jax.jit`
        where the value is used, not where only its derivative is (`jax.value_and_grad` rather than
        `jax.grad`).
    memory_limit
        Bytes that the solve may take, or text such as "8 GiB"; by default what is free.
    progress
        Whether to show a bar.
    checkpoint
        A folder in which a long solve keeps its state now and then, in at most a twentieth of the
        time (64 bytes a voxel, twice): the same call goes on from there. What it kept is removed
        when the call returns.

    Returns
    -------
        `Permeability`: value, and what it takes to trust it.

    Raises
    ------
    TypeError, ValueError
        If an argument is not understood, there are no pores or nothing but pores, a region leaves
        nothing, or `checkpoint` holds the state of another solve.
    MemoryLimitError
        If the solve does not fit into memory.
    RuntimeError
        If several processes work together whose devices JAX does not see as one set.

    Notes
    -----
    An image whose processes share their devices (``connect("jax")``) is divided among all of them,
    and so is an array from `lithax.shard`; k is that of one device to rounding. Not available there
    are `budget` and `segmentation`. `jax.grad`, `jax.vjp` and `jax.jvp` of value and tensor with
    respect to pore fractions over devices are taken there, and the gradient lies as they do; second
    derivatives, those of the fields and those in `permeability` are refused, and under `jax.jit` an
    array is that of one device.

    Under `jax.jit`, `jax.grad`, `jax.vmap` give arrays: the loop is compiled, walls and parts that
    do not join the ends are found on the host in between, and under `vmap` members that have
    converged stay as they are while others go on.
    """
    check_words(axis, ends, sides, reservoir, tolerance, gradient_tolerance, max_iterations, area, fields)
    image = plain_array(image)
    if shape is not None and hasattr(image, "shape"):
        shape = size_of(image, shape)
    over_devices = (
        lies_over_devices(without_derivative(image)) and math.prod(image.shape if shape is None else shape) > FEW_CELLS
    )
    memory = memory_of_flow(image, over_devices, axis, fields or ends == sides == "periodic", reservoir)
    if memory is not None:
        blocks = "upscale from blocks (lx.solve.upscaled_permeability), "
        check_memory("permeability()", memory, memory_limit, jax.local_device_count() if over_devices else 1, blocks)
    boundaries: Boundaries = ("pressure" if ends == "pressure" else "periodic", SIDES[sides], SIDES[sides])
    settings = (
        FlowSettings(tolerance, None, max_iterations),
        FlowSettings(tolerance, gradient_tolerance, max_iterations),
    )
    kept = watch_of(False, checkpoint, connected() if over_devices else SerialWorld()).checkpoint
    call = Call(axis, boundaries, reservoir, area, settings, fields, progress, kept)
    if over_devices:
        refused = {"budget": budget, "segmentation": segmentation is not None}
        made = permeability_over_devices(
            image, call, shape=shape, pore=pore, permeability=permeability, porosity=porosity, where=where, wall=wall,
            spacing=spacing, unit=unit, ends=ends, sides=sides, refused=[name for name, given in refused.items() if given],
        )  # fmt: skip
        return _ended(_with_rounding_named(made, max_iterations), kept, throw)
    with precision_of(image, permeability, spacing):
        given = read_input(image if shape is None else without_filler(image, shape), pore, permeability, where, spacing)
        if kept is not None:
            _refuse_traced(given)
        levels = check_segmentation(segmentation, given.shape)
        if levels is not None:
            _check_levels(levels, given)
        if porosity is not None:
            micro_phases(given, porosity)
        check_walls(given, sides, given.inside is None or bool(given.inside.all()))
        rule = wall_rule(wall, given)
        scale, unit = scale_of(given.voxel_unit, given.spacing, unit)
        asked = check_budget(budget, given)
        solved, tensor = _directions(given, rule, call)
        made = make_result(given, solved, tensor, axis, scale, unit, rule, ends, sides, porosity)
        made = _with_rounding_named(made, max_iterations, given.precision)
        if asked or levels is not None:
            made = dataclasses.replace(made, error_budget=_budget(made, given, rule, call, asked, levels))
        if fields:
            made = as_images(image, made, given)
        return _ended(made, kept, throw)


def _refuse_traced(given: FlowInput) -> None:
    """Raise ValueError where a transformation reads the voxels, and no state could be kept."""
    if any(map(is_traced, jax.tree.leaves((given.open, given.soft, given.phases, given.spacing)))):
        raise ValueError(HOST_ONLY)


def _ended(made: Permeability, kept: Checkpoint | None, throw: bool) -> Permeability:
    """Return the result of a call, whose states are not needed any more."""
    if kept is not None:
        kept.clear()
    return _thrown(made, throw)


def _check_levels(levels: Any, given: FlowInput) -> None:
    """Refuse before the solve what the line of the threshold could not be made of.

    Parameters
    ----------
    levels
        As `check_segmentation` returns it.
    given
        As `read_input` returns it.
    """
    if given.phases or given.matrix is not None or is_traced(given.open) or is_traced(given.soft):
        raise ValueError(
            "segmentation= is the threshold between pores and solid, outside of compiled functions and without porous phases; "
            "leave it out here."
        )
    pores = np.asarray(given.free if given.soft is None else np.asarray(given.soft) >= 0.5)
    check_same_pores(levels[0], levels[1], pores, True if given.inside is None else given.inside)


def _with_rounding_named(made: Permeability, max_iterations: int, precision: Any = np.float32) -> Permeability:
    """Say it where a solve ended because rounding let its values come no closer."""
    if is_traced(made.converged) or is_traced(made.iterations):
        return made
    ended, iterations = np.atleast_1d(made.converged), np.atleast_1d(made.iterations)
    rounded = ~ended.astype(bool) & (iterations < max_iterations)
    if not rounded.any():
        return made
    reached = np.maximum(np.atleast_1d(made.residual), np.atleast_1d(made.balance))[rounded].max()
    reached = max(float(reached), float(jnp.finfo(precision).eps))
    note = (
        f"rounding ended the iterations: flux, dissipation and slices agree to {reached:.1g} and come no closer; ask for a "
        f"tolerance above that"
    )
    return dataclasses.replace(made, notes=(*made.notes, note))


def _thrown(made: Permeability, throw: bool) -> Permeability:
    if not throw:
        return made
    text = "permeability() did not converge; ask for a larger tolerance, or allow more steps by max_iterations."
    if is_traced(made.converged):
        failed = ~jnp.all(jnp.asarray(made.converged))
        values = tuple(eqx.error_if(value, failed, text) for value in (made.value, made.value_voxel))
        return eqx.tree_at(lambda r: (r.value, r.value_voxel), made, values)
    if not bool(np.all(np.asarray(made.converged))):
        raise RuntimeError(f"{text} The result:\n{made}")
    return made


def _directions(given: FlowInput, rule: str, call: Call) -> tuple[list[Direction], tuple[Any, Any] | None]:
    """Solve for each direction asked for; return also the tensor, where the boundaries determine
    it.
    """
    solved: list[Direction] = []
    if call.axis == "all" and set(call.boundaries) == {"periodic"} and call.reservoir == 0:
        problem = prepare(given, call.boundaries, rule, 0, call.area, (0, 1, 2))
        for a in range(3):
            solved.append(with_narrow_share(solve_direction(problem, given, a, a, call), given))
            give_back(given.shape)
        tensor = tensor_of(problem, solved)
        return [one.without_arrays() for one in solved], tensor
    for a in range(3) if call.axis == "all" else (AXES.index(call.axis),):
        solved.append(_direction(given, rule, call, a))
        give_back(given.shape)
    return solved, None


def _direction(given: FlowInput, rule: str, call: Call, a: int) -> Direction:
    """Solve along one axis of the image, and keep nothing that the next axis has no use for."""
    along = turned(given, ORDERS[a])
    problem = prepare(along, call.boundaries, rule, call.reservoir, call.area)
    return with_narrow_share(solve_direction(problem, along, a, 0, call), given).without_arrays()


def _budget(
    made: Permeability, given: FlowInput, rule: str, call: Call, asked: tuple[str, ...], segmentation: Any
) -> ErrorBudget:
    """Solve again for the lines of the budget that were asked for."""
    plain = call._replace(fields=False, progress=False, checkpoint=None)

    def k(voxels: FlowInput, wall: str, reservoir: int) -> np.ndarray:
        """[length²]"""
        solved, _ = _directions(voxels, wall, plain._replace(reservoir=reservoir))
        values = np.asarray([float(one.value) * float(one.problem.reference) ** 2 for one in solved])
        if call.area is not None:
            # Other voxels cut the sample differently: no change of the rock.
            ratios = _sections(given) / _sections(voxels)
            values = values * (ratios if call.axis == "all" else ratios[AXES.index(call.axis)])
        return values if call.axis == "all" else np.asarray(values[0])

    lengths = np.asarray(made.value_voxel) * float(np.prod(given.spacing)) ** (2 / 3)
    found = made.error_budget
    if "grid" in asked:
        found = dataclasses.replace(found, grid=grid_change(given, call.reservoir, k))
    if "resolution" in asked:
        found = dataclasses.replace(found, resolution=resolution_trend(given, lengths, rule, call.reservoir, k))
    if segmentation is not None:
        grey, threshold, uncertainty = segmentation
        slope = threshold_sensitivity(
            grey, threshold, width=uncertainty, axis=call.axis, spacing=given.spacing, where=given.inside,
            ends=made.ends, sides=made.sides, reservoir=call.reservoir, area=call.area,
            tolerance=call.settings[0].tolerance,
        )  # fmt: skip
        found = dataclasses.replace(found, segmentation=np.abs(slope) * uncertainty)
    return found


def _sections(given: FlowInput) -> np.ndarray:
    return mean_sections(cells_of(given.inside, given.shape), given.shape, given.spacing)


def threshold_sensitivity(grey: Any, threshold: float, *, width: float, **options: Any) -> Any:
    """Return d ln k / d threshold of a scan whose pores are darker than the threshold [1/grey
    level].

    The segmentation is softened, pore fraction = 1 / (1 + exp((g − threshold) / width)), and solved
    with soft walls: one solve for the value, none for the derivative.

    Parameters
    ----------
    grey
        Grey levels: an array, or an image.
    threshold
        Grey level up to which a voxel is pore.
    width
        Of the soft step [grey level]; about the uncertainty of the threshold.
    **options
        As for `permeability`: axis, where, ends, sides, reservoir, spacing, area, tolerance.

    Returns
    -------
        A number, or three for ``axis="all"``.
    """
    if not 0 < width < math.inf:
        raise ValueError(f"width={width!r} must be a positive difference of grey levels.")
    if not math.isfinite(threshold):
        raise ValueError(f"threshold={threshold!r} must be a finite grey level.")
    frame = getattr(grey, "frame", None)
    if isinstance(frame, Frame):
        options = {"spacing": tuple(frame.voxel_length)} | options
    levels = jnp.asarray(np.asarray(grey[...]), np.float32)

    def log_k(at: Any) -> Any:
        return jnp.log(permeability(jax.nn.sigmoid((at - levels) / np.float32(width)), **options).value)

    at = jnp.asarray(threshold, np.float32)
    return plain_numbers(jax.jvp(log_k, (at,), (jnp.ones_like(at),))[1])
