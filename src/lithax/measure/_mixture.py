"""Classes of voxels found in one or several channels: k-means and Gaussian mixtures, fitted by
passes over the image.
"""

import dataclasses
import math
import numbers
from functools import partial
from typing import Any

import equinox as eqx
import numpy as np

from lithax.arrays import namespace
from lithax.measure._image_options import measures_images
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import as_sum, constant, is_float, plain, total
from lithax.measure._sample import Sample
from lithax.measure._source import Source
from lithax.measure._state import by_pieces, combine_states
from lithax.ops import class_energies, classify, markov_random_field, memberships, responsibilities, smallest
from lithax.typing import Array

SAMPLE = 8192
"""Voxels in which a fit begins, at places that belong to the seed."""


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """Classes of voxels, each a normal distribution over the channels, ascending by the mean of the
    first channel.
    """

    weights: np.ndarray
    """Share of each class, shape (classes,) [-]."""
    means: np.ndarray
    """Shape (classes, channels), in the units of the channels."""
    covariances: np.ndarray
    """Shape (classes, channels, channels)."""
    iterations: int
    """Passes over the voxels."""
    converged: bool
    """Whether the last pass changed less than the tolerance."""
    log_likelihood: float
    """Mean over the voxels, at the last pass [-]; NaN for k-means."""

    @property
    def factors(self) -> np.ndarray:
        """Inverse Cholesky factors of the covariances."""
        return np.stack([np.linalg.inv(np.linalg.cholesky(c)) for c in self.covariances])

    @property
    def _parameters(self) -> dict[str, Any]:
        return {"weights": self.weights, "means": self.means, "factors": self.factors}

    @property
    def classify(self) -> Any:
        """The operation that gives each voxel its class; see `lithax.ops.classify`."""
        return partial(classify, **self._parameters)

    @property
    def responsibilities(self) -> Any:
        """The operation that gives the degree of membership in each class; see
        `lithax.ops.responsibilities`.
        """
        return partial(responsibilities, **self._parameters)

    @property
    def regularise(self) -> Any:
        """The operation that lets neighbours agree on their class; see
        `lithax.ops.markov_random_field`.
        """
        return partial(markov_random_field, **self._parameters)


class _Step(AbstractMeasurement):
    """Sums over the voxels, weighted by their membership in the classes of now; hard for k-means.

    Channels are centred and scaled, so that sums of squares lose nothing.
    """

    origin: Array
    scale: Array
    weights: Array
    means: Array
    factors: Array
    hard: bool = eqx.field(static=True)

    def of(self, *images: Array, valid: Array | None = None) -> State:
        return by_pieces(self._of_piece, valid, *images)

    def _of_piece(self, valid: Array | None, *images: Array) -> State:
        xp = namespace(*images)
        values = [x if is_float(x) else xp.astype(x, xp.float32) for x in map(plain, images)]
        dtype = xp.float64 if any(v.dtype == xp.float64 for v in values) else xp.float32
        origin, scale = (constant(table, dtype, like=values[0]) for table in (self.origin, self.scale))
        values = [(xp.astype(v, dtype, copy=False) - origin[c]) / scale[c] for c, v in enumerate(values)]
        taken = xp.isfinite(values[0])
        for v in values[1:]:
            taken = taken & xp.isfinite(v)
        if valid is not None:
            taken = taken & valid
        values = [xp.where(taken, v, xp.zeros_like(v)) for v in values]
        energies = class_energies(tuple(values), self.weights, self.means, self.factors)
        if self.hard:
            label = smallest(energies)
            shares = [xp.astype((label == k) & taken, dtype) for k in range(len(energies))]
            level = -sum(
                (share * energy for share, energy in zip(shares, energies, strict=True)), xp.zeros_like(values[0])
            )
        else:
            shares, level = memberships(energies)
            shares = [xp.where(taken, share, xp.zeros_like(share)) for share in shares]
        wide = [as_sum(v) for v in values]
        counts, first, second = [], [], []
        for share in map(as_sum, shares):
            counts.append(total(share))
            weighted = [share * v for v in wide]
            first += [total(w) for w in weighted]
            second += [total(w * v) for i, w in enumerate(weighted) for v in wide[: i + 1]]
        level = total(as_sum(xp.where(taken, level, xp.zeros_like(level))))
        return {"level": level, "count": xp.stack(counts), "first": xp.stack(first), "second": xp.stack(second)}

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> State:
        return state


@dataclasses.dataclass
class _Classes:
    """Weights, means and covariances in centred and scaled channels."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def step(self, origin: np.ndarray, scale: np.ndarray, hard: bool) -> _Step:
        factors = np.stack([np.linalg.inv(np.linalg.cholesky(c)) for c in self.covariances])
        return _Step(origin, scale, self.weights, self.means, factors, hard)

    @classmethod
    def from_sums(cls, state: State, floor: float) -> "_Classes":
        count = np.asarray(state["count"], np.float64)
        classes = count.size
        channels = np.asarray(state["first"]).size // classes
        means = np.asarray(state["first"]).reshape(classes, channels) / count[:, None]
        covariances = np.zeros((classes, channels, channels))
        rows, columns = np.tril_indices(channels)
        covariances[:, rows, columns] = np.asarray(state["second"]).reshape(classes, -1) / count[:, None]
        covariances[:, columns, rows] = covariances[:, rows, columns]
        covariances -= means[:, :, None] * means[:, None, :]
        covariances += floor * np.eye(channels)
        return cls(count / count.sum(), means, covariances)


FLOOR = 1e-6
"""Added to the variances, relative to those of the whole image, as scikit-learn's `reg_covar`: a
class of one value stays one.
"""


@measures_images
def gaussian_mixture(
    image: Any,
    *others: Any,
    classes: int = 3,
    where: Any = None,
    seed: Any = 0,
    tolerance: float = 1e-3,
    most_iterations: int = 100,
) -> Mixture:
    """Fit normal distributions to the voxels of one or several channels, by expectation and
    maximisation.

    Every iteration is one pass over the images, in bounded memory. It begins with k-means on 8192
    voxels at places that the seed decides; the result depends neither on chunks nor on processes
    (parameters to rounding between chunk grids, the same bits on one). NaN and infinite voxels do
    not count. `sklearn.mixture.GaussianMixture`, full covariances.

    Parameters
    ----------
    image, *others
        Images, or arrays of any array-API library, one per channel, of one shape: grey levels,
        filtered ones, a gradient.
    classes
        Number of classes, from 1 to 32.
    where
        Voxels taken in: a boolean array for arrays; for images, anything that `where=` of
        `chunk_reduce` accepts.
    seed
        Integer that the places belong to.
    tolerance
        The fit ends when the mean log-likelihood of a voxel rises by less [-].
    most_iterations
        Passes at most; then `converged` is False.

    Returns
    -------
        The mixture, which has the operations `classify`, `responsibilities` and `regularise`.

    Raises
    ------
    ValueError
        If there are more classes than different voxels, or shapes differ.

    References
    ----------
    Dempster, Laird and Rubin, Maximum likelihood from incomplete data via the EM algorithm, Journal
    of the Royal Statistical Society B 39 (1977) 1-38. doi:10.1111/j.2517-6161.1977.tb01600.x
    """
    _check_end(tolerance, most_iterations)
    source, origin, scale, sample = _begin(image, others, classes, where, seed)
    start = _lloyd(sample, classes, seed)
    step = lambda now: now.step(origin, scale, False)  # noqa: E731
    columns = [np.ascontiguousarray(sample[:, c]).reshape(-1, 1, 1) for c in range(sample.shape[1])]
    for _ in range(most_iterations):  # on the sample, where a pass costs nothing
        before, start = (
            start,
            _Classes.from_sums(
                _checked(_Step(np.zeros_like(origin), np.ones_like(scale), *_of(start), False)(*columns)), FLOOR
            ),
        )
        if np.max(np.abs(before.means - start.means)) < 1e-4:
            break
    now, level, number, converged = start, -math.inf, 0, False
    while number < most_iterations and not converged:
        state = _checked(source.reduce(step(now), *others))
        now = _Classes.from_sums(state, FLOOR)
        reached = float(state["level"]) / float(np.sum(state["count"])) - float(np.sum(np.log(scale)))
        converged, level, number = abs(reached - level) < tolerance, reached, number + 1
    return _finished(now, origin, scale, number, converged, level)


@measures_images
def kmeans(
    image: Any,
    *others: Any,
    classes: int = 3,
    where: Any = None,
    seed: Any = 0,
    tolerance: float = 1e-4,
    most_iterations: int = 300,
) -> Mixture:
    """Divide the voxels of one or several channels into classes about their means: Lloyd's
    iteration, `sklearn.cluster.KMeans`.

    As `gaussian_mixture`, with each voxel wholly in the class of the nearest mean. Distances are
    those of channels scaled by their standard deviations, so that units do not matter. The result
    is a mixture whose classes have equal weights and one covariance, the squared scales: its
    `classify` is k-means.

    Parameters
    ----------
    image, *others, classes, where, seed, most_iterations
        As in `gaussian_mixture`.
    tolerance
        The iteration ends when no mean moves by more, in standard deviations of the channel [-].
    """
    _check_end(tolerance, most_iterations)
    source, origin, scale, sample = _begin(image, others, classes, where, seed)
    now = _lloyd(sample, classes, seed)
    channels = sample.shape[1]
    number, converged = 0, False
    while number < most_iterations and not converged:
        round_ones = _Classes(
            np.full(classes, 1.0 / classes), now.means, np.broadcast_to(np.eye(channels), (classes, channels, channels))
        )
        state = _checked(source.reduce(round_ones.step(origin, scale, True), *others))
        after = _Classes.from_sums(state, FLOOR)
        converged = bool(np.max(np.abs(after.means - now.means)) <= tolerance)
        now, number = after, number + 1
    now = _Classes(
        np.full(classes, 1.0 / classes), now.means, np.broadcast_to(np.eye(channels), (classes, channels, channels))
    )
    return _finished(now, origin, scale, number, converged, math.nan)


def _check_end(tolerance: Any, most_iterations: Any) -> None:
    if not (isinstance(tolerance, numbers.Real) and float(tolerance) >= 0):
        raise ValueError(f"tolerance={tolerance!r} must be a number, at least 0: the change below which the fit ends.")
    if isinstance(most_iterations, bool) or not isinstance(most_iterations, int | np.integer) or most_iterations < 1:
        raise ValueError(f"most_iterations={most_iterations!r} must be an integer, at least 1.")


def _of(classes: _Classes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return classes.weights, classes.means, np.stack([np.linalg.inv(np.linalg.cholesky(c)) for c in classes.covariances])


def _checked(state: State) -> State:
    if not np.all(np.asarray(state["count"]) > 0):
        raise ValueError(
            "A class has lost all its voxels: there are fewer kinds of voxels than classes; use fewer classes, or another seed."
        )
    return state


def _begin(
    image: Any, others: tuple[Any, ...], classes: Any, where: Any, seed: Any
) -> tuple[Source, np.ndarray, np.ndarray, np.ndarray]:
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or not 1 <= classes <= 32:
        raise ValueError(f"classes={classes!r} must be an integer from 1 to 32.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed={seed!r} must be an integer, at least 0.")
    source = Source(image, where)
    shape = tuple(source.data.shape)
    if len(shape) != 3:
        raise ValueError(f"The image has shape {shape}; give three axes, x y z.")
    rng = np.random.default_rng(seed)
    places = np.stack([rng.integers(0, n, SAMPLE) for n in shape], axis=1)
    sample = source.reduce(Sample(places), *others)
    if len(np.unique(sample, axis=0)) < max(classes, 2):
        raise ValueError(
            f"classes={classes}: of {SAMPLE} voxels looked at, {len(sample)} are taken in, and {len(np.unique(sample, axis=0))} of "
            f"them differ; use fewer classes, or take in more voxels."
        )
    origin, scale = sample.mean(axis=0), sample.std(axis=0)
    if np.any(scale == 0):
        raise ValueError(f"Channel {int(np.argmin(scale))} is constant, and tells no classes apart; leave it out.")
    return source, origin, scale, (sample - origin) / scale


def _lloyd(sample: np.ndarray, classes: int, seed: int) -> _Classes:
    # k-means++ (Arthur and Vassilvitskii, SODA 2007), the best of eight starts, on the sample.
    rng = np.random.default_rng([seed, 1])
    best, found = math.inf, None
    for _ in range(8):
        means = sample[rng.integers(len(sample))][None]
        while len(means) < classes:
            distance = _distances(sample, means).min(axis=1)
            if not distance.any():
                break
            means = np.concatenate([means, sample[rng.choice(len(sample), p=distance / distance.sum())][None]])
        for _ in range(100):
            label = _distances(sample, means).argmin(axis=1)
            moved = np.stack(
                [sample[label == k].mean(axis=0) if np.any(label == k) else m for k, m in enumerate(means)]
            )
            still = np.max(np.abs(moved - means)) < 1e-9
            means = moved
            if still:
                break
        inertia = float(_distances(sample, means).min(axis=1).sum())
        if inertia < best:
            best, found = inertia, means
    assert found is not None
    found = found[np.argsort(found[:, 0], kind="stable")]
    label = _distances(sample, found).argmin(axis=1)
    count = np.asarray([max(int(np.sum(label == k)), 1) for k in range(len(found))])
    channels = sample.shape[1]
    spread = [
        np.cov(sample[label == k].T, bias=True).reshape(channels, channels) if count[k] > 1 else 0.0
        for k in range(len(found))
    ]
    covariances = np.stack([s + FLOOR * np.eye(channels) for s in spread])
    return _Classes(count / count.sum(), found, covariances)


def _distances(sample: np.ndarray, means: np.ndarray) -> np.ndarray:
    return ((sample[:, None, :] - means[None]) ** 2).sum(axis=2)


def _finished(
    now: _Classes, origin: np.ndarray, scale: np.ndarray, number: int, converged: bool, level: float
) -> Mixture:
    order = np.argsort(now.means[:, 0], kind="stable")
    means = now.means[order] * scale + origin
    covariances = now.covariances[order] * scale[:, None] * scale[None, :]
    return Mixture(now.weights[order], means, covariances, number, converged, level)
