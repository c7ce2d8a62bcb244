"""Drainage of a pore space by balls: which pores a non-wetting fluid enters at which pressure."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Unpack

import numpy as np

from lithax.arrays import Basins, largest_balls, lowest_passes, no_source
from lithax.chunked import Field, FoldPass, MapPass, PassBlock
from lithax.fields._basins import BasinGraph, Relief, basin_pass, graph_of_array
from lithax.fields._call import ImageOptions, host_array, image_call, is_image, like_input, phase_values, valid_array
from lithax.fields._distance import DistanceSettings, distance_of_array, distance_passes, distance_settings
from lithax.fields._thickness import ASSUMED_RADIUS, cubic_length, diameters_of
from lithax.geometry import length_factor, validate_unit
from lithax.grid import Box, triple
from lithax.images import Passes, Plan, WholeImage, plan_algorithm, plans, run_algorithm

FACES = ("x-", "x+", "y-", "y+", "z-", "z+")
PRESETS: dict[str, dict[str, Any]] = {
    "mercury": {"entry": "all", "trapping": False, "surface_tension": 0.48, "contact_angle": 140.0},
    "porous_plate": {"entry": "z-", "trapping": True, "surface_tension": 0.072, "contact_angle": 0.0},
}
PSI = 6894.757293168
"""One pound-force per square inch [Pa]."""


class _Settings(NamedTuple):
    distance: DistanceSettings
    length: float
    """Edge of a voxel, in the unit of the diameters."""
    metres: float | None
    """Edge of a voxel [m]; None if the unit is not known."""
    entry: str
    trapping: bool
    surface_tension: float
    contact_angle: float


@dataclass(frozen=True)
class Drainage:
    """Which pores a non-wetting fluid enters, and at which pressure."""

    entry_diameter: Any
    """Diameter of the ball with which the fluid first reaches each voxel; 0 where it never does.
    What it fills at a diameter d is ``entry_diameter >= d``."""
    diameters: np.ndarray
    """The steps of the drainage, from the widest to the narrowest [voxel, or the unit of
    `spacing`].
    """
    saturation: np.ndarray
    """Non-wetting part of the imaged pore volume after each step [-]."""
    breakthrough_diameter: tuple[float, float, float]
    """The largest ball that passes from one face to the opposite one, along x, y and z; 0 if none
    does.
    """
    pore_voxels: int
    voxel_length: float
    """Edge of a voxel, in the unit of the diameters."""
    voxel_metres: float | None
    """Edge of a voxel [m]; None if its unit is not known."""
    surface_tension: float
    """[N/m]"""
    contact_angle: float
    """[degree]"""
    entry: str
    trapping: bool

    def state(self, diameter: float) -> Any:
        """Return the pores that the fluid fills once it passes through balls of this diameter, as
        booleans.
        """
        if not diameter > 0:
            raise ValueError(f"diameter={diameter!r} must be positive.")
        return self.entry_diameter >= diameter

    def capillary_pressure(self, unit: str = "Pa") -> np.ndarray:
        """Return the capillary pressure of each step, ``4 γ |cos θ| / d``; `unit` is "Pa", "MPa" or
        "psi".
        """
        return self.pressure_of(self.diameters, unit)

    def pressure_of(self, diameter: Any, unit: str = "Pa") -> Any:
        """Return the capillary pressure at which the fluid passes a throat of a diameter."""
        factors = {"Pa": 1.0, "kPa": 1e3, "MPa": 1e6, "psi": PSI}
        if unit not in factors:
            raise ValueError(f"unit={unit!r} must be one of {', '.join(factors)}.")
        if self.voxel_metres is None:
            raise ValueError(
                "the unit of the voxels is not known, so there is no pressure; give an image with a voxel_unit, or "
                "spacing= and unit=."
            )
        metres = np.asarray(diameter, float) * (self.voxel_metres / self.voxel_length)
        with np.errstate(divide="ignore"):
            found = 4 * self.surface_tension * abs(math.cos(math.radians(self.contact_angle))) / metres / factors[unit]
        return found[()]

    def largest_pressure(self, unit: str = "Pa") -> float:
        """Return the largest pressure that the voxels can show: that of a throat of one voxel."""
        return float(self.pressure_of(self.voxel_length, unit))

    def j_function(self, permeability: float, porosity: float) -> np.ndarray:
        """Return Leverett's J of each step, ``p_c √(k / φ) / (γ |cos θ|)`` [-].

        Parameters
        ----------
        permeability
            [m²].
        porosity
            [-].
        """
        tension = self.surface_tension * abs(math.cos(math.radians(self.contact_angle)))
        return self.capillary_pressure() * math.sqrt(permeability / porosity) / tension


def drainage(
    image: Any,
    *,
    preset: str | None = None,
    entry: str | None = None,
    trapping: bool | None = None,
    surface_tension: float | None = None,
    contact_angle: float | None = None,
    phases: int | Collection[int] | None = None,
    spacing: float | str | None = None,
    unit: str | None = None,
    outside: str = "foreground",
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Drainage:
    """Drain a pore space: find the largest ball with which a non-wetting fluid reaches each pore
    voxel.

    Morphological: at a diameter d the fluid fills all balls of this diameter whose centres hang
    together (through voxel faces) with the entry, along centres around which they fit. All
    diameters are found at once: the widest passage to each centre is a reconstruction of the
    distance map, and the balls that may pass are drawn. Balls go half-way to the voxels outside, as
    in `local_thickness`, but lie around voxel centres only: a throat of an even number of voxels
    counts one less.

    Parameters
    ----------
    image
        Boolean array or image, True in the pores, or a segmentation.
    preset
        "mercury": from all faces and the edge of `where`, nothing trapped, 0.48 N/m and 140°
        (Washburn's equation). "porous_plate": from the face "z-", wetting fluid trapped that is cut
        off from the opposite face, 0.072 N/m and 0° (air and brine). The arguments below override
        it; without a preset the defaults are those of mercury.
    entry
        "all" (the faces of the image and the edge of `where`), or one face: "x-", "x+", ..., "z+",
        the first or last layer.
    trapping
        Whether wetting fluid stays where it is once it is cut off from the face opposite `entry`.
    surface_tension, contact_angle
        Of the two fluids [N/m], and of the wetting fluid's [degree].
    phases
        The values of a segmentation that make the pores; without them, everything but 0.
    spacing, unit
        Edge of a voxel, and the unit of length that this number is in. For images the voxel length
        and unit by default, which pressures need; diameters are in voxels then, and in the unit
        with ``spacing="image"``.
    outside
        What lies beyond the faces, as for `distance`.
    where
        Voxels that take part: the plug, without what is around it.
    **options
        For images: `store`, `path`, `overwrite`, `chunks`, `shards`, `resume`, `memory_limit`,
        `workers`, `world` and `progress`, as for `chunk_map`; they are about
        `Drainage.entry_diameter`.

    References
    ----------
    Hilpert and Miller, Pore-morphology-based simulation of drainage in totally wetting porous
    media, Advances in Water Resources 24 (2001), 243-255. doi:10.1016/S0309-1708(00)00056-7
    Washburn, Note on a method of determining the distribution of pore sizes in a porous material,
    PNAS 7 (1921), 115-116.

    Examples
    --------
    >>> import numpy as np
    >>> pore = np.zeros((7, 7, 9), bool)
    >>> pore[1:6, 1:6, :4] = True  # a wide end, and a throat of one voxel
    >>> pore[3, 3] = True
    >>> drained = drainage(pore, entry="z-")
    >>> [float(drained.entry_diameter[3, 3, z]) for z in (1, 7)]
    [5.0, 1.0]
    """
    settings = _settings(image, preset, entry, trapping, surface_tension, contact_angle, phases, spacing, unit, outside)
    if is_image(image):
        call = _call(image, settings, phases, spacing, outside, where, options)
        outputs, (sizes, counts, through) = run_algorithm(call, (image,), lambda whole: _passes(whole, settings))
        return _result(settings, outputs[0], np.array(sizes, np.float32), np.array(counts, np.int64), through)
    values = host_array("drainage", image, options)
    valid = valid_array(where, values.shape)
    entered, through = _in_array(settings, values, valid)
    pore = settings.distance.phase(values) if valid is None else settings.distance.phase(values) & valid
    sizes, counts = np.unique(entered[pore], return_counts=True)
    return _result(settings, like_input(image, entered), sizes, counts, through)


def _settings(
    image, preset, entry, trapping, surface_tension, contact_angle, phases, spacing, unit, outside
) -> _Settings:
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"preset={preset!r} must be one of {', '.join(map(repr, PRESETS))}.")
    chosen = dict(PRESETS["mercury" if preset is None else preset])
    given = {"entry": entry, "trapping": trapping, "surface_tension": surface_tension, "contact_angle": contact_angle}
    chosen |= {name: value for name, value in given.items() if value is not None}
    if chosen["entry"] not in ("all", *FACES):
        raise ValueError(f"entry={chosen['entry']!r} must be 'all' or a face: {', '.join(map(repr, FACES))}.")
    if not isinstance(chosen["trapping"], bool | np.bool_):
        raise ValueError(f"trapping={chosen['trapping']!r} must be True or False.")
    if chosen["trapping"] and chosen["entry"] == "all":
        raise ValueError("trapping=True with entry='all': no face is left for the wetting fluid; name a face as entry.")
    for name in ("surface_tension",):
        if not (isinstance(chosen[name], int | float | np.number) and 0 < chosen[name] < math.inf):
            raise ValueError(f"{name}={chosen[name]!r} must be a positive number [N/m].")
    if not (isinstance(chosen["contact_angle"], int | float | np.number) and 0 <= chosen["contact_angle"] <= 180):
        raise ValueError(f"contact_angle={chosen['contact_angle']!r} must be from 0 to 180 degrees.")
    length = cubic_length("drainage", image, spacing)
    metres = None
    if unit is not None:
        _check_unit(image, spacing, unit)
        metres = length * float(length_factor(unit, "m"))
    elif is_image(image) and str(image.voxel_unit):
        edge = length if spacing is not None else cubic_length("drainage", image, "image")
        metres = edge * float(length_factor(str(image.voxel_unit), "m"))
    measured = distance_settings(image, phases=phases, outside=outside, squared=True)
    return _Settings(
        measured, length, metres, chosen["entry"], bool(chosen["trapping"]), float(chosen["surface_tension"]),
        float(chosen["contact_angle"]),
    )  # fmt: skip


def _check_unit(image: Any, spacing: Any, unit: Any) -> None:
    """Refuse a unit that would say how long a voxel is without, or against, what else is known."""
    validate_unit(unit, "unit")
    if spacing is None:
        raise ValueError(
            f"unit={unit!r} is the unit of spacing=, which is missing; give both, such as spacing=2.0, unit='um'"
            + (", or none of them for the voxel length of the image." if is_image(image) else ".")
        )
    if isinstance(spacing, str) and str(image.voxel_unit) not in ("", unit):
        raise ValueError(
            f"unit={unit!r} contradicts the voxel length of the image, which is in {str(image.voxel_unit)!r}; leave unit out, or "
            f"give spacing= as a number."
        )


def _result(settings: _Settings, entered: Any, sizes: np.ndarray, counts: np.ndarray, through: Any) -> Drainage:
    total = int(counts.sum())
    steps, volumes = sizes[sizes > 0][::-1], counts[sizes > 0][::-1]
    reached = np.cumsum(volumes) / max(total, 1)
    breakthrough = triple(float(diameters_of(np.array([t]), settings.length)[0]) for t in through)
    return Drainage(
        entered, steps.astype(np.float64), reached, breakthrough, total, settings.length, settings.metres,
        settings.surface_tension, settings.contact_angle, settings.entry, settings.trapping,
    )  # fmt: skip


def _face(entry: str) -> tuple[int, bool]:
    return "xyz".index(entry[0]), entry[1] == "+"


def entries_of(entry: str, begin: Any, shape: Any, size: tuple[int, ...], valid: np.ndarray | None) -> np.ndarray:
    """Return where the fluid enters a part of the image: on its faces, and beside voxels that are
    left out.
    """
    found = np.zeros(size, bool)
    faces = FACES if entry == "all" else (entry,)
    for face in faces:
        axis, last = _face(face)
        layer = shape[axis] - 1 - begin[axis] if last else -begin[axis]
        if 0 <= layer < size[axis]:
            found[tuple(slice(layer, layer + 1) if a == axis else slice(None) for a in range(3))] = True
    if entry == "all" and valid is not None:
        for axis in range(3):
            low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
            high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
            found[low] |= ~valid[high]
            found[high] |= ~valid[low]
    return found


def _depths(settings: _Settings, values: np.ndarray, squared: np.ndarray, valid: np.ndarray | None) -> Relief:
    """Return the relief whose valleys are the wide pores: minus the squared distance."""
    pore = _pore(settings, values, valid)
    return Relief(np.where(pore, -squared, squared.dtype.type(0)), pore & (squared > 0))


def _pore(settings: _Settings, values: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    pore = settings.distance.phase(values)
    return pore if valid is None else pore & valid


def _lowest_at(
    entries: Sequence[str], relief: Relief, basins: Basins, core: Box, begin: Any, shape: Any, valid: np.ndarray | None
) -> np.ndarray:
    """Return the value of the lowest voxel of each basin at each of some entries; the largest
    number where there is none.
    """
    own = relief.values[core]
    found = np.full((len(basins.places), len(entries)), np.iinfo(own.dtype).max, own.dtype)
    for k, entry in enumerate(entries):
        at = entries_of(entry, begin, shape, relief.values.shape, valid)[core] & (basins.nodes > 0)
        np.minimum.at(found[:, k], basins.nodes[at] - 1, own[at])
    return found


class _Passages(NamedTuple):
    """How wide a ball may be that reaches the bottom of each basin."""

    levels: np.ndarray
    """From the entry: minus its squared radius; the largest number where none does."""
    through: list[float]
    """Squared radius of the largest ball that passes along each axis; infinite if nothing is in the
    way.
    """

    @property
    def largest(self) -> int:
        """The largest squared radius of all; 0 where there is no background to limit it."""
        reached = self.levels[self.levels > -no_source(self.levels.dtype)]
        return max(0, -int(reached.min(initial=0)))


def _passages_of(graph: BasinGraph, entry: str) -> _Passages:
    """Return the passages from an entry, and along the axes: all are found in one graph.

    The widest passage to a voxel is the lowest way in the relief of `_depths`.
    """
    none = np.iinfo(graph.marks.dtype).max
    starts = graph.marks.T
    ways = [FACES.index(f"{axis}-") for axis in "xyz"]
    levels = lowest_passes(starts[[*ways, len(FACES)]], graph.edges)
    through = []
    for k, start in enumerate(ways):
        ends = np.maximum(levels[k], starts[start + 1])[1:]
        lowest = ends.min(initial=none)
        through.append(0 if lowest == none else math.inf if lowest == -none else -int(lowest))
    return _Passages(levels[-1], through)


def _passable(relief: Relief, core: Box, levels: np.ndarray) -> np.ndarray:
    """Return the squared radius of the largest ball that reaches each voxel."""
    own = relief.values[core]
    return np.where(relief.taken[core], np.maximum(-np.maximum(own, levels), 0), own.dtype.type(0))


def _cut_off(relief: Relief, core: Box, levels: np.ndarray) -> np.ndarray:
    """Return the largest ball on the best way from each voxel to the outlet, which cuts it off."""
    largest = np.iinfo(levels.dtype).max
    return np.where(relief.taken[core], np.maximum(relief.values[core], levels), largest)


def _untrapped(entered: np.ndarray, cut_off: np.ndarray) -> np.ndarray:
    """Leave out what was cut off by a larger ball than the one that would have entered it."""
    return np.where(cut_off > entered, entered.dtype.type(0), entered)


def _outlet(entry: str) -> str:
    axis, last = _face(entry)
    return f"{'xyz'[axis]}{'-' if last else '+'}"


def _in_array(settings: _Settings, values: np.ndarray, valid: np.ndarray | None) -> tuple[np.ndarray, list[float]]:
    squared, _ = distance_of_array(settings.distance, values, valid)
    shape = triple(values.shape)
    whole = triple(slice(0, n) for n in shape)

    def graph(relief: Relief, entries: Sequence[str]) -> tuple[np.ndarray, BasinGraph]:
        noted = lambda basins: _lowest_at(entries, relief, basins, whole, (0, 0, 0), shape, valid)  # noqa: E731
        basins, found = graph_of_array(relief, noted)
        return basins.nodes, found

    relief = _depths(settings, values, squared, valid)
    nodes, found = graph(relief, (*FACES, settings.entry))
    passages = _passages_of(found, settings.entry)
    passage = _passable(relief, whole, passages.levels[nodes])
    entered = passage if np.any(squared == no_source(squared.dtype)) else largest_balls(passage, whole)
    pore = _pore(settings, values, valid)
    entered = np.where(pore, entered, entered.dtype.type(0))
    if settings.trapping:
        relief = Relief(entered, pore)
        nodes, found = graph(relief, (_outlet(settings.entry),))
        levels = lowest_passes(found.marks.T, found.edges)[0]
        entered = _untrapped(entered, _cut_off(relief, whole, levels[nodes]))
    return diameters_of(entered, settings.length), passages.through


def _passes(whole: WholeImage, settings: _Settings) -> Passes:
    image, shape, distance = whole.image, whole.shape, settings.distance
    (squared,) = yield from distance_passes(whole, distance, last=False)
    kind = np.dtype(squared.dtype)
    scratch = Field(kind, scratch=True)

    def depths(block: PassBlock) -> Relief:
        values, squared = block.arrays
        return _depths(settings, values, squared, block.valid)

    def noted(*entries: str) -> Any:
        return lambda block, relief, basins: _lowest_at(
            entries, relief, basins, block.core, block.begin, shape, block.valid
        )

    graph = yield from basin_pass(
        "find passages", (image, squared), whole.layout(), depths, noted(*FACES, settings.entry)
    )
    planned = not graph.bases
    passages = _Passages(np.zeros(1, kind), [0, 0, 0]) if planned else _passages_of(graph, settings.entry)

    def follow(block: PassBlock) -> list[np.ndarray]:
        relief = depths(block)
        return [_passable(relief, block.core, graph.local(block, relief.basins(block), passages.levels))]

    (passage,) = yield MapPass(
        f"follow passages from {settings.entry}", follow, (image, squared), [scratch], halo=(1, 1, 1), voxel_bytes=44
    )
    largest = ASSUMED_RADIUS**2 if planned else passages.largest
    # Containment is judged by neighbours, one voxel further out than the balls that count.
    reach = math.isqrt(max(largest - 1, 0)) + 1

    def draw(block: PassBlock) -> np.ndarray:
        values, sizes = block.arrays
        if not sizes.any():
            return np.zeros(block.size, kind)
        if np.any(sizes == no_source(kind)):
            return block.inner(sizes)
        pore = block.inner(_pore(settings, values, block.valid))
        return np.where(pore, largest_balls(sizes, block.core), kind.type(0))

    results = [Field(np.dtype(np.float32))]
    if not settings.trapping:
        (entered,) = yield MapPass(
            "draw balls", lambda block: [diameters_of(draw(block), settings.length)], (image, passage), results,
            halo=(reach, reach, reach), voxel_bytes=24,
        )  # fmt: skip
    else:
        (sizes,) = yield MapPass(
            "draw balls", lambda block: [draw(block)], (image, passage), [scratch], halo=(reach, reach, reach),
            voxel_bytes=24,
        )  # fmt: skip

        def filled(block: PassBlock) -> Relief:
            values, found = block.arrays
            return Relief(found, _pore(settings, values, block.valid))

        outlet = _outlet(settings.entry)
        ways_out = yield from basin_pass("find ways out", (image, sizes), whole.layout(), filled, noted(outlet))
        levels = lowest_passes(ways_out.marks.T, ways_out.edges)[0] if ways_out.bases else np.zeros(1, kind)

        def trap(block: PassBlock) -> list[np.ndarray]:
            relief = filled(block)
            cut_off = _cut_off(relief, block.core, ways_out.local(block, relief.basins(block), levels))
            return [diameters_of(_untrapped(block.inner(relief.values), cut_off), settings.length)]

        (entered,) = yield MapPass("trap", trap, (image, sizes), results, halo=(1, 1, 1), voxel_bytes=44)
    sizes, counts = yield _count(image, entered, distance)
    return sizes.tolist(), counts.tolist(), passages.through


def _count(image: Any, entered: Any, distance: DistanceSettings) -> FoldPass:
    """Return the pass that counts the pore voxels of each diameter."""
    parts: list[tuple[np.ndarray, np.ndarray]] = []

    def kernel(block: PassBlock) -> tuple[np.ndarray, np.ndarray]:
        values, found = (block.inner(a) for a in block.arrays)
        pore = distance.phase(values)
        if block.valid is not None:
            pore &= block.inner(block.valid)
        return np.unique(found[pore], return_counts=True)

    def take(_: PassBlock, part: tuple[np.ndarray, np.ndarray]) -> None:
        parts[:] = [_merged([*parts, part])]

    def finish(world: Any) -> tuple[np.ndarray, np.ndarray]:
        own = _merged(parts)
        return _merged(world.gather(own)) if world.count > 1 else own

    return FoldPass("count", kernel, take, finish, (image, entered), assumed=_merged([]))


def _merged(parts: Any) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.concatenate([np.zeros(0, np.float32), *(s for s, _ in parts)])
    counts = np.concatenate([np.zeros(0, np.int64), *(c for _, c in parts)])
    distinct, place = np.unique(sizes, return_inverse=True)
    total = np.zeros(len(distinct), np.int64)
    np.add.at(total, place, counts)
    return distinct, total


def _call(image: Any, settings: _Settings, phases, spacing, outside, where, options) -> Any:
    parameters = {
        "phases": None if phases is None else phase_values(phases),
        "length": settings.length,
        "outside": outside,
        "entry": settings.entry,
        "trapping": settings.trapping,
    }
    unit = str(image.voxel_unit) if spacing == "image" else "" if spacing is not None else "voxel"
    return image_call("drainage", parameters, where, options, names=["entry diameter"], units=[unit])


@plans(drainage)
def _plan(image: Any, **arguments: Any) -> Plan:
    names = ("preset", "entry", "trapping", "surface_tension", "contact_angle", "phases", "spacing", "unit")
    own = {name: arguments.pop(name, None) for name in names}
    outside, where = arguments.pop("outside", "foreground"), arguments.pop("where", None)
    settings = _settings(image, **own, outside=outside)
    call = _call(image, settings, own["phases"], own["spacing"], outside, where, arguments)
    return plan_algorithm(call, (image,), lambda whole: _passes(whole, settings))
