"""States of blocks, combined along one tree, so that rounding does not depend on who holds which
block.

The leaves are the blocks in their order, and every node joins the two halves of an aligned range
of 2, 4, 8, ... of them::

    blocks        0   1   2   3   4   5   6
    pairs         (0  1) (2   3) (4   5)  6
    fours         ((0 1) (2   3)) ((4 5)  6)

A block without a state leaves its place empty: there is nothing to join. A process that has the
blocks 1 to 5 can make the nodes 1, (2 3) and (4 5): never more than two of each size, so that what
processes tell each other grows with the logarithm of the number of blocks.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

Nodes = list[tuple[int, Any]]
"""Neighbouring nodes of the tree in their order, each with the position of a block in it."""


class BlockTree:
    """The nodes of a stretch of the blocks; each is made as soon as all of it is known.

    Parameters
    ----------
    combine
        Returns the state of two neighbouring sets of blocks.
    first
        Position of the first block of the stretch: nodes that reach before it are made elsewhere.

    Examples
    --------
    >>> tree = BlockTree(lambda a, b: f"({a}{b})", first=1)
    >>> for position in range(1, 6):
    ...     tree.add(position, str(position))
    >>> tree.end(6)
    [(1, '1'), (2, '(23)'), (4, '(45)')]
    """

    def __init__(self, combine: Callable[[Any, Any], Any], first: int = 0):
        self._combine, self._first = combine, first
        self._open: Nodes = []

    def add(self, position: int, state: Any) -> None:
        """Take the state of a block, or of a node that holds it; positions ascend, and may leave
        some out.
        """
        self._join(position)
        self._open.append((position, state))

    def end(self, stop: float = math.inf) -> Nodes:
        """Return the nodes that are complete if the stretch ends before the block `stop`; without
        it the only one, or none.
        """
        self._join(stop)
        return self._open

    def _join(self, stop: float) -> None:
        # Of the two last nodes, the smallest that holds both is complete if it lies in what is
        # known. Those before them were joined when the last one came, if they could be.
        while len(self._open) > 1:
            (left, a), (right, b) = self._open[-2:]
            level = (left ^ right).bit_length()
            first = left >> level << level
            if first < self._first or first + (1 << level) > stop:
                return
            self._open[-2:] = [(left, self._combine(a, b))]


def combine_nodes(combine: Callable[[Any, Any], Any], parts: Iterable[Nodes]) -> Any:
    """Return the state of all blocks from the nodes of all stretches, in their order; None if there
    is no state.
    """
    tree = BlockTree(combine)
    for part in parts:
        for position, state in part:
            tree.add(position, state)
    root = tree.end()
    return root[0][1] if root else None


def most_nodes(blocks: int) -> int:
    """Return how many nodes a stretch of so many blocks has at most: two of each size, of which the
    largest is half as long.

    Examples
    --------
    >>> most_nodes(1), most_nodes(5), most_nodes(512)
    (1, 4, 18)
    """
    return max(1, 2 * (blocks.bit_length() - 1))
