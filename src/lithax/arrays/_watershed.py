"""Watersheds as a minimum spanning forest: the basins of a block, and what joins them.

Voxels are in one total order, by value and then by place in C order; so are edges between
neighbours across faces, by their higher voxel and then their lower one. No two are equal, so the
forest that spans the image with the least edges and has one seed in each tree is unique, whatever
finds it. A voxel has the label of the seed of its tree.

- The edge from a voxel to its lowest neighbour is the least edge of that voxel, hence in the
  forest: voxels fall, by way of their lowest neighbours, into basins (Cousty, Bertrand, Najman and
  Couprie, Watershed cuts: minimum spanning forests and the drop of water principle, IEEE PAMI 31
  (2009), 1362-1374, doi:10.1109/TPAMI.2008.173).
- Of the edges between two basins only the least counts, and of those in a block only the ones of a
  least spanning tree of it: an edge that is the largest of a cycle is in no forest. That holds in a
  block as in the image, so blocks keep a tree each, and the forest of the image is that of their
  union with the edges across their faces.
- A voxel whose lowest neighbour lies in another block is a basin of its own there; the face joins
  it.
"""

import math
from typing import NamedTuple

import numpy as np

_HALF = np.uint64(32)
_PART = 1 << 16
"""Voxels whose neighbours are looked up at once."""


class Edges(NamedTuple):
    """Edges between basins, and their place in the total order."""

    first: np.ndarray
    second: np.ndarray
    high: np.ndarray
    """Value of the higher voxel."""
    high_at: np.ndarray
    """Its place in C order."""
    low: np.ndarray
    low_at: np.ndarray


NO_EDGES = Edges(*(np.zeros(0, np.int64) for _ in Edges._fields))


class Basins(NamedTuple):
    """The basins of a block."""

    nodes: np.ndarray
    """Number of the basin of each voxel, from 1; 0 where there is none."""
    values: np.ndarray
    """Value of the lowest voxel of each basin."""
    places: np.ndarray
    """Its place in C order in the image."""
    seeds: np.ndarray
    """Its seed; 0: none."""
    edges: Edges


def find_basins(
    values: np.ndarray,
    taken: np.ndarray,
    seeds: np.ndarray | None,
    core: tuple[slice, slice, slice],
    begin: tuple[int, ...],
    shape: tuple[int, ...],
    *,
    joined: bool = True,
) -> Basins:
    """Return the basins of a block.

    Parameters
    ----------
    values, taken
        The block and one voxel around it, where the image goes on; whether a voxel takes part.
    seeds
        Labels of seeds over the same voxels, 0 elsewhere; each seed voxel is a basin.
    core
        The block in these arrays.
    begin, shape
        Image index of the first voxel of the arrays, and shape of the image.
    joined
        Whether the edges between the basins are wanted, too.
    """
    # Voxels that take part, those around the block included, have numbers in C order; the one
    # after the last stands for none. Numbers are narrow, and what is looked up is so in parts.
    padded = tuple(n + 2 for n in taken.shape)
    narrow = np.dtype(np.int32 if math.prod(padded) < 2**31 else np.int64)
    at = np.flatnonzero(np.pad(taken, 1)).astype(narrow)
    count = at.size
    number = np.full(math.prod(padded), count, narrow)
    number[at] = np.arange(count, dtype=narrow)
    keys = np.empty(count + 1, np.uint64)
    keys[:-1] = _ordered(values[taken])
    keys <<= _HALF
    keys[:-1] |= np.arange(count, dtype=np.uint32)
    keys[-1] = ~np.uint64(0)
    in_block = np.zeros(taken.shape, bool)
    in_block[core] = True
    in_block = np.append(in_block[taken], False)
    own = np.flatnonzero(in_block).astype(narrow)
    at = at[own]
    strides = (padded[1] * padded[2], padded[2], 1)
    seed = None if seeds is None else seeds[core][taken[core]].astype(np.int64)
    toward = np.arange(count, dtype=narrow)
    parts = [slice(k, k + _PART) for k in range(0, own.size, _PART)]
    for part in parts:
        here, place = own[part], at[part]
        lowest = np.take(keys, here)
        for stride in (*strides, *(-s for s in strides)):
            np.minimum(lowest, np.take(keys, np.take(number, place + stride)), out=lowest)
        below = _numbers(lowest)
        stops = ~np.take(in_block, below)
        if seed is not None:
            stops |= seed[part] > 0
        toward[here] = np.where(stops, here, below)
    moved = True
    while moved:  # doubling strides down to the bottom
        moved = False
        for k in range(0, count, _PART):
            nearer = toward[k : k + _PART]
            further = np.take(toward, nearer)
            moved = moved or not np.array_equal(further, nearer)
            nearer[...] = further
    bottoms = np.flatnonzero(toward[own] == own)  # places among the voxels of the block
    basin = np.zeros(count + 1, np.int32)
    basin[own[bottoms]] = np.arange(1, bottoms.size + 1)
    basin[own] = basin[toward[own]]
    del toward
    nodes = np.zeros([c.stop - c.start for c in core], np.int32)
    nodes[taken[core]] = basin[own]

    def image_place(of: np.ndarray) -> np.ndarray:
        index = np.unravel_index(at[of], padded)
        moved = [i.astype(np.int64) + (b - 1) for i, b in zip(index, begin, strict=True)]
        return np.asarray(np.ravel_multi_index(tuple(moved), shape), np.int64)

    flat = values[core][taken[core]]
    edges = NO_EDGES
    if joined:
        first, second, high, low = _between(basin, own, at, strides, number, keys, bottoms.size)
        del number, keys
        high, low = (np.searchsorted(own, _numbers(key).astype(narrow)) for key in (high, low))
        edges = Edges(first, second, flat[high], image_place(high), flat[low], image_place(low))
    seeds_of = np.zeros(bottoms.size, np.int64) if seed is None else seed[bottoms]
    return Basins(nodes, flat[bottoms], image_place(bottoms), seeds_of, edges)


def _ordered(values: np.ndarray) -> np.ndarray:
    """Return numbers of 32 bits in the order of the values: their bits, or their ranks."""
    kind, size = values.dtype.kind, values.dtype.itemsize
    if size > 4:
        return np.unique(values, return_inverse=True)[1].astype(np.uint64)
    if kind == "f":
        bits = values.astype(np.float32, copy=False).view(np.uint32)
        return np.where(bits >> 31, ~bits, bits | np.uint32(2**31)).astype(np.uint64)
    return values.astype(np.uint64) if kind in "bu" else (values.astype(np.int64) + 2**31).astype(np.uint64)


def _numbers(keys: np.ndarray) -> np.ndarray:
    """Return the numbers of the voxels that have these keys."""
    return (keys & np.uint64(2**32 - 1)).astype(np.int64)


def _between(
    basin: np.ndarray,
    own: np.ndarray,
    at: np.ndarray,
    strides: tuple[int, ...],
    number: np.ndarray,
    keys: np.ndarray,
    count: int,
) -> tuple[np.ndarray, ...]:
    """Return the edges of a least spanning tree of the basins of a block, with the keys of their
    two voxels.
    """

    def least(u: np.ndarray, v: np.ndarray, high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, ...]:
        chosen = spanning_edges(u.astype(np.int64), v.astype(np.int64), _sorted(high, low), count + 1)
        return u[chosen], v[chosen], high[chosen], low[chosen]

    # What is the largest of a cycle in a part is so in the block: parts keep a tree each.
    kept = [tuple(np.zeros(0, kind) for kind in (np.int32, np.int32, np.uint64, np.uint64))]
    for k in range(0, own.size, _PART):
        here, found = own[k : k + _PART], []
        for stride in strides:
            neighbours = np.take(number, at[k : k + _PART] + stride)
            u, v = np.take(basin, here), np.take(basin, neighbours)
            across = np.flatnonzero((u != v) & (v > 0))
            x, y = np.take(keys, here[across]), np.take(keys, neighbours[across])
            found.append((u[across], v[across], np.maximum(x, y), np.minimum(x, y)))
        kept.append(least(*(np.concatenate(column) for column in zip(*found, strict=True))))
    u, v, high, low = (np.concatenate(column) for column in zip(*kept, strict=True))
    if len(kept) > 2:
        u, v, high, low = least(u, v, high, low)
    return u.astype(np.int64), v.astype(np.int64), high, low


def _sorted(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Return edges from the least to the largest; `numpy.lexsort` takes several times as long."""
    order = np.argsort(high)
    ordered = high[order]
    same = ordered[1:] == ordered[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    order[tied] = order[tied][np.lexsort((low[order[tied]], ordered[tied]))]
    return order


def spanning_edges(first: np.ndarray, second: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    """Return which edges are in the least spanning forest of a graph.

    Parameters
    ----------
    first, second
        Ends of each edge, below `count`.
    order
        The edges from the least to the largest.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    low, high = np.minimum(first, second)[order], np.maximum(first, second)[order]
    pair = low * count + high
    grouped = np.argsort(pair)
    ordered = pair[grouped]
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(pair)])
    # The first in the order of each pair.
    least = np.minimum.reduceat(grouped, begins) if len(pair) else grouped
    least = least[low[least] != high[least]]
    # Weights are places in the order, from 1: a weight of 0 would be no edge.
    graph = coo_array((least + 1.0, (low[least], high[least])), shape=(count, count)).tocsr()
    tree = minimum_spanning_tree(graph)
    return order[tree.data.astype(np.int64) - 1]


def order_of(edges: Edges) -> np.ndarray:
    """Return edges from the least to the largest."""
    return np.lexsort((edges.low_at, edges.low, edges.high_at, edges.high))


def flood(seeds: np.ndarray, edges: Edges) -> np.ndarray:
    """Return the label of each basin: that of the seed in its tree, 0 where there is none.

    Parameters
    ----------
    seeds
        Seed of each basin, from number 0 (which is no basin) on; 0: none.
    edges
        Between the basins.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(seeds)
    # All seeds are one root, the number 0: what is left of the tree without it hangs by one edge
    # each.
    x = np.where(seeds[edges.first] > 0, 0, edges.first)
    y = np.where(seeds[edges.second] > 0, 0, edges.second)
    tree = spanning_edges(x, y, order_of(edges), count)
    at_root = (x[tree] == 0) | (y[tree] == 0)
    inside = tree[~at_root]
    graph = coo_array((np.ones(len(inside), bool), (x[inside], y[inside])), shape=(count, count))
    _, part = connected_components(graph, directed=False)
    labels = np.zeros(part.max() + 1, seeds.dtype)
    root = tree[at_root]
    hanging = np.where(x[root] == 0, y[root], x[root])
    labels[part[hanging]] = np.maximum(seeds[edges.first[root]], seeds[edges.second[root]])
    found = np.where(seeds > 0, seeds, labels[part])
    found[0] = 0
    return found


def persistent_minima(values: np.ndarray, places: np.ndarray, edges: Edges, height: float) -> np.ndarray:
    """Return which basins hold a regional minimum that lasts: its saddle is more than `height`
    above it.

    Flooding from below, two basins meet at their least edge; the one with the higher minimum ends
    there (the elder rule).

    Parameters
    ----------
    values, places
        Lowest voxel of each basin, from number 0 (which is no basin) on.
    """
    count = len(values)
    tree = spanning_edges(edges.first, edges.second, order_of(edges), count)
    ranking = np.empty(count, np.int64)
    ranking[np.lexsort((places, values))] = np.arange(count)
    rank, parent = ranking.tolist(), list(range(count))
    lasts = np.ones(count, bool)
    lasts[0] = False
    inner = Edges(*(part[tree] for part in edges))
    tree = order_of(inner)
    ends = zip(inner.first[tree].tolist(), inner.second[tree].tolist(), inner.high[tree].tolist(), strict=True)
    lowest = values.tolist()
    for a, b, saddle in ends:
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        elder, younger = (a, b) if rank[a] < rank[b] else (b, a)
        parent[younger] = elder
        lasts[younger] = saddle - lowest[younger] > height
    return lasts


def lowest_passes(starts: np.ndarray, edges: Edges) -> np.ndarray:
    """Return the lowest level at which the bottom of each basin is reached from where one may
    start.

    The level of a way is that of its highest voxel. A voxel of a basin is reached at the higher of
    this level and its own, since values only fall from it to the bottom.

    Parameters
    ----------
    starts
        Value of the lowest voxel of each basin where one may start, shape (k, n): basins from
        number 0 (which is no basin) on, `k` cases apart; the largest of the type where there is
        none.
    edges
        Between the basins.

    Returns
    -------
        Levels in the shape of `starts`; the largest of the type where nothing is reached.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order

    count, none = starts.shape[1], np.iinfo(starts.dtype).max
    levels = np.full(starts.shape, none, starts.dtype)
    tree = spanning_edges(edges.first, edges.second, np.argsort(edges.high), count)
    for start, level in zip(starts, levels, strict=True):
        # All starts hang from a root, the number 0.
        begins = np.flatnonzero(start[1:] < none) + 1
        a = np.concatenate([edges.first[tree], np.zeros_like(begins)])
        b = np.concatenate([edges.second[tree], begins])
        high = np.concatenate([edges.high[tree].astype(starts.dtype), start[begins]])
        chosen = spanning_edges(a, b, np.argsort(high), count)
        a, b, high = a[chosen], b[chosen], high[chosen]
        graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(count, count)).tocsr()
        reached, before = breadth_first_order(graph, 0, directed=False)
        parent = np.arange(count)
        parent[reached[1:]] = before[reached[1:]]
        child = np.where(parent[b] == a, b, a)
        level[child] = high
        level[0] = np.iinfo(starts.dtype).min
        level[np.setdiff1d(np.arange(count), reached)] = none
        while np.any(parent[parent] != parent):  # doubling strides up to the root
            np.maximum(level, level[parent], out=level)
            parent = parent[parent]
        level[0] = none
    return levels
