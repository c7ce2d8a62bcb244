"""Permeability over several devices and processes: the host's part, the same on every process.

Each process reads and labels the voxels of its own devices. From there on the solve is that of one
device: its arrays lie over all of them, its stencils ask next door (`_one_voxel_further`), and so
do its walls (`_device_lines`) and its multigrid (`_flow_levels_over_devices`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lithax.arrays import at_once, is_traced, settled
from lithax.geometry import Frame
from lithax.grid import Index
from lithax.images import save, together
from lithax.runtime import connected
from lithax.sharded import ShardedGrid
from lithax.solve._air_around import air_notes
from lithax.solve._checkpoint import HOST_ONLY
from lithax.solve._derivative_over_devices import PAIRS, depending, depending_tensor, without_derivative
from lithax.solve._device_lines import DeviceLines
from lithax.solve._domain import inside_of
from lithax.solve._flow_direction import ORDERS, Call, at_centres, back, in_image_order, solve_direction
from lithax.solve._flow_input import AXES, FlowInput, check_walls, frame_of, geometry_of, read_sharp, read_soft
from lithax.solve._flow_medium import FlowGeometry, FlowMedium, half_at_ends, walls_of
from lithax.solve._flow_problem import FlowProblem, check_section, medium_fields, reference_lengths, value_of
from lithax.solve._flow_resolution import face_areas, narrow_share, repeats, unlike_below, wall_area
from lithax.solve._flow_words import scale_of, wall_rule
from lithax.solve._mac_walls import Boundary
from lithax.solve._one_voxel_further import PartedAxis
from lithax.solve._over_devices import (
    AbstractVoxels,
    between_reservoirs,
    counted_section,
    mesh_of,
    offset_along,
    read_values,
    regridded,
    returned,
    volume_of,
)
from lithax.solve._part_levels import plan_levels
from lithax.solve._part_percolation import PartPercolation, percolation_of_parts
from lithax.solve._permeability_of_flow import (
    Direction,
    direction_notes,
    layer_notes,
    make_result,
    micro_phases,
    mismatch_note,
    periodic_along,
    porosity_of,
    tensor_of,
)
from lithax.solve._permeability_result import FlowPorosity, Permeability
from lithax.solve._source import Source, size_of, spacing_of
from lithax.solve._widest_way_over_devices import WaysOverDevices
from lithax.typing import Array

Boundaries = tuple[Boundary, Boundary, Boundary]


@dataclass(frozen=True, eq=False)
class _Voxels(AbstractVoxels):
    """Voxels, and what the values that occur mean for flow."""

    given: FlowInput
    """Of the values that occur (floats: the extremes), as an image of shape (k, 1, 1)."""

    def openness(self, voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return which voxels hold fluid, and which hold nothing else; None if walls are soft."""
        if self.given.soft is None:
            return (
                self.looked_up(voxels, self.given.open.reshape(-1)),
                self.looked_up(voxels, self.given.free.reshape(-1)),
            )
        if self.given.free is None:
            return np.ones(voxels.shape, bool), None
        return voxels > 0, voxels >= 1


def permeability_over_devices(
    image: Any, call: Call, *, shape: Any, pore: Any, permeability: Any, porosity: dict[int, float] | None, where: Any,
    wall: str | None, spacing: Any, unit: str | None, ends: str, sides: str, refused: list[str],
) -> Permeability:  # fmt: skip
    """Solve as `permeability` does, on all devices that hold the voxels, or shall; its arguments.

    Raises
    ------
    ValueError
        Also if an option is given that is not available here (`refused`).
    """
    handed_in, image = image, without_derivative(image)
    differentiated = is_traced(handed_in)
    _refuse_derivatives(differentiated, permeability, call)
    if differentiated:
        call = call._replace(settings=(call.settings[1], call.settings[1]))
    lengths, voxel_unit = geometry_of(image, spacing)
    if refused or not isinstance(lengths, tuple):
        raise ValueError(
            f"{refused[0] if refused else 'an array as spacing'}= is not available over several devices; leave it out, or solve "
            "on one device: jax.device_put(image, jax.devices()[0])."
        )
    size = size_of(image, shape)
    is_image = isinstance(getattr(image, "frame", None), Frame)
    source = Source(image, lengths, frame_of(image, size, lengths, voxel_unit), image if is_image else None, False)
    world = image.world if is_image else connected()
    grid = ShardedGrid(size, mesh_of(image, source))
    with at_once(image), together(world):
        raw, present, tally, selection = read_values(image, source, grid, world, where, 1.0)
        table = present.reshape(-1, 1, 1)
        some = None if where is None else np.ones(table.shape, bool)  # so that a region may be all pore
        if table.dtype.kind == "f":
            given = read_soft(table.astype(np.float32), pore, permeability, some, lengths, voxel_unit)
        else:
            given = read_sharp(table, table.dtype.kind, pore, permeability, some, lengths, voxel_unit)
        check_walls(given, sides, where is None)
        if porosity is not None:
            micro_phases(given, porosity)
        voxels = _Voxels(raw, grid, world, present, tally, selection, given)
        scale, unit = scale_of(given.voxel_unit, given.spacing, unit)
        solve = _Solve(voxels, call, wall_rule(wall, given), differentiated)
    with at_once(image):
        solved, tensor = solve.directions()
        said = replace(
            given, shape=size, open=None, free=None, inside=None, soft=None, phases=(),
            meaning=given.meaning + ("" if where is None else ", inside where="),
        )  # fmt: skip
        made = make_result(said, solved, tensor, call.axis, scale, unit, solve.rule, ends, sides, porosity)
        made = solve.described(made, solved, porosity)
        slopes = [returned(slope, image, grid) for slope in solve.slopes]
    if differentiated:
        return _with_derivative(made, handed_in, slopes, solved[0].problem.reference ** 2 * scale)
    return made if not call.fields else _as_images(image, made, given) if is_image else _as_arrays(image, grid, made)


def _refuse_derivatives(differentiated: bool, permeability: Any, call: Call) -> None:
    """Raise ValueError for what has no derivative over devices."""
    numbers = list(permeability.values()) if isinstance(permeability, dict) else []
    if callable(permeability):
        numbers = [permeability(jnp.full(1, 0.5, np.float32))]
    if any(is_traced(number) for number in numbers):
        raise ValueError(
            "permeability= is differentiated, and image lies over several devices, where derivatives are taken with respect to "
            "pore fractions; solve on one device: jax.device_put(image, jax.devices()[0])."
        )
    if differentiated and call.checkpoint is not None:
        raise ValueError(HOST_ONLY)
    if differentiated and call.fields:
        raise ValueError(
            "fields= is not available where an image over several devices is differentiated; leave it out, or call "
            "permeability() outside of jax.grad."
        )


def _with_derivative(made: Permeability, image: Any, slopes: list[Array], scale: Any) -> Permeability:
    """Return a result whose value and tensor depend on an image, in the unit of `scale` voxel²."""
    several = made.axis == "all"
    if made.tensor is None:
        numbers = tuple(np.atleast_1d(np.asarray(made.value_voxel, np.float32)))
        found = depending(image, tuple(map(jnp.asarray, numbers)), slopes)
        k = jnp.stack(found) if several else found[0]
        return replace(made, value_voxel=k, value=k * scale)
    tensor = depending_tensor(image, np.asarray(made.tensor / scale, np.float32), slopes)
    k = jnp.diagonal(tensor)
    return replace(made, value_voxel=k, value=k * scale, tensor=tensor * scale)


class _Solve:
    """One call."""

    def __init__(self, voxels: _Voxels, call: Call, rule: str, differentiated: bool) -> None:
        self.voxels, self.rule, self.differentiated = voxels, rule, differentiated
        self.slopes: list[Array] = []
        """The derivative of k for each axis, or of each entry of the tensor [voxel²]."""
        # Fields lie on another grid than the image here: they are made below.
        self.call, self.fields = call._replace(fields=False, progress=call.progress and voxels.world.first), call.fields
        pieces = [(start, device, v, voxels.inside(start, v.shape)) for start, device, v in voxels.pieces()]
        self.inside = {start: mask for start, _, _, mask in pieces}
        self.cells = volume_of(voxels, self.inside)
        if self.cells == 0:
            raise ValueError("where= selects no voxel; give a region that meets the image.")
        self.open: dict[Index, np.ndarray] = {}
        self.free: dict[Index, np.ndarray] = {}
        self.devices = {start: device for start, device, _, _ in pieces}
        for start, _, v, mask in pieces:
            filled, free = voxels.openness(v)
            self.open[start] = filled if mask is None else filled & mask
            if free is not None:
                self.free[start] = free if mask is None else free & mask
        if not sum(voxels.world.gather(sum(int(np.count_nonzero(v)) for v in self.open.values()))):
            raise ValueError(
                f"no pores ({voxels.given.meaning}, inside where=): no voxel carries flow; which value of the image is pore?"
            )
        self.joined: list[PartPercolation] = []

    def directions(self) -> tuple[list[Direction], tuple[Any, Any] | None]:
        """Solve for each direction asked for; return also the tensor, where it is determined."""
        call, solved = self.call, []
        if call.axis == "all" and set(call.boundaries) == {"periodic"} and call.reservoir == 0:
            problem = self.problem(None)
            for a in range(3):
                solved.append(self.solved(problem, a, a))
            if self.differentiated:
                self.slopes = [self._slope(problem, solved[i], solved[j], None) for i, j in PAIRS]
            tensor = tensor_of(problem, solved)
            return [one.without_arrays() for one in solved], tensor
        for a in range(3) if call.axis == "all" else (AXES.index(call.axis),):
            one = self.solved(self.problem(a), a, 0)
            if self.differentiated:
                self.slopes.append(self._slope(one.problem, one, one, a))
            solved.append(one.without_arrays())
        return solved, None

    def _slope(self, problem: FlowProblem, one: Direction, other: Direction, axis: int | None) -> Array:
        """Return the derivative of k [voxel²] in the pore fractions, on the grid of the image."""
        if one.flow is None or other.flow is None:
            return self._placed({}, np.float32)
        voxels, wrap = self.voxels, problem.geometry.wrap[0]
        assert isinstance(wrap, PartedAxis)
        order = (0, 1, 2) if axis is None else ORDERS[axis]
        place = (order[0], self.call.reservoir, voxels.shape, wrap.grid, order)
        given = voxels.given
        meaning = (given.spacing, given.voxel_unit, given.matrix)
        soft = self._placed({start: v.astype(np.float32) for start, _, v in voxels.pieces()}, np.float32)
        filled = free = None
        if self.free:
            filled, free = (_between_ends(*place, voxels=self._placed(v, bool)) for v in (self.open, self.free))
        arrays = problem._replace(medium=None)  # pyright: ignore[reportArgumentType]
        axes = (one.along, other.along)
        weights = problem.medium.weights
        return settled(_slope_of(soft, arrays, filled, free, one.flow.x, other.flow.x, weights, place, meaning, axes))

    def solved(self, problem: FlowProblem, axis: int, along: int) -> Direction:
        """Solve along an axis of the image, which is axis `along` of the problem."""
        one = solve_direction(problem, self.voxels.given, axis, along, self.call, self.voxels.world.check)
        flow = one.flow
        if flow is None:
            return one._replace(narrow=0.0)
        if self.free:
            one = one._replace(narrow=self._narrow(one))
        numbers = jax.tree.map(np.asarray, flow._replace(x=()))
        one = one._replace(flow=numbers._replace(x=flow.x), value=np.asarray(one.value))
        if not self.fields:
            return one
        order = back(axis) if along != axis else (0, 1, 2)
        size = tuple(self.voxels.shape[a] for a in (ORDERS[axis] if along != axis else order))
        x, y, z = size
        by = offset_along(0, -self.call.reservoir)
        parts = [regridded(p, (x, y, z), self.voxels.grid, order, by) for p in at_centres(problem, flow.x)]
        velocity, pressure = in_image_order(parts, axis, along)
        return one._replace(velocity=velocity, pressure=pressure)

    def problem(self, axis: int | None) -> FlowProblem:
        """Set up flow along an axis, or along all three of a periodic image."""
        voxels, given, boundaries = self.voxels, self.voxels.given, self.call.boundaries
        order = (0, 1, 2) if axis is None else ORDERS[axis]
        a, b, c = (boundaries[order.index(a)] == "periodic" for a in range(3))
        ends = "periodic" if boundaries[0] == "periodic" else "potential"
        r = self.call.reservoir
        joined = self._joined(axis, ends, (a, b, c))
        self.joined.append(joined)
        x, y, z = (given.spacing[a] for a in order)
        reference, weights = reference_lengths((x, y, z))
        if joined.percolating == 0:
            return FlowProblem(None, None, 1.0, 1.0, None, reference)  # pyright: ignore[reportArgumentType]
        nx, ny, nz = (voxels.shape[a] for a in order)
        n = nx + 2 * r
        lengths, whole = (n, ny, nz), (n + int(boundaries[0] == "pressure"), ny, nz)
        grid = ShardedGrid(whole, _turned(voxels.grid.mesh, order), plan_levels(whole, weights)[3])
        place = partial(_between_ends, order[0], r, voxels.shape, grid, order)
        section = None
        if r and voxels.selection is not None:
            section = self._placed({start: m for start, m in self.inside.items() if m is not None}, bool)
        open_voxels = place(self._placed(joined.keep, bool), section, True)
        walls = jax.tree.map(settled, walls_over_devices(open_voxels, grid, lengths, boundaries, self.rule, weights))
        half = None
        if boundaries[0] == "pressure":
            same = NamedSharding(grid.mesh, PartitionSpec())
            ends_of = half_at_ends(np.arange(grid.filled[0]), n, np.float32).reshape(-1, 1, 1)
            half = jax.device_put(ends_of, same)
        x, y, z = (PartedAxis(grid, a, boundary == "periodic") for a, boundary in enumerate(boundaries))
        geometry = FlowGeometry(walls, open_voxels, half, boundaries, n, (x, y, z))
        return FlowProblem(
            geometry, FlowMedium(*self._medium(place, reference), weights), self._section(axis, order) * n, nx / n, None,
            reference,
        )  # fmt: skip

    def _joined(self, axis: int | None, ends: str, periodic: tuple[bool, bool, bool]) -> PartPercolation:
        """Find what joins the ends, through the reservoirs, too."""
        voxels, r = self.voxels, self.call.reservoir
        if not r or axis is None:
            return percolation_of_parts(self.open, voxels.shape, axis, ends, periodic, voxels.world)
        pieces, windows = {}, {}
        for start, v in self.open.items():
            plane = (*v.shape[:axis], 1, *v.shape[axis + 1 :])
            face = np.ones(plane, bool)
            if voxels.selection is not None:
                face = inside_of(voxels.selection, _index(0 if a == axis else k for a, k in enumerate(start)), plane)
            layers = np.repeat(face, r, axis)
            first, last = start[axis] == 0, start[axis] + v.shape[axis] == voxels.shape[axis]
            begin = _index(k + r if a == axis and k else k for a, k in enumerate(start))
            pieces[begin] = np.concatenate([*([layers] if first else []), v, *([layers] if last else [])], axis)
            own = slice(r, r + v.shape[axis]) if first else slice(v.shape[axis])
            windows[begin] = start, tuple(own if a == axis else slice(None) for a in range(3))
        whole = _index(k + 2 * r if a == axis else k for a, k in enumerate(voxels.shape))
        joined = percolation_of_parts(pieces, whole, axis, ends, periodic, voxels.world, reservoir=r)
        keep = {start: joined.keep[begin][window] for begin, (start, window) in windows.items()}
        return replace(joined, keep=keep)

    def _placed(self, values: dict[Index, np.ndarray], dtype: Any) -> Array:
        return self.voxels.placed({start: (self.devices[start], v) for start, v in values.items()}, dtype)

    def _medium(self, place: Any, reference: Any) -> tuple[Any, Any]:
        """Return drag and solidity on the grid of the faces."""
        given, voxels = self.voxels.given, self.voxels
        if given.soft is None:
            table, _ = medium_fields(given, reference, 0, np.float32)
            if table is None:
                return None, None
            drag = np.asarray(table).reshape(-1)
            found = {start: voxels.looked_up(v, drag) for start, _, v in voxels.pieces()}
            return place(self._placed(found, np.float32)), None
        soft = {start: v.astype(np.float32) for start, _, v in voxels.pieces()}
        given = replace(given, soft=_fractions(place, self._placed(soft, np.float32)), open=None, free=None)
        if self.free:
            given = replace(given, open=place(self._placed(self.open, bool)), free=place(self._placed(self.free, bool)))
        return medium_fields(given, reference, 0, np.float32)

    def _section(self, axis: int | None, order: tuple[int, int, int]) -> float:
        """Return the cross-section that the flux is divided by, in voxel faces."""
        size, spacing = self.voxels.shape, self.voxels.given.spacing
        if self.call.area is not None:
            return float(self.call.area / (spacing[order[1]] * spacing[order[2]]))
        if self.voxels.selection is None:
            return float(np.prod([size[a] for a in order[1:]]))
        for a in range(3) if axis is None else (axis,):
            planes = counted_section(self.voxels, self.inside, a)
            assert planes is not None
            check_section(planes)
        return self.cells / size[order[0]]

    def described(self, made: Permeability, solved: list[Direction], porosity: dict[int, float] | None) -> Permeability:
        """Add porosities, walls, the share of narrow throats, and notes."""
        if not self.free:
            return made
        voxels, given = self.voxels, self.voxels.given
        notes, free = list(made.notes), self._placed(self.free, bool)
        shares = np.array([d.narrow for d in solved])
        around = [periodic_along(one, made.ends, made.sides) for one in solved]
        ways = {
            periodic: WaysOverDevices(free, voxels.grid, voxels.world, periodic) for periodic in dict.fromkeys(around)
        }
        widths = np.array([ways[periodic].diameter(one.axis) for one, periodic in zip(solved, around, strict=True)])
        if voxels.selection is None:
            notes += air_notes(
                [one.axis for one in solved], made.sides, self.free, voxels.shape, voxels.world, named=True
            )
        joined = self.joined * (3 if len(self.joined) < len(solved) else 1)
        for one, found, share, width in zip(solved, joined, shares, widths, strict=True):
            removed = found.removed, found.total - found.percolating
            notes += direction_notes(AXES[one.axis], removed, one.flow is not None, found.corners_only, share, width)
        if made.ends == "periodic" and voxels.selection is None:
            open_voxels = self._placed(self.open, bool)
            notes += [
                mismatch_note(AXES[one.axis])
                for one in solved
                if one.flow is not None and not settled(_repeats(open_voxels, voxels.grid, one.axis))
            ]
        notes += layer_notes(given)
        faces, lines = face_areas(given.spacing), DeviceLines(voxels.grid, voxels.grid.shape)
        found = self._porosity(porosity)
        several = self.call.axis == "all"

        def unlike(axis: int) -> Array:
            return settled(_unlike(free, voxels.grid, axis))

        return replace(
            made, porosities=found, porosity=found.total, notes=tuple(notes),
            surface=None if faces is None else wall_area(lines, unlike, faces) / self.cells,
            narrow_share=shares if several else shares[0], breakthrough_diameter=widths if several else widths[0],
        )  # fmt: skip

    def _narrow(self, one: Direction) -> float:
        assert one.flow is not None
        wrap = one.problem.geometry.wrap[0]
        assert isinstance(wrap, PartedAxis)
        boundaries = one.problem.geometry.boundaries
        return float(settled(_narrow_share(one.flow.x[one.along], wrap.grid, one.along, boundaries)))

    def _porosity(self, porosity: dict[int, float] | None) -> FlowPorosity:
        voxels, given = self.voxels, self.voxels.given
        counts = self._tally()
        free = int(sum(voxels.world.gather(sum(int(np.count_nonzero(v)) for v in self.free.values()))))
        micro = None
        if porosity is not None:
            micro = sum(share * int(counts[where.reshape(-1)].sum()) for where, share in micro_phases(given, porosity))
        elif given.soft is not None:
            own = [v[self.open[start] & ~self.free[start]].sum(dtype=float) for start, _, v in voxels.pieces()]
            micro = sum(voxels.world.gather(float(sum(own))))
        micro = None if micro is None else micro / self.cells
        through = [(found.accessible, found.percolating) for found in self.joined]
        return porosity_of(self.cells, self.joined[0].total, free, through, micro)

    def _tally(self) -> np.ndarray:
        """Return how many voxels of the sample hold each of the values that occur."""
        voxels = self.voxels
        if voxels.selection is None or voxels.given.soft is not None:
            return voxels.tally
        own = np.zeros(len(voxels.present), int)
        for start, _, v in voxels.pieces():
            own += np.bincount(np.searchsorted(voxels.present, v[self.inside[start]]), minlength=len(own))
        return np.sum(voxels.world.gather(own), 0)


def _between_ends(
    axis: int, reservoir: int, shape: Index, grid: ShardedGrid, order: Any, voxels: Array, section: Any = None, value: Any = 0
) -> Array:  # fmt: skip
    """Return voxels on the grid of a flow, between reservoirs along an axis if there are any."""
    if reservoir == 0:
        return regridded(voxels, shape, grid, order)
    return between_reservoirs(voxels, section, value, shape, grid, axis, reservoir, order)


def _fractions(place: Any, soft: Array) -> Array:
    """Return pore fractions on the grid of a flow: 1 in reservoirs and in the filler, which lies
    next to the last plane of faces and has no drag.
    """
    return 1 - place(1 - soft)


@partial(jax.jit, static_argnums=(6, 7, 8, 9))
def _slope_of(
    soft: Array, problem: FlowProblem, filled: Any, free: Any, x: Any, y: Any, weights: Any, place: Any, meaning: Any,
    axes: tuple[int, int],
) -> Array:  # fmt: skip
    spacing, unit, matrix = meaning

    def k(soft: Array) -> Array:
        placed = _fractions(partial(_between_ends, *place), soft)
        given = FlowInput(placed.shape, filled, free, None, placed, (), spacing, unit, "", (), matrix)
        drag, solidity = medium_fields(given, problem.reference, 0, np.float32)
        return value_of(problem._replace(medium=FlowMedium(drag, solidity, weights)), x, y, axes)

    return jax.grad(k)(soft)


def _index(numbers: Iterable[int]) -> Index:
    x, y, z = numbers
    return x, y, z


def _turned(mesh: Mesh, order: tuple[int, int, int]) -> Mesh:
    """Return the mesh that divides arrays whose axes are in another order as it divided them
    before.
    """
    return Mesh(mesh.devices, tuple("xyz"[order.index(a)] for a in range(3)))


@partial(jax.jit, static_argnums=(1, 2, 3, 4, 5))
def walls_over_devices(
    open_voxels: Array, grid: ShardedGrid, lengths: Index, boundaries: Boundaries, rule: str, weights: Any
) -> tuple[Array, Array, Array]:
    """Return what walls add to the diagonal for each velocity component, as `walls_of` does."""
    return walls_of(DeviceLines(grid, lengths), open_voxels, boundaries, rule, weights, np.float32)


@partial(jax.jit, static_argnums=(1, 2))
def _repeats(open_voxels: Array, grid: ShardedGrid, axis: int) -> Array:
    return repeats(DeviceLines(grid, grid.shape), open_voxels, axis)


@partial(jax.jit, static_argnums=(1, 2))
def _unlike(free: Array, grid: ShardedGrid, axis: int) -> Array:
    return unlike_below(DeviceLines(grid, grid.shape), free, axis)


@partial(jax.jit, static_argnums=(1, 2, 3))
def _narrow_share(velocity: Array, grid: ShardedGrid, axis: int, boundaries: Boundaries) -> Array:
    return narrow_share(DeviceLines(grid, grid.shape), velocity, axis, boundaries)


def _as_arrays(image: Any, grid: ShardedGrid, made: Permeability) -> Permeability:
    """Return the fields on the devices of the image, in its shape."""

    def of(field: Any) -> Any:
        if isinstance(field, list | tuple):
            return type(field)(of(f) for f in field)
        return None if field is None else returned(field, image, grid)

    return replace(made, velocity=of(made.velocity), pressure=of(made.pressure))


def _as_images(image: Any, made: Permeability, given: FlowInput) -> Permeability:
    """Return the fields in the unit of length that was solved in: as images, or over several
    processes, where an image in memory would be that of one, as arrays on the grid.
    """
    lengths, unit = spacing_of(given.spacing), given.voxel_unit
    length, geometry = float(np.prod(lengths)) ** (1 / 3), {"voxel_length": lengths, "voxel_unit": unit}

    def of(field: Any, name: str, scale: float, unit: str) -> Any:
        if field is None or image.world.count > 1:
            return field if field is None else scale * field
        return save(scale * field, like=image, field_name=name, field_unit=unit, **geometry)

    def velocity(parts: Any) -> Any:
        square = f"{unit}**2" if unit else ""
        return tuple(of(p, f"velocity along {AXES[d]}", length**2, square) for d, p in enumerate(parts))

    if made.axis == "all":
        return replace(
            made, velocity=[v and velocity(v) for v in made.velocity],
            pressure=[of(p, "pressure", length, unit) for p in made.pressure],
        )  # fmt: skip
    return replace(
        made, velocity=made.velocity and velocity(made.velocity), pressure=of(made.pressure, "pressure", length, unit)
    )
