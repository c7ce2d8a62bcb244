"""What the voxels conduct: from a boolean image, a segmentation with its meaning, or a field, never
by a guess.
"""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import is_array, is_jax, is_traced, to_numpy


class Medium(eqx.Module):
    """Voxels, and what their values mean; `fields` is differentiable."""

    data: Any
    """Booleans (True conducts), indices into `table`, or conductivities: one per voxel, or shape
    (3, nx, ny, nz) along x, y, z.
    """
    table: Any
    """Conductivities that `data` points into; None where it holds them."""
    pore: Any
    """Boolean, the voxels that count as pore: an array, or None where those that conduct do."""
    meaning: str = eqx.field(static=True)
    insulating_grains: bool = eqx.field(static=True)
    wrong: Any = None
    """Under a transformation, whether there is what would be refused otherwise: a conductivity that
    is negative or not finite, a value without one. None where it was looked for.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = self.data.shape[-3:]
        return int(x), int(y), int(z)

    @property
    def directed(self) -> bool:
        """Whether the conductivity depends on the direction."""
        return len(self.data.shape) == 4

    @property
    def dtype(self) -> Any:
        """The type to solve in: that of the conductivities, float32 at least."""
        source = self.data if self.table is None else self.table
        double = np.dtype(source.dtype) == np.float64
        return np.dtype(np.float64 if double else np.float32)

    def precision(self) -> AbstractContextManager:
        """Return a scope in which JAX has that type; its setting stays as it is."""
        return jax.enable_x64(True) if self.dtype == np.float64 else nullcontext()

    def conductivities(self) -> Any:
        """Return the conductivity of every voxel, a JAX array of the type to solve in."""
        data = jnp.asarray(self.data)
        if self.table is None:
            return data.astype(self.dtype)
        return jnp.asarray(self.table, self.dtype)[data.astype(jnp.int32)]

    @property
    def traced(self) -> bool:
        return any(is_traced(v) for v in (self.data, self.table, self.pore))


def read_medium(array: Any, pore: Any, values: Mapping[int, Any] | None) -> Medium:
    """Say what the voxels of an array conduct.

    Parameters
    ----------
    array
        Boolean, integer or real array of the shape of the voxels, or real of shape (3, nx, ny, nz).
    pore
        Value, or values, of a segmentation that are pore.
    values
        Conductivity of each value of a segmentation.

    Raises
    ------
    TypeError, ValueError
        As in `conductivity`.
    """
    if not is_array(array):
        raise TypeError(f"image is a {type(array).__name__}; give an array or an image (lx.open, lx.from_array).")
    if not is_jax(array):
        array = to_numpy(array)
    kind, shape = np.dtype(array.dtype).kind, tuple(array.shape)
    if len(shape) != 3 and not (len(shape) == 4 and shape[0] == 3 and kind == "f"):
        raise ValueError(
            f"image has shape {shape}; give one value per voxel, three axes (array[:, :, None] for a slice), or "
            f"conductivities along x, y and z stacked to shape (3, nx, ny, nz)."
        )
    if min(shape) < 1:
        raise ValueError(f"image has shape {shape}, which holds no voxel.")
    if kind == "f":
        return _field(array, pore, values)
    if kind not in "biu":
        raise TypeError(
            f"image has dtype {array.dtype}; give booleans (True is pore), a segmentation, or conductivities."
        )
    if values is None and pore is None:
        if kind == "b":
            return Medium(array, None, None, "pore = True", True)
        raise ValueError(
            f"image has dtype {array.dtype}, and what its numbers mean is not known: a segmentation is no conductivity. Pass "
            "pore=0 (which value is pore) or values={0: 5.0, 1: 0} (the conductivity of each); for a field image.astype('f4')."
        )
    present = values_present(array)
    chosen = None if pore is None else phases_named(pore, present)
    if values is None:
        assert chosen is not None
        return Medium(_among(array, chosen), None, None, _pore_text(chosen), True)
    keys, table, numbers = _table(values, present)
    insulating = chosen is not None
    if numbers is not None:
        conducting = tuple(k for k, v in zip(keys, numbers, strict=True) if v > 0)
        grains = conducting if chosen is None else chosen
        insulating = set(conducting) <= set(grains) and len({v for v in numbers if v > 0}) <= 1
    text = _pore_text(chosen) if chosen is not None else "pore = every value that conducts"
    listed = ", ".join(f"{k}: {'traced' if is_traced(v) else f'{float(v):g}'}" for k, v in values.items())
    mask = None if chosen is None else _among(array, chosen)
    wrong = None if numbers is not None else ~_proper(table).all()
    if present is None:
        strange = ~jnp.isin(array, np.asarray(keys)).all()
        wrong = strange if wrong is None else wrong | strange
    return Medium(_indices(array, keys), table, mask, f"{text} (conductivities {listed})", insulating, wrong)


def _proper(conductivities: Any) -> Any:
    return (conductivities >= 0) & (conductivities < np.inf)


def _field(array: Any, pore: Any, values: Any) -> Medium:
    if pore is not None or values is not None:
        name, given = ("pore", pore) if pore is not None else ("values", values)
        raise ValueError(
            f"{name}={given!r} speaks of a segmentation, but image has dtype {array.dtype}: conductivities. Leave {name} out, or "
            f"pass a segmentation of integers or booleans."
        )
    # float16 has too few digits for differences of potentials.
    if np.dtype(array.dtype).itemsize < 4:
        array = array.astype(np.float32)
    wrong = None
    if is_traced(array):
        wrong = ~_proper(array).all()
    else:
        values_ok = bool((array >= 0).all()) and bool((array < np.inf).all())
        if not values_ok:
            lowest, finite = float(array.min()), bool(np.isfinite(np.asarray(array)).all())
            what = f"as low as {lowest:g}" if finite else "that are not finite (NaN or infinite)"
            raise ValueError(
                f"image holds conductivities {what}; they must be finite and >= 0. Replace them, or leave their voxels out "
                f"with where=."
            )
    return Medium(array, None, None, "pore = conductivity above 0", False, wrong)


def values_present(array: Any) -> np.ndarray | None:
    """Return the values of a segmentation, or None where a transformation hides them."""
    if is_traced(array):
        return None
    host = np.asarray(array)
    if host.dtype == bool:
        return np.unique(host).astype(int)
    if host.dtype.itemsize <= 2 and host.dtype.kind == "u":
        return np.flatnonzero(np.bincount(host.reshape(-1), minlength=1))
    return np.unique(host)


def phases_named(pore: Any, present: np.ndarray | None) -> tuple[int, ...]:
    """Return the values that `pore` names; an error if they are no whole numbers, or none of those
    that occur.
    """
    given = tuple(pore) if isinstance(pore, Collection) or np.ndim(pore) else (pore,)
    if not given:
        raise ValueError("pore=() names no value; name the value of the segmentation that is pore, such as pore=0.")
    for value in given:
        if not isinstance(value, int | np.integer | bool | np.bool_):
            raise TypeError(
                f"pore={pore!r} must be a value of the segmentation, or several: whole numbers such as pore=0."
            )
    chosen = tuple(sorted({int(v) for v in given}))
    if present is not None and not set(chosen) & set(present.tolist()):
        raise ValueError(f"pore={pore!r} is no value of the image, which holds {listed(present)}; name one of these.")
    return chosen


def _table(values: Mapping[int, Any], present: np.ndarray | None) -> tuple[tuple[int, ...], Any, list[float] | None]:
    if not isinstance(values, Mapping) or not values:
        raise TypeError(
            f"values={values!r} must map each value of the segmentation to a conductivity, such as {{0: 5.0, 1: 0}}."
        )
    for key in values:
        if not isinstance(key, int | np.integer | bool | np.bool_):
            raise TypeError(f"values={values!r}: {key!r} is no whole number; the keys are values of the segmentation.")
    keys = tuple(sorted(int(k) for k in values))
    entries = [values[k] if k in values else values[bool(k)] for k in keys]
    if present is not None:
        missing = sorted(set(present.tolist()) - set(keys))
        if missing:
            raise ValueError(
                f"values={dict(values)!r} says nothing of {listed(np.asarray(missing))}, which the image holds as well; give every "
                f"value a conductivity (0 insulates)."
            )
    if any(is_traced(v) for v in entries):
        return keys, jnp.stack([jnp.asarray(v, jnp.result_type(float)) for v in entries]), None
    for key, entry in zip(keys, entries, strict=True):
        number = isinstance(entry, int | float) or (
            getattr(entry, "shape", None) == () and np.dtype(str(entry.dtype).rpartition(".")[2]).kind in "biuf"
        )
        if not number or not 0 <= float(entry) < np.inf:
            raise (ValueError if number else TypeError)(
                f"values={dict(values)!r}: the conductivity of {key} is {entry!r}; it must be a number, finite and >= 0."
            )
    numbers = [float(v) for v in entries]
    double = any(getattr(v, "dtype", None) == np.float64 and not isinstance(v, float) for v in entries)
    return keys, np.asarray(numbers, np.float64 if double else np.float32), numbers


def _indices(array: Any, keys: tuple[int, ...]) -> Any:
    if keys == tuple(range(len(keys))):
        return array
    xp = jnp if is_jax(array) else np
    return xp.searchsorted(xp.asarray(np.asarray(keys)), array).astype(np.uint8 if len(keys) < 256 else np.int32)


def _among(array: Any, phases: tuple[int, ...]) -> Any:
    found = array == phases[0]
    for phase in phases[1:]:
        found = found | (array == phase)
    return found


def _pore_text(phases: tuple[int, ...]) -> str:
    return f"pore = value{'s' * (len(phases) > 1)} {', '.join(map(str, phases))}"


def listed(values: np.ndarray) -> str:
    shown = ", ".join(str(v) for v in values[:8].tolist())
    return f"{shown}, … ({len(values)} values)" if len(values) > 8 else shown


@jax.jit
def conducting_of(medium: Medium) -> jax.Array:
    """Return where a voxel conducts; if that depends on the direction, along x, y and z."""
    s = medium.conductivities()
    # As whole numbers: a compiled comparison takes the smallest numbers of all for 0.
    return s.view(np.dtype(f"i{s.dtype.itemsize}")) > 0


def conducting_on_host(medium: Medium) -> np.ndarray:
    """Return where a voxel conducts; if that depends on the direction, along x, y and z."""
    data = np.asarray(medium.data)
    if medium.table is not None:
        return (np.asarray(medium.table) > 0)[data.astype(np.uint8) if data.dtype == bool else data]
    if data.dtype == bool:
        return data
    return np.greater(data, 0)


def along_any(medium: Medium, conducting: Any) -> Any:
    """Return where a voxel conducts along any axis, of what `conducting_of` found."""
    return conducting.any(0) if medium.directed else conducting
