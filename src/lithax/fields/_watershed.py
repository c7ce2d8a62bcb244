"""Watersheds, seeded and unseeded, the same for every chunk grid."""

from typing import Any, NamedTuple, Unpack

import numpy as np

from lithax.arrays import Basins, Edges, find_basins, flood, persistent_minima
from lithax.chunked import FaceExchange, Field, FoldPass, MapPass, PassBlock, toward
from lithax.fields._call import ImageOptions, host_array, image_call, is_image, like_input, valid_array
from lithax.grid import Index, World, triple
from lithax.images import Passes, Plan, WholeImage, plan_algorithm, plans, run_algorithm


class _Flooded(NamedTuple):
    labels: np.ndarray
    """Label of each basin, from number 0, which is none."""
    bases: dict[int, int]
    """Number before the first basin of a block, by the place of the block."""


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
        Labels of the seeds, 0 elsewhere: whole numbers, on the grid of the image. None: the
        regional minima of the image that last (see `height`), numbered in C order.
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
    shape = triple(values.shape)
    taken = np.ones(shape, bool) if valid is None else valid
    seeds = seeds if seeds is None or valid is None else np.where(valid, seeds, 0)
    basins = find_basins(relief(values, taken), taken, seeds, triple(slice(0, n) for n in shape), (0, 0, 0), shape)
    labels = _labels(_numbered([basins]), basins.edges, height, seeds is not None)
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


class _Nodes(NamedTuple):
    values: np.ndarray
    places: np.ndarray
    seeds: np.ndarray


def _numbered(parts: list[Any]) -> _Nodes:
    """Return the lowest voxels and seeds of basins in the order of their numbers, 0 for the number
    0.
    """
    if not parts:
        return _Nodes(np.zeros(1), np.zeros(1, np.int64), np.zeros(1, np.int64))
    columns = [np.concatenate([getattr(p, name) for p in parts]) for name in _Nodes._fields]
    return _Nodes(*(np.concatenate([np.zeros(1, c.dtype), c]) for c in columns))


def _labels(nodes: _Nodes, edges: Edges, height: float, seeded: bool) -> np.ndarray:
    """Return the label of every basin."""
    seeds = nodes.seeds
    if not seeded:
        lasting = np.flatnonzero(persistent_minima(nodes.values, nodes.places, edges, height))
        seeds = np.zeros(len(nodes.places), np.int64)
        seeds[lasting[np.argsort(nodes.places[lasting])]] = np.arange(1, len(lasting) + 1)
    if np.any(seeds < 0):
        raise ValueError(f"markers holds {int(seeds.min())}; labels are positive, and 0 where there is no seed.")
    return flood(seeds, edges)


def _passes(whole: WholeImage, height: float, dtype: np.dtype | None) -> Passes:
    seeded = dtype is not None
    layout, inputs = whole.layout(), whole.inputs.images
    grid, shape = layout.grid, layout.shape

    def basins_of(block: PassBlock) -> Basins:
        taken = block.valid_or_all()
        seeds = np.where(taken, block.arrays[1], 0) if seeded else None
        values = relief(block.arrays[0], taken)
        if seeds is not None and seeds.min(initial=0) < 0:
            raise ValueError(f"markers holds {int(seeds.min())}; labels are positive, and 0 where there is no seed.")
        return find_basins(values, taken, seeds, block.core, block.begin, shape)

    bases: dict[int, int] = {}
    kept: list[_Nodes] = []
    edges: list[Edges] = []
    total = 0

    def meet(low: Any, high: Any, offset: Any, periods: Any) -> None:
        edges.append(_across(low, high))

    exchange = FaceExchange(grid, meet)

    def kernel(block: PassBlock) -> Any:
        basins = basins_of(block)
        at = triple(b.start // n for b, n in zip(block.box, layout.block, strict=True))
        own = block.inner(relief(block.arrays[0], block.valid_or_all()))
        faces = {}
        for offset in exchange.offsets:
            if exchange.neighbour(at, offset) is not None:
                side = toward(offset)
                faces[offset] = own[side].copy(), basins.nodes[side].astype(np.int64), _places(block, side, shape)
        return _Nodes(basins.values, basins.places, basins.seeds), basins.edges, faces

    def take(block: PassBlock, found: Any) -> None:
        nonlocal total
        nodes, inner, faces = found
        bases[block.place] = total
        exchange.add(grid.index(block.place), {o: _raised(face, total) for o, face in faces.items()})
        kept.append(nodes)
        edges.append(inner._replace(first=inner.first + total, second=inner.second + total))
        total += len(nodes.places)

    def finish(world: World) -> _Flooded:
        counts = world.gather(total) if world.count > 1 else [total]
        before = sum(counts[: world.index])
        own = [e._replace(first=e.first + before, second=e.second + before) for e in edges]
        edges.clear()
        exchange.finish(world, lambda face: _raised(face, before))
        everything = kept, [*own, *edges], {k: b + before for k, b in bases.items()}
        parts = world.gather(everything) if world.count > 1 else [everything]
        nodes = _numbered([n for some, *_ in parts for n in some])
        every = [e for _, some, _ in parts for e in some]
        joined = Edges(*(np.concatenate(column) for column in zip(*every, strict=True))) if every else _NO_EDGES
        return _Flooded(_labels(nodes, joined, height, seeded), {k: b for *_, some in parts for k, b in some.items()})

    nothing = _Flooded(np.zeros(1, np.int64), {})
    flooded = yield FoldPass(
        "find basins", kernel, take, finish, inputs, halo=(1, 1, 1), voxel_bytes=90, kept_bytes=4.0, assumed=nothing
    )
    count = int(flooded.labels.max(initial=0))
    kind = dtype if dtype is not None else np.min_scalar_type(count) if flooded.bases else np.dtype(np.uint32)
    labels = flooded.labels.astype(kind)

    def write(block: PassBlock) -> list[np.ndarray]:
        basins, base = basins_of(block), flooded.bases.get(block.place, 0)
        local = np.concatenate([labels[:1], labels[base + 1 : base + 1 + len(basins.places)]])
        return [local[basins.nodes]]

    yield MapPass("write labels", write, inputs, [Field(kind)], halo=(1, 1, 1), voxel_bytes=90)
    return None


_NO_EDGES = Edges(*(np.zeros(0, np.int64) for _ in range(6)))


def _places(block: PassBlock, side: tuple[slice, slice, slice], shape: Index) -> np.ndarray:
    """Return the places in C order of the voxels of one side of a block."""
    axes = [np.arange(b.start, b.stop)[s] for b, s in zip(block.box, side, strict=True)]
    x, y, z = np.ix_(*axes)
    return (x * shape[1] + y) * shape[2] + z


def _raised(face: tuple[Any, Any, Any], base: int) -> tuple[Any, Any, Any]:
    values, nodes, places = face
    return values, np.where(nodes > 0, nodes + base, 0), places


def _across(low: tuple[Any, Any, Any], high: tuple[Any, Any, Any]) -> Edges:
    """Return the least edge between each two basins that meet at a face."""
    both = (low[1] > 0) & (high[1] > 0)
    a, u, i = (part[both] for part in low)
    b, v, j = (part[both] for part in high)
    up = (b > a) | ((b == a) & (j > i))
    edges = Edges(u, v, np.where(up, b, a), np.where(up, j, i), np.where(up, a, b), np.where(up, i, j))
    order = np.lexsort((edges.low_at, edges.low, edges.high_at, edges.high, v, u))
    same = (u[order][1:] == u[order][:-1]) & (v[order][1:] == v[order][:-1])
    least = order[np.concatenate([np.ones(min(1, len(order)), bool), ~same])]
    return Edges(*(part[least] for part in edges))


def _call(markers: Any, height: float, where: Any, options: Any) -> Any:
    parameters = {"markers": markers is not None, "height": float(height)}
    return image_call("watershed", parameters, where, options, names=["basin"])


@plans(watershed)
def _plan(image: Any, markers: Any = None, *, height=0.0, where=None, **options: Any) -> Plan:
    dtype = _check(image, markers, height)
    inputs = (image,) if markers is None else (image, markers)
    return plan_algorithm(_call(markers, height, where, options), inputs, lambda whole: _passes(whole, height, dtype))
