"""Measure over a grid: every block gives a state, states are combined in the order of the
blocks.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

from lithax.chunked._block_reader import BlockReader, ReadBlock
from lithax.chunked._block_tree import BlockTree, combine_nodes
from lithax.chunked._pool import run_all
from lithax.chunked._progress import Progress
from lithax.chunked._state_function import StateFunction
from lithax.grid import EVERYTHING, Index, Share, box_shape
from lithax.measure import Traits


def reduce_blocks(
    measure: Any,
    state: StateFunction,
    reader: BlockReader,
    *,
    workers: int,
    label: str,
    show_progress: bool,
    gather: Callable[[Any], list[Any]],
    share: Share = EVERYTHING,
    watch: Callable[[], None] = lambda: None,
) -> Any:
    """Return the combined state of all blocks; None if no voxel counts.

    States are combined on the host in block order along one tree, so that float sums have the same
    bits for any number of threads and processes. Each process makes the nodes of its stretch, and
    the processes tell each other these.
    """
    own = share.places(reader.layout.grid)
    tree = BlockTree(measure.combine, own.start)
    each_block(
        reader,
        state.of,
        tree.add,
        workers=workers,
        label=label,
        show_progress=show_progress,
        share=share,
        watch=watch,
    )
    nodes = tree.end(own.stop)
    if nodes and Traits.of(measure).exact:
        nodes = [(nodes[0][0], functools.reduce(measure.combine, [node for _, node in nodes]))]
    return combine_nodes(measure.combine, gather(nodes))


def each_block(
    reader: BlockReader,
    work: Callable[[ReadBlock], Any],
    take: Callable[[int, Any], None],
    *,
    workers: int,
    label: str,
    show_progress: bool,
    share: Share = EVERYTHING,
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Work on every block in which a voxel counts, in threads, and take the results in the order of
    the blocks.

    `take` is given the place of the block in that order, and the result.
    Of several processes each works on a stretch of the blocks; `share` is this one's place among
    them, and their number. ``watch()`` raises if another process has failed.
    """
    grid = reader.layout.grid
    blocks = share.of(grid)
    waiting: dict[Index, Any] = {}
    order = iter(blocks)
    expected = next(order, None)
    progress = Progress(sum(math.prod(box_shape(grid.box(b))) for b in blocks), label, show_progress)

    def read_and_work(block: Index) -> Any:
        read = reader.read(grid.start(block))
        return None if read is None else work(read)

    def done(block: Index, result: Any) -> None:
        nonlocal expected
        progress.add(math.prod(box_shape(grid.box(block))))
        waiting[block] = result
        while expected in waiting:
            ready = waiting.pop(expected)
            if ready is not None:
                take(grid.linear(expected), ready)
            expected = next(order, None)

    try:
        run_all(blocks, read_and_work, min(workers, max(len(blocks), 1)), done, watch, interruptible=share.count == 1)
    finally:
        progress.close()
