"""Classes of voxels by normal distributions of one or several channels: energies, memberships,
labels.
"""

import math
from typing import Any

from jaxtyping import Float, Shaped, UInt8

from lithax.arrays import as_real, namespace
from lithax.ops._slice_levels import as_table, xp_table
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array


def class_energies(blocks: tuple[Array, ...], weights: Any, means: Any, factors: Any) -> list[Array]:
    """Return minus the logarithm of each class's weighted density, per voxel, less a constant.

    `factors` are the inverse Cholesky factors of the covariances: lower triangular matrices W with
    ``W C Wᵀ = 1``.
    """
    values = [as_real(block) for block in blocks]
    channels = len(values)
    weights, means, factors = as_table(weights, "weights"), as_table(means, "means"), as_table(factors, "factors")
    shapes = tuple(weights.shape), tuple(means.shape), tuple(factors.shape)
    classes = shapes[0][0] if len(shapes[0]) == 1 else 0
    if classes < 1 or shapes[1:] != ((classes, channels), (classes, channels, channels)):
        raise ValueError(
            f"weights, means and factors of shapes {', '.join(map(str, shapes))} do not describe classes of {channels} channels, "
            f"one per array given; they are of shapes (classes,), (classes, channels) and (classes, channels, channels)."
        )
    xp = namespace(*values)
    w, m, f = (xp_table(table, values[0]) for table in (weights, means, factors))
    energies = []
    for k in range(classes):
        centred = [value - m[k, c] for c, value in enumerate(values)]
        energy: Any = -xp.log(w[k])
        for row in range(channels):
            projected: Any = 0.0
            for c in range(row + 1):
                projected = projected + f[k, row, c] * centred[c]
            energy = energy + 0.5 * projected * projected - xp.log(f[k, row, row])
        energies.append(energy + 0.5 * channels * math.log(2.0 * math.pi))
    return energies


def smallest(energies: list[Array]) -> Array:
    """Return the number of the smallest energy, the first of equals, as uint8."""
    xp = namespace(energies[0])
    best, label = energies[0], xp.zeros_like(energies[0], dtype=xp.uint8)
    for k, energy in enumerate(energies[1:], start=1):
        less = energy < best
        best = xp.where(less, energy, best)
        label = xp.where(less, xp.full_like(label, k), label)
    return label


def memberships(energies: list[Array]) -> tuple[list[Array], Array]:
    """Return the share of each class in the density, and the logarithm of the density."""
    xp = namespace(energies[0])
    least = energies[0]
    for energy in energies[1:]:
        least = xp.where(energy < least, energy, least)
    parts = [xp.exp(least - energy) for energy in energies]
    total: Any = parts[0]
    for part in parts[1:]:
        total = total + part
    return [part / total for part in parts], xp.log(total) - least


@voxel_op
def classify(*blocks: Shaped[Any, "x y z"], weights: Any, means: Any, factors: Any) -> UInt8[Any, "x y z"]:
    """Give each voxel the class of the largest weighted normal density;
    `sklearn.mixture.GaussianMixture.predict`.

    ``lx.chunk_map(mixture.classify, image, ...)`` of a `lx.measure.gaussian_mixture` has the
    parameters bound. The result has no derivative; `responsibilities` has one. NaN becomes class 0.

    Parameters
    ----------
    *blocks
        One array per channel.
    weights
        Share of each class, shape (classes,) [-].
    means
        Shape (classes, channels), in the units of the channels.
    factors
        Inverse Cholesky factors of the covariances, shape (classes, channels, channels).

    Returns
    -------
        The number of the class, from 0.

    Raises
    ------
    ValueError
        If the number of arrays is not that of the channels.
    """
    return smallest(class_energies(blocks, weights, means, factors))


@voxel_op
def responsibilities(
    *blocks: Shaped[Any, "x y z"], weights: Any, means: Any, factors: Any
) -> tuple[Float[Any, "x y z"], ...]:
    """Return each voxel's degree of membership in each class, the soft form of `classify`: one
    array per class, of sum 1.

    Differentiable in the voxels and the parameters;
    `sklearn.mixture.GaussianMixture.predict_proba`.

    Parameters
    ----------
    *blocks, weights, means, factors
        As in `classify`.
    """
    return tuple(memberships(class_energies(blocks, weights, means, factors))[0])
