"""Monte Carlo draws of a calibration: attenuations drawn from their distributions, (A, B, n) solved for each."""

import functools
import operator
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lithax.arrays import is_traced
from lithax.chunked import available_cores
from lithax.generate import hash_noise
from lithax.models import (
    AbstractDistribution,
    Calibration,
    Coefficients,
    Gaussian,
    Powers,
    Standard,
    normal_quantile,
    solve_calibration,
)
from lithax.typing import Array

BLOCK = 8192
"""Draws that one compiled call takes; the last call is filled up, so that no number of draws needs another program."""
MOST = 1 << 21
"""Draws that the hash tells apart."""
_MATERIALS = 1 << 20
"""Where the materials begin among the counters of the hash: far from those of voxels."""
_PRIOR = _MATERIALS - 1


def draw_coefficients(
    standards: Sequence[Standard] | Calibration,
    air: Standard | Sequence[AbstractDistribution] | None = None,
    draws: int = 1000,
    seed: int = 0,
    *,
    calibration: str = "voxel",
    prior: Gaussian | tuple[float, float] | None = None,
    bounds: tuple[float, float] = (0.5, 10.0),
    energy_names: Sequence[str] | None = None,
    progress: bool = True,
) -> Coefficients:
    """Draw coefficients (CT0, A, B, n) of every energy from what is known of the standards.

    Each draw takes one attenuation of every material and of empty space from its distribution and solves
    CT_i - CT0 = ρ_i (A + B ⟨Zⁿ⟩_i) for A, B and n. With three standards the equations hold exactly; more of them, or a prior on
    n, are met in the least-squares sense, weighted by the spread of their distributions. Where several n fit (compounds with
    hydrogen make that possible), the one nearest to 3.2 is taken.

    A value is a hash of (seed, draw, material, energy): the first 100 of 1000 draws are the draws of 100, on any process and
    device. Materials count in the order given, empty space first.

    Parameters
    ----------
    standards
        Materials of known density and composition, three or more (two with a prior), or a `Calibration`.
    air
        Empty space: its `Standard`, or one distribution per energy. Left out where `standards` is a `Calibration`.
    draws
        Number of draws, at most 2 097 152.
    seed
        Integer.
    calibration
        "voxel": draw from the spread of the voxels in a standard, noise and all. "mean": draw the mean of each material with
        its own error, standard deviation / sqrt(effective count), far smaller.
    prior
        What is known of n beforehand, a `Gaussian` or (mean, standard deviation): one more observation in every
        draw. None: nothing.
    bounds
        Smallest and largest n [-]. n = 0 solves every calibration and means nothing.
    energy_names
        From low to high; ("low", "high") for two energies.
    progress
        Whether the share of draws with a solution is written to standard error.

    Returns
    -------
        `draws` rows. A row is not valid (a bad calibration) where no n within the bounds fits, or A or B is not positive.
        Differentiable in the parameters of `Gaussian` distributions and in densities, in an x64 scope.

    Raises
    ------
    ValueError
        If air is not darker than the rest, materials are equal, there are too few of them, or a number is out of range.

    Warns
    -----
    UserWarning
        If fewer than half of the draws are valid: what is left is no longer distributed as the inputs say.
    """
    air, standards, energy_names, prior = checked_calibration(standards, air, energy_names, bounds, prior)
    count = _checked_draws(draws)
    attenuation = sample(air, standards, count, seed, calibration)
    values = reduced_attenuation(attenuation, standards)
    weights = whitening(air, standards, calibration)
    prior_values = None if prior is None else _prior_values(prior, count, seed)
    a, b, n, valid = solve_values(values, weights, prior_values, bounds, standards)
    dark = attenuation[:, 0, :]
    if not is_traced(valid):
        valid = np.asarray(valid & np.all(attenuation[:, 1:, :] > dark[:, None, :], axis=(1, 2)))
        _tell(int(valid.sum()), count, progress)
    return Coefficients(dark, a, b, n, valid, energy_names=energy_names)


def sample(air: Standard, standards: Sequence[Standard], draws: int, seed: int, calibration: str) -> Any:
    """Return drawn attenuations of shape (draws, 1 + standards, energies), empty space first [unit of the scan]."""
    made = [standard.distributions(calibration) for standard in (air, *standards)]
    materials, energies = len(made), len(made[0])
    draw = np.arange(draws)[:, None, None]
    material = _MATERIALS + np.arange(materials)[None, :, None]
    uniform = hash_noise(
        seed, draw, material, np.arange(energies)[None, None, :], distribution="uniform", dtype=np.float64
    )
    drawn = [[d.quantile(uniform[:, m, e]) for e, d in enumerate(row)] for m, row in enumerate(made)]
    xp = jnp if any(is_traced(value) for row in drawn for value in row) else np
    return xp.stack([xp.stack(row, axis=-1) for row in drawn], axis=1)


def solve_values(
    values: Array, weights: Array, prior: Array | None, bounds: tuple[float, float], standards: Sequence[Standard]
) -> tuple[Any, Any, Any, Any]:
    """Solve for A, B, n (draws, energies) and valid (draws,), on the processor: a GPU would round otherwise."""
    powers = Powers([made_of(standard).composition for standard in standards])
    energies = values.shape[2]
    if is_traced(values) or is_traced(weights):
        columns = [
            _compiled()(values[:, :, e], powers.logarithms, powers.fractions, weights[e], prior, jnp.asarray(bounds))
            for e in range(energies)
        ]
        a, c, n, valid = (jnp.stack(part, axis=1) for part in zip(*columns, strict=True))
        return a, c * powers.largest**-n, n, jnp.all(valid, axis=1)
    result = [np.empty((len(values), energies)) for _ in range(3)] + [np.empty((len(values), energies), bool)]
    cpu = jax.local_devices(backend="cpu")[0]

    def solve_block(piece: tuple[int, int]) -> None:
        start, e = piece
        rows = slice(start, min(start + BLOCK, len(values)))
        with jax.enable_x64(True), jax.default_device(cpu):  # a scope belongs to its thread
            hint = None if prior is None else np.append(_filled(prior[:-1][rows]), prior[-1])
            block = _filled(values[rows, :, e])
            solved = _compiled()(block, powers.logarithms, powers.fractions, weights[e], hint, np.asarray(bounds))
            for part, whole in zip(solved, result, strict=True):
                whole[rows, e] = np.asarray(part)[: rows.stop - rows.start]

    first, *others = [(start, e) for start in range(0, len(values), BLOCK) for e in range(energies)]
    solve_block(first)  # compiles
    if len(others) > 1:
        with ThreadPoolExecutor(available_cores()) as pool:
            list(pool.map(solve_block, others))
    else:
        for piece in others:
            solve_block(piece)
    a, c, n, valid = result
    return a, c * powers.largest**-n, n, valid.all(axis=1)


@functools.cache
def _compiled() -> Any:
    return jax.jit(solve_calibration)


def _filled(rows: np.ndarray) -> np.ndarray:
    """Repeat the last row until the block is full."""
    return np.concatenate([rows, np.repeat(rows[-1:], BLOCK - len(rows), axis=0)]) if len(rows) < BLOCK else rows


def reduced_attenuation(attenuation: Any, standards: Sequence[Standard]) -> Any:
    """Return (CT - CT0)/ρ_e of shape (draws, standards, energies)."""
    densities = [made_of(standard).electron_density for standard in standards]
    xp = jnp if any(is_traced(value) for value in (attenuation, *densities)) else np
    return (attenuation[:, 1:, :] - attenuation[:, :1, :]) / xp.asarray(densities)[None, :, None]


def whitening(air: Standard, standards: Sequence[Standard], calibration: str) -> Any:
    """Return W of shape (energies, standards, standards), for which W y has independent errors of size 1.

    Empty space enters every y, so that their errors are correlated.
    """
    every = [[d.standard_deviation for d in s.distributions(calibration)] for s in (air, *standards)]
    levels = [s.means for s in (air, *standards)]
    density = [made_of(standard).electron_density for standard in standards]
    xp = jnp if any(is_traced(value) for row in (*every, *levels, density) for value in row) else np
    density = xp.asarray(density)
    result = []
    for energy in range(len(every[0])):
        dark, deviation = every[0][energy], xp.asarray([row[energy] for row in every[1:]])
        y = (xp.asarray([row[energy] for row in levels[1:]]) - levels[0][energy]) / density
        covariance = xp.diag((deviation / density) ** 2) + xp.outer(dark / density, dark / density)
        # A value that is known exactly is one known to a millionth.
        covariance = covariance + xp.diag((1e-6 * y) ** 2)
        result.append(xp.linalg.inv(xp.linalg.cholesky(covariance)))
    return xp.stack(result)


def _prior_values(prior: Gaussian, draws: int, seed: int) -> np.ndarray:
    draw = np.arange(draws)[:, None, None]
    other = np.zeros((1, 1, 1), np.int64)
    uniform = hash_noise(seed, draw, other + _PRIOR, other, distribution="uniform", dtype=np.float64)
    mean, deviation = float(prior.mean), float(prior.standard_deviation)
    return np.append(mean + deviation * np.asarray(normal_quantile(uniform[:, 0, 0])), deviation)


def checked_calibration(
    standards: Any,
    air: Any,
    energy_names: Sequence[str] | None,
    bounds: tuple[float, float],
    prior: Gaussian | tuple[float, float] | None,
) -> tuple[Standard, tuple[Standard, ...], tuple[str, ...], Gaussian | None]:
    """Return empty space, the standards, the names of the energies and the prior, or say what is wrong with them."""
    if isinstance(standards, Calibration):
        if air is not None or energy_names is not None:
            raise ValueError("A Calibration has its own air and names of energies; leave air= and energy_names= out.")
        made = standards
    elif air is None:
        raise ValueError("air=None: give empty space, a Standard or one distribution per energy, or a Calibration.")
    else:
        air = air if isinstance(air, Standard) else Standard(None, air)
        made = Calibration(air, standards, energy_names=energy_names)
    if not 0.0 < bounds[0] < bounds[1] < 100.0:
        raise ValueError(f"bounds={bounds!r} of n must be positive and ascending, such as (0.5, 10.0).")
    prior = Gaussian(*prior) if isinstance(prior, tuple) else prior
    if prior is not None and not prior.standard_deviation > 0:
        raise ValueError(f"prior={prior!r}: its standard deviation must be positive; narrow `bounds` to fix n.")
    needed = 3 if prior is None else 2
    if len(made.standards) < needed:
        raise ValueError(
            f"{len(made.standards)} standards for the three unknowns A, B and n: give {needed} or more"
            + ("" if prior is not None else ", or two and a prior on n, such as prior=(3.2, 0.2)")
            + "."
        )
    return made.air, made.standards, made.energy_names, prior


def _checked_draws(draws: Any) -> int:
    try:
        count = operator.index(draws)
    except TypeError as error:
        raise TypeError(f"draws={draws!r} must be an integer.") from error
    if not 1 <= count <= MOST:
        raise ValueError(f"draws={draws!r} must lie between 1 and {MOST}.")
    return count


def _tell(valid: int, draws: int, progress: bool) -> None:
    if progress:
        sys.stderr.write(f"calibration: {valid} of {draws} draws have a solution ({100 * valid / draws:.1f} %)\n")
    if valid < 0.5 * draws:
        warnings.warn(
            f"Only {valid} of {draws} draws ({100 * valid / draws:.1f} %) have a solution. Those that are left are not "
            "distributed as the inputs say. Look at lx.viz.draw_distributions: wide or overlapping standards, wrong densities "
            "or exchanged regions are the usual reasons; calibration='mean' or a prior on n help with noise.",
            stacklevel=3,
        )


def made_of(standard: Standard) -> Any:
    """Return the material of a standard, which has been checked to have one."""
    return standard.material
