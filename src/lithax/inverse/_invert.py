"""Electron density and effective atomic number from two attenuations per voxel."""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from lithax.arrays import is_array, is_jax, is_traced, namespace, real_dtype, to_numpy
from lithax.chunked import available_cores
from lithax.images import VoxelImage
from lithax.inverse._distinct import distinct_statistics
from lithax.inverse._draws import order_of, solve_draws
from lithax.inverse._inversion import Inversion, pack
from lithax.inverse._invert_images import invert_images
from lithax.inverse._monotone_pieces import curves
from lithax.inverse._same_shape import check_same_shape
from lithax.inverse._statistics import BAD_CALIBRATION, BELOW_AIR, NO_ROOT, OK, StatisticsRequest, statistics
from lithax.models import Coefficients
from lithax.typing import Array


def invert_arrays(
    low: Array, high: Array, coefficients: Coefficients, wanted: StatisticsRequest, density_line: Any
) -> Inversion:
    """Invert arrays of one shape, of any array library, where they are."""
    xp = namespace(low, high)
    shape = tuple(low.shape)
    dtype = working_dtype(low, high)
    table = curves(coefficients, density_line, dtype)
    places = None
    if wanted.noise is not None:
        if len(shape) > 3:
            raise ValueError(
                f"low has {len(shape)} axes; noise belongs to the voxels i, j, k of an image of up to three."
            )
        grid = np.indices((*shape, *(1,) * (3 - len(shape))), np.int32)
        places = tuple(grid.reshape(3, -1))
    if on_host(low) and on_host(high):
        flat = tuple(np.ascontiguousarray(to_numpy(v)).reshape(-1).astype(dtype) for v in (low, high))
        results = distinct_statistics(table, flat[0], flat[1], wanted, places, available_cores())
        results = [xp.asarray(r.reshape(shape)) for r in results]
    else:
        device = {} if is_jax(low) else {"device": low.device}
        table = jax.tree_util.tree_map(lambda a: xp.asarray(a, **device), table)
        flat = tuple(xp.reshape(xp.astype(v, getattr(xp, dtype.name)), (-1,)) for v in (low, high))
        if places is not None:
            places = tuple(xp.asarray(p, **device) for p in places)
        with np.errstate(all="ignore"):  # array-api-strict computes with NumPy
            results = [xp.reshape(r, shape) for r in statistics(table, flat[0], flat[1], wanted, places)]
    return pack(results, wanted, table.draws, table.usable)


def working_dtype(low: Any, high: Any) -> np.dtype:
    """Return float32 for scans of up to 16 bits and float32, float64 for wider ones."""
    xp = namespace(low, high)
    both = {real_dtype(xp, low.dtype), real_dtype(xp, high.dtype)}
    return np.dtype(np.float64 if xp.float64 in both else np.float32)


def on_host(array: Array) -> bool:
    """Whether NumPy can work on the memory of an array."""
    if isinstance(array, np.ndarray):
        return True
    if is_traced(array):
        return False
    if is_jax(array):
        return all(device.platform == "cpu" for device in array.devices())
    return type(array).__module__.startswith("torch") and array.device.type == "cpu"


def check_wanted(
    below_air: str, whis: float, quantiles: Sequence[float], moments: bool, voxel_noise: Any, seed: int
) -> StatisticsRequest:
    """Check what is asked of the draws."""
    if below_air not in ("drop", "zero"):
        raise ValueError(f"below_air={below_air!r} must be 'drop' or 'zero'.")
    if not whis >= 0:
        raise ValueError(f"whis={whis!r} must be a number >= 0, in units of Q3 - Q1; math.inf gives the true extremes.")
    for q in quantiles:
        if not 0 <= q <= 1:
            raise ValueError(f"quantiles={tuple(quantiles)!r}: {q!r} is not a probability between 0 and 1.")
    noise = None
    if voxel_noise is not None:
        noise = tuple(map(float, voxel_noise)) if isinstance(voxel_noise, Sequence | np.ndarray) else ()
        if len(noise) != 2 or not all(math.isfinite(s) and s >= 0 for s in noise):
            raise ValueError(
                f"voxel_noise={voxel_noise!r}: give the standard deviation of a voxel's noise at the low and the high energy, two numbers >= 0."
            )
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise ValueError(f"seed={seed!r} must be an integer.")
    return StatisticsRequest(below_air, float(whis), tuple(map(float, quantiles)), bool(moments), noise, int(seed))


def check_coefficients(coefficients: Any) -> Coefficients:
    """Refuse coefficients that are not of two energies, in order."""
    if not isinstance(coefficients, Coefficients):
        raise TypeError(
            f"coefficients is a {type(coefficients).__name__}; give lithax.dect.Coefficients, from a calibration or made of numbers."
        )
    if coefficients.energies != 2:
        raise ValueError(
            f"coefficients have {coefficients.energies} energies, low and high are two; choose two with coefficients.select(...), "
            "or use invert_energies."
        )
    if is_traced(coefficients.A):
        raise TypeError(
            "coefficients are traced, but the inversion prepares tables of their values; use solve instead."
        )
    valid = to_numpy(coefficients.valid).astype(bool)
    if valid.any():
        a, b, n = (to_numpy(getattr(coefficients, name))[valid].astype(float) for name in ("A", "B", "n"))
        with np.errstate(all="ignore"):
            usable = ((a > 0) & (b > 0)).all(axis=1)
            share = np.median((b / a * 10.0**n)[usable], axis=0) if usable.any() else (1.0, 0.0)
        if share[0] < share[1]:
            raise ValueError(
                f"coefficients: the photoelectric part of the attenuation at Z = 10 is {share[0]:.3g} of the rest at the low energy and "
                f"{share[1]:.3g} at the high one, but it falls with energy; the two energies are swapped, put the low one first."
            )
    return coefficients


def bind_to_invert(low: Any, high: Any, coefficients: Any, **options: Any) -> tuple[StatisticsRequest, dict[str, Any]]:
    """Fill in what `invert` takes by default; return what is asked of the draws, checked, and the
    other arguments by name.

    So that what foresees `invert` has its arguments and its defaults, which are written once.
    """
    bound = inspect.signature(invert).bind(low, high, coefficients, **options)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    check_coefficients(coefficients)
    return check_wanted(**{name: arguments.pop(name) for name in STATISTICS}), arguments


def solve(
    low: Array, high: Array, coefficients: Coefficients, *, density_line: tuple[Any, Any] | None = None
) -> tuple[Array, Array, Array]:
    """Return electron density and effective atomic number of every voxel for every draw, as they
    are before any statistics.

    Parameters
    ----------
    low, high
        Attenuation at the two energies, arrays of one shape and library.
    coefficients
        Rows of (CT0, A, B, n).
    density_line
        As for `invert`.

    Returns
    -------
        ρ_e [g/cm³, electron-equivalent] and Z [-], of shape ``(*shape, draws)``, NaN where a draw
        has no result, and its status: 0 ok, 1 below air, 2 no root, 3 bad calibration.

    Raises
    ------
    TypeError, ValueError
        For arrays of two shapes, or coefficients that are not of two energies.
    """
    coefficients = check_coefficients(coefficients)
    check_arrays(low, high)
    xp = namespace(low, high)
    dtype = working_dtype(low, high)
    table = curves(coefficients, density_line, dtype)
    air = to_numpy(coefficients.air).astype(np.float64)
    if on_host(low):
        low, high = (to_numpy(v).astype(dtype) for v in (low, high))
    inner = namespace(low)
    if not isinstance(low, np.ndarray):
        table = jax.tree_util.tree_map(inner.asarray, table)
    shape = tuple(low.shape)
    low = inner.reshape(inner.astype(low, getattr(inner, dtype.name)), (-1, 1)) - table.reference_low
    high = inner.reshape(inner.astype(high, getattr(inner, dtype.name)), (-1, 1)) - table.reference_high
    missing = inner.full((low.shape[0], 1), inner.nan, dtype=low.dtype)
    with np.errstate(all="ignore"):
        if table.usable:
            log, density = solve_draws(table, low, high)[:2]
        else:
            log = density = missing[:, :0]
        order = inner.asarray(order_of(table))
        number, density = (
            inner.reshape(inner.take(inner.concat([v, missing], axis=1), order, axis=1), (*shape, table.draws))
            for v in (inner.exp(log), density)
        )
        dark = ~(
            (low > inner.asarray(air[:, 0] - float(table.reference_low), dtype=low.dtype))
            & (high > inner.asarray(air[:, 1] - float(table.reference_high), dtype=low.dtype))
        )
    bad = inner.asarray(order_of(table) == table.usable)
    failed = inner.where(inner.reshape(dark, density.shape), BELOW_AIR, NO_ROOT)
    status = inner.where(bad, BAD_CALIBRATION, inner.where(density == density, OK, failed))
    status = inner.astype(status, inner.uint8)
    return tuple(xp.asarray(v) for v in (density, number, status))


def check_arrays(low: Any, high: Any) -> None:
    """Refuse what are not two arrays of one shape."""
    for name, value in (("low", low), ("high", high)):
        if not is_array(value):
            raise TypeError(f"{name} is a {type(value).__name__}; give an array, or an image (lx.open, lx.from_array).")
        if not namespace(value).isdtype(value.dtype, ("real floating", "integral")):
            raise TypeError(f"{name} holds {value.dtype}; attenuations are real numbers.")
    check_same_shape(low, high)


def invert(
    low: Any,
    high: Any,
    coefficients: Coefficients,
    *,
    quantiles: Sequence[float] = (),
    moments: bool = False,
    whis: float = 1.5,
    below_air: str = "drop",
    density_line: tuple[Any, Any] | None = None,
    voxel_noise: Sequence[float] | None = None,
    seed: int = 0,
    store: Any = None,
    path: str | None = None,
    backend: str | None = None,
    **options: Any,
) -> Inversion:
    """Return electron density and effective atomic number of every voxel, as their spread over the
    draws of a calibration.

    For a voxel and a draw, CT - CT0 = ρ_e (A + B Zⁿ) at two energies gives ρ_e and Z: dividing the
    two leaves one equation in Z, whose root in [1, 118] is found to round-off; ρ_e follows from the
    high energy, where it depends on Z least. A draw ends in one of four ways, all counted: with a
    result, darker than its air at one of the energies, without a root, or with a bad calibration.
    Where it has two roots, as happens where n_l < n_h, that one is taken whose ρ_e is nearest to
    the density line. Each voxel's statistics are those of its draws with a result; ρ_e and Z are
    treated apart.

    Parameters
    ----------
    low, high
        Attenuation at the low and the high energy [any unit that is linear in it, as HU or 1/cm]:
        arrays of one shape, of any library, or images on one grid.
    coefficients
        Rows of (CT0, A, B, n), one per draw.
    quantiles
        Probabilities of further quantiles; quartiles come anyway.
    moments
        Also mean and standard deviation.
    whis
        Minimum and maximum leave out what is farther than this from the quartiles [Q3 - Q1];
        `math.inf` leaves out nothing.
    below_air
        "drop": voxels darker than air have no result in that draw. "zero": there ρ_e = Z = 0 is the
        result, which counts.
    density_line
        Slope and intercept of ρ_e against the attenuation at the high energy, numbers or arrays of
        shape (draws,), for draws with two roots. None: the line through air and Z = 10.
    voxel_noise
        Standard deviation of the noise of a voxel at the low and the high energy [unit of the
        scan]: every draw then sees the voxel with another noise. None: the voxel's value is exact.
    seed
        Of this noise, a function of (seed, draw, i, j, k).
    store, path
        For images: the group that will hold the results, one image each, such as
        ``electron_density_median``; memory by default.
    backend
        For images: "numpy" (the default without an accelerator) or "jax".
    **options
        For images: `where`, `geometry`, `chunks`, `shards`, `overwrite`, `device`, `memory_limit`,
        `workers`, `world`, `progress`, `resume`, as of `lithax.chunk_map`, by which they are worked
        out. Scans of different geometry are refused, unless ``geometry="first"`` says that their
        voxels correspond and lie where those of `low` do.

    Returns
    -------
        Arrays of the shape and library of `low`, or images; float32, or float64 for 64-bit voxels
        and 32-bit integers. Voxels that `where` leaves out are NaN, with all counts 0.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, energies that are swapped among them, before any work is
        done.

    References
    ----------
    R. A. Victor, M. Prodanović, C. Torres-Verdín, Monte Carlo approach for estimating density and
    atomic number from dual-energy computed tomography images of carbonate rocks, Journal of
    Geophysical Research: Solid Earth 122 (2017) 9804-9824, section 2. doi:10.1002/2017JB014408
    """
    wanted = check_wanted(below_air, whis, quantiles, moments, voxel_noise, seed)
    check_coefficients(coefficients)
    if isinstance(low, VoxelImage) or isinstance(high, VoxelImage):
        table = curves(coefficients, density_line, image_dtype(low, high))
        return invert_images(low, high, table, wanted, store, path, backend, options)
    if store is not None or path is not None or backend is not None or options:
        raise TypeError(
            f"{sorted(options) or 'store and backend'} are for images; low and high are arrays, make images of them with lx.from_array."
        )
    check_arrays(low, high)
    return invert_arrays(low, high, coefficients, wanted, density_line)


def image_dtype(low: Any, high: Any) -> np.dtype:
    """Return the type in which two images are worked on; refuse what are not real numbers."""
    found = []
    for name, value in (("low", low), ("high", high)):
        if not isinstance(value, VoxelImage) and not is_array(value):
            raise TypeError(f"{name} is a {type(value).__name__}; give an image (lx.open, lx.from_array) or an array.")
        dtype = np.dtype(str(value.dtype).rsplit(".", 1)[-1])
        if dtype.kind not in "iuf":
            raise TypeError(f"{name} holds {dtype}; attenuations are real numbers.")
        found.append(real_dtype(namespace(), dtype))
    return np.dtype(np.float64 if np.float64 in found else np.float32)


STATISTICS = {name: inspect.signature(invert).parameters[name].default for name in inspect.signature(check_wanted).parameters}  # fmt: skip
"""Arguments of `invert` that say what is asked of the draws, and what they are by default."""
