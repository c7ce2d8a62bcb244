"""Total variation of a whole image: a long iteration in passes, each with a small halo."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Unpack

import numpy as np

from lithax.arrays import namespace, real_dtype
from lithax.chunked import Field, MapPass, OperationPass
from lithax.fields._call import ImageOptions, check_array, image_call, is_image, valid_array
from lithax.fields._dual_slabs import slab_bytes, smooth_in_slabs
from lithax.images import ImageCall, Passes, Plan, WholeImage, plan_algorithm, plans, run_algorithm
from lithax.ops import total_variation as smooth
from lithax.ops import total_variation_dual, total_variation_ended

SHARE = 14
"""A pass does one iteration for so many voxels of a block's edge: on a block of 128, nine with
half as many voxels again. With fewer, reading and writing the dual field costs more than that."""


def total_variation(
    image: Any, *, weight: float = 0.1, iterations: int = 50, where: Any = None, **options: Unpack[ImageOptions]
) -> Any:
    """Remove variation that edges do not need by many dual steps, without an error at any face
    between blocks; `skimage.restoration.denoise_tv_chambolle`.

    The numbers are those of `lithax.ops.total_variation`, whose halo is as wide as there are
    iterations. An image that fits into memory with its dual field, half of the limit, is smoothed
    there, a slab in each worker. A larger one, or one that several processes share, is gone through
    several times. Each pass does some of the iterations, with as many voxels of halo, and leaves
    the dual field, three floats per voxel, as scratch images to the next. How many depends on the
    size of the blocks: large chunks take fewer passes and less time. `lx.plan` shows the passes,
    their halo, and all that is read. Nothing crosses the faces of the image.

    Parameters
    ----------
    image
        Grey levels, an array or an image. Integers and booleans are smoothed as floats.
    weight
        Strength, in the unit of the grey levels; about the standard deviation of the noise.
    iterations
        Dual steps, from 1, which changes nothing.
    where
        Voxels that take part, as for `chunk_map` (with an array: a boolean array): differences to
        others do not count, and their result is NaN.
    **options
        For images: `store`, `path`, `overwrite`, `chunks`, `shards`, `resume`, `memory_limit`,
        `workers`, `world` and `progress`, as for `chunk_map`.

    Returns
    -------
        The smoothed grey levels. Of an array they are computed by `lithax.ops.total_variation` in
        its own library, and can be differentiated there.

    Raises
    ------
    ValueError
        If `weight` is not positive, or `iterations` is not a whole number from 1.

    References
    ----------
    Chambolle, An algorithm for total variation minimization and applications, Journal of
    Mathematical Imaging and Vision 20 (2004) 89-97, eq. 9. doi:10.1023/B:JMIV.0000011325.36760.1e

    Examples
    --------
    >>> import numpy as np
    >>> import lithax as lx
    >>> edge = np.repeat(np.float32([0.0, 1.0]), 4).reshape(8, 1, 1)
    >>> image = lx.from_array(edge, chunks=(4, 1, 1))
    >>> smooth = lx.total_variation(image, weight=0.02, iterations=10, progress=False)
    >>> [round(float(v), 3) for v in smooth[:, 0, 0]]
    [0.001, 0.003, 0.006, 0.011, 0.989, 0.994, 0.997, 0.999]
    """
    _check(weight, iterations)
    if is_image(image):
        call = _call(image, weight, iterations, where, options)
        outputs, _ = run_algorithm(call, (image,), lambda whole: _passes(whole, weight, iterations, call))
        return outputs[0]
    check_array("total_variation", image, options)
    valid = valid_array(where, image.shape)
    if valid is None:
        return smooth(image, weight=weight, iterations=iterations)
    xp = namespace(image)
    valid = xp.asarray(valid)
    found = smooth(image, weight=weight, iterations=iterations, valid=valid)
    return xp.where(valid, found, xp.full_like(found, float("nan")))


def _check(weight: Any, iterations: Any) -> None:
    if not (isinstance(weight, int | float) and weight > 0 and math.isfinite(weight)):
        raise ValueError(f"weight={weight!r} must be positive, in the unit of the image; about the noise is usual.")
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
        raise ValueError(f"iterations={iterations!r} must be a whole number from 1; 50 is usual.")


def _passes(whole: WholeImage, weight: float, iterations: int, call: ImageCall) -> Passes:
    if work := _in_memory(whole, weight, iterations, call):
        yield work
        return
    image, block = whole.image, whole.layout().block
    edges = [n for n, size in zip(block, whole.shape, strict=True) if n < size]
    each = max(1, min(edges) // SHARE) if edges else iterations
    strength = {"weight": float(weight)}
    if iterations <= each:
        parameters = strength | {"iterations": iterations} | ({} if edges else {"reach": 1})
        yield OperationPass("smooth", smooth, (image,), parameters)
        return None
    dual: tuple[Any, ...] = ()
    left = iterations
    while left > each:
        parameters = strength | {"steps": each}
        before = dual
        dual = yield OperationPass(
            "iterate", total_variation_dual, (image, *before), parameters, scratch=True, spends=before
        )
        left -= each
    yield OperationPass("smooth", total_variation_ended, (image, *dual), strength | {"iterations": left})
    return None


def _in_memory(whole: WholeImage, weight: float, iterations: int, call: ImageCall) -> MapPass | None:
    """Return the only pass for an image that fits into memory, on a CPU and in one process."""
    run, image = call.run.settled(whole.inputs.world), whole.image
    real = np.dtype(real_dtype(namespace(np.empty(0)), image.dtype))
    each = slab_bytes(real.itemsize)
    needed = math.prod(whole.shape) * (each + image.dtype.itemsize + 2 * real.itemsize)
    if run.share.count > 1 or run.device is not None or 2 * needed > run.memory_limit:
        return None
    kernel = partial(smooth_in_slabs, weight=float(weight), iterations=iterations, workers=run.workers)
    fields = [Field(real, fill=np.nan)]
    return MapPass("smooth in slabs", kernel, (image,), fields, spans=(0, 1, 2), voxel_bytes=each)


def _call(image: Any, weight: float, iterations: int, where: Any, options: Mapping[str, Any]) -> ImageCall:
    parameters = {"weight": float(weight), "iterations": iterations}
    names, units = [image.field_name], [image.field_unit]
    return image_call("total_variation", parameters, where, options, names=names, units=units)


@plans(total_variation)
def _plan(image: Any, *, weight=0.1, iterations=50, where=None, **options: Any) -> Plan:
    _check(weight, iterations)
    call = _call(image, weight, iterations, where, options)
    return plan_algorithm(call, (image,), lambda whole: _passes(whole, weight, iterations, call))
