"""How deep voxels lie in their phase, up to a reach."""

from typing import Any

from lithax.arrays import fence, namespace
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array


def _lowered(field: Array, reach: int, axis: int) -> Array:
    """Return ``min over k of field[i + k] + k*k`` along one axis, cropped by `reach` at both
    ends.
    """
    length = field.shape[axis] - 2 * reach

    def shifted(k: int) -> Array:
        at = [slice(None)] * 3
        at[axis] = slice(reach + k, reach + k + length)
        return field[tuple(at)]

    xp = namespace(field)
    lowest = shifted(0)
    for k in range(1, reach + 1):
        lowest = xp.minimum(lowest, xp.minimum(shifted(-k), shifted(k)) + k * k)
    return lowest


def _square_distance(target: Array, reach: int) -> Array:
    """Return the squared distance of every voxel of the core to the nearest True, at most ``(reach
    + 1)**2`` [voxel²].

    A squared Euclidean distance is a sum of squares along the axes, so one axis can be minimised
    after the other.

    References
    ----------
    Saito and Toriwaki, New algorithms for Euclidean distance transformation of an n-dimensional
    digitized picture with applications, Pattern Recognition 27 (1994), eqs. 2 to 4.
    doi:10.1016/0031-3203(94)90133-3
    """
    xp = namespace(target)
    beyond = (reach + 1) ** 2
    field = xp.astype(xp.where(target, 0, beyond), xp.int16)
    for axis in range(3):
        field = fence(_lowered(field, reach, axis))
    return xp.minimum(field, xp.asarray(beyond, dtype=xp.int16))


def _signed(pore: Array, reach: int, valid: Array | None) -> Array:
    xp = namespace(pore)
    core = tuple(slice(reach, n - reach) for n in pore.shape)
    inside = xp.ones_like(pore) if valid is None else valid
    to_grain = _square_distance(~pore & inside, reach)
    to_pore = _square_distance(pore & inside, reach)
    to_outside = _square_distance(~inside, reach)
    depth = xp.where(pore[core], to_grain, to_pore)
    known = (depth < to_outside) | (to_outside == (reach + 1) ** 2)
    return xp.where(known, xp.where(pore[core], -depth, depth), xp.zeros_like(depth))


def _masked(pore: Array, valid: Array, *, reach: int, block: Any) -> Array:
    return _signed(pore, reach, valid if block.valid is None else valid & block.valid)


@voxel_op(halo=lambda reach: reach, static="reach", context=True, masked=_masked)
def square_depth(pore: Array, *, reach: int, block: Any) -> Array:
    """Return how deep a voxel lies in its phase, as a signed square of a distance [voxel²].

    Parameters
    ----------
    pore
        Boolean, True in the pores.
    reach
        Up to where distances are told apart [voxel]; what lies deeper has ``(reach + 1)**2``.

    Returns
    -------
        int16: the squared distance from the voxel's centre to that of the nearest voxel of the
        other phase, negative in the pores; 0 where a face of the image, or the end of the region of
        interest, is as near, because nobody knows what is behind it.
    """
    return _signed(pore, reach, block.valid)
