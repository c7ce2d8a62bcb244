"""The sample within the image: what `where` leaves out insulates, and leaves area, volume and
porosity.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import numpy as jnp

from lithax.arrays import is_jax, is_traced, to_numpy
from lithax.chunked import ChunkCache
from lithax.grid import Index
from lithax.images import as_domain, make_selection
from lithax.solve._arguments import check_area, check_known
from lithax.solve._source import Source


@dataclass(frozen=True)
class Domain:
    """A boolean array, True for the sample's voxels, or None for all of them."""

    mask: np.ndarray | None

    @property
    def inside(self) -> Any:
        """The mask, or True."""
        return True if self.mask is None else self.mask

    def count(self, shape: tuple[int, int, int]) -> int:
        """Return how many voxels the sample has."""
        return cells_of(self.mask, shape)

    def section(self, run: Any) -> np.ndarray | None:
        """Return the cross-section in the order of the solver, shape (1, ny, nz), where a reservoir
        needs it.
        """
        if self.mask is None or not run.reservoir:
            return None
        return np.ascontiguousarray(self.mask.transpose(run.order)[:1])


def domain_of(where: Any, source: Source, linear: bool) -> Domain:
    """Evaluate `where` on all voxels.

    Raises
    ------
    ValueError
        If it leaves no voxel, or the loading acts on the surface of the whole image.
    """
    found = as_domain(where)
    if found is None:
        return Domain(None)
    check_known(where=vars(found))
    check_loading(linear)
    selection = make_selection(found, source.frame)
    assert selection is not None
    mask = inside_of(selection, (0, 0, 0), source.frame.shape)
    if not mask.any():
        given = "" if hasattr(where, "dtype") else repr(where)
        raise ValueError(
            f"where={given} leaves no voxel of the image of shape {source.frame.shape}; check its place and size."
        )
    return Domain(None if mask.all() else mask)


def inside_of(selection: Any, start: Index, shape: tuple[int, ...]) -> np.ndarray:
    """Return which voxels of a piece a selection takes in."""
    x, y, z = shape
    return selection.block(ChunkCache(0), start, (x, y, z), (0, 0, 0), "reflect", False)


def within(where: Any, source: Source, linear: bool) -> Any:
    """Return the source's array, with zeros for what `where` leaves out if it holds numbers there
    that are no conductivities.
    """
    array = source.array
    field = str(array.dtype).rpartition(".")[2].startswith("float")
    if where is None or not field or tuple(array.shape[-3:]) != source.frame.shape:
        return array
    if is_traced(array):
        mask = domain_of(where, source, linear).mask
        return array if mask is None else jnp.where(mask, array, jnp.zeros((), array.dtype))
    wrong = ~((array >= 0) & (array < math.inf))
    if not bool(wrong.any()):
        return array
    mask = domain_of(where, source, linear).mask
    host = to_numpy(array)
    cleared = host if mask is None else np.where(mask, host, host.dtype.type(0))
    return jnp.asarray(cleared) if is_jax(array) else cleared


def check_loading(linear: bool) -> None:
    """Raise ValueError if linear loading comes with `where`."""
    if linear:
        raise ValueError(
            "where= leaves out a part of the image, and loading='linear' acts on the surface of all of it; crop the image "
            "(lx.inscribed_cuboid finds a box inside a region), or use ends= and sides=."
        )


def check_section(
    domain: Domain,
    shape: tuple[int, int, int],
    axis: int | None,
    area: float | None,
    spacing: tuple[float, float, float],
) -> float:
    """Return the cross-section in voxel faces, or for all axes at once the volume in voxels.

    Raises
    ------
    ValueError
        If it varies along the axis and `area` is not given.
    """
    planes = None
    if domain.mask is not None and axis is not None:
        planes = np.count_nonzero(domain.mask, axis=tuple(a for a in range(3) if a != axis))
    return section_of(planes, domain.count(shape), shape, axis, area, spacing)


def section_of(
    planes: np.ndarray | None,
    volume: int,
    shape: tuple[int, int, int],
    axis: int | None,
    area: float | None,
    spacing: tuple[float, float, float],
) -> float:
    """Return the same from the number of the sample's voxels in each plane across the axis (None:
    all), and in the image.
    """
    if axis is None:
        if area is not None:
            raise ValueError("area= is a cross-section; the tensor of a whole image needs none. Leave it out.")
        return float(volume)
    face = math.prod(h for a, h in enumerate(spacing) if a != axis)
    if area is not None:
        check_area(area)
        return float(area) / face
    if planes is None:
        return float(math.prod(n for a, n in enumerate(shape) if a != axis))
    if planes.min() != planes.max():
        name = "xyz"[axis]
        raise ValueError(
            f"where= has a cross-section of {planes.min()} to {planes.max()} voxels along {name}, so that the conductivity has no "
            f"area to refer to; give area=, take a region of constant cross-section (a cylinder along {name} that is longer than "
            f"the image), or crop the image to a box inside it."
        )
    return float(planes[0])


def cells_of(mask: np.ndarray | None, shape: tuple[int, ...]) -> int:
    """Return how many voxels a mask leaves of an image; None: all."""
    return math.prod(shape) if mask is None else int(np.count_nonzero(mask))


def mean_sections(cells: int, shape: tuple[int, ...], spacing: tuple[float, ...]) -> np.ndarray:
    """Return the cross-section of a sample of so many voxels across each axis of its image, in the
    mean over its length.
    """
    return cells * math.prod(spacing) / (np.asarray(shape) * np.asarray(spacing))
