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

from typing import NamedTuple

import numpy as np


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
    """
    padded = tuple(s.stop - s.start + 2 for s in core)
    field, inside = np.zeros(padded, values.dtype), np.zeros(padded, bool)
    into = tuple(slice(1 - s.start, 1 - s.start + n) for s, n in zip(core, values.shape, strict=True))
    field[into], inside[into] = values, taken
    inner = (slice(1, -1),) * 3
    total = field.size
    flat = field.reshape(-1)
    present = np.flatnonzero(inside)
    order = present[np.argsort(flat[present], kind="stable")].astype(np.int32)
    rank = np.full(total, total, np.int32)
    rank[order] = np.arange(order.size, dtype=np.int32)
    ranks = rank.reshape(padded)
    lowest = ranks[inner].copy()
    for axis in range(3):
        for step in (-1, 1):
            moved = tuple(slice(1 + step, n - 1 + step) if a == axis else slice(1, -1) for a, n in enumerate(padded))
            np.minimum(lowest, ranks[moved], out=lowest)
    place = np.arange(total, dtype=np.int32).reshape(padded)
    own = place[inner][inside[inner]]
    below = order[lowest[inside[inner]]]
    in_block = np.zeros(padded, bool)
    in_block[inner] = True
    stops = ~in_block.reshape(-1)[below]
    seed = np.zeros(total, np.int64)
    if seeds is not None:
        seed.reshape(padded)[into] = seeds
        stops |= seed[own] > 0
    toward = np.arange(total, dtype=np.int32)
    toward[own] = np.where(stops, own, below)
    while True:  # doubling strides down to the bottom
        further = toward[toward]
        if np.array_equal(further, toward):
            break
        toward = further
    bottoms = own[toward[own] == own]
    number = np.zeros(total, np.int32)
    number[bottoms] = np.arange(1, bottoms.size + 1, dtype=np.int32)
    nodes = np.zeros(total, np.int32)
    nodes[own] = number[toward[own]]

    def image_place(at: np.ndarray) -> np.ndarray:
        index = np.unravel_index(at, padded)
        moved = [i.astype(np.int64) - 1 + b + s.start for i, b, s in zip(index, begin, core, strict=True)]
        return np.asarray(np.ravel_multi_index(tuple(moved), shape))

    basins = nodes.reshape(padded)
    first, second, key = _between(basins, ranks, bottoms.size)
    high, low = order[key >> 32], order[key & 0xFFFFFFFF]
    edges = Edges(first, second, flat[high], image_place(high), flat[low], image_place(low))
    return Basins(np.ascontiguousarray(basins[inner]), flat[bottoms], image_place(bottoms), seed[bottoms], edges)


def _between(basins: np.ndarray, ranks: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the edges of a least spanning tree of the basins of a block."""
    found = []
    for axis in range(3):
        a = tuple(slice(1, -2) if k == axis else slice(1, -1) for k in range(3))
        b = tuple(slice(2, -1) if k == axis else slice(1, -1) for k in range(3))
        across = (basins[a] != basins[b]) & (basins[a] > 0) & (basins[b] > 0)
        x, y = ranks[a][across].astype(np.int64), ranks[b][across].astype(np.int64)
        found.append((basins[a][across], basins[b][across], np.maximum(x, y) << 32 | np.minimum(x, y)))
    u, v, key = (np.concatenate(parts) for parts in zip(*found, strict=True))
    chosen = spanning_edges(u.astype(np.int64), v.astype(np.int64), np.argsort(key, kind="stable"), count + 1)
    return u[chosen].astype(np.int64), v[chosen].astype(np.int64), key[chosen]


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
    distinct = low != high
    order, low, high = order[distinct], low[distinct], high[distinct]
    _, least = np.unique(low * count + high, return_index=True)
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
