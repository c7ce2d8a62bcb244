"""Which blocks of a grid each of several processes works on."""

from dataclasses import dataclass

from lithax.grid._chunk_grid import ChunkGrid, Index


@dataclass(frozen=True)
class Share:
    """One process's part of the work: a stretch of the blocks in C order, as long as the others'.

    Stretches, and not blocks in turn: neighbours along z and y are mostly one process's, so that
    few halos are read twice and few faces go from one process to another.

    Examples
    --------
    >>> grid = ChunkGrid((5, 1, 1), (1, 1, 1))
    >>> [Share(k, 3).places(grid) for k in range(3)]
    [range(0, 2), range(2, 4), range(4, 5)]
    >>> Share.owner(grid, (3, 0, 0), 3)
    1
    """

    index: int = 0
    """The place of the process among those that share the work."""
    count: int = 1
    """Their number."""

    def places(self, grid: ChunkGrid) -> range:
        """Return the places of this process's blocks in C order."""
        return range(-(-self.index * len(grid) // self.count), -(-(self.index + 1) * len(grid) // self.count))

    def of(self, grid: ChunkGrid) -> list[Index]:
        """Return this process's blocks, in C order."""
        return [grid.index(place) for place in self.places(grid)]

    def owns(self, grid: ChunkGrid, block: Index) -> bool:
        """Whether a block is this process's."""
        return self.owner(grid, block, self.count) == self.index

    @staticmethod
    def owner(grid: ChunkGrid, block: Index, count: int) -> int:
        """Return which of `count` processes works on a block."""
        return grid.linear(block) * count // len(grid)


EVERYTHING = Share()
"""The share of a process that works alone."""
