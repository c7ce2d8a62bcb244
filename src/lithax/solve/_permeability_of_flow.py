"""From solved directions to `Permeability`: units, porosities, notes."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import is_traced, joins_ends, settled
from lithax.geometry import Frame
from lithax.images import from_array
from lithax.solve._air_around import air_notes
from lithax.solve._error_budget import ErrorBudget
from lithax.solve._flow_input import AXES, FlowInput, area_of
from lithax.solve._flow_problem import FlowProblem, value_of
from lithax.solve._flow_resolution import (
    Periodic,
    breakthrough_diameter,
    face_areas,
    narrow_share,
    repeats,
    unlike_below,
    wall_area,
)
from lithax.solve._flow_solve import Flow, planes_of
from lithax.solve._mac_walls import HostLines
from lithax.solve._permeability_result import NARROW, FlowPorosity, Permeability
from lithax.solve._source import spacing_of

RESOLVED = 10
"""Voxels across a throat from which on its k is that of the throat, within a few percent."""


class Direction(NamedTuple):
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
    slices: Any = None
    """Flux through each plane of faces of the sample, over that of k_L."""
    narrow: Any = None
    """Share of the flux of a slice that passes narrow throats; None if it is not known."""

    def without_arrays(self) -> "Direction":
        """Return the numbers alone, without the flow and its operator."""
        problem = self.problem._replace(geometry=None, medium=None)  # pyright: ignore[reportArgumentType]
        return self._replace(problem=problem, flow=None if self.flow is None else self.flow._replace(x=()))


def tensor_of(problem: FlowProblem, solved: list[Direction]) -> tuple[Any, Any]:
    """Return k_ij [voxel²] in its stationary form, and the asymmetry of the one computed from
    fluxes.
    """
    if problem.geometry is None:
        return jnp.zeros((3, 3), np.float32), 0.0
    x = [one.flow.x for one in solved]  # pyright: ignore[reportOptionalMemberAccess]
    pairs = {(i, j): value_of(problem, x[i], x[j], (i, j)) for i, j in ((0, 1), (0, 2), (1, 2))}
    pairs |= {(i, i): solved[i].value for i in range(3)}
    k = jnp.stack([jnp.stack([pairs[min(i, j), max(i, j)] for j in range(3)]) for i in range(3)])
    fluxes = jnp.stack([jnp.stack([settled(jnp.sum(x[j][i])) for j in range(3)]) for i in range(3)])
    return k, jnp.linalg.norm(fluxes - fluxes.T) / jnp.linalg.norm(fluxes)


def make_result(
    given: FlowInput,
    solved: list[Direction],
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

    def gather(of: Callable[[Direction], Any]) -> Any:
        found = [of(one) for one in solved]
        return jnp.stack([jnp.asarray(v) for v in found]) if every else jnp.asarray(found[0])

    def scaled(of: Callable[[Flow], Any]) -> Any:
        def one(d: Direction) -> Any:
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
    shares = narrow = surface = widths = None
    if given.open is not None and given.free is not None and not is_traced(given.open):
        shares = _porosity(given, solved, porosity)
        faces = face_areas(given.spacing)
        if faces is not None:
            lines = HostLines(given.shape, given.shape)
            surface = wall_area(lines, partial(unlike_below, lines, given.free), faces) / _volume(given)
        if not is_traced(k_stationary) and all(one.narrow is not None for one in solved):
            narrow = np.array([one.narrow for one in solved])
            free, around = np.asarray(given.free), partial(periodic_along, ends=ends, sides=sides)
            widths = np.array([breakthrough_diameter(free, one.axis, around(one)) for one in solved])
            notes += _notes(given, solved, narrow, widths, ends, sides)
    voxel_area = None if area_of(given.voxel_unit) is None else reference**2 * area_of(given.voxel_unit)
    flux = [d.slices for d in solved]
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
        error_budget=ErrorBudget(solver=residual, balance=balance),
        wall=wall,
        ends=ends,
        sides=sides,
        voxel_area=voxel_area,
        velocity=[d.velocity for d in solved] if every else solved[0].velocity,
        pressure=[d.pressure for d in solved] if every else solved[0].pressure,
        notes=tuple(notes),
        surface=surface,
        breakthrough_diameter=widths if every or widths is None else widths[0],
    )
    return jax.tree.map(plain_numbers, made)


def plain_numbers(value: Any) -> Any:
    """Return numbers, and short arrays of them, as NumPy has them, unless they are traced; fields
    stay as they are.
    """
    if is_traced(value) or not isinstance(value, jax.Array) or value.ndim > 2:
        return value
    array = np.asarray(value)
    array = array.astype(np.float64) if array.dtype == np.float32 else array
    return array if array.ndim else array[()]


def as_images(image: Any, made: Permeability, given: FlowInput) -> Permeability:
    """Return the fields as images, where the voxels came from one, with the voxel lengths that were
    solved for.
    """
    frame = getattr(image, "frame", None)
    if not isinstance(frame, Frame) or is_traced(made.value_voxel):
        return made
    lengths = spacing_of(given.spacing)
    length = float(np.prod(lengths)) ** (1 / 3)
    unit = given.voxel_unit

    def image_of(values: Any, name: str, scale: float, unit: str) -> Any:
        return from_array(
            scale * np.asarray(values), field_name=name, field_unit=unit, voxel_length=lengths,
            voxel_origin=frame.voxel_origin, voxel_unit=given.voxel_unit,
        )  # fmt: skip

    def of(velocity: Any, pressure: Any) -> Any:
        if velocity is None:
            return None, None
        parts = tuple(
            image_of(part, f"velocity along {AXES[d]}", length**2, f"{unit}**2" if unit else "")
            for d, part in enumerate(velocity)
        )
        return parts, image_of(pressure, "pressure", length, unit)

    if made.axis == "all":
        pairs = [of(v, p) for v, p in zip(made.velocity, made.pressure, strict=True)]
        return dataclasses.replace(made, velocity=[v for v, _ in pairs], pressure=[p for _, p in pairs])
    velocity, pressure = of(made.velocity, made.pressure)
    return dataclasses.replace(made, velocity=velocity, pressure=pressure)


def slices_of(problem: FlowProblem, flow: Flow, along: int) -> Any:
    """Return the flux through each plane of faces of the sample, over that of k_L."""
    planes = settled(planes_of(flow.x[along], along, problem.geometry.wrap[along]))
    section = problem.volume / (problem.geometry.length if along == 0 else planes.shape[0])
    mean = flow.stationary / problem.volume
    return planes / section / jnp.where(mean == 0, 1, mean)


def _volume(given: FlowInput) -> int:
    return int(np.prod(given.shape)) if given.inside is None else int(given.inside.sum())


def _porosity(given: FlowInput, solved: list[Direction], porosity: dict[int, float] | None) -> FlowPorosity:
    volume = _volume(given)
    clusters = [one.problem.clusters for one in solved if one.problem.clusters is not None]
    if all(found is clusters[0] for found in clusters):  # of one axis, or of all together
        clusters = clusters[:1]
    open_voxels = int(given.open.sum())  # pyright: ignore[reportOptionalMemberAccess]
    micro = None
    if porosity is not None:
        micro = sum(share * int(np.sum(where)) / volume for where, share in micro_phases(given, porosity))
    elif given.soft is not None and not is_traced(given.soft):
        values = np.asarray(jax.lax.stop_gradient(given.soft))
        micro = float(values[given.open & ~given.free].sum() / volume)  # pyright: ignore[reportOptionalOperand]
    through = [(found.accessible, open_voxels - found.removed_voxels) for found in clusters]
    return porosity_of(volume, open_voxels, int(given.free.sum()), through, micro)


def porosity_of(
    volume: int, open_voxels: int, free: int, through: list[tuple[int, int]], micro: float | None
) -> FlowPorosity:
    """Return shares of a sample from counts of its voxels; `through` holds for each axis that was
    solved the accessible and the percolating ones.
    """
    macro = free / volume
    counts = np.asarray(through if len(through) > 1 else through[0])
    accessible, percolating = np.minimum(counts[..., 0], open_voxels), counts[..., 1]
    return FlowPorosity(
        total=open_voxels / volume if micro is None else macro + micro,
        macro=macro,
        micro=micro,
        accessible=accessible / volume,
        percolating=percolating / volume,
        isolated=(open_voxels - accessible) / volume,
    )


def micro_phases(given: FlowInput, porosity: Any) -> list[tuple[np.ndarray, float]]:
    """Return where the phases of given porosity lie, and their porosity."""
    if not isinstance(porosity, dict):
        raise TypeError(f"porosity={porosity!r} must give the porosity of porous phases by value, such as {{2: 0.15}}.")
    found = []
    for value, share in porosity.items():
        where = [w for label, (w, _, _) in zip(given.labels, given.phases, strict=True) if label == value]
        if not where or not isinstance(share, int | float | np.number) or not 0 <= share <= 1:
            raise ValueError(
                f"porosity[{value}]={share!r} must be a fraction of a phase that permeability= names: {list(given.labels)}."
            )
        found.append((where[0], float(share)))
    if missing := [label for label in given.labels if label not in porosity]:
        raise ValueError(
            f"porosity={porosity!r} says nothing of {missing}, which permeability= names: the total would leave their pores out; "
            f"give every porous phase its porosity."
        )
    return found


def with_narrow_share(one: Direction, given: FlowInput) -> Direction:
    """Add the share of the flux that passes narrow throats, where walls are sharp and nothing is
    traced.
    """
    if given.free is None or is_traced(given.free) or (one.flow is not None and is_traced(one.flow.iterations)):
        return one
    if one.flow is None:
        return one._replace(narrow=0.0)
    velocity = np.asarray(one.flow.x[one.along])
    x, y, z = velocity.shape
    lines, boundaries = HostLines(velocity.shape, (x, y, z)), one.problem.geometry.boundaries
    return one._replace(narrow=float(narrow_share(lines, velocity, one.along, boundaries)))


def _notes(
    given: FlowInput, solved: list[Direction], narrow: np.ndarray, widths: np.ndarray, ends: str, sides: str
) -> list[str]:  # fmt: skip
    notes = []
    if given.inside is None:
        notes += air_notes(
            [one.axis for one in solved], sides, {(0, 0, 0): np.asarray(given.free)}, given.shape, named=True
        )
    for one, share, width in zip(solved, narrow, widths, strict=True):
        clusters, loose = one.problem.clusters, False
        removed = (0, 0) if clusters is None else (clusters.removed, clusters.removed_voxels)
        if one.flow is None and ends == "pressure":
            loose = bool(joins_ends(np.asarray(given.open), one.axis, connectivity=26).any())
        notes += direction_notes(AXES[one.axis], removed, one.flow is not None, loose, share, width)
    if ends == "periodic" and given.inside is None:
        lines = HostLines(given.shape, given.shape)
        notes += [
            mismatch_note(AXES[one.axis])
            for one in solved
            if one.flow is not None and not repeats(lines, np.asarray(given.open), one.axis)
        ]
    return notes + layer_notes(given)


def periodic_along(one: Direction, ends: str, sides: str) -> Periodic:
    """Return along which axes the image repeats itself; reservoirs lie between its ends."""
    x, y, z = (
        (ends == "periodic" and one.problem.shortening == 1) if a == one.axis else sides == "periodic" for a in range(3)
    )
    return x, y, z


def direction_notes(
    name: str, removed: tuple[int, int], flows: bool, loose: bool, share: float, width: float
) -> list[str]:
    """Say what was removed along an axis, and how well the voxels resolve the flow.

    Parameters
    ----------
    name
        Of the axis.
    removed
        How many clusters that do not join the ends, and their voxels.
    flows, loose
        Whether something joins the ends through voxel faces, or through edges and corners only.
    share, width
        Of the flux, that through narrow throats; the breakthrough diameter.
    """
    notes = []
    if removed[0]:
        notes.append(f"{name}: {removed[0]} clusters of {removed[1]} voxels do not join the ends and were removed")
    if not flows:
        return [
            *notes,
            f"{name}: no path joins the ends through voxel faces, so k = 0"
            + ("; through edges and corners one does: the throats are at the voxel's limit" if loose else ""),
        ]
    if share > NARROW:
        notes.append(
            f"{name}: {100 * share:.0f} % of the flux passes throats of one or two voxels somewhere: the image is too coarse for a "
            f"reliable k"
        )
    if 0 < width < RESOLVED:
        notes.append(
            f"{name}: the widest way through is {width:.3g} voxels across where it is narrowest; below about {RESOLVED} the "
            f"voxels decide k: see how it changes on a coarsened image (budget=('resolution',))"
        )
    return notes


def mismatch_note(name: str) -> str:
    """Say that an image does not look periodic along an axis."""
    return (
        f"the faces across {name} do not match: they differ by more than neighbouring layers do, and periodic ends make walls "
        f"there; use ends='pressure', or a reservoir, unless the image was made to repeat itself"
    )


def layer_notes(given: FlowInput) -> list[str]:
    """Say which porous phases are so tight that the flow into them is not resolved."""
    return [
        f"Brinkman layers at a porous phase are {drag**0.5:.2g} voxels thin, not resolved: its k enters by Darcy flow"
        for where, drag in _matrices(given)
        if drag is not None and drag < 0.1 and where.any()
    ]


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
