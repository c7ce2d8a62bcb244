"""Morphological reconstruction, and what it is used for: h-maxima, h-minima, hysteresis."""

from typing import Any, NamedTuple, Unpack

import numpy as np

from lithax.arrays import SETTLE_BYTES, neighbours_of, reconstruct_block
from lithax.chunked import Field, MapPass, PassBlock, SettlePass
from lithax.fields._call import ImageOptions, host_array, image_call, is_image, like_input, valid_array
from lithax.images import Passes, Plan, WholeImage, plan_algorithm, plans, run_algorithm

METHODS = ("dilation", "erosion")


class _Rule(NamedTuple):
    connectivity: int
    downward: bool
    dtype: np.dtype

    @property
    def blocked(self) -> Any:
        """The value that nothing passes."""
        if self.dtype.kind == "b":
            return self.downward
        if self.dtype.kind == "f":
            return self.dtype.type(np.inf if self.downward else -np.inf)
        limits = np.iinfo(self.dtype)
        return self.dtype.type(limits.max if self.downward else limits.min)

    def start(self, marker: np.ndarray, mask: np.ndarray, valid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return marker and mask in one type, the marker cut at the mask, and nothing where voxels
        are left out.
        """
        marker, mask = marker.astype(self.dtype, copy=False), mask.astype(self.dtype, copy=False)
        if self.dtype.kind == "f" and (np.isnan(marker).any() or np.isnan(mask).any()):
            raise ValueError(
                "marker or mask holds NaN, which is neither above nor below; leave such voxels out by where=."
            )
        if valid is not None:
            marker, mask = np.where(valid, marker, self.blocked), np.where(valid, mask, self.blocked)
        return (np.maximum if self.downward else np.minimum)(marker, mask), mask

    def settle(self, marker: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return the reconstruction of an array."""
        return reconstruct_block(marker, mask, self.connectivity, self.downward)


def reconstruct(
    marker: Any,
    mask: Any,
    *,
    method: str = "dilation",
    connectivity: int = 6,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Let a marker spread from voxel to voxel as far as a mask allows: morphological
    reconstruction.

    Every voxel gets the largest value that reaches it: over all paths of neighbours, the smallest
    mask on the way, from a marker that is no smaller. On images blocks are done until nothing
    changes any more: the result is that of the whole array, whatever the order; a path that winds
    through many blocks takes as many rounds as it changes blocks.

    Parameters
    ----------
    marker, mask
        Arrays or images of one shape. The marker is cut at the mask.
    method
        "dilation" (the marker rises up to the mask), or "erosion" (it falls down to it).
    connectivity
        6, 18 or 26 neighbours (or 1, 2, 3). scikit-image's default is 26.
    where
        Voxels that take part, as for `chunk_map` (with arrays: a boolean array); nothing passes the
        others, which get 0.
    **options
        For images: `store`, `path`, `overwrite`, `chunks`, `shards`, `resume`, `memory_limit`,
        `workers`, `world` and `progress`, as for `chunk_map`.

    Returns
    -------
        The reconstruction, in the type that holds both; for arrays the numbers of
        `skimage.morphology.reconstruction`.

    References
    ----------
    Vincent, Morphological grayscale reconstruction in image analysis, IEEE Transactions on Image
    Processing 2 (1993), 176-201. doi:10.1109/83.217222

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.array([[[0, 3, 2, 0, 4, 1]]])
    >>> marker = np.array([[[0, 2, 0, 0, 0, 1]]])
    >>> reconstruct(marker, mask)[0, 0].tolist()
    [0, 2, 2, 0, 1, 1]
    """
    rule = _rule(marker, mask, method, connectivity)
    if is_image(marker) or is_image(mask):
        call = _call(rule, where, options)
        outputs, _ = run_algorithm(call, (marker, mask), lambda whole: _passes(whole, rule))
        return outputs[0]
    start = host_array("reconstruct", marker, options, "marker")
    limit = host_array("reconstruct", mask, options, "mask")
    valid = valid_array(where, start.shape)
    found = rule.settle(*rule.start(start, limit, valid))
    return like_input(marker, found if valid is None else np.where(valid, found, rule.dtype.type(0)))


def _rule(marker: Any, mask: Any, method: str, connectivity: Any) -> _Rule:
    if method not in METHODS:
        raise ValueError(f"method={method!r} must be 'dilation' or 'erosion'.")
    for name, value in (("marker", marker), ("mask", mask)):
        if not (hasattr(value, "shape") and hasattr(value, "dtype")):
            raise TypeError(f"{name} is a {type(value).__name__}; give an image or an array.")
    if tuple(marker.shape) != tuple(mask.shape):
        raise ValueError(f"marker has shape {tuple(marker.shape)}, mask {tuple(mask.shape)}; they must agree.")
    kinds = [np.dtype(str(v.dtype).rsplit(".", 1)[-1]) for v in (marker, mask)]
    dtype = np.result_type(*kinds)
    if dtype.kind not in "biuf":
        raise TypeError(f"marker and mask are of {dtype}, which has no order; give real numbers.")
    return _Rule(neighbours_of(connectivity), method == "erosion", dtype)


def _passes(whole: WholeImage, rule: _Rule) -> Passes:
    fields = [Field(rule.dtype, scratch=True, fill=rule.blocked)] * 2

    def begin(block: PassBlock) -> list[np.ndarray]:
        return list(rule.start(block.arrays[0], block.arrays[1], block.valid))

    def spread(block: PassBlock) -> np.ndarray:
        return block.inner(rule.settle(block.arrays[0], block.arrays[1]))

    state, limit = yield MapPass("cut the marker", begin, whole.inputs.images, fields)
    yield SettlePass("spread", spread, state, (limit,), voxel_bytes=SETTLE_BYTES)
    yield MapPass("write", lambda block: [block.arrays[0]], (state,), [Field(rule.dtype)])
    return None


def _call(rule: _Rule, where: Any, options: Any) -> Any:
    parameters = {"downward": rule.downward, "connectivity": rule.connectivity}
    return image_call("reconstruct", parameters, where, options)


@plans(reconstruct)
def _plan(marker: Any, mask: Any, *, method="dilation", connectivity=6, where=None, **options: Any) -> Plan:
    rule = _rule(marker, mask, method, connectivity)
    return plan_algorithm(_call(rule, where, options), (marker, mask), lambda whole: _passes(whole, rule))
