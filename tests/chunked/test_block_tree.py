"""One tree over the blocks: what is joined with what does not depend on who holds which block."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from lithax.chunked import BlockTree, combine_nodes, most_nodes


def join(a, b):
    """Neither associative nor commutative: the result tells how it was made."""
    return f"({a}{b})"


def whole(present, count, start, stop):
    """The node over the blocks from `start` to `stop`, made from its halves: the definition."""
    if stop - start == 1:
        return f"{start}." if start < count and start in present else None
    middle = (start + stop) // 2
    halves = [
        half for half in (whole(present, count, start, middle), whole(present, count, middle, stop)) if half is not None
    ]
    return join(*halves) if len(halves) == 2 else halves[0] if halves else None


@given(
    count=st.integers(1, 70),
    left_out=st.sets(st.integers(0, 69)),
    cuts=st.lists(st.integers(0, 70), max_size=5),
)
def test_any_division_of_the_blocks_makes_the_same_tree(count, left_out, cuts):
    present = set(range(count)) - left_out
    cuts = [0, *sorted(min(c, count) for c in cuts), count]
    parts = []
    for first, stop in itertools.pairwise(cuts):
        tree = BlockTree(join, first)
        for position in range(first, stop):
            if position in present:
                tree.add(position, f"{position}.")
        parts.append(tree.end(stop))
        assert len(parts[-1]) <= (most_nodes(stop - first) if stop > first else 0)
    assert combine_nodes(join, parts) == whole(present, count, 0, 2 ** math.ceil(math.log2(count)))


def test_no_states():
    assert combine_nodes(join, [[], []]) is None
