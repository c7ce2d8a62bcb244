"""How large a sample must be: porosity of sub-cubes against their edge.

A cube is representative for the porosity where porosities of such cubes, taken at different places,
differ little. Sub-cubes do not overlap, so that they are independent but for what the pores
themselves connect; where that reach is short beside the edge, the standard deviation falls with the
square root of the volume, as edge^(-3/2).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.measure._cell_sums import Cells, CellSums
from lithax.measure._image_options import measures_images
from lithax.measure._phases import Phases, check_segmentation
from lithax.measure._porosity import unnamed_pores
from lithax.measure._result import Result
from lithax.measure._source import Source

FEWEST = 8
"""Sub-cubes that a standard deviation is taken from, at least."""

LIMIT = 0.05
"""Standard deviation over mean below which a cube is representative."""


@dataclass(frozen=True, eq=False)
class SubCubes(Result):
    """Porosities of the sub-cubes of one size."""

    edge: int
    """[voxel]"""
    number: int
    mean: float
    deviation: float
    """Standard deviation among the sub-cubes, with ``number - 1`` in the denominator; NaN for a
    single one.
    """

    @property
    def relative(self) -> float:
        """Standard deviation over mean [-]."""
        return self.deviation / self.mean if self.mean > 0 else math.nan


@dataclass(frozen=True, eq=False)
class RepresentativeVolume(Result):
    """Sub-cubes of growing size, and the smallest one that is representative."""

    sizes: tuple[SubCubes, ...]
    edge: int | None
    """Smallest edge with a relative deviation below `limit` and at least `fewest` sub-cubes
    [voxel]; None: not reached.
    """
    limit: float
    amplitude: float
    """Of the line ``relative deviation = amplitude * edge**(-3/2)`` through the larger sizes; NaN
    if there is none.
    """

    fewest: int = FEWEST
    """Sub-cubes that are enough to judge by."""

    @property
    def fitted_edge(self) -> float:
        """Edge at which the line ``amplitude * edge**(-3/2)`` meets `limit` [voxel]; NaN if there
        is no line.

        `edge` is one of a few sizes, and moves with the luck of their sub-cubes; this is where all
        large sizes together put it, also beyond the largest.
        """
        return (self.amplitude / self.limit) ** (2 / 3)

    @property
    def fitted_uncertainty(self) -> float:
        """One standard deviation of `fitted_edge` [voxel].

        A relative deviation of n sub-cubes is known to ``1 / sqrt(2 (n - 1))`` of itself, and an
        edge to two thirds of that. All sizes are made of the same voxels, so n is that of the
        smallest size in the fit, and not their sum.
        """
        fit = _fitted(list(self.sizes))
        if not fit:
            return math.nan
        return self.fitted_edge * (2 / 3) / math.sqrt(2 * (max(s.number for s in fit) - 1))

    @classmethod
    def of(cls, pores: Cells, limit: float = LIMIT) -> "RepresentativeVolume":
        """Put cells together to sub-cubes of every size.

        Parameters
        ----------
        pores
            Cells of the pores; sub-cubes are made of whole cells, all of whose voxels were taken
            in.
        limit
            Relative standard deviation below which a size is representative [-].
        """
        sizes = []
        for multiple in _multiples(min(pores.count.shape)):
            count, total = _blocks(pores.count, multiple), _blocks(pores.total, multiple)
            whole = count == (multiple * pores.edge) ** 3
            porosity = total[whole] / count[whole]
            if porosity.size == 0:
                continue
            deviation = float(porosity.std(ddof=1)) if porosity.size > 1 else math.nan
            sizes.append(SubCubes(multiple * pores.edge, int(porosity.size), float(porosity.mean()), deviation))
        edge = next((s.edge for s in sizes if s.number >= FEWEST and s.relative < limit), None)
        return cls(tuple(sizes), edge, limit, _amplitude(sizes))

    @property
    def largest(self) -> int:
        """Largest edge of which there are enough sub-cubes to judge [voxel]; 0 if there is none."""
        return max((s.edge for s in self.sizes if s.number >= self.fewest), default=0)


@measures_images
def representative_volume(
    image: Any, pore_phase: Phases | None = None, *, where: Any = None, limit: float = LIMIT, cells: int = 32
) -> RepresentativeVolume:
    """Measure the porosity of non-overlapping sub-cubes of every size, and find the smallest size
    that is representative.

    Parameters
    ----------
    image
        Segmentation, image or array: booleans, True in the pores, or unsigned integers.
    pore_phase
        The value, or values, that are pore; needed for integers.
    where
        Region of interest: a boolean array for an array; for an image also a region, an image or a
        `domain`, as for `chunk_reduce`. Only sub-cubes that lie in it as a whole count.
    limit
        Standard deviation over mean below which a size is representative [-].
    cells
        Into about so many parts the shortest axis is divided; the edges of sub-cubes are multiples
        of one.

    Returns
    -------
        Edges in voxels; where voxels are longer along one axis, so are the sub-cubes.

    Raises
    ------
    TypeError
        If the image is no segmentation.
    ValueError
        If it holds integers and `pore_phase` is missing, or `limit` or `cells` is not positive.

    References
    ----------
    J. Bear, Dynamics of Fluids in Porous Media (1972): the representative elementary volume.

    Examples
    --------
    >>> values = np.indices((64, 64, 64)).sum(axis=0) % 4 == 0
    >>> representative_volume(values).edge
    4
    """
    source = Source(image, where)
    dtype = check_segmentation(source.dtype, "image")
    if pore_phase is None and dtype != np.bool_:
        raise unnamed_pores(dtype)
    if not limit > 0:
        raise ValueError(f"limit={limit!r} must be a positive share, such as 0.05.")
    if isinstance(cells, bool) or not isinstance(cells, int) or cells < 1:
        raise ValueError(f"cells={cells!r} must be a positive number.")
    return RepresentativeVolume.of(source.reduce(CellSums.dividing(source.data.shape, cells, pore_phase)), limit)


def _multiples(cells: int) -> list[int]:
    """Return the edges of the sub-cubes in cells: all small ones, then about six per doubling, up
    to the whole.

    >>> _multiples(32)
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 16, 18, 20, 23, 25, 29, 32]
    """
    steps = {round(2 ** (k / 6)) for k in range(6 * max(cells, 1).bit_length() + 1)}
    return sorted(m for m in steps | {cells // 2, cells} if 1 <= m <= cells)


def _blocks(values: np.ndarray, multiple: int) -> np.ndarray:
    """Add up cells to cubes of `multiple` cells, from the middle of the image outwards as many as
    fit.
    """
    for axis in range(3):
        fit = values.shape[axis] // multiple
        start = (values.shape[axis] - fit * multiple) // 2
        values = np.moveaxis(values, axis, -1)[..., start : start + fit * multiple]
        values = np.moveaxis(values.reshape(*values.shape[:-1], fit, multiple).sum(axis=-1), -1, axis)
    return values


def _amplitude(sizes: list[SubCubes]) -> float:
    """Fit the line of slope -3/2 to the upper half of the sizes, where cubes are large beside the
    pores.

    The logarithm of a standard deviation of n values has the variance 1 / (2 (n - 1)), by which the
    sizes are weighted.
    """
    fit = _fitted(sizes)
    if not fit:
        return math.nan
    weight = np.array([s.number - 1 for s in fit], np.float64)
    height = np.array([math.log(s.relative) + 1.5 * math.log(s.edge) for s in fit])
    return math.exp(float(weight @ height / weight.sum()))


def _fitted(sizes: list[SubCubes]) -> list[SubCubes]:
    fit = [s for s in sizes if s.number >= FEWEST and s.relative > 0]
    return fit[len(fit) // 2 :]
