"""What a user gives for a flow solve, checked and brought into one form."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.extend import core

from lithax.arrays import is_traced, to_numpy
from lithax.geometry import AbstractRegion, Frame, length_factor
from lithax.images import as_domain
from lithax.solve._area_unit import check_has_length, permeability_quantity
from lithax.solve._arguments import check_known
from lithax.solve._medium import listed, phases_named
from lithax.solve._solve_memory import dtype_of
from lithax.solve._source import length_and_unit

AXES = ("x", "y", "z")


@dataclass(frozen=True)
class FlowInput:
    """Voxels and what they mean; arrays on the host, but for traced ones and those that derivatives
    may reach.
    """

    shape: tuple[int, int, int]
    open: Any
    """True in voxels with fluid, free or in porous phases, inside the region; None: all of them,
    softly.
    """
    free: Any
    """True in voxels of free fluid; None if they are softly so."""
    inside: np.ndarray | None
    """The region of interest; None: all voxels."""
    soft: Any
    """Pore fraction of each voxel, an array that derivatives may reach; None for sharp phases."""
    phases: tuple[tuple[Any, Any, float | None], ...]
    """Porous phases: where, permeability, and its unit [m²]."""
    spacing: Any
    """Voxel lengths: three numbers, or an array that derivatives may reach."""
    voxel_unit: str
    meaning: str
    """The sentence that says what was taken as pore."""
    labels: tuple[int, ...] = ()
    """Values of the porous phases."""
    matrix: Any = None
    """K(porosity) of a map of porosities."""

    @property
    def precision(self) -> type:
        """The type to solve in: float64 if an array is that derivatives may reach, or float32."""
        reached = [self.soft, self.spacing, *(number for _, number, _ in self.phases)]
        wide = any(str(getattr(v, "dtype", "")) == "float64" and isinstance(v, jax.Array) for v in reached)
        return np.float64 if wide else np.float32


def read_input(image: Any, pore: Any, permeability: Any, where: Any, spacing: Any) -> FlowInput:
    """Check and gather the image, its geometry, its phases and the region.

    Raises
    ------
    TypeError, ValueError
        If the image is no three-dimensional image or array, an integer image does not say what is
        pore, a phase has no positive permeability or is not there, or the region leaves nothing.
    """
    shape = getattr(image, "shape", None)
    if shape is None or not hasattr(image, "dtype"):
        raise TypeError(f"image is a {type(image).__name__}; give an image (lx.open, lx.from_array) or an array.")
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"image has shape {tuple(shape)}; give three axes, each of at least one voxel.")
    lengths, unit = geometry_of(image, spacing)
    is_image = isinstance(getattr(image, "frame", None), Frame)
    if is_image:
        _refuse_transformations(permeability, spacing)
    frame = frame_of(image, tuple(shape), lengths, unit)
    inside = region_voxels(where, frame)
    if inside is not None and not inside.any():
        said = "where=" + (f"{where!r}" if not hasattr(where, "dtype") else f"(an array of {where.dtype})")
        raise ValueError(f"{said} selects no voxel; give a region that meets the image.")
    kind = np.dtype(str(image.dtype).rsplit(".", 1)[-1]).kind
    if kind == "f":
        return read_soft(image, pore, permeability, inside, lengths, unit)
    if kind not in "biu":
        raise TypeError(f"image has dtype {image.dtype}; give booleans, a segmentation, or pore fractions (floats).")
    values = np.asarray(image[...]) if is_image else image if is_traced(image) else to_numpy(image)
    return read_sharp(values, kind, pore, permeability, inside, lengths, unit)


def precision_of(image: Any, permeability: Any, spacing: Any) -> AbstractContextManager:
    """Return a scope in which JAX has float64 if one of the arrays does that derivatives may reach;
    its setting stays as it is.
    """
    numbers = (spacing, *(permeability.values() if isinstance(permeability, dict) else ()))
    reached = [image, *(number for number in numbers if isinstance(number, jax.Array))]
    wide = any(hasattr(v, "dtype") and not is_traced(v) and dtype_of(v) == np.float64 for v in reached)
    return jax.enable_x64(True) if wide else nullcontext()


def _refuse_transformations(permeability: Any, spacing: Any) -> None:
    """Raise TypeError for an image inside a function that JAX is compiling."""
    compiling = getattr(core, "unsafe_am_i_under_a_jit_DO_NOT_USE", bool)
    leaves = jax.tree.leaves((spacing, permeability if isinstance(permeability, dict) else None))
    if compiling() or any(is_traced(jax.lax.stop_gradient(leaf)) for leaf in leaves if isinstance(leaf, jax.Array)):
        raise TypeError(
            "permeability() was called with an image under jax.jit, jax.vmap or another transformation, which sees no files; call "
            "it with an array (image[...]) and spacing=image.voxel_length."
        )


def read_sharp(values: Any, kind: str, pore: Any, permeability: Any, inside: Any, lengths: Any, unit: str) -> FlowInput:
    """Say which voxels of booleans or of a segmentation are open, and which are porous."""
    porous = {} if permeability is None else permeability
    if not isinstance(porous, dict):
        raise TypeError(
            f"permeability={_briefly(permeability)} must be a dictionary such as {{2: '1.5 mD'}} for a segmentation; a function of the "
            f"porosity goes with a map of floats."
        )
    wanted = () if pore is None else phases_named(pore, None)
    if kind == "b" and pore is None:
        free, meaning = values, "pore = True"
    elif pore is None:
        if not porous and is_traced(values):
            raise ValueError(
                "pore is missing: the image holds integers and does not say which value is pore; give pore=0 or whichever it is."
            )
        if not porous:
            present = np.unique(values.reshape(-1)[:: max(1, values.size // 100_000)])[:6].tolist()
            raise ValueError(
                f"pore is missing: the image holds integers ({present}) and does not say which value is pore; give pore=0 or "
                f"whichever it is (only of booleans, True is pore)."
            )
        free, meaning = np.zeros(values.shape, bool), "no free pores"
    else:
        free = (jnp if is_traced(values) else np).isin(values, np.asarray(wanted))
        meaning = f"pore = value {' and '.join(str(v) for v in wanted)}"
    phases = []
    for value, given in porous.items():
        if not isinstance(value, int | np.integer | np.bool_):
            raise TypeError(
                f"permeability={porous!r} names phase {value!r}, which must be a value of the segmentation: a whole number, as in "
                f"{{2: '1.5 mD'}}."
            )
        if value in wanted:
            raise ValueError(f"permeability names phase {value}, which pore={pore!r} says is open; name it once.")
        number, area = permeability_quantity(given, f"permeability[{value}]")
        if not isinstance(number, int | float) and not hasattr(number, "dtype"):
            raise TypeError(f"permeability[{value}]={given!r} must be a number, or one with a unit such as '1.5 mD'.")
        if not is_traced(number) and not (np.isfinite(np.asarray(number)).all() and np.all(np.asarray(number) > 0)):
            raise ValueError(
                f"permeability[{value}]={given!r} must be positive and finite; leave an impermeable phase out, it is solid then, and name an open one in pore=."
            )
        check_has_length(value, given, area, unit)
        where = values == value
        if not is_traced(where) and not where.any():
            held = listed(np.unique(np.asarray(values)))
            raise ValueError(f"permeability names phase {value}, which the image does not hold: it holds {held}.")
        phases.append((where, number, area))
    if inside is not None:
        free = free & inside
        phases = [(where & inside, number, area) for where, number, area in phases]
    everything = free
    for where, _, _ in phases:
        everything = everything | where
    if not is_traced(everything):
        _check_pores(everything, values, meaning)
    return FlowInput(values.shape, everything, free, inside, None, tuple(phases), lengths, unit, meaning, tuple(porous))


def read_soft(image: Any, pore: Any, permeability: Any, inside: Any, lengths: Any, unit: str) -> FlowInput:
    """Check pore fractions, and say which voxels are open where they are porosities."""
    if pore is not None:
        raise ValueError(
            f"pore={pore!r} names a value of a segmentation, but the image holds floats: pore fractions, 1 in pores and 0 in "
            f"solid. Threshold it, or leave pore out."
        )
    if permeability is not None and not callable(permeability):
        raise TypeError(
            f"permeability={_briefly(permeability)} must be a function K(porosity) for a map of porosities; without it the floats are "
            f"a soft segmentation."
        )
    values = np.asarray(image[...]) if isinstance(getattr(image, "frame", None), Frame) else image
    if np.dtype(str(values.dtype).rsplit(".", 1)[-1]) == np.float64 and not is_traced(values):
        with jax.enable_x64(True):
            field = jnp.asarray(to_numpy(values) if not isinstance(values, jax.Array) else values)
    else:
        field = jnp.asarray(values)
    if inside is not None:  # outside there may be anything
        field = jnp.where(jnp.asarray(inside), field, jnp.zeros((), field.dtype))
    fixed = lax.stop_gradient(field)
    free = everything = None
    if not is_traced(fixed):
        host = np.asarray(fixed)
        if not np.isfinite(host).all():
            raise ValueError(
                "image holds values that are not finite; pore fractions lie between 0 (solid) and 1 (pore): fill the gaps of a "
                "scan first, or leave them out with where=."
            )
        if host.min() < -1e-6 or host.max() > 1 + 1e-6:
            raise ValueError(
                f"image holds floats from {host.min():.4g} to {host.max():.4g}; pore fractions lie between 0 (solid) and "
                f"1 (pore). Make them with lx.solve.microporosity(grey, solid=..., pore=...) or a soft threshold."
            )
        if host.max() <= 0:
            raise ValueError("image is 0 everywhere: it holds no pores; are solid and pore the wrong way round?")
        if permeability is not None:
            everything, free = host > 0, host >= 1
            if inside is not None:
                everything, free = everything & inside, free & inside
    elif permeability is not None:
        raise TypeError(
            "image is a traced map of porosities: which voxels are impermeable is not known inside a compiled function. "
            "Call jax.grad on a function that is not jitted."
        )
    meaning = "pore fraction of each voxel" + (
        " (soft walls)" if permeability is None else " (Brinkman, K of its porosity)"
    )
    if everything is None and inside is not None:
        everything = inside
    x, y, z = field.shape
    return FlowInput((x, y, z), everything, free, inside, field, (), lengths, unit, meaning, (), permeability)


def _briefly(value: Any) -> str:
    """Return what an error calls a value; arrays may be of any size."""
    return f"(an array of {value.dtype})" if hasattr(value, "dtype") else repr(value)


def _check_pores(everything: Any, values: Any, meaning: str) -> None:
    if not everything.any():
        held = listed(np.unique(np.asarray(values)))
        raise ValueError(
            f"no pores ({meaning}): no voxel carries flow, and the image holds {held}; which value is pore?"
        )


def check_walls(given: FlowInput, sides: str, whole: bool) -> None:
    """Raise ValueError if nothing holds the fluid back: no solid, no porous phase, no jacket.

    Parameters
    ----------
    given
        As `read_input` returns it.
    sides
        As for `permeability`.
    whole
        Whether the region is all of the image; what is outside of another one is solid.
    """
    free = given.free if given.free is not None else None if is_traced(given.soft) else np.asarray(given.soft) >= 1
    if whole and sides != "no_slip" and free is not None and not is_traced(free) and bool(free.all()):
        raise ValueError(
            f"all pores ({given.meaning}): no voxel is solid, and the permeability of open space is infinite; are pore and solid "
            f"the wrong way round? For an open channel in a jacket take sides='no_slip'."
        )


def region_voxels(where: Any, frame: Frame) -> np.ndarray | None:
    """Return which voxels `where` takes in, or None for all."""
    domain = as_domain(where)
    if domain is None:
        return None
    check_known(where=vars(domain))
    inside = np.ones(frame.shape, bool)

    def array(value: Any, name: str) -> np.ndarray:
        if tuple(value.shape) != frame.shape:
            raise ValueError(
                f"{name} of where has shape {tuple(value.shape)}, the image {frame.shape}; they must agree."
            )
        return np.asarray(value[...]) if hasattr(value, "frame") else to_numpy(value)

    def several(value: Any) -> tuple[Any, ...]:
        return () if value is None else tuple(value) if isinstance(value, tuple | list) else (value,)

    for part in several(domain.exclude):
        inside &= array(part, "exclude") == 0
    for part in several(domain.include):
        inside &= _within(part, frame) if isinstance(part, AbstractRegion) else array(part, "include") != 0
    if domain.segmentation is not None:
        labels = array(domain.segmentation, "segmentation")
        inside &= labels != 0 if domain.phases is None else np.isin(labels, domain.phases)
    if domain.region is not None:
        inside &= _within(domain.region, frame)
    return inside


def _within(region: AbstractRegion, frame: Frame) -> np.ndarray:
    lines = []
    for axis, n in enumerate(frame.shape):
        line = frame.voxel_origin[axis] + np.arange(n) * frame.voxel_length[axis]
        lines.append(line.reshape(tuple(-1 if a == axis else 1 for a in range(3))))
    return np.broadcast_to(np.asarray(region.contains(*lines)), frame.shape)


def geometry_of(image: Any, spacing: Any) -> tuple[Any, str]:
    """Return the voxel lengths and their unit."""
    frame = getattr(image, "frame", None)
    if spacing is None:
        if isinstance(frame, Frame):
            return tuple(frame.voxel_length), str(frame.voxel_unit)
        return (1.0, 1.0, 1.0), ""
    spacing, unit = length_and_unit(spacing, str(frame.voxel_unit) if isinstance(frame, Frame) else "")
    if hasattr(spacing, "dtype") and type(spacing).__module__.startswith(("jax", "jaxlib")):
        if spacing.shape not in ((), (3,)):
            raise ValueError(f"spacing has shape {spacing.shape}; give one length or three.")
        return spacing, unit
    try:
        numbers = np.asarray(spacing, float)
    except (TypeError, ValueError):
        raise ValueError(
            f"spacing={spacing!r} must be a length or three of them; the unit goes with one, '2 um', or with the image: "
            f"lx.from_array(..., voxel_length=(2, 2, 3), voxel_unit='um')."
        ) from None
    if numbers.shape not in ((), (3,)) or not np.all(np.isfinite(numbers)) or np.any(numbers <= 0):
        raise ValueError(f"spacing={spacing!r} must be a positive length, or three of them.")
    return tuple(np.broadcast_to(numbers, (3,)).tolist()), unit


def frame_of(image: Any, shape: tuple[int, ...], lengths: Any, unit: str) -> Frame:
    """Return where the voxels lie."""
    own = getattr(image, "frame", None)
    origin = own.voxel_origin if isinstance(own, Frame) else (0, 0, 0)
    if not isinstance(lengths, tuple):
        fixed = lax.stop_gradient(lengths)
        lengths = (
            (1.0, 1.0, 1.0) if is_traced(fixed) else tuple(np.broadcast_to(np.asarray(fixed, float), (3,)).tolist())
        )
    return Frame(shape, lengths, origin, unit)


def turned(given: FlowInput, order: tuple[int, int, int]) -> FlowInput:
    """Return the input with its axes in another order."""

    def turn(values: Any) -> Any:
        if values is None or is_traced(values):
            return None if values is None else jnp.transpose(values, order)
        return np.ascontiguousarray(np.transpose(values, order))

    lengths = given.spacing
    if isinstance(lengths, tuple):
        lengths = tuple(lengths[a] for a in order)
    elif lengths.shape == (3,):
        lengths = lengths[np.asarray(order)]
    return replace(
        given,
        shape=tuple(given.shape[a] for a in order),
        open=turn(given.open),
        free=turn(given.free),
        inside=turn(given.inside),
        soft=None if given.soft is None else jnp.transpose(given.soft, order),
        phases=tuple((turn(where), number, area) for where, number, area in given.phases),
        spacing=lengths,
    )


def area_of(voxel_unit: str) -> float | None:
    """Return the square of the unit of length [m²], or None without one."""
    return None if voxel_unit == "" else length_factor(voxel_unit, "m") ** 2
