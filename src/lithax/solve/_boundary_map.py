"""Which walls decide a permeability: its change by moving each voxel of the wall."""

from typing import Any

import equinox as eqx
import numpy as np

from lithax.arrays import is_traced
from lithax.geometry import Frame
from lithax.images import from_array
from lithax.solve._flow_direction import ORDERS, Call, back, solve_direction
from lithax.solve._flow_input import AXES, FlowInput, check_walls, read_input, turned
from lithax.solve._flow_medium import operator_of
from lithax.solve._flow_problem import FlowProblem, prepare
from lithax.solve._flow_solve import FlowSettings
from lithax.solve._flow_words import SIDES, check_words, scale_of, wall_rule
from lithax.solve._mac_walls import AbstractLines, Boundary, HostLines
from lithax.solve._moved_wall import REACH, MovedWalls, SolvedFlow
from lithax.solve._multigrid import FEW_CELLS
from lithax.solve._over_devices import lies_over_devices
from lithax.solve._permeability_of_flow import make_result, with_narrow_share
from lithax.solve._permeability_result import Permeability
from lithax.solve._solve_memory import check_memory, memory_of_flow

CHANGES = ("cementation", "dissolution")


class BoundaryMap(eqx.Module):
    """Change of the permeability by moving each voxel of the wall; made by `boundary_map`."""

    permeability: Permeability
    """k before anything moves, with its error budget."""
    cementation: Any
    """Change of k where this pore voxel alone becomes solid [`unit`]; 0 away from walls."""
    dissolution: Any
    """Change of k where this solid voxel alone becomes pore [`unit`]; 0 away from walls."""
    unit: str = eqx.field(static=True)
    axis: str = eqx.field(static=True)
    error: float
    """What the solver left in the map: relative change of u² in its last step (L2) [-]."""

    def strongest(self, change: str, count: int, *, apart: int = 3) -> np.ndarray:
        """Return the voxels that change k most, the strongest first, shape (n, 3).

        Parameters
        ----------
        change
            "cementation" or "dissolution".
        count
            How many, or fewer if there are no more.
        apart
            Least distance between two of them along some axis [voxel]: changes of voxels farther
            apart than two add up, those of neighbours do not. 1: any two.

        Raises
        ------
        ValueError
            If an argument is out of range.
        """
        if change not in CHANGES:
            raise ValueError(f"change={change!r} must be 'cementation' or 'dissolution'.")
        for name, value in (("count", count), ("apart", apart)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name}={value!r} must be a whole number of at least 1.")
        size = np.abs(np.asarray(getattr(self, change)[...]))
        order = np.argsort(-size, axis=None, kind="stable")[: np.count_nonzero(size)]
        free = np.ones(size.shape, bool)
        found: list[tuple[int, ...]] = []
        for voxel in zip(*(part.tolist() for part in np.unravel_index(order, size.shape)), strict=True):
            if len(found) == count:
                break
            if free[voxel]:
                found.append(voxel)
                free[tuple(slice(max(0, i - apart + 1), i + apart) for i in voxel)] = False
        return np.asarray(found, int).reshape(-1, 3)

    def __str__(self) -> str:
        lines = []
        k = float(self.permeability.value)
        for change in CHANGES:
            values = np.asarray(getattr(self, change)[...])
            strongest = values.flat[np.abs(values).argmax()]
            share = f", {100 * strongest / k:+.2g} % of k" if k else ""
            lines.append(f"{change} of one voxel changes k by up to {strongest:+.3g} {self.unit}{share}")
        lines.append(
            f"solver's share of the changes {100 * self.error:.2g} %; single voxels, which add up only where apart"
        )
        return ".\n".join([*lines, str(self.permeability)])


def boundary_map(
    image: Any,
    *,
    axis: str = "x",
    pore: Any = None,
    where: Any = None,
    ends: str = "pressure",
    sides: str = "symmetric",
    wall: str | None = None,
    spacing: Any = None,
    area: float | None = None,
    unit: str | None = None,
    tolerance: float = 5e-3,
    gradient_tolerance: float = 1e-2,
    max_iterations: int = 60,
    memory_limit: int | None = None,
    progress: bool = False,
) -> BoundaryMap:
    """Return by how much the permeability changes where a single voxel of the wall dissolves, or is
    cemented.

    One solve, and a small system around each voxel of the wall: the changed voxel and its 18
    neighbours, with the rule for walls of the solve and pressures held beyond. Beside a new solve
    of the changed image that is right to 2 percent in correlated noise with throats seven voxels
    wide, and to 7 where they are two wide (rms, beside the rms of the changes); cementing smooth
    walls to 8, and to 20 where voxels are twice as long one way as another. Voxels that stand apart
    add up; neighbours that move together act on each other, and their sum is no prediction.
    Where a voxel opens a way that was closed, or closes the only one, the whole flow answers, and
    the map may be off by a third.

    Parameters
    ----------
    image
        Booleans, True in the pores, or a segmentation with `pore`: an array, or an image (lx.open).
    axis
        Direction of flow, "x", "y" or "z".
    pore, where, ends, sides, wall, spacing, area, unit
        As for `permeability`.
    tolerance, gradient_tolerance, max_iterations
        As for `permeability` under differentiation: the map is first order in the velocity.
    memory_limit
        Bytes that the solve may take; by default what is free.
    progress
        Whether to show bars.

    Returns
    -------
        `BoundaryMap`: two maps on the grid of the image, as images where it is one, and k.

    Raises
    ------
    TypeError, ValueError
        If an argument is not understood, the image has soft walls, nothing joins the ends, or a
        periodic axis is shorter than 7 voxels; otherwise as `permeability`.
    MemoryLimitError
        If the solve does not fit into memory.

    Examples
    --------
    >>> import numpy as np, lithax as lx
    >>> slit = np.zeros((8, 8, 1), bool)
    >>> slit[:, 2:6] = True
    >>> walls = lx.solve.boundary_map(slit, axis="x")
    >>> bool(walls.cementation[4, 2, 0] < 0 < walls.dissolution[4, 1, 0])
    True
    """
    if axis not in AXES:
        raise ValueError(f"axis={axis!r} must be 'x', 'y' or 'z': a map belongs to one direction of flow.")
    check_words(axis, ends, sides, 0, tolerance, gradient_tolerance, max_iterations, area)
    if is_traced(image):
        raise TypeError(
            "boundary_map() moves voxels on the host and has no derivative; call it outside of compiled functions."
        )
    if lies_over_devices(image) and np.prod(image.shape) > FEW_CELLS:
        raise ValueError("boundary_map() works on one device; give it an array in memory (numpy.asarray).")
    memory = memory_of_flow(image, False, "x")
    if memory is not None:
        check_memory("boundary_map()", memory, memory_limit)
    given = read_input(image, pore, None, where, spacing)
    if given.soft is not None:
        raise ValueError(
            "image holds pore fractions: soft walls have no voxels to move. Threshold it, or use jax.grad of permeability()."
        )
    if not isinstance(given.spacing, tuple):
        raise ValueError("spacing is a JAX array; boundary_map() has no derivative: give numbers.")
    check_walls(given, sides, given.inside is None or bool(given.inside.all()))
    boundaries: tuple[Boundary, Boundary, Boundary] = (
        "pressure" if ends == "pressure" else "periodic", SIDES[sides], SIDES[sides]
    )  # fmt: skip
    a = AXES.index(axis)
    along = turned(given, ORDERS[a])
    for name, n, boundary in zip(ORDERS[a], along.shape, boundaries, strict=True):
        if boundary == "periodic" and n <= 2 * REACH:
            raise ValueError(
                f"axis {AXES[name]} is periodic and has {n} voxels; a moved voxel would meet itself again: repeat the image to "
                f"at least {2 * REACH + 1}, or take ends='pressure' and sides='symmetric'."
            )
    rule = wall_rule(wall, given)
    scale, unit = scale_of(given.voxel_unit, given.spacing, unit)
    precise = FlowSettings(tolerance, gradient_tolerance, max_iterations)
    call = Call(axis, boundaries, 0, area, (precise, precise), False, progress)
    problem = prepare(along, boundaries, rule, 0, area)
    if problem.geometry is None:
        raise ValueError(
            f"nothing joins the ends along {axis}: k is 0, and no single voxel was looked for that would join them."
        )
    solved = solve_direction(problem, along, a, 0, call)
    k = make_result(given, [with_narrow_share(solved, given)], None, axis, scale, unit, rule, ends, sides, None)
    to_unit = float(problem.reference) ** 2 * scale / problem.volume
    maps = {}
    for change, moved in _changes(problem, solved.flow, along, rule, progress).items():
        values = np.transpose(moved * to_unit, back(a)).astype(np.float32)
        maps[change] = _as_image(image, given, values, f"change of k by {change}", unit)
    return BoundaryMap(k, **maps, unit=unit, axis=axis, error=float(k.gradient_change))


def _changes(problem: FlowProblem, flow: Any, given: FlowInput, rule: str, progress: bool) -> dict[str, np.ndarray]:
    """Return the change of b·x by each voxel of the wall."""
    geometry, shape = problem.geometry, given.shape
    x, y, z = shape
    operator = operator_of(geometry, problem.medium)
    d, e, f = (np.asarray(part) for part in operator.diagonal)
    u, v, w, p = (np.asarray(part) for part in flow.x)
    i, j, k = (float(weight) for weight in problem.medium.weights)
    open_voxels = np.asarray(geometry.open).astype(bool)
    solved = SolvedFlow(open_voxels, (d, e, f), (u, v, w, p), (x, y, z), geometry.boundaries, (i, j, k), rule)
    walls = MovedWalls(solved)
    carries, inside = open_voxels[:x], True if given.inside is None else given.inside
    lines = HostLines(shape, (x, y, z))
    wanted = {
        "cementation": carries & _beside(lines, ~carries, geometry.boundaries, beyond_a_wall=True),
        "dissolution": ~given.open & inside & _beside(lines, carries, geometry.boundaries, beyond_a_wall=False),
    }
    found = {}
    for change, where in wanted.items():
        found[change] = np.zeros(shape)
        found[change][where] = walls.changes(np.argwhere(where), change if progress else None)
    return found


def _beside(lines: AbstractLines, flags: Any, boundaries: Any, beyond_a_wall: bool) -> Any:
    """Return which voxels have a flag next to them through a face."""
    found = False
    for axis, boundary in enumerate(boundaries):
        for step, last in ((-1, 0), (1, lines.lengths[axis] - 1)):
            found = found | lines.beside(flags, axis, step, boundary == "periodic")
            if boundary == "wall" and beyond_a_wall:
                found = found | (lines.places(axis) == last)
    return found


def _as_image(image: Any, given: FlowInput, values: np.ndarray, name: str, unit: str) -> Any:
    frame = getattr(image, "frame", None)
    if not isinstance(frame, Frame):
        return values
    return from_array(
        values, field_name=name, field_unit=unit.replace("²", "**2"), voxel_length=given.spacing,
        voxel_origin=frame.voxel_origin, voxel_unit=given.voxel_unit,
    )  # fmt: skip
