"""What the values of an image mean where its voxels are not in memory all at once: said of the
values that occur.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.solve._medium import Medium


def tallied(voxels: np.ndarray) -> tuple[list[Any], list[int]]:
    """Return the values that occur, in order, and how often each does."""
    if voxels.dtype == bool:
        true = int(np.count_nonzero(voxels))
        found = [(value, number) for value, number in enumerate((voxels.size - true, true)) if number]
        return [value for value, _ in found], [number for _, number in found]
    if _bytes(voxels):
        numbers = np.bincount(voxels.reshape(-1).view(np.uint8), minlength=1)
        values = np.flatnonzero(numbers)
        return values.tolist(), numbers[values].tolist()
    values, numbers = np.unique(voxels, return_counts=True)
    return values.tolist(), numbers.tolist()


def looked_up(present: np.ndarray, voxels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return what a table says of each voxel, one entry for each of the values that occur."""
    if _bytes(voxels):
        every = np.zeros(256, table.dtype)
        every[present.astype(np.uint8)] = table
        if voxels.dtype == bool:  # choosing takes half the time of looking up, and as it is none
            as_it_is = table.dtype == bool and every[1] and not every[0]
            return voxels if as_it_is else np.where(voxels, every[1], every[0])
        return every[voxels.view(np.uint8)]
    return table[np.searchsorted(present, voxels)]


def _bytes(voxels: np.ndarray) -> bool:
    """Whether values can be counted and looked up by themselves, by far the quickest."""
    return voxels.dtype.itemsize == 1 and voxels.dtype.kind in "bu"


@dataclass(frozen=True, eq=False)
class Meaning:
    """The values that occur, and what they conduct."""

    present: np.ndarray
    """In order; of a field the extremes."""
    medium: Medium
    """Of these values, as an image of shape (k, 1, 1)."""

    @property
    def is_field(self) -> bool:
        """Whether the voxels hold conductivities."""
        return self.medium.data.dtype.kind == "f" and self.medium.table is None

    def looked_up(self, voxels: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Return what a table says of each voxel, one entry for each value that occurs."""
        return looked_up(self.present, voxels, table)

    @property
    def conductivities(self) -> np.ndarray:
        """What the values that occur conduct, in the type to solve in."""
        return np.asarray(self.medium.conductivities(), self.medium.dtype).reshape(-1)

    def conductivity(self, voxels: np.ndarray) -> np.ndarray:
        """Return what voxels conduct, in the type to solve in."""
        if self.is_field:
            return voxels.astype(self.medium.dtype)
        return self.looked_up(voxels, self.conductivities)

    def conducts(self, voxels: np.ndarray) -> np.ndarray:
        """Return which voxels conduct."""
        return voxels > 0 if self.is_field else self.looked_up(voxels, self.conductivities > 0)

    def pore(self, voxels: np.ndarray) -> np.ndarray:
        """Return which voxels count as pore."""
        pore: Any = self.medium.pore
        if pore is not None:
            return self.looked_up(voxels, np.asarray(pore).reshape(-1))
        return self.conducts(voxels)
