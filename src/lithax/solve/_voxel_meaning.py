"""What the values of an image mean where its voxels are not in memory all at once: said of the
values that occur.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.solve._medium import Medium


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
        if voxels.dtype.itemsize == 1 and voxels.dtype.kind in "bu":  # by far the quickest where it goes
            every = np.zeros(256, table.dtype)
            every[self.present.astype(np.uint8)] = table
            return every[voxels.view(np.uint8)]
        return table[np.searchsorted(self.present, voxels)]

    @property
    def conductivities(self) -> np.ndarray:
        """What the values that occur conduct, in the type to solve in."""
        return np.asarray(self.medium.conductivities(), self.medium.dtype).reshape(-1)

    def conductivity(self, voxels: np.ndarray) -> np.ndarray:
        """Return what voxels conduct, in the type to solve in."""
        if self.is_field:
            return voxels.astype(self.medium.dtype)
        return self.looked_up(voxels, self.conductivities)

    def pore(self, voxels: np.ndarray) -> np.ndarray:
        """Return which voxels count as pore."""
        pore: Any = self.medium.pore
        if pore is not None:
            return self.looked_up(voxels, np.asarray(pore).reshape(-1))
        return self.conductivity(voxels) > 0
