"""Classes that neighbours agree on: a Markov random field over the voxels, by iterated conditional
modes.
"""

import math
from typing import Any

from jaxtyping import Bool, Shaped, UInt8

from lithax.arrays import namespace, repeat_times
from lithax.grid import Halo
from lithax.ops._context import Context
from lithax.ops._iterated import neighbour
from lithax.ops._mixture import class_energies, smallest
from lithax.ops._parameters import is_number
from lithax.ops._separable import shifted
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array

MOST_ITERATIONS = 50


def field_halo(iterations: int = 5) -> Halo:
    """Return how far labels look: every iteration two voxels, one per half of the checkerboard."""
    if isinstance(iterations, bool) or not isinstance(iterations, int) or not 0 <= iterations <= MOST_ITERATIONS:
        raise ValueError(
            f"iterations={iterations!r} must be a whole number from 0 to {MOST_ITERATIONS}: the halo is two voxels for each of them."
        )
    return 2 * iterations, 2 * iterations, 2 * iterations


def _field(
    blocks: tuple[Array, ...],
    valid: Array | None,
    weights: Any,
    means: Any,
    factors: Any,
    beta: Any,
    iterations: int,
    context: Any,
) -> Array:
    if is_number(beta) and not (beta >= 0 and math.isfinite(beta)):
        raise ValueError(
            f"beta={beta!r} must not be negative: the energy of a neighbour of another class; 0 is classify."
        )
    xp = namespace(*blocks)
    reach = field_halo(iterations)[0]
    energies = class_energies(blocks, weights, means, factors)
    label = smallest(energies)
    counted = valid if context is None or context.valid is None else context.valid
    if valid is not None and counted is not valid:
        counted = counted & valid
    index = (0, 0, 0) if context is None else context.offset
    parity: Any = 0
    for axis in range(3):
        position = xp.reshape(
            xp.arange(label.shape[axis]) + index[axis], tuple(-1 if a == axis else 1 for a in range(3))
        )
        parity = parity + position
    even = xp.broadcast_to(parity % 2 == 0, label.shape)

    def half(label: Array, here: Array) -> Array:
        votes: list[Any] = [0.0] * len(energies)
        for axis in range(3):
            for step in (-1, 1):
                other = neighbour(label, axis, step)
                taken = None if counted is None else neighbour(counted, axis, step)
                for k in range(len(energies)):
                    same = other == k if taken is None else (other == k) & taken
                    votes[k] = votes[k] + xp.astype(same, energies[0].dtype)
        return xp.where(here, smallest([e - beta * v for e, v in zip(energies, votes, strict=True)]), label)

    label = repeat_times(iterations, lambda state: half(half(state, even), ~even), label)
    for axis in range(3):
        label = shifted(label, axis, reach, label.shape[axis] - 2 * reach)
    return label


def _masked(
    *blocks: Shaped[Any, "x y z"],
    valid: Bool[Any, "x y z"],
    weights: Any,
    means: Any,
    factors: Any,
    beta: Any = 1.0,
    iterations: int = 5,
    block: Context,
) -> UInt8[Any, "_ _ _"]:
    return _field(blocks, valid, weights, means, factors, beta, iterations, block)


@voxel_op(halo=field_halo, static="iterations", masked=_masked, context=True)
def markov_random_field(
    *blocks: Shaped[Any, "x y z"],
    weights: Any,
    means: Any,
    factors: Any,
    beta: Any = 1.0,
    iterations: int = 5,
    block: Context,
) -> UInt8[Any, "_ _ _"]:
    """Give each voxel a class that its grey levels and its six neighbours agree on, by iterated
    conditional modes.

    The energy of a class is that of `classify` less `beta` for every neighbour across a face that
    has the class; each iteration puts every voxel into its class of least energy, first those of
    even index sum, then the others, so that the energy of the whole image never rises. Neighbours
    outside the image or left out have no vote, whatever the boundary rule.
    ``lx.chunk_map(partial(mixture.regularise, beta=1.5), image)`` has the parameters of a mixture
    bound. The result has no derivative. scikit-image has no counterpart.

    Parameters
    ----------
    *blocks
        One array per channel; padded by two voxels per iteration.
    weights, means, factors
        The classes, as in `classify`.
    beta
        Energy that an agreeing neighbour takes off [-]; 0 is `classify`, 1 to 2 is usual.
    iterations
        Sweeps over the image; a few suffice.

    Returns
    -------
        The number of the class, from 0. Masked: neighbours left out have no vote.

    Raises
    ------
    ValueError
        If `beta` is negative, or `iterations` not from 0 to 50.

    References
    ----------
    Besag, On the statistical analysis of dirty pictures, Journal of the Royal Statistical Society B
    48 (1986) 259-302, section 2.5. doi:10.1111/j.2517-6161.1986.tb01412.x
    """
    return _field(blocks, None, weights, means, factors, beta, iterations, block)
