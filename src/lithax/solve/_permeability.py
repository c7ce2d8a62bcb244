"""Absolute permeability by Stokes flow on the voxels: the public function."""

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import psutil
from jax import numpy as jnp

from lithax.arrays import is_traced
from lithax.errors import MemoryLimitError
from lithax.geometry import Frame
from lithax.solve._area_unit import square_metres
from lithax.solve._error_budget import ErrorBudget
from lithax.solve._flow_budget import check_budget, grid_change, resolution_trend
from lithax.solve._flow_input import AXES, FlowInput, area_of, read_input, turned
from lithax.solve._flow_problem import FlowProblem, fields_with_derivative, prepare, solve_problem, value_of
from lithax.solve._flow_solve import FlowSettings
from lithax.solve._mac import shifted
from lithax.solve._mac_walls import WALLS, Boundary
from lithax.solve._permeability_of_flow import Direction, as_images, make_result, plain_numbers, tensor_of
from lithax.solve._permeability_result import Permeability

ENDS = ("pressure", "periodic")
SIDES: dict[str, Boundary] = {"symmetric": "mirror", "no_slip": "wall", "periodic": "periodic"}
BYTES_PER_VOXEL = 140
"""Measured, with two stored directions: 121 at 128³, about 110 at 220³, beside compiled programs;
porous phases take 16 more.
"""
_ORDERS = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
"""The axes of the image with that of the flow first."""


def permeability(
    image: Any,
    *,
    axis: str = "x",
    pore: Any = None,
    permeability: Any = None,
    porosity: dict[int, float] | None = None,
    where: Any = None,
    ends: str = "pressure",
    sides: str = "symmetric",
    reservoir: int = 0,
    wall: str | None = None,
    spacing: Any = None,
    area: float | None = None,
    unit: str | None = None,
    tolerance: float = 5e-3,
    gradient_tolerance: float = 1e-2,
    max_iterations: int = 60,
    fields: bool = False,
    budget: Collection[str] = (),
    segmentation: tuple[Any, float, float] | None = None,
    throw: bool = False,
    memory_limit: int | None = None,
    progress: bool = False,
) -> Permeability:
    """Solve Stokes flow through the pores of an image and return its permeability.

    Parameters
    ----------
    image
        Booleans, True in the pores; a segmentation (integers, with `pore` or `permeability`); or
        pore fractions between 0 and 1 (floats): a soft segmentation, or with a function as
        `permeability` a map of porosities. An image (lx.open) or an array.
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
        Raise RuntimeError instead of returning a result that is not converged.
    memory_limit
        Bytes that the solve may take; by default what is free.
    progress
        Whether to show a bar.

    Returns
    -------
        `Permeability`: value, and what it takes to trust it.

    Raises
    ------
    TypeError, ValueError
        If an argument is not understood, there are no pores or nothing but pores, or a region
        leaves nothing.
    MemoryLimitError
        If the solve does not fit into memory.
    """
    _check_words(axis, ends, sides, reservoir, tolerance, gradient_tolerance, max_iterations, area)
    _check_memory(image, memory_limit)
    given = read_input(image, pore, permeability, where, spacing)
    rule = _wall_rule(wall, given)
    scale, unit = _scale(given, unit)
    settings = (
        FlowSettings(tolerance, None, max_iterations),
        FlowSettings(tolerance, gradient_tolerance, max_iterations),
    )
    asked = check_budget(budget, given)
    boundaries: Boundaries = ("pressure" if ends == "pressure" else "periodic", SIDES[sides], SIDES[sides])
    call = _Call(axis, boundaries, reservoir, area, settings, fields, progress)
    solved, tensor = _directions(given, rule, call)
    made = make_result(given, solved, tensor, axis, scale, unit, rule, ends, sides, porosity)
    if asked or segmentation is not None:
        made = dataclasses.replace(made, error_budget=_budget(made, given, rule, call, asked, segmentation))
    if fields:
        made = as_images(image, made)
    if throw and not is_traced(made.converged) and not bool(np.all(np.asarray(made.converged))):
        raise RuntimeError(f"the permeability did not converge: {made}")
    return made


Boundaries = tuple[Boundary, Boundary, Boundary]


class _Call(NamedTuple):
    """How to solve, whatever the voxels."""

    axis: str
    boundaries: Boundaries
    reservoir: int
    area: float | None
    settings: tuple[FlowSettings, FlowSettings]
    fields: bool
    progress: bool


def _directions(given: FlowInput, rule: str, call: _Call) -> tuple[list[Direction], tuple[Any, Any] | None]:
    """Solve for each direction asked for; return also the tensor, where the boundaries determine
    it.
    """
    solved: list[Direction] = []
    if call.axis == "all" and set(call.boundaries) == {"periodic"} and call.reservoir == 0:
        problem = prepare(given, call.boundaries, rule, 0, call.area, (0, 1, 2))
        for a in range(3):
            solved.append(_solve(problem, given, a, a, call))
        return solved, tensor_of(problem, solved)
    for a in range(3) if call.axis == "all" else (AXES.index(call.axis),):
        along = turned(given, _ORDERS[a])
        problem = prepare(along, call.boundaries, rule, call.reservoir, call.area)
        solved.append(_solve(problem, along, a, 0, call))
    return solved, None


def _budget(
    made: Permeability, given: FlowInput, rule: str, call: _Call, asked: tuple[str, ...], segmentation: Any
) -> ErrorBudget:
    """Solve again for the lines of the budget that were asked for."""
    plain = call._replace(fields=False, progress=False)

    def k(voxels: FlowInput, wall: str) -> np.ndarray:
        """[length²]"""
        solved, _ = _directions(voxels, wall, plain)
        values = [float(one.value) * float(one.problem.reference) ** 2 for one in solved]
        return np.asarray(values if call.axis == "all" else values[0])

    lengths = np.asarray(made.value_voxel) * float(np.prod(given.spacing)) ** (2 / 3)
    found = made.error_budget
    if "grid" in asked:
        found = dataclasses.replace(found, grid=grid_change(given, k))
    if "resolution" in asked:
        found = dataclasses.replace(found, resolution=resolution_trend(given, lengths, rule, k))
    if segmentation is not None:
        grey, threshold, uncertainty = segmentation
        slope = threshold_sensitivity(
            grey, threshold, width=uncertainty, axis=call.axis, spacing=given.spacing, where=given.inside,
            ends=made.ends, sides=made.sides, tolerance=call.settings[0].tolerance,
        )  # fmt: skip
        found = dataclasses.replace(found, segmentation=np.abs(slope) * uncertainty)
    return found


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
        As for `permeability`: axis, where, ends, sides, spacing, tolerance.

    Returns
    -------
        A number, or three for ``axis="all"``.
    """
    if not width > 0:
        raise ValueError(f"width={width!r} must be a positive difference of grey levels.")
    if not isinstance(options.get("spacing", 1.0), tuple | int | float):
        options.pop("spacing")
    frame = getattr(grey, "frame", None)
    if isinstance(frame, Frame):
        options = {"spacing": tuple(frame.voxel_length)} | options
    levels = jnp.asarray(np.asarray(grey[...]), np.float32)

    def log_k(at: Any) -> Any:
        return jnp.log(permeability(jax.nn.sigmoid((at - levels) / np.float32(width)), **options).value)

    at = jnp.asarray(threshold, np.float32)
    return plain_numbers(jax.jvp(log_k, (at,), (jnp.ones_like(at),))[1])


@contextlib.contextmanager
def _bar(problem: FlowProblem, axis: int, progress: bool) -> Iterator[Callable[[int, Any, float], None] | None]:
    """Give a function that moves a bar with each iteration, or None."""
    if not progress:
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=f"permeability along {AXES[axis]}", unit=" steps") as bar:

        def see(iteration: int, state: Any, spread: float) -> None:
            k = float(state.stationary) * problem.shortening / problem.volume
            bar.set_postfix_str(f"k = {k:.5g} voxel², flux spread {100 * spread:.2g} %", refresh=False)
            bar.update()

        yield see


def _solve(
    problem: FlowProblem,
    given: FlowInput,
    axis: int,
    along: int,
    call: _Call,
) -> Direction:
    if problem.geometry is None:
        return Direction(problem, None, jnp.zeros((), np.float32), None, None, axis, along, given)

    with _bar(problem, axis, call.progress) as report:
        flow = solve_problem(problem, along, call.settings, report)
    value = value_of(problem, flow.x, axes=(along, along))
    velocity = pressure = None
    if call.fields:
        x = fields_with_derivative(problem, flow.x, call.settings[1])
        cut = slice((problem.geometry.length - given.shape[0]) // 2, None)
        wrap = tuple(boundary == "periodic" for boundary in problem.geometry.boundaries)
        parts = [0.5 * (x[d] + shifted(x[d], d, 1, wrap[d])) for d in range(3)]  # on two faces of a voxel
        parts = [part[cut][: given.shape[0]] for part in (*parts, x[3])]
        if along != axis:  # back to the order of the image's axes
            back = [_ORDERS[axis].index(a) for a in range(3)]
            parts = [jnp.transpose(part, back) for part in parts]
            parts = [*(parts[b] for b in back), parts[3]]
        velocity, pressure = tuple(parts[:3]), parts[3]
    return Direction(problem, flow, value, velocity, pressure, axis, along, given)


def _scale(given: FlowInput, unit: str | None) -> tuple[float, str]:
    """Return what a permeability in the unit of length squared is multiplied by, and the unit of
    the result.
    """
    area = area_of(given.voxel_unit)
    if area is None:
        if unit not in (None, "voxel²", "voxel2"):
            raise ValueError(
                f"unit={unit!r} needs the voxel length, and the image has no voxel_unit: give spacing='2 um', or "
                f"image.update(voxel_length=..., voxel_unit=...); without it k is in voxel²."
            )
        unscaled = isinstance(given.spacing, tuple) and given.spacing == (1.0, 1.0, 1.0)
        return 1.0, "voxel²" if unscaled else "length²"
    if unit in ("voxel²", "voxel2"):
        raise ValueError(f"unit={unit!r} is what value_voxel is in; value has a physical unit, such as 'mD' or 'm²'.")
    wanted = "m²" if unit is None else unit
    return area / square_metres(wanted), wanted


def _wall_rule(wall: str | None, given: FlowInput) -> str:
    soft = given.soft is not None or bool(given.phases)
    if wall is None:
        return "half_voxel" if soft else "accurate"
    if wall not in WALLS:
        raise ValueError(f"wall={wall!r} must be 'accurate' or 'half_voxel'.")
    if wall == "accurate" and soft:
        raise ValueError(
            "wall='accurate' counts voxels between sharp walls, and the image has soft walls or porous phases; use "
            "wall='half_voxel', or leave wall out."
        )
    return wall


def _check_words(
    axis: Any, ends: Any, sides: Any, reservoir: Any, tolerance: Any, gradient_tolerance: Any, most: Any, area: Any
) -> None:
    if axis not in (*AXES, "all"):
        raise ValueError(f"axis={axis!r} must be 'x', 'y', 'z' or 'all'.")
    if ends not in ENDS:
        raise ValueError(f"ends={ends!r} must be 'pressure' or 'periodic'.")
    if sides not in SIDES:
        raise ValueError(f"sides={sides!r} must be 'symmetric', 'no_slip' or 'periodic'.")
    if not isinstance(reservoir, int | np.integer) or reservoir < 0:
        raise ValueError(f"reservoir={reservoir!r} must be a number of voxels >= 0.")
    for name, value in (("tolerance", tolerance), ("gradient_tolerance", gradient_tolerance)):
        if not 0 < value < 1:
            raise ValueError(f"{name}={value!r} must be a relative error between 0 and 1, such as 5e-3.")
    if not isinstance(most, int | np.integer) or most < 1:
        raise ValueError(f"max_iterations={most!r} must be a whole number >= 1.")
    if area is not None and not area > 0:
        raise ValueError(f"area={area!r} must be a positive cross-section, in the square of the unit of spacing.")


def _check_memory(image: Any, memory_limit: int | None) -> None:
    shape = getattr(image, "shape", None)
    if shape is None or len(shape) != 3:
        return  # said with more care when the image is read
    needed = int(np.prod(shape)) * BYTES_PER_VOXEL
    free = psutil.virtual_memory().available if memory_limit is None else memory_limit
    if needed > free:
        raise MemoryLimitError(
            f"permeability of {tuple(shape)} voxels needs about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB may be used; take "
            f"sub-volumes (lx.solve.subvolumes), coarsen the image, or raise memory_limit."
        )
