"""Random walker segmentation: the potential of seeds in a medium that conducts where grey values
are alike.

The chance that a walker from a voxel meets a seed of a label before any other is the potential
there, with seeds of that label at one and all others at zero (Grady 2006): conduction with seeds in
place of end faces. Seeds are taken out of the unknowns; what joins them to their neighbours stands
on the diagonal and drives the current.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import is_traced, label_block, to_numpy
from lithax.solve._arguments import check_whole_number
from lithax.solve._conjugate_gradients import State, loop, start, step, until
from lithax.solve._domain import domain_of
from lithax.solve._face_operator import FaceOperator, face_operator
from lithax.solve._multigrid import Multigrid, multigrid
from lithax.solve._solve_memory import check_memory, give_back, memory_of_walks
from lithax.solve._source import read_source

LEAST = 1e-6
"""Of the weights, the largest of which is one: across any edge a few walkers pass."""


@dataclass(frozen=True, eq=False)
class RandomWalks:
    """Which label each voxel belongs to, and how sure that is."""

    labels: Any
    """The label met first by most walkers, in the type of the markers; 0 where no seed can be
    reached.
    """
    probabilities: dict[int, Any] | None
    """By label, on request: the share of walkers that meet it first [-], from 0 to 1."""
    iterations: tuple[int, ...]
    """Of each solve; all labels but the last take one."""
    error: float
    """Largest relative error of the power, which is of second order in the probabilities [-]."""
    converged: bool
    unreached: int
    """Voxels from which no seed can be reached within `where`."""

    def __str__(self) -> str:
        ended = "converged" if self.converged else "NOT converged"
        steps = ", ".join(map(str, self.iterations))
        text = f"random walker: {ended} in {steps or 'no'} iterations, power right to {self.error:.1g}"
        if self.unreached:
            text += f"; from {self.unreached} voxels no seed can be reached, they are 0"
        return text + "."


def random_walker(
    image: Any,
    markers: Any,
    *,
    beta: float = 130.0,
    where: Any = None,
    spacing: Any = None,
    tolerance: float = 1e-4,
    max_iterations: int = 60,
    probabilities: bool = False,
    throw: bool = False,
    memory_limit: int | str | None = None,
    progress: bool = False,
) -> RandomWalks:
    """Segment a scan from seeds: each voxel gets the label that most random walkers from it meet
    first.

    Walkers step to neighbours across faces, rarely across a change of grey values: phases of low
    contrast, or with gaps in their outline, are told apart where a threshold fails. Choose seeds
    that are certain, such as grey values far inside each peak of the histogram.

    Parameters
    ----------
    image
        Grey values, in memory: an array or an image.
    markers
        Labels of the seeds, positive whole numbers, 0 elsewhere: on the grid of the image. At least
        two labels.
    beta
        How much walkers shun edges: a step across a difference Δg weighs exp(−β Δg² / (10 σ)) with
        grey values from 0 to 1 and their standard deviation σ within `where`, as in scikit-image.
    where
        Voxels that walkers may enter, as for `chunk_map`; the others get 0.
    spacing
        Voxel length, or three; by default the image's. A step along an axis weighs as the inverse
        square of its length.
    tolerance
        Relative error of the power at which a solve ends; that of probabilities is about its root.
    max_iterations
        At most, for each label.
    probabilities
        Keep the probabilities of all labels.
    throw
        Raise RuntimeError instead of returning a result that is not converged.
    memory_limit
        Bytes that it may take, or text such as "8 GiB"; by default what is free.
    progress
        Whether to show a bar.

    Returns
    -------
        `RandomWalks`; its labels and probabilities are images for an image, arrays otherwise.

    Raises
    ------
    TypeError, ValueError
        If an argument is not understood, shapes differ, values are not finite, or there are fewer
        than two labels.
    MemoryLimitError
        If it does not fit into memory; before anything is read.

    References
    ----------
    Grady, Random walks for image segmentation, IEEE Transactions on Pattern Analysis and Machine
    Intelligence 28 (2006), 1768-1783. doi:10.1109/TPAMI.2006.233

    Examples
    --------
    >>> import numpy as np
    >>> scan = np.zeros((1, 4, 9), np.float32)
    >>> scan[..., 5:] = 1.0
    >>> seeds = np.zeros(scan.shape, np.uint8)
    >>> seeds[0, 0, 0], seeds[0, 3, 8] = 1, 2
    >>> random_walker(scan, seeds).labels[0, 2].tolist()
    [1, 1, 1, 1, 1, 2, 2, 2, 2]
    """
    _check_numbers(beta, tolerance, max_iterations)
    _check_arrays(image, markers)
    check_memory("random_walker()", memory_of_walks(image), memory_limit)
    source = read_source(image, spacing, "random_walker")
    inside = domain_of(where, source, linear=False).mask
    seeds = np.asarray(markers[...]) if hasattr(markers, "frame") else to_numpy(markers)
    names = _labels_of(seeds, inside)
    grey = _scaled(to_numpy(source.array), inside)
    deviation = float(np.std(grey if inside is None else grey[inside], dtype=np.float64))
    number = np.searchsorted(names, seeds)
    number = number if inside is None else np.where(inside, number, 0)
    walks = _Walks(
        jnp.asarray(grey), jnp.asarray(number.astype(np.min_scalar_type(len(names)))),
        None if inside is None else jnp.asarray(inside), tuple((min(source.spacing) / s) ** 2 for s in source.spacing),
        beta / (10 * deviation) if deviation else 0.0,
    )  # fmt: skip
    reached = _reached(number > 0, inside)
    labels, shares, ended = _most_likely(walks, names, reached, tolerance, max_iterations, probabilities, progress)
    give_back(source.frame.shape)
    unreached = 0 if reached is None else int(np.count_nonzero(~reached if inside is None else inside & ~reached))
    made = RandomWalks(
        source.as_images(labels.astype(seeds.dtype), "label", ""),
        None if shares is None else {int(n): source.as_images(p, "probability", "") for n, p in shares.items()},
        tuple(count for count, _, _ in ended), max((error for _, error, _ in ended), default=0.0),
        all(done for *_, done in ended), unreached,
    )  # fmt: skip
    if throw and not made.converged:
        raise RuntimeError(f"random_walker() did not converge: {made}")
    return made


@dataclass(frozen=True, eq=False)
class _Walks:
    """Grey values from 0 to 1, seeds (0: none, else the place of their label), and what walkers
    enter.
    """

    grey: jax.Array
    seeds: jax.Array
    inside: jax.Array | None
    axes: tuple[float, ...]
    """Weights of the axes, the largest one."""
    factor: float
    """What squared differences are multiplied by."""

    def operator(self) -> FaceOperator:
        return _operator(self.grey, self.seeds, self.inside, self.axes, self.factor)

    def drive(self, label: int) -> jax.Array:
        """Return the weights of the faces to seeds of a label, summed for each voxel."""
        return _drive(self.grey, self.seeds, self.inside, self.axes, self.factor, label)


def _weights(grey: jax.Array, inside: Any, axes: Any, factor: Any) -> Iterator[jax.Array]:
    """Yield the weights of the lower faces of all voxels, along each axis."""
    for axis in range(3):
        weight = axes[axis] * jnp.maximum(jnp.exp(-factor * (grey - _below(grey, axis)) ** 2), LEAST)
        here = jnp.arange(grey.shape[axis]).reshape([-1 if a == axis else 1 for a in range(3)]) > 0
        if inside is not None:
            here = here & inside & _below(inside, axis)
        yield jnp.where(here, weight, 0)


def _below(v: jax.Array, axis: int) -> jax.Array:
    """Return what lies one voxel below along an axis; in the first layer its own."""
    first, lower = (tuple(w if a == axis else slice(None) for a in range(3)) for w in (slice(0, 1), slice(0, -1)))
    return jnp.concatenate([v[first], v[lower]], axis)


def _neighbours(weights: Any, chosen: jax.Array, free: jax.Array) -> jax.Array:
    """Return the weights of the faces from free voxels to chosen ones, summed for each voxel."""
    total = jnp.zeros(free.shape, jnp.float32)
    for axis, weight in enumerate(weights):
        upper = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        lower = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        total = total.at[upper].add(weight[upper] * chosen[lower])
        total = total.at[lower].add(weight[upper] * chosen[upper])
    return jnp.where(free, total, 0)


@jax.jit
def _operator(grey: jax.Array, seeds: jax.Array, inside: Any, axes: Any, factor: Any) -> FaceOperator:
    weights = list(_weights(grey, inside, axes, factor))
    free = seeds == 0
    x, y, z = (jnp.where(free & _below(free, axis), weight, 0) for axis, weight in enumerate(weights))
    return face_operator(x, y, z, excess=_neighbours(weights, ~free, free))


@jax.jit
def _drive(grey: jax.Array, seeds: jax.Array, inside: Any, axes: Any, factor: Any, label: Any) -> jax.Array:
    return _neighbours(_weights(grey, inside, axes, factor), seeds == label, seeds == 0)


@jax.jit
def _begin(operator: FaceOperator, drive: jax.Array) -> State:
    # The power of no potential at all: the seeds' one volt over every face to a neighbour at zero.
    b = operator.layout.pad(drive)
    return start(operator, b, None, operator.layout.dot(b, (b > 0).astype(b.dtype)))


def _balanced(u: jax.Array, r: jax.Array) -> jax.Array:
    """No planes that the current would be compared between."""
    return jnp.zeros((), u.dtype)


@partial(jax.jit, donate_argnums=2)
def _advance(cycle: Multigrid, tolerance: jax.Array, state: State, last: Any) -> State:
    one = jnp.ones((), state.u.dtype)
    return loop(lambda s: step(cycle.levels[0], cycle, s, tolerance, _balanced, one), state, last)


def _most_likely(
    walks: _Walks,
    names: np.ndarray,
    reached: np.ndarray | None,
    tolerance: float,
    most: int,
    keep: bool,
    progress: bool,
) -> tuple[np.ndarray, dict[int, np.ndarray] | None, list[tuple[int, float, bool]]]:
    """Return the label with the largest share in each voxel, all shares if they are kept, and of
    each solve the iterations, the error, and whether it converged.
    """
    from tqdm import tqdm

    seeds = np.asarray(walks.seeds)
    operator = walks.operator()
    cycle = multigrid(operator, strengths=walks.axes)
    layout = operator.layout
    largest, place = np.full(seeds.shape, -1, np.float32), np.zeros(seeds.shape, seeds.dtype)
    left, shares, ended = np.ones(seeds.shape, np.float32), {}, []
    for label in tqdm(range(1, len(names)), desc="random walker", unit=" labels", disable=not progress):
        if label < len(names) - 1:
            state = _begin(operator, walks.drive(label))
            while not bool(state.done) and int(state.count) < most:
                state = _advance(cycle, jnp.float32(tolerance), state, until(state, seeds.size, most))
            ended.append((int(state.count), float(state.error), bool(state.done)))
            share = np.clip(np.asarray(layout.cells(state.u)), 0, 1)
            left -= share
        else:
            share = np.clip(left, 0, 1)
        share = np.where(seeds == 0, share, (seeds == label).astype(np.float32))
        if reached is not None:
            share = np.where(reached, share, np.float32(0))
        better = share > largest
        largest[better], place[better] = share[better], label
        if keep:
            shares[int(names[label])] = share
    labels = names[place]
    if reached is not None:
        labels = np.where(reached, labels, 0)
    return labels, shares if keep else None, ended


def _reached(seeded: np.ndarray, inside: np.ndarray | None) -> np.ndarray | None:
    """Return True for the voxels from which a seed can be reached; None if all may be entered."""
    if inside is None:
        return None
    parts, count = label_block(inside, ordered=False)
    has_seed = np.zeros(count + 1, bool)
    has_seed[np.unique(parts[seeded])] = True
    has_seed[0] = False
    return has_seed[parts]


def _scaled(grey: np.ndarray, inside: np.ndarray | None) -> np.ndarray:
    """Return grey values from 0 to 1, 0 outside."""
    taken = grey if inside is None else grey[inside]
    if not np.isfinite(taken).all():
        raise ValueError(
            "image holds values that are not finite; fill the gaps of the scan first, or leave them out with where=."
        )
    low, high = float(taken.min()), float(taken.max())
    wide = np.float32 if grey.dtype.itemsize <= 2 or grey.dtype == np.float32 else np.float64
    with np.errstate(invalid="ignore", over="ignore"):  # outside there may be anything
        found = ((grey.astype(wide) - wide(low)) / wide((high - low) or 1.0)).astype(np.float32)
    return found if inside is None else np.where(inside, found, np.float32(0))


def _labels_of(seeds: np.ndarray, inside: np.ndarray | None) -> np.ndarray:
    """Return 0 and the labels of the seeds, ascending."""
    names = np.unique(seeds if inside is None else seeds[inside])
    if names[0] < 0:
        raise ValueError(f"markers hold {names[0]}; labels are positive, and 0 where there is no seed.")
    names = np.concatenate([[0], names[names > 0]]).astype(seeds.dtype)
    if len(names) < 3:
        within = "" if inside is None else " within where="
        raise ValueError(
            f"markers hold {len(names) - 1} label(s){within}: {names[1:].tolist()}; give seeds of two at least, such as 1 for pores "
            "and 2 for grains."
        )
    return names


def _check_arrays(image: Any, markers: Any) -> None:
    for name, given in (("image", image), ("markers", markers)):
        if not (hasattr(given, "shape") and hasattr(given, "dtype")):
            raise TypeError(f"{name} is a {type(given).__name__}; give an image (lx.open, lx.from_array) or an array.")
        if is_traced(given):
            raise TypeError(
                f"{name} is traced: labels have no derivative, and random_walker() is not compiled; call it outside of jax.jit, "
                "jax.grad and jax.vmap."
            )
    shape = tuple(image.shape)
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"image has shape {shape}; give three axes, each of at least one voxel.")
    if tuple(markers.shape) != shape:
        raise ValueError(
            f"markers have shape {tuple(markers.shape)}, image {shape}; give seeds on the grid of the image."
        )
    kinds = [np.dtype(str(given.dtype).rsplit(".", 1)[-1]) for given in (image, markers)]
    if kinds[0].kind not in "biuf":
        raise TypeError(f"image has dtype {image.dtype}; give grey values.")
    if kinds[1].kind not in "iu":
        raise TypeError(f"markers have dtype {markers.dtype}; give whole numbers, 0 where there is no seed.")


def _check_numbers(beta: Any, tolerance: Any, max_iterations: Any) -> None:
    for name, value in (("beta", beta), ("tolerance", tolerance)):
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise ValueError(f"{name}={value!r} must be a positive, finite number.")
    check_whole_number("max_iterations", max_iterations, 1)
