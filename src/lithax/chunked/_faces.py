"""What blocks side by side know of their common boundary, brought together, also from other
processes.

Every block hands in a parcel for each neighbour: what it knows of the voxels that touch it, across
a face, an edge or a corner. As soon as both parcels of a pair are there, they meet. Blocks come in
C order, so of an image of n³ blocks no more than about a layer of n² waits. At the end what waits
for a block of another process is sent there.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from lithax.grid import ChunkGrid, Index, Share, World, triple

Offset = tuple[int, int, int]


def toward(offset: Offset) -> tuple[slice, slice, slice]:
    """Return the voxels of a block that touch the neighbour in a direction."""
    return triple(slice(-1, None) if o > 0 else slice(0, 1) if o < 0 else slice(None) for o in offset)


class FaceExchange:
    """Brings the parcels of neighbouring blocks together.

    Parameters
    ----------
    grid
        The blocks.
    meet
        Called with the two parcels of every pair of neighbours and the direction from the first to
        the second, and with whether the image goes on with itself along each axis between the two
        (-1, 0 or 1).
    reach
        1: neighbours across faces; 2: edges, too; 3: and corners.
    periodic
        Axes along which the image goes on with itself.
    """

    def __init__(
        self,
        grid: ChunkGrid,
        meet: Callable[[Any, Any, Offset, Offset], None],
        *,
        reach: int = 1,
        periodic: tuple[int, ...] = (),
    ):
        self._grid, self._meet, self._periodic = grid, meet, periodic
        self.offsets = [triple(o) for o in itertools.product((-1, 0, 1), repeat=3) if 0 < sum(map(abs, o)) <= reach]
        self._behind: dict[tuple[Index, Offset], Any] = {}
        self._ahead: dict[tuple[Index, Offset], Any] = {}

    def neighbour(self, block: Index, offset: Offset) -> tuple[Index, Offset] | None:
        """Return the block in a direction, and by how many periods it lies on; None outside the
        image.
        """
        found, periods = [], []
        for axis, (b, o, n) in enumerate(zip(block, offset, self._grid.counts, strict=True)):
            period = (b + o) // n
            if period and axis not in self._periodic:
                return None
            found.append((b + o) % n)
            periods.append(period)
        return triple(found), triple(periods)

    def add(self, block: Index, parcels: Mapping[Offset, Any]) -> None:
        """Take the parcels of a block, by the direction of the neighbour that each is for."""
        for offset, parcel in parcels.items():
            beyond = self.neighbour(block, offset)
            if beyond is None:
                continue
            if offset > (0, 0, 0):
                key, mine, theirs = (block, offset), self._behind, self._ahead
            else:
                key, mine, theirs = (beyond[0], triple(-o for o in offset)), self._ahead, self._behind
            other = theirs.pop(key, None)
            if other is None:
                mine[key] = parcel
            else:
                self._both(key, *((parcel, other) if mine is self._behind else (other, parcel)))

    @property
    def waiting(self) -> list[Any]:
        """Parcels whose neighbour has not handed in its own."""
        return [*self._behind.values(), *self._ahead.values()]

    def finish(self, world: World, number: Callable[[Any], Any] = lambda parcel: parcel) -> None:
        """Let the parcels meet that wait for a block of another process.

        `number` makes of a parcel what the other process understands; it is applied to both.
        """
        if world.count > 1:
            parcels: dict[int, list[Any]] = {}
            for (block, offset), parcel in self._behind.items():
                beyond = self.neighbour(block, offset)
                assert beyond is not None
                receiver = Share.owner(self._grid, beyond[0], world.count)
                if receiver != world.index:
                    parcels.setdefault(receiver, []).append(((block, offset), number(parcel)))
            for sent in world.give(parcels).values():
                for key, parcel in sent:
                    if (other := self._ahead.pop(key, None)) is not None:
                        self._both(key, parcel, number(other))
        # A block in which no voxel counts hands in nothing: its neighbours wait in vain.
        self._behind.clear()
        self._ahead.clear()

    def _both(self, key: tuple[Index, Offset], low: Any, high: Any) -> None:
        block, offset = key
        beyond = self.neighbour(block, offset)
        assert beyond is not None
        self._meet(low, high, offset, beyond[1])
