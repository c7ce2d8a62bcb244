"""Short names for numbers along each axis."""

from typing import Any


class AxisNamesMixin:
    """``nx``, ``hx``, ``ox`` and their fellows, for what has a `shape`, a `voxel_length` and a
    `voxel_origin`.
    """

    @property
    def ndim(self: Any) -> int:
        """Three."""
        return 3

    @property
    def nx(self: Any) -> int:
        """Number of voxels along x."""
        return self.shape[0]

    @property
    def ny(self: Any) -> int:
        """Number of voxels along y."""
        return self.shape[1]

    @property
    def nz(self: Any) -> int:
        """Number of voxels along z."""
        return self.shape[2]

    @property
    def hx(self: Any) -> float:
        """Voxel length along x [voxel_unit]."""
        return self.voxel_length[0]

    @property
    def hy(self: Any) -> float:
        """Voxel length along y [voxel_unit]."""
        return self.voxel_length[1]

    @property
    def hz(self: Any) -> float:
        """Voxel length along z [voxel_unit]."""
        return self.voxel_length[2]

    @property
    def ox(self: Any) -> float:
        """First voxel centre along x [voxel_unit]."""
        return self.voxel_origin[0]

    @property
    def oy(self: Any) -> float:
        """First voxel centre along y [voxel_unit]."""
        return self.voxel_origin[1]

    @property
    def oz(self: Any) -> float:
        """First voxel centre along z [voxel_unit]."""
        return self.voxel_origin[2]
