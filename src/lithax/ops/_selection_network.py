"""Networks of comparators that put values in order, or as much of it as a rank asks for.

A comparator leaves the smaller of two values on one wire and the larger on the other. Which wires
meet does not depend on the data, so a whole block goes through the network at once, a shifted slice
on every wire, without a branch and in one loop. Of Batcher's network for 27 wires the median needs
127 of 155 comparators, 26 of which need only one of their outputs.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from lithax.typing import Array


class Comparator(NamedTuple):
    """Two wires that meet, and which of the outcomes somebody uses."""

    low: int
    high: int
    low_used: bool
    high_used: bool


def merge_sort(wires: int) -> list[tuple[int, int]]:
    """Return the pairs of Batcher's odd-even merge sort for any number of wires.

    References
    ----------
    Knuth, The Art of Computer Programming, vol. 3, 2nd ed. (1998), sec. 5.2.2, Algorithm M.
    """
    pairs = []
    top = 1 << max((wires - 1).bit_length() - 1, 0)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while d > 0:
            pairs += [(i, i + d) for i in range(wires - d) if i & p == r]
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return pairs


@functools.cache
def selection_network(wires: int, ranks: tuple[int, ...]) -> tuple[Comparator, ...]:
    """Return the comparators that bring the values of the given ranks (0 the smallest) to the wires
    of that number.
    """
    used = set(ranks)
    kept = []
    for low, high in reversed(merge_sort(wires)):
        if low in used or high in used:
            kept.append(Comparator(low, high, low in used, high in used))
            used |= {low, high}
    return tuple(reversed(kept))


def select(
    values: Sequence[Array],
    ranks: Iterable[int],
    smaller: Callable[[Array, Array], Array],
    larger: Callable[[Array, Array], Array],
) -> list[Array]:
    """Return, element by element, the values of the given ranks among `values`.

    If `smaller` and `larger` both return NaN when they meet one, a NaN anywhere among the values
    reaches every rank.
    """
    ranks = tuple(ranks)
    wires = list(values)
    for low, high, low_used, high_used in selection_network(len(wires), ranks):
        a, b = wires[low], wires[high]
        if low_used:
            wires[low] = smaller(a, b)
        if high_used:
            wires[high] = larger(a, b)
    return [wires[rank] for rank in ranks]
