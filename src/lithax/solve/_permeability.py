"""Absolute permeability by Stokes flow on the voxels: the public function."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import psutil
from jax import numpy as jnp

from lithax.arrays import is_traced
from lithax.errors import MemoryLimitError
from lithax.geometry import Frame
from lithax.images import from_array
from lithax.solve._area_unit import square_metres
from lithax.solve._flow_clusters import joins_through_edges
from lithax.solve._flow_input import AXES, FlowInput, area_of, read_input, turned
from lithax.solve._flow_problem import FlowProblem, fields_with_derivative, prepare, solve_problem, value_of
from lithax.solve._flow_resolution import narrow_share, wall_area
from lithax.solve._flow_solve import Flow, FlowSettings
from lithax.solve._mac import shifted
from lithax.solve._mac_walls import WALLS, Boundary
from lithax.solve._permeability_result import ErrorBudget, FlowPorosity, Permeability

ENDS = ("pressure", "periodic")
SIDES: dict[str, Boundary] = {"symmetric": "mirror", "no_slip": "wall", "periodic": "periodic"}
BYTES_PER_VOXEL = 220
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
    throw: bool = False,
    memory_limit: int | None = None,
    progress: bool = False,
) -> Permeability:
    """Solve Stokes flow through the pores of an image and return its permeability.

    Parameters
    ----------
    image
        Booleans, True in the pores; a segmentation (integers, with `pore` or `permeability`); or pore
        fractions between 0 and 1 (floats): a soft segmentation, or with a function as `permeability` a map
        of porosities. An image (lx.open) or an array.
    axis
        Direction of flow, "x", "y" or "z"; or "all", one after the other.
    pore
        Value, or values, of a segmentation that are free fluid; needed for integers.
    permeability
        Porous phases: ``{2: "1.5 mD"}``. Plain numbers are in the unit of the image's length squared, in m²
        if it has one: in voxel² for plain arrays. For a map of porosities a function K(porosity). Flow there
        is Darcy–Brinkman–Stokes, with the fluid's own viscosity as the effective one (some codes use μ/φ).
    porosity
        Porosity of porous phases, by value, for the total.
    where
        Region of interest, as for `chunk_map`. What is outside is solid *and leaves volume and porosity*: a
        `Cylinder` is a jacketed plug.
    ends
        "pressure": held on the two faces of the image, without tangential flow. "periodic".
    sides
        "symmetric": no shear and no flow across, as for a piece of a larger rock. "no_slip": a jacketed plug.
        "periodic".
    reservoir
        Open voxels added at both ends. Lengths are always the sample's.
    wall
        "accurate" (default for sharp walls): exact for slits, and nearly so for staircases. "half_voxel": no
        slip half a voxel from the first solid centre, as in finite-volume codes; the only rule for soft
        walls and porous phases. The rule moves k of coarse images by a fifth: quote it.
    spacing
        Voxel length, or three; a number, ``"2 um"``, or a pint quantity. By default the image's.
    area
        Cross-section that the flux is divided by, in the square of the unit of `spacing`, where that of the
        region varies.
    unit
        Of the result: "m²" (default if the image has a unit of length), "mD", "um²", ...
    tolerance
        Largest relative disagreement of flux, dissipation and stationary value, and spread of the flux over
        slices, at which the solve ends.
    gradient_tolerance
        Under differentiation, change of u² in the last step (relative L2): the derivative's error is first
        order where the value's is second.
    max_iterations
        Largest number of iterations for each direction.
    fields
        Keep velocity and pressure.
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
        If an argument is not understood, there are no pores or nothing but pores, or a region leaves nothing.
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
    wanted = range(3) if axis == "all" else (AXES.index(axis),)
    tensor, together = None, ends == "periodic" and sides == "periodic" and axis == "all" and reservoir == 0
    solved: list[_Direction] = []
    if together:
        problem = prepare(given, ("periodic", "periodic", "periodic"), rule, 0, area, (0, 1, 2))
        for a in range(3):
            solved.append(_solve(problem, given, a, a, settings, fields, progress))
        tensor = _tensor(problem, solved)
    else:
        for a in wanted:
            order = _ORDERS[a]
            boundaries = ("pressure" if ends == "pressure" else "periodic", SIDES[sides], SIDES[sides])
            along = turned(given, order)
            problem = prepare(along, boundaries, rule, reservoir, area)
            solved.append(_solve(problem, along, a, 0, settings, fields, progress))
    made = _result(given, solved, tensor, axis, scale, unit, rule, ends, sides, porosity)
    if fields:
        made = _as_images(image, made)
    if throw and not is_traced(made.converged) and not bool(np.all(np.asarray(made.converged))):
        raise RuntimeError(f"the permeability did not converge: {made}")
    return made


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


class _Direction(NamedTuple):
    """One solved direction."""

    problem: FlowProblem
    flow: Flow | None
    """None: nothing joins the ends."""
    value: Any
    """k_L [voxel²], differentiable."""
    velocity: Any
    pressure: Any
    axis: int
    """Of the image."""
    along: int
    """Of the problem's arrays."""
    given: FlowInput


def _solve(
    problem: FlowProblem,
    given: FlowInput,
    axis: int,
    along: int,
    settings: tuple[FlowSettings, FlowSettings],
    fields: bool,
    progress: bool,
) -> _Direction:
    if problem.geometry is None:
        return _Direction(problem, None, jnp.zeros((), np.float32), None, None, axis, along, given)

    with _bar(problem, axis, progress) as report:
        flow = solve_problem(problem, along, settings, report)
    value = value_of(problem, flow.x, axes=(along, along))
    velocity = pressure = None
    if fields:
        x = fields_with_derivative(problem, flow.x, settings[1])
        cut = slice((problem.geometry.length - given.shape[0]) // 2, None)
        wrap = tuple(boundary == "periodic" for boundary in problem.geometry.boundaries)
        parts = [0.5 * (x[d] + shifted(x[d], d, 1, wrap[d])) for d in range(3)]  # on two faces of a voxel
        parts = [part[cut][: given.shape[0]] for part in (*parts, x[3])]
        if along != axis:  # back to the order of the image's axes
            back = [_ORDERS[axis].index(a) for a in range(3)]
            parts = [jnp.transpose(part, back) for part in parts]
            parts = [*(parts[b] for b in back), parts[3]]
        velocity, pressure = tuple(parts[:3]), parts[3]
    return _Direction(problem, flow, value, velocity, pressure, axis, along, given)


def _tensor(problem: FlowProblem, solved: list[_Direction]) -> tuple[Any, Any]:
    """Return k_ij [voxel²] in its stationary form, and the asymmetry of the one computed from fluxes."""
    if problem.geometry is None:
        return jnp.zeros((3, 3), np.float32), 0.0
    x = [one.flow.x for one in solved]  # pyright: ignore[reportOptionalMemberAccess]
    pairs = {(i, j): value_of(problem, x[i], x[j], (i, j)) for i, j in ((0, 1), (0, 2), (1, 2))}
    pairs |= {(i, i): solved[i].value for i in range(3)}
    k = jnp.stack([jnp.stack([pairs[min(i, j), max(i, j)] for j in range(3)]) for i in range(3)])
    fluxes = jnp.stack([jnp.stack([jnp.sum(x[j][i]) for j in range(3)]) for i in range(3)])
    return k, jnp.linalg.norm(fluxes - fluxes.T) / jnp.linalg.norm(fluxes)


def _result(
    given: FlowInput,
    solved: list[_Direction],
    tensor: tuple[Any, Any] | None,
    axis: str,
    scale: Any,
    unit: str,
    wall: str,
    ends: str,
    sides: str,
    porosity: dict[int, float] | None,
) -> Permeability:
    every = axis == "all"

    def gather(of: Callable[[_Direction], Any]) -> Any:
        found = [of(one) for one in solved]
        return jnp.stack([jnp.asarray(v) for v in found]) if every else jnp.asarray(found[0])

    def scaled(of: Callable[[Flow], Any]) -> Any:
        def one(d: _Direction) -> Any:
            return 0.0 if d.flow is None else of(d.flow) * (d.problem.shortening / d.problem.volume)

        return gather(one)

    def of_flow(of: Callable[[Flow], Any], otherwise: Any) -> Any:
        return gather(lambda d: otherwise if d.flow is None else of(d.flow))

    reference = solved[0].problem.reference
    k_voxel = gather(lambda d: d.value)
    k_flux, k_energy, k_stationary = (
        scaled(of) for of in (lambda f: f.flux, lambda f: f.dissipation, lambda f: f.stationary)
    )
    base = jnp.where(k_stationary == 0, 1, jnp.abs(k_stationary))
    residual = jnp.maximum(jnp.abs(k_flux - k_stationary), jnp.abs(k_energy - k_stationary)) / base
    balance = of_flow(lambda f: f.spread, 0.0)
    notes = [given.meaning + ("" if given.inside is None else ", inside where=")]
    shares = narrow = surface = None
    concrete = not is_traced(k_stationary) and not any(is_traced(one.flow.iterations) for one in solved if one.flow)
    if given.open is not None and given.free is not None and not is_traced(given.open):
        shares = _porosity(given, solved, porosity)
        surface = wall_area(given.free) / _volume(given)
        if concrete:
            narrow = np.array([_narrow(one) for one in solved])
            notes += _notes(given, solved, narrow, ends, sides)
    voxel_area = None if area_of(given.voxel_unit) is None else reference**2 * area_of(given.voxel_unit)
    flux = [None if d.flow is None else _slices(d) for d in solved]
    made = Permeability(
        value=k_voxel * (reference**2 * scale),
        value_voxel=k_voxel,
        unit=unit,
        axis=axis,
        tensor=None if tensor is None else tensor[0] * (reference**2 * scale),
        asymmetry=None if tensor is None else tensor[1],
        value_from_flux=k_flux,
        value_from_dissipation=k_energy,
        value_stationary=k_stationary,
        flux=flux if every else flux[0],
        balance=balance,
        residual=residual,
        gradient_change=of_flow(lambda f: f.change, 0.0),
        iterations=of_flow(lambda f: f.iterations, 0),
        converged=of_flow(lambda f: f.finished, True),
        porosity=None if shares is None else shares.total,
        porosities=shares,
        narrow_share=narrow if every or narrow is None else narrow[0],
        error_budget=ErrorBudget(solver=jnp.maximum(residual, balance)),
        wall=wall,
        ends=ends,
        sides=sides,
        voxel_area=voxel_area,
        velocity=[d.velocity for d in solved] if every else solved[0].velocity,
        pressure=[d.pressure for d in solved] if every else solved[0].pressure,
        notes=tuple(notes),
        surface=surface,
    )
    return jax.tree.map(_plain, made)


def _plain(value: Any) -> Any:
    """Return numbers, and short arrays of them, as NumPy has them, unless they are traced; fields stay as they are."""
    if is_traced(value) or not isinstance(value, jax.Array) or value.ndim > 2:
        return value
    array = np.asarray(value)
    array = array.astype(np.float64) if array.dtype == np.float32 else array
    return array if array.ndim else array[()]


def _as_images(image: Any, made: Permeability) -> Permeability:
    """Return the fields as images, where the voxels came from one."""
    frame = getattr(image, "frame", None)
    if not isinstance(frame, Frame) or is_traced(made.value_voxel):
        return made
    length = float(np.prod(frame.voxel_length)) ** (1 / 3)
    unit = frame.voxel_unit

    def image_of(values: Any, name: str, scale: float, unit: str) -> Any:
        geometry = {key: getattr(frame, key) for key in ("voxel_length", "voxel_origin", "voxel_unit")}
        return from_array(scale * np.asarray(values), field_name=name, field_unit=unit, **geometry)

    def of(velocity: Any, pressure: Any) -> Any:
        if velocity is None:
            return None, None
        parts = tuple(
            image_of(part, f"velocity along {AXES[d]}", length**2, f"{unit}**2" if unit else "")
            for d, part in enumerate(velocity)
        )
        return parts, image_of(pressure, "pressure", length, str(unit))

    if made.axis == "all":
        pairs = [of(v, p) for v, p in zip(made.velocity, made.pressure, strict=True)]
        return dataclasses.replace(made, velocity=[v for v, _ in pairs], pressure=[p for _, p in pairs])
    velocity, pressure = of(made.velocity, made.pressure)
    return dataclasses.replace(made, velocity=velocity, pressure=pressure)


def _slices(one: _Direction) -> Any:
    """Return the flux through each plane of faces of the sample, over that of k_L."""
    velocity = jnp.moveaxis(one.flow.x[one.along], one.along, 0)  # pyright: ignore[reportOptionalMemberAccess]
    planes = velocity.sum(2).sum(1)
    section = one.problem.volume / one.problem.geometry.length
    mean = one.flow.stationary / one.problem.volume  # pyright: ignore[reportOptionalMemberAccess]
    return planes / section / jnp.where(mean == 0, 1, mean)


def _volume(given: FlowInput) -> int:
    return int(np.prod(given.shape)) if given.inside is None else int(given.inside.sum())


def _porosity(given: FlowInput, solved: list[_Direction], porosity: dict[int, float] | None) -> FlowPorosity:
    volume = _volume(given)
    total = int(given.open.sum()) / volume  # pyright: ignore[reportOptionalMemberAccess]
    clusters = [one.problem.clusters for one in solved if one.problem.clusters is not None]
    least = min(clusters, key=lambda c: int(c.percolating.sum()))
    lost, open_voxels = least.removed_voxels, int(given.open.sum())  # pyright: ignore[reportOptionalMemberAccess]
    micro = None
    if porosity is not None:
        micro = sum(share * int(where.sum()) / volume for where, share in _micro(given, porosity))
    elif given.soft is not None and not is_traced(given.soft):
        values = np.asarray(jax.lax.stop_gradient(given.soft))
        micro = float(values[given.open & ~given.free].sum() / volume)  # pyright: ignore[reportOptionalOperand]
    macro = int(given.free.sum()) / volume  # pyright: ignore[reportOptionalMemberAccess]
    return FlowPorosity(
        total=macro + micro if micro is not None else total,
        macro=macro,
        micro=micro,
        accessible=min(least.accessible, open_voxels) / volume,
        percolating=(open_voxels - lost) / volume,
        isolated=(open_voxels - min(least.accessible, open_voxels)) / volume,
    )


def _micro(given: FlowInput, porosity: dict[int, float]) -> list[tuple[np.ndarray, float]]:
    found = []
    for value, share in porosity.items():
        where = [w for label, (w, _, _) in zip(given.labels, given.phases, strict=True) if label == value]
        if not where or not 0 <= share <= 1:
            raise ValueError(
                f"porosity[{value}]={share!r} must be a fraction of a phase that permeability= names: {list(given.labels)}."
            )
        found.append((where[0], float(share)))
    return found


def _narrow(one: _Direction) -> float:
    if one.flow is None:
        return 0.0
    return narrow_share(np.asarray(one.flow.x[one.along]), one.along)


def _notes(given: FlowInput, solved: list[_Direction], narrow: np.ndarray, ends: str, sides: str) -> list[str]:
    notes = []
    for one, share in zip(solved, narrow, strict=True):
        name, clusters = AXES[one.axis], one.problem.clusters
        if clusters is not None and clusters.removed:
            notes.append(
                f"{name}: {clusters.removed} clusters of {clusters.removed_voxels} voxels do not join the ends and were removed"
            )
        if one.flow is None:
            loose = ends == "pressure" and joins_through_edges(one.given.open, one.along)  # pyright: ignore[reportArgumentType]
            notes.append(
                f"{name}: no path joins the ends through voxel faces, so k = 0"
                + ("; through edges and corners one does: the throats are at the voxel's limit" if loose else "")
            )
        elif share > 0.05:
            notes.append(
                f"{name}: {100 * share:.0f} % of the flux passes throats of one or two voxels somewhere: the image is too coarse "
                f"for a reliable k"
            )
    if ends == "periodic" and given.inside is None:
        for one in solved:
            if one.flow is not None and _mismatch(given.open, one.axis) > 0.02:
                notes.append(
                    f"the faces across {AXES[one.axis]} do not match, so periodic ends make walls there: use "
                    f"ends='pressure', or a reservoir"
                )
    for where, drag in _matrices(given):
        if drag is not None and drag < 0.1 and where.any():
            notes.append(
                f"Brinkman layers at a porous phase are {drag**0.5:.2g} voxels thin, not resolved: its k enters by Darcy flow"
            )
    return notes


def _matrices(given: FlowInput) -> list[tuple[np.ndarray, float | None]]:
    found = []
    for where, number, area in given.phases:
        fixed = jax.lax.stop_gradient(number)
        if is_traced(fixed) or is_traced(given.spacing) or not isinstance(given.spacing, tuple):
            continue
        unit = area_of(given.voxel_unit)
        lengths = float(fixed) if unit is None else float(fixed) * (1.0 if area is None else area) / unit
        found.append((where, lengths / float(np.prod(given.spacing)) ** (2 / 3)))
    return found


def _mismatch(open_voxels: np.ndarray, axis: int) -> float:
    """Return the share of voxels of two opposite faces that differ."""
    return float(np.mean(np.take(open_voxels, 0, axis) ^ np.take(open_voxels, -1, axis)))


def _scale(given: FlowInput, unit: str | None) -> tuple[float, str]:
    """Return what a permeability in the unit of length squared is multiplied by, and the unit of the result."""
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
