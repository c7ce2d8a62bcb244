"""Monte Carlo draws of a calibration: attenuations drawn from their distributions, (A, B, n) solved
for each.
"""

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
from lithax.generate import hash_words
from lithax.models import (
    AbstractDistribution,
    Calibration,
    Coefficients,
    Gaussian,
    Powers,
    Standard,
    exponent_chart,
    normal_quantile,
    solve_by_chart,
    solve_calibration,
)
from lithax.typing import Array

BLOCK = 8192
"""Draws that one compiled call takes; the last call is filled up, so that no number of draws needs
another program.
"""
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

    Each draw takes one attenuation of every material and of empty space from its distribution and
    solves CT_i - CT0 = ρ_i (A + B ⟨Zⁿ⟩_i) for A, B and n. With three standards the equations hold
    exactly; more of them, or a prior on n, are met in the least-squares sense, weighted by the
    spread of their distributions. Where several n fit (compounds with hydrogen make that possible),
    the one nearest to 3.2 is taken.

    A value is a hash of (seed, draw, material, energy): the first 100 of 1000 draws are the draws
    of 100, on any process and device. Materials count in the order given, empty space first.

    Parameters
    ----------
    standards
        Materials of known density and composition, three or more (two with a prior), or a
        `Calibration`.
    air
        Empty space: its `Standard`, or one distribution per energy. Left out where `standards` is a
        `Calibration`.
    draws
        Number of draws, at most 2 097 152.
    seed
        Integer.
    calibration
        "voxel": draw from the spread of the voxels in a standard, noise and all. "mean": draw the
        mean of each material with its own error, standard deviation / sqrt(effective count), far
        smaller.
    prior
        What is known of n beforehand, a `Gaussian` or (mean, standard deviation): one more
        observation in every draw. None: nothing.
    bounds
        Smallest and largest n [-]. n = 0 solves every calibration and means nothing.
    energy_names
        From low to high; ("low", "high") for two energies.
    progress
        Whether the share of draws with a solution is written to standard error.

    Returns
    -------
        `draws` rows. A row is not valid (a bad calibration) where no n within the bounds fits, or A
        or B is not positive. Differentiable in the parameters of `Gaussian` distributions and in
        densities, in an x64 scope.

    Raises
    ------
    ValueError
        If air is not darker than the rest, materials are equal, there are too few of them, or a
        number is out of range.

    Warns
    -----
    UserWarning
        If fewer than half of the draws are valid: what is left is no longer distributed as the
        inputs say.
    """
    air, standards, energy_names, prior = checked_calibration(standards, air, energy_names, bounds, prior)
    count = _checked_draws(draws)
    traced = any(is_traced(leaf) for leaf in jax.tree.leaves((air, standards)))
    if len(standards) == 3 and prior is None and not traced:
        dark, a, b, n, valid = draw_three(air, standards, count, seed, calibration, bounds)
        _tell(int(valid.sum()), count, progress)
        return Coefficients(dark, a, b, n, valid, energy_names=energy_names)
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
    """Return drawn attenuations of shape (draws, 1 + standards, energies), empty space first [unit
    of the scan].
    """
    made = [standard.distributions(calibration) for standard in (air, *standards)]
    if any(is_traced(leaf) for leaf in jax.tree.leaves(made)):
        drawn = [[d.quantile(_uniform(seed, 0, draws, m, e)) for e, d in enumerate(row)] for m, row in enumerate(made)]
        return jnp.stack([jnp.stack(row, axis=-1) for row in drawn], axis=1)
    result = np.empty((draws, len(made), len(made[0])))
    sampler = Sampler(made, seed)

    def sample_block(start: int) -> None:
        rows = result[start : start + BLOCK]
        rows[:] = np.moveaxis(np.asarray(sampler(start)), -1, 0)[: len(rows)]

    on_all_cores(sample_block, range(0, draws, BLOCK))
    return result


class Sampler:
    """Draws a block of attenuations, of shape (materials, energies, BLOCK): normal ones compiled,
    tables in NumPy.
    """

    def __init__(self, made: Sequence[Sequence[AbstractDistribution]], seed: int):
        self.seed = operator.index(seed) & 0xFFFFFFFFFFFFFFFF
        pairs = [
            [(d.mean, d.standard_deviation) if isinstance(d, Gaussian) else (0.0, 0.0) for d in row] for row in made
        ]
        self.parameters = np.moveaxis(np.asarray(pairs, np.float64), -1, 0)
        self.tables = [
            (m, e, d) for m, row in enumerate(made) for e, d in enumerate(row) if not isinstance(d, Gaussian)
        ]

    def __call__(self, start: int) -> Any:
        drawn = _compiled_sampler()(np.uint64(self.seed), np.int32(start), *self.parameters)
        if self.tables:
            drawn = np.array(drawn)
            for m, e, distribution in self.tables:
                drawn[m, e] = distribution.quantile(_uniform(self.seed, start, BLOCK, m, e))
        return drawn


@functools.cache
def _compiled_sampler() -> Any:
    def sample_block(seed: Array, start: Array, means: Array, deviations: Array) -> Array:
        materials, energies = means.shape
        draw = (start + jnp.arange(BLOCK, dtype=jnp.int32))[None, None, :]
        material = jnp.arange(materials, dtype=jnp.int32)[:, None, None] + _MATERIALS
        pair = jnp.arange((energies + 1) // 2, dtype=jnp.int32)[None, :, None]
        words = jnp.stack(hash_words(seed, draw, material, pair), axis=2)
        words = words.reshape(materials, -1, BLOCK)[:, :energies]
        # As signed words, the conversion of which is fast: (word + 1/2) / 2**32 all the same.
        signed = jax.lax.bitcast_convert_type(words ^ np.uint32(1 << 31), jnp.int32)
        uniform = (signed.astype(jnp.float64) + (2.0**31 + 0.5)) * 2.0**-32
        return means[:, :, None] + deviations[:, :, None] * normal_quantile(uniform)

    return jax.jit(sample_block)


def _uniform(seed: int, start: int, draws: int, material: int, energy: int) -> np.ndarray:
    """Return numbers between 0 and 1, both excluded: one word of the hash for each of two
    energies.
    """
    draw, one = start + np.arange(draws), np.ones(1, np.int64)
    words = hash_words(seed, draw, one * (_MATERIALS + material), one * (energy // 2))
    return (words[energy % 2].astype(np.float64) + 0.5) * 2.0**-32


def draw_three(
    air: Standard,
    standards: Sequence[Standard],
    draws: int,
    seed: int,
    calibration: str,
    bounds: tuple[float, float],
) -> tuple[np.ndarray, ...]:
    """Return CT0, A, B, n (draws, energies) and valid (draws,) of three standards, block by block
    from the hash on.
    """
    sampler = Sampler([standard.distributions(calibration) for standard in (air, *standards)], seed)
    powers = Powers([made_of(standard).composition for standard in standards])
    density = np.asarray([float(made_of(standard).electron_density) for standard in standards])
    chart = _chart_of(powers.logarithms.tobytes(), powers.fractions.tobytes(), (float(bounds[0]), float(bounds[1])))
    energies = len(air.attenuation)
    # Draws last until the end: rows of memory are copied and compared faster than columns.
    result = [np.empty((energies, draws)) for _ in range(4)]
    sure, valid = np.empty(draws, np.bool_), np.empty(draws, np.bool_)

    def draw_block(start: int) -> None:
        rows = slice(start, min(start + BLOCK, draws))
        solved = _compiled_chart()(
            sampler(start), density, powers.logarithms, powers.fractions, np.log(powers.largest), *chart
        )
        for part, whole in zip(solved, (*result, sure, valid), strict=True):
            whole[..., rows] = np.asarray(part)[..., : rows.stop - rows.start]

    on_all_cores(draw_block, range(0, draws, BLOCK))
    dark, a, b, n = (whole.T for whole in result)
    unsure = np.flatnonzero(~sure)
    if unsure.size:  # beside a jump from one root to another, or without a root
        values = _reduced_rows(sampler, unsure, density)
        a[unsure], b[unsure], n[unsure], found = solve_values(
            values, np.zeros((energies, 3, 3)), None, bounds, standards
        )
        valid[unsure] = found & np.all(values > 0, axis=(1, 2))
    return dark, a, b, n, valid


def _reduced_rows(sampler: Sampler, rows: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Return (CT - CT0)/ρ_e of some draws, of shape (rows, standards, energies); the hash makes
    them again.
    """
    first = rows // BLOCK

    def again(block: int) -> np.ndarray:
        drawn = np.asarray(sampler(int(block) * BLOCK))[:, :, rows[first == block] % BLOCK]
        return np.moveaxis((drawn[1:] - drawn[0]) / density[:, None, None], -1, 0)

    return np.concatenate(on_all_cores(again, np.unique(first).tolist()))


@functools.lru_cache(maxsize=16)
def _chart_of(logarithms: bytes, fractions: bytes, bounds: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    tables = [np.frombuffer(part).reshape(3, -1) for part in (logarithms, fractions)]
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        return exponent_chart(tables[0], tables[1], bounds, _compiled())


@functools.cache
def _compiled_chart() -> Any:
    def solve_block(
        attenuation: Array, density: Array, logarithms: Array, fractions: Array, log_largest: Array, *chart: Array
    ) -> tuple[Array, ...]:
        dark = attenuation[0]
        values = (attenuation[1:] - dark) / density[:, None, None]
        a, c, n, sure = solve_by_chart(values, logarithms, fractions, *chart)
        valid = jnp.all(attenuation[1:] > dark, axis=(0, 1)) & jnp.all((a > 0) & (c > 0), axis=0)
        return dark, a, c * jnp.exp(-log_largest * n), n, jnp.all(sure, axis=0), valid

    return jax.jit(solve_block)


def on_all_cores(function: Any, pieces: Sequence[Any]) -> list[Any]:
    """Call a compiled function for every piece, on the processor and with float64: a GPU would
    round otherwise.
    """
    cpu = jax.local_devices(backend="cpu")[0]

    def call(piece: Any) -> Any:
        with jax.enable_x64(True), jax.default_device(cpu):  # a scope belongs to its thread
            return function(piece)

    first, *others = pieces
    results = [call(first)]  # compiles
    if len(others) > 1:
        with ThreadPoolExecutor(available_cores()) as pool:
            results += pool.map(call, others)
    else:
        results += map(call, others)
    return results


def solve_values(
    values: Array, weights: Array, prior: Array | None, bounds: tuple[float, float], standards: Sequence[Standard]
) -> tuple[Any, Any, Any, Any]:
    """Solve for A, B, n (draws, energies) and valid (draws,), on the processor: a GPU would round
    otherwise.
    """
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

    def solve_block(piece: tuple[int, int]) -> None:
        start, e = piece
        rows = slice(start, min(start + BLOCK, len(values)))
        hint = None if prior is None else np.append(_filled(prior[:-1][rows]), prior[-1])
        block = _filled(values[rows, :, e])
        solved = _compiled()(block, powers.logarithms, powers.fractions, weights[e], hint, np.asarray(bounds))
        for part, whole in zip(solved, result, strict=True):
            whole[rows, e] = np.asarray(part)[: rows.stop - rows.start]

    on_all_cores(solve_block, [(start, e) for start in range(0, len(values), BLOCK) for e in range(energies)])
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
    """Return W of shape (energies, standards, standards), for which W y has independent errors of
    size 1.

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
    uniform = _uniform(seed, 0, draws, _PRIOR - _MATERIALS, 0)
    mean, deviation = float(prior.mean), float(prior.standard_deviation)
    return np.append(mean + deviation * np.asarray(normal_quantile(uniform)), deviation)


def checked_calibration(
    standards: Any,
    air: Any,
    energy_names: Sequence[str] | None,
    bounds: tuple[float, float],
    prior: Gaussian | tuple[float, float] | None,
) -> tuple[Standard, tuple[Standard, ...], tuple[str, ...], Gaussian | None]:
    """Return empty space, the standards, the names of the energies and the prior, or say what is
    wrong with them.
    """
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
