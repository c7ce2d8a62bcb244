"""A property of every sub-volume of an image: how it varies with place and size, and how it goes
with porosity.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.solve._arguments import check_choice, check_edge, check_whole_number, refuse_given
from lithax.solve._conduction import conductivity
from lithax.solve._conduction_setup import AXES
from lithax.solve._cube_flow import cube_permeability, plain_phases
from lithax.solve._flow_words import scale_of
from lithax.solve._medium import phases_named
from lithax.solve._source import length_and_unit, spacing_of

OF_ONE_SOLVE = ("where", "fields", "gradient", "x0", "area", "checkpoint", "budget", "segmentation", "shape")
"""Arguments that many solves cannot share."""


@dataclass(frozen=True, eq=False)
class SubVolumes:
    """One row per sub-volume and axis: a trend of sub-volumes, not a reservoir's."""

    edge: np.ndarray
    """[voxel]"""
    origin: np.ndarray
    """First voxel, shape (n, 3)."""
    axis: np.ndarray
    porosity: np.ndarray
    value: np.ndarray
    """Effective conductivity; 0 where nothing joins the ends."""
    formation_factor: np.ndarray
    """Infinite where nothing joins the ends; NaN where no fluid was named."""
    solver_error: np.ndarray
    converged: np.ndarray
    """Whether the solve did, and that of the flow, if it was asked for."""
    permeability: np.ndarray
    """In `permeability_unit`; 0 where nothing joins the ends, infinite in a cube without solid; NaN
    if it was not asked for.
    """
    permeability_unit: str

    @property
    def cementation_exponent(self) -> np.ndarray:
        """m = −ln F / ln φ of every row [-]; not finite where F or φ says nothing."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return -np.log(self.formation_factor) / np.log(self.porosity)

    def of(self, edge: int, axis: str | None = None) -> np.ndarray:
        """Return which rows have an edge, and an axis."""
        return (self.edge == edge) & (True if axis is None else self.axis == axis)

    def means(self, edge: int, axis: str | None = None, quantity: str = "value") -> dict[str, float]:
        """Return the arithmetic, geometric and harmonic mean of the conductivities of one size, or
        of ``quantity="permeability"``; the latter two are 0 with any 0.

        Raises
        ------
        ValueError
            If the quantity is neither, or no sub-volume has the edge and the axis.
        """
        values = self._values(quantity, self.of(edge, axis))
        if values.size == 0:
            raise ValueError(
                f"edge={edge!r}, axis={axis!r}: no sub-volume is of this size and axis; edges are {np.unique(self.edge).tolist()}."
            )
        some = bool((values > 0).all())
        return {
            "arithmetic": float(values.mean()),
            "geometric": float(np.exp(np.log(values).mean())) if some else 0.0,
            "harmonic": float(1 / (1 / values).mean()) if some else 0.0,
        }

    def variation(self, quantity: str = "value") -> dict[int, float]:
        """Return the coefficient of variation of the conductivity, or of
        ``quantity="permeability"``, by edge [-]; NaN for a single sub-volume, and with one that
        is infinite.
        """
        found = {}
        for edge in np.unique(self.edge).tolist():
            values = self._values(quantity, self.of(edge))
            varies = len(values) > 1 and 0 < values.mean() < math.inf
            found[edge] = float(values.std(ddof=1) / values.mean()) if varies else math.nan
        return found

    def _values(self, quantity: str, rows: np.ndarray) -> np.ndarray:
        check_choice("quantity", quantity, ("value", "permeability"))
        values = getattr(self, quantity)[rows].astype(float)
        if np.isnan(values).any():
            raise ValueError(f"quantity={quantity!r} was not solved for; take subvolumes(..., flow=True).")
        return values

    def to_pandas(self) -> Any:
        """Return the table."""
        import pandas

        places = {f"origin_{a}": self.origin[:, n] for n, a in enumerate(AXES)}
        rows = {name: getattr(self, name) for name in ("edge", "axis", "porosity", "value", "formation_factor")}
        names = ("cementation_exponent", "solver_error", "converged", "permeability")
        extra = {name: getattr(self, name) for name in names}
        return pandas.DataFrame({**places, **rows, **extra})

    def __str__(self) -> str:
        lines = []
        for edge, spread in self.variation().items():
            rows = self.of(edge)
            joined = rows & (self.value > 0)
            m = self.cementation_exponent[joined]
            text = f"{edge} voxels: {rows.sum()} values, porosity {self.porosity[rows].min():.3g} to {self.porosity[rows].max():.3g}"
            text += f", conductivity varies by {spread:.3g} of its mean; {rows.sum() - joined.sum()} join no ends"
            if np.isfinite(m).any():
                text += f"; m {np.nanmin(m):.3g} to {np.nanmax(m):.3g}"
            k = self.permeability[rows & (self.permeability > 0)]
            if k.size:
                text += f"; k {k.min():.3g} to {k.max():.3g} {self.permeability_unit}"
                varies = self.variation("permeability")[edge]
                text += "" if math.isnan(varies) else f", varies by {varies:.3g} of its mean"
            lines.append(text)
        return "\n".join([*lines, "sub-volume trend, not a reservoir m"])


def subvolumes(
    image: Any,
    *,
    edge: Any,
    axis: str = "all",
    stride: Any = None,
    flow: Any = False,
    progress: bool = False,
    **options: Any,
) -> SubVolumes:
    """Solve for the conductivity of every cube of a size within an image.

    Parameters
    ----------
    image
        An image or array, as for `conductivity`. Cubes are read one by one.
    edge
        Edge of the cubes [voxel], or several edges.
    axis
        Along which the current is driven; "all" for each of the three.
    stride
        From cube to cube [voxel]; by default the edge: cubes side by side, what remains at the
        upper faces left out.
    flow
        Whether to solve for the permeability of every cube, too; or arguments for `permeability`
        besides `axis` and `spacing`, such as ``{"sides": "no_slip", "unit": "mD"}``.
    progress
        Whether to show a bar.
    **options
        As for `conductivity`: `pore`, `values`, `fluid`, `ends`, `sides`, `tolerance`, ...

    Raises
    ------
    TypeError, ValueError
        If an edge is not a whole number of at least 2, no cube fits into the image, none holds a
        value of `pore`, or `flow` is not understood; otherwise as `conductivity`.

    Examples
    --------
    >>> import numpy as np, lithax as lx
    >>> rock = np.random.default_rng(0).random((16, 16, 16)) < 0.7
    >>> table = lx.solve.subvolumes(rock, edge=8, axis="x")
    >>> table.value.shape, bool((table.formation_factor > 1).all())
    ((8,), True)
    """
    refuse_given(options, OF_ONE_SOLVE, "{}= belongs to one solve; subvolumes() makes many. Leave it out.")
    flow_options = _flow_options(flow)
    places = cubes_of(image, edge, stride)
    pore = options.get("pore")
    if pore is not None:
        phases_named(pore, None)
    frame = getattr(image, "frame", None)
    spacing, voxel_unit = length_and_unit(options.get("spacing"), "" if frame is None else str(frame.voxel_unit))
    if spacing is None and frame is not None:
        spacing = frame.voxel_length
    options["spacing"] = spacing
    lengths = (1.0, 1.0, 1.0) if spacing is None else spacing_of(spacing)
    scale, unit = scale_of(voxel_unit, lengths, None if flow_options is None else flow_options.pop("unit", None))
    if flow_options is not None:
        flow_options = {name: options[name] for name in ("pore", "spacing") if name in options} | flow_options
        flow_options["permeability"] = plain_phases(flow_options.get("permeability"), voxel_unit)
    rows: dict[str, list[Any]] = {name: [] for name in SubVolumes.__dataclass_fields__ if name != "permeability_unit"}
    porous = None if flow_options is None else flow_options["permeability"]
    absent = set(porous) if isinstance(porous, dict) else set()
    from tqdm import tqdm

    for e, place in tqdm(places, desc="sub-volumes", unit=" cubes", disable=not progress):
        box = tuple(slice(start, start + e) for start in place)
        cube = image[box]
        _add(rows, e, place, axis, cube, options)
        if flow_options is None:
            rows["permeability"].extend([np.nan] * (3 if axis == "all" else 1))
            continue
        absent -= {value for value in absent if (np.asarray(cube) == value).any()}
        k, converged = cube_permeability(np.asarray(cube), axis, flow_options)
        rows["permeability"].extend(k * scale)
        rows["converged"][-len(k) :] = [done and converged for done in rows["converged"][-len(k) :]]
    found = {name: np.asarray(values) for name, values in rows.items()}
    if pore is not None and not found["porosity"].any():
        raise ValueError(
            f"pore={pore!r} is no value of any of the cubes; name the value of the segmentation that is pore."
        )
    if absent:
        raise ValueError(
            f"flow= holds permeability= of phase {min(absent)}, which no cube holds; name porous phases by their value in the image."
        )
    return SubVolumes(**found, permeability_unit=unit)


def _flow_options(flow: Any) -> dict[str, Any] | None:
    """Return the arguments for `permeability`, None if it is not asked for."""
    if not isinstance(flow, bool | np.bool_ | dict):
        raise TypeError(f"flow={flow!r} must be True or False, or a dict of arguments, such as {{'sides': 'no_slip'}}.")
    if not isinstance(flow, dict):
        return {} if flow else None
    text = "flow= holds {}=, which belongs to one solve; subvolumes() makes many. Leave it out."
    refuse_given(flow, OF_ONE_SOLVE, text)
    for name in ("axis", "spacing"):
        if flow.get(name) is not None:
            raise ValueError(f"flow= holds {name}=, which both solves share: pass it to subvolumes().")
    return dict(flow)


def cubes_of(image: Any, edge: Any, stride: Any) -> list[tuple[int, tuple[int, ...]]]:
    """Return the edge and the first voxel of every cube."""
    shape: tuple[int, ...] = tuple(getattr(image, "shape", ()))
    if len(shape) != 3 or min(shape) < 1:
        found = f"of shape {shape}" if hasattr(image, "shape") else f"a {type(image).__name__}"
        raise TypeError(f"image is {found}; give an image (lx.open, lx.from_array), or an array of three axes.")
    edges = list(edge) if isinstance(edge, Sequence | np.ndarray) else [edge]
    for e in edges or [None]:
        check_edge(edge, e, min(shape))
    if stride is not None:
        check_whole_number("stride", stride, 1)
    return [
        (int(e), place)
        for e in edges
        for place in itertools.product(*(range(0, n - int(e) + 1, int(stride or e)) for n in shape))
    ]


def _add(rows: dict[str, list[Any]], edge: int, place: Any, axis: str, cube: Any, options: dict[str, Any]) -> None:
    pore = options.get("pore")
    poreless = pore is not None and not np.isin(np.asarray(cube), np.atleast_1d(np.asarray(pore))).any()
    if poreless:  # a finding here, not a mistake
        options = {name: value for name, value in options.items() if name != "pore"}
        cube = np.zeros(cube.shape, bool) if options.get("values") is None else cube
    found = conductivity(cube, axis=axis, **options)
    names = AXES if axis == "all" else (axis,)
    factor = found.formation_factor
    for n, name in enumerate(names):
        rows["edge"].append(edge)
        rows["origin"].append(place)
        rows["axis"].append(name)
        rows["porosity"].append(0.0 if poreless else float(found.porosity))
        for key, value in (
            ("value", found.value),
            ("solver_error", found.solver_error),
            ("converged", found.converged),
        ):
            rows[key].append(np.broadcast_to(np.asarray(value), (len(names),))[n])
        rows["formation_factor"].append(
            np.nan if factor is None else float(np.broadcast_to(np.asarray(factor), (len(names),))[n])
        )
