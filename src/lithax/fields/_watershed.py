"""Watersheds, seeded and unseeded, the same for every chunk grid."""

from typing import Any, Unpack

import numpy as np

from lithax.arrays import flood, persistent_minima
from lithax.chunked import Field, MapPass, PassBlock
from lithax.fields._basins import BasinGraph, Relief, basin_pass, graph_of_array
from lithax.fields._call import ImageOptions, host_array, image_call, is_image, like_input, valid_array
from lithax.images import Passes, Plan, WholeImage, plan_algorithm, plans, run_algorithm


def watershed(
    image: Any,
    markers: Any = None,
    *,
    height: float = 0.0,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Divide an image into catchment basins.

    The watershed is a minimum spanning forest under a total order, so that nothing depends on the
    order of visiting, and blocks join exactly. The rule for ties: voxels are ordered by (value,
    place in C order), edges between face neighbours by their higher voxel, then their lower one;
    every voxel belongs to the marker that it hangs together with in the forest of the least edges.
    Where all values differ and each minimum is a marker, the labels are those of
    `skimage.segmentation.watershed`; otherwise a few voxels on the lines between basins differ from
    it. On plateaus low indices are favoured: a smoothed distance map has hardly any. Compactness
    would depend on the order of visiting, and is not offered.

    To separate touching grains or pores: ``watershed(-distance(phase), height=1, where=phase)``.

    Parameters
    ----------
    image
        The relief: an array or image of real numbers.
    markers
        Labels of the seeds, 0 elsewhere: whole numbers, on the grid of the image. Seeds outside of
        `where` are not used, as in `skimage.segmentation.watershed`; at least one must lie inside.
        None: the regional minima of the image that last (see `height`), numbered in C order.
    height
        Without markers: minima are seeds whose basin is more than this deep, measured up to the
        saddle to a basin with a lower minimum; shallower ones are merged into what lies beyond
        their saddle. 0: all regional minima.
    where
        Voxels that take part, as for `chunk_map` (with an array: a boolean array), such as the
        pores; water does not flow through the others, which get 0.
    **options
        For images: `store`, `path`, `overwrite`, `chunks`, `shards`, `resume`, `memory_limit`,
        `workers`, `world` and `progress`, as for `chunk_map`.

    Returns
    -------
        Labels, in the type of `markers`, or the smallest that holds them; 0 where no seed can be
        reached.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, and for NaN in the image.

    References
    ----------
    Cousty, Bertrand, Najman and Couprie, Watershed cuts: minimum spanning forests and the drop of
    water principle, IEEE Transactions on Pattern Analysis and Machine Intelligence 31 (2009),
    1362-1374. doi:10.1109/TPAMI.2008.173

    Examples
    --------
    >>> import numpy as np
    >>> relief = np.array([[[2, 1, 3, 0, 4, 2]]])
    >>> watershed(relief)[0, 0].tolist()
    [1, 1, 2, 2, 2, 3]
    >>> watershed(relief, height=2)[0, 0].tolist()
    [1, 1, 1, 1, 1, 1]
    """
    dtype = _check(image, markers, height)
    if is_image(image):
        inputs = (image,) if markers is None else (image, markers)
        call = _call(markers, height, where, options)
        outputs, _ = run_algorithm(call, inputs, lambda whole: _passes(whole, height, dtype))
        return outputs[0]
    values = host_array("watershed", image, options)
    seeds = None if markers is None else host_array("watershed", markers, options, "markers")
    valid = valid_array(where, values.shape)
    taken = np.ones(values.shape, bool) if valid is None else valid
    seeds = None if seeds is None else _seeds(seeds, taken)
    basins, graph = graph_of_array(Relief(relief(values, taken), taken, seeds))
    labels = _labels(graph, height, seeds is not None)
    kind = np.min_scalar_type(int(labels.max(initial=0))) if dtype is None else dtype
    return like_input(image, labels.astype(kind)[basins.nodes])


def relief(values: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Return the values in a type that can be ordered: no NaN where a voxel takes part, no negative
    zero.
    """
    if values.dtype.kind == "b":
        return values.view(np.uint8)
    if values.dtype.kind != "f":
        return values
    if np.isnan(values[taken]).any():
        raise ValueError("the image holds NaN, which is neither above nor below; leave such voxels out by where=.")
    return values + values.dtype.type(0)


def _check(image: Any, markers: Any, height: Any) -> np.dtype | None:
    if not (hasattr(image, "shape") and hasattr(image, "dtype")):
        raise TypeError(f"image is a {type(image).__name__}; give an image (lx.open, lx.from_array) or an array.")
    kind = np.dtype(str(image.dtype).rsplit(".", 1)[-1]).kind
    if kind not in "biuf":
        raise TypeError(f"image has dtype {image.dtype}, which has no order; give real numbers.")
    if isinstance(height, bool) or not isinstance(height, int | float | np.number) or not 0 <= height < np.inf:
        raise ValueError(f"height={height!r} must be a number, 0 or more, in the unit of the image.")
    if markers is None:
        return None
    if height:
        raise ValueError(f"height={height!r} chooses seeds, and markers= are given; leave one of them out.")
    if not (hasattr(markers, "shape") and hasattr(markers, "dtype")):
        raise TypeError(f"markers is a {type(markers).__name__}; give an image or an array of labels, 0 elsewhere.")
    dtype = np.dtype(str(markers.dtype).rsplit(".", 1)[-1])
    if dtype.kind not in "iu":
        raise TypeError(
            f"markers has dtype {dtype}; give whole numbers, 0 where there is no seed (lx.label makes some)."
        )
    if tuple(markers.shape) != tuple(image.shape):
        raise ValueError(f"markers has shape {tuple(markers.shape)}, image {tuple(image.shape)}; they must agree.")
    if is_image(image) != is_image(markers):
        raise TypeError("image and markers must both be images, or both arrays; make one with lx.from_array.")
    return dtype


def _seeds(markers: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Return the seeds of the voxels that take part."""
    seeds = np.where(taken, markers, markers.dtype.type(0))
    if seeds.min(initial=0) < 0:
        raise ValueError(f"markers holds {int(seeds.min())}; labels are positive, and 0 where there is no seed.")
    return seeds


def _labels(graph: BasinGraph, height: float, seeded: bool) -> np.ndarray:
    """Return the label of every basin."""
    seeds = graph.seeds
    if not seeded:
        lasting = np.flatnonzero(persistent_minima(graph.values, graph.places, graph.edges, height))
        seeds = np.zeros(len(graph.places), np.int64)
        seeds[lasting[np.argsort(graph.places[lasting])]] = np.arange(1, len(lasting) + 1)
    elif len(seeds) > 1 and not seeds.any():
        raise ValueError("markers holds no seed where a voxel takes part; all labels would be 0.")
    return flood(seeds, graph.edges)


def _passes(whole: WholeImage, height: float, dtype: np.dtype | None) -> Passes:
    inputs = whole.inputs.images

    def seen(block: PassBlock) -> Relief:
        taken = block.valid_or_all()
        values = relief(block.arrays[0], taken)
        if dtype is None:
            return Relief(values, taken)
        return Relief(values, taken, _seeds(block.arrays[1], taken))

    graph = yield from basin_pass("find basins", inputs, whole.layout(), seen)
    labels = _labels(graph, height, dtype is not None)
    planned = not graph.bases
    kind = dtype if dtype is not None else np.min_scalar_type(int(labels.max())) if not planned else np.dtype(np.uint32)
    labels = labels.astype(kind)

    def write(block: PassBlock) -> list[np.ndarray]:
        return [graph.local(block, seen(block).basins(block), labels)]

    yield MapPass("write labels", write, inputs, [Field(kind)], halo=(1, 1, 1), voxel_bytes=44)
    return None


def _call(markers: Any, height: float, where: Any, options: Any) -> Any:
    parameters = {"markers": markers is not None, "height": float(height)}
    return image_call("watershed", parameters, where, options, names=["basin"])


@plans(watershed)
def _plan(image: Any, markers: Any = None, *, height=0.0, where=None, **options: Any) -> Plan:
    dtype = _check(image, markers, height)
    inputs = (image,) if markers is None else (image, markers)
    return plan_algorithm(_call(markers, height, where, options), inputs, lambda whole: _passes(whole, height, dtype))
