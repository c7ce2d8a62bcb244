"""Connected components of a block in host memory, by compiled libraries, and which of them join two
ends.
"""

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from lithax.arrays._bincount import lookup
from lithax.arrays._near_sources import TILE, run_tiles

CONNECTIVITIES = {1: 6, 2: 18, 3: 26, 6: 6, 18: 18, 26: 26}
"""Neighbours of a voxel by every name of a neighbourhood: their number, or scipy's 1, 2 and 3."""


def neighbours_of(connectivity: Any) -> int:
    """Return 6, 18 or 26 for a neighbourhood given as such, or as scipy's 1 (faces), 2 (edges too)
    or 3 (corners too).
    """
    whole = isinstance(connectivity, int | np.integer) and not isinstance(connectivity, bool)
    if not whole or int(connectivity) not in CONNECTIVITIES:
        raise ValueError(
            f"connectivity={connectivity!r} must be 6 (faces), 18 (edges too) or 26 (corners too), or 1, 2 or 3 for the "
            "same."
        )
    return CONNECTIVITIES[int(connectivity)]


_ROW = 256
"""Voxels of which the largest label is looked at before single ones are."""


def label_block(
    phase: np.ndarray, connectivity: int = 6, *, smallest: bool = False, threads: int = 1, ordered: bool = True
) -> tuple[np.ndarray, int]:
    """Number the connected components of an array; neighbours belong together if their values are
    equal and not 0.

    Parameters
    ----------
    phase
        Booleans, or integers, one number per phase.
    connectivity
        6, 18 or 26 neighbours.
    smallest
        Return the smallest unsigned integers that hold the labels, in place of those of 32 bits.
    threads
        How many look through the labels that the library found.
    ordered
        Whether to look at all: False leaves the components in whatever order the library has them,
        in 32 bits.

    Returns
    -------
        Labels (0 where `phase` is 0 or False, else 1 to the number of components), and that number.
        Components are numbered by their first voxel in C order, if `ordered`.
    """
    import cc3d

    if not phase.any():
        return np.zeros(phase.shape, np.uint8 if smallest else np.uint32), 0
    phase = np.require(phase, requirements=("C", "W"))  # the library asks for memory that it could write to
    options: Any = {"connectivity": connectivity, "return_N": True, "out_dtype": np.uint32}
    if (
        connectivity == 26
        and phase.dtype == np.bool_
        and 4 * math.prod((n + 1) // 2 for n in phase.shape) + 4 > phase.size
    ):
        # cc3d 4.1 counts too few places for the labels of booleans with 26 neighbours in thin
        # arrays (True, False, True on a line), prints so and fails; as numbers they are labelled by
        # another of its algorithms.
        phase = phase.view(np.uint8)
    labels, count = cc3d.connected_components(phase, **options)
    count = int(count)
    if not ordered:
        return labels, count
    dtype = np.min_scalar_type(count) if smallest else np.dtype(np.uint32)
    labels, in_order = _narrowed(labels, dtype, threads)
    if in_order:
        return labels, count
    first = first_voxels(labels, count)
    number = np.zeros(count + 1, dtype)
    number[1 + np.argsort(first)] = np.arange(1, count + 1)
    return lookup(number, labels), count


def label_directed(along: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the components of voxels that may be joined along one axis and not along another.

    Parameters
    ----------
    along
        Booleans of shape (3, nx, ny, nz): neighbours along an axis belong together if both are True
        there.

    Returns
    -------
        Labels (0 where a voxel is True along no axis), in no order, and the largest.
    """
    import cc3d

    graph = np.zeros(along.shape[1:], np.uint8)
    for axis, joins in enumerate(along):
        low, high = (
            tuple(part if a == axis else slice(None) for a in range(3)) for part in (slice(None, -1), slice(1, None))
        )
        both = (joins[low] & joins[high]).view(np.uint8)
        graph[low] |= both << 2 * axis
        graph[high] |= both << 2 * axis + 1
    labels, count = cc3d.color_connectivity_graph(graph, connectivity=6, return_N=True)
    return np.where(along.any(0), labels, 0), int(count)


def _narrowed(labels: np.ndarray, dtype: np.dtype, threads: int) -> tuple[np.ndarray, bool]:
    """Return labels in a type that holds them, and whether they come in the order of their numbers.

    Memory is read once: rows while they lie in a core's cache. Most of them hold no new label,
    which their maximum tells.
    """
    flat = np.ascontiguousarray(labels).reshape(-1)
    found = flat if flat.dtype == dtype else np.empty(flat.shape, dtype)
    end = flat.size // _ROW * _ROW
    given, rows = flat[:end].reshape(-1, _ROW), found[:end].reshape(-1, _ROW)
    largest = np.empty(len(rows), dtype)

    def look(start: int) -> None:
        for a in range(start, start + step, TILE // _ROW):
            part = slice(a, min(a + TILE // _ROW, start + step))
            if found is not flat:
                rows[part] = given[part]
            np.max(rows[part], axis=1, out=largest[part])

    step = 16 * TILE // _ROW
    run_tiles(look, range(0, len(rows), step), threads)
    found[end:] = flat[end:]
    known = np.append(dtype.type(0), np.maximum.accumulate(largest))
    news = np.flatnonzero(known[1:] > known[:-1])
    at_once = TILE // _ROW
    in_order = _one_by_one(known[-1:], found[None, end:])
    for some in (news[i : i + at_once] for i in range(0, len(news), at_once)):
        in_order = in_order and _one_by_one(known[some], rows[some])
    return found.reshape(labels.shape), in_order


def _one_by_one(known: np.ndarray, rows: np.ndarray) -> bool:
    """Tell whether no label of a row is more than the next of those before, `known` of which are
    there at its start.
    """
    highest = np.maximum.accumulate(np.concatenate([known[:, None], rows], axis=1), axis=1)
    return not np.any(highest[:, 1:] - highest[:, :-1] > 1)


def first_voxels(labels: np.ndarray, count: int) -> np.ndarray:
    """Return the place in C order of the first voxel of each of the labels 1 to `count`."""
    flat = labels.reshape(-1)
    first = np.zeros(count + 1, np.int64)
    # The last value written stays: going backwards, that of the first voxel. Part by part, so that
    # noise needs no more memory than a rock.
    for start in range((flat.size - 1) // TILE * TILE, -1, -TILE):
        part = flat[start : start + TILE]
        # Where a label is seen first, the voxel before has another one.
        begins = np.append(0, np.flatnonzero(part[1:] != part[:-1]) + 1)[::-1]
        first[part[begins]] = start + begins
    return first[1:]


def extents(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the voxels of each of the labels 1 to `count`, and its first and one past its last
    index along every axis.
    """
    import cc3d

    sizes = np.zeros(count, np.int64)
    lower, upper = np.zeros((count, 3), np.int64), np.zeros((count, 3), np.int64)
    if count and labels.size:
        labels = np.require(labels, np.uint32, ("C", "W"))
        known = cc3d.statistics(labels, no_slice_conversion=True)
        found = known["voxel_counts"][1 : count + 1]
        sizes[: len(found)] = found
        there = np.flatnonzero(found)
        boxes = known["bounding_boxes"][1:][there].astype(np.int64)
        lower[there], upper[there] = boxes[:, 0::2], boxes[:, 1::2] + 1
    return sizes, lower, upper


def merge_labels(pairs: np.ndarray, count: int) -> tuple[np.ndarray, int]:
    """Join numbers that are the same component: the components of a graph.

    Parameters
    ----------
    pairs
        Shape (n, 2), numbers below `count` that belong together.
    count
        How many numbers there are.

    Returns
    -------
        For every number that of its component, and how many components there are.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), bool)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    components, merged = connected_components(graph, directed=False)
    return merged, int(components)


def touching_pairs(
    low: np.ndarray,
    high: np.ndarray,
    offset: tuple[int, int, int],
    connectivity: int,
    phases: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Return the pairs of numbers that are neighbours across a boundary, each once.

    Parameters
    ----------
    low, high
        Numbers (0: none) on the two sides: of equal shape, one voxel thick along the axes in which
        they differ.
    offset
        Where `high` lies, seen from `low`: 1 or -1 along those axes, 0 along the others.
    connectivity
        6, 18 or 26.
    phases
        Of the voxels on the two sides; only equal ones belong together.

    Examples
    --------
    >>> low, high = np.array([[[1, 1, 0, 2]]]), np.array([[[3, 4, 0, 4]]])
    >>> touching_pairs(low, high, (1, 0, 0), 6).tolist()
    [[1, 3], [1, 4], [2, 4]]
    """
    reach = {6: 1, 18: 2, 26: 3}[connectivity] - sum(map(abs, offset))
    found = [np.zeros((0, 2), np.int64)]
    steps = [(0,) if o else (-1, 0, 1) for o in offset]
    for step in np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3).tolist():
        if sum(map(abs, step)) > reach:
            continue
        from_low = tuple(slice(max(0, -s), min(n, n - s)) for s, n in zip(step, low.shape, strict=True))
        from_high = tuple(slice(max(0, s), min(n, n + s)) for s, n in zip(step, low.shape, strict=True))
        a, b = low[from_low], high[from_high]
        both = (a > 0) & (b > 0)
        if phases is not None:
            both &= phases[0][from_low] == phases[1][from_high]
        if both.any():
            found.append(_unique_pairs(a[both], b[both]))
    return np.unique(np.concatenate(found), axis=0) if len(found) > 2 else np.concatenate(found)


def _unique_pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    base = int(b.max()) + 1
    if int(a.max()) < 2**62 // base:  # one sort of whole numbers is far quicker than one of rows
        key = np.unique(a.astype(np.int64) * base + b.astype(np.int64))
        return np.stack([key // base, key % base], axis=1)
    return np.unique(np.stack([a, b], axis=1).astype(np.int64), axis=0)


def joins_ends(
    phase: np.ndarray,
    axis: int,
    *,
    connectivity: int = 6,
    ends: str = "faces",
    periodic: Collection[int] = (),
) -> np.ndarray:
    """Return the voxels of a phase that belong to a component which joins the two ends of an axis.

    This is the one rule of `lithax.keep_percolating` and of the solvers, whose other components
    carry no flow; they apply it in parts, by `joined_around` and `joining`.

    Parameters
    ----------
    phase
        True in the phase.
    axis
        The axis along which ends are joined.
    connectivity
        6, 18 or 26 neighbours; flow through voxel faces is 6.
    ends
        "faces": the component has a voxel in the first layer and one in the last. "periodic": the
        image goes on with itself along the axis, and the component comes back to a voxel of its own
        after going around it (not only to the other face: a component that enters the next period
        elsewhere, and ends there, joins nothing).
    periodic
        Other axes along which the image goes on with itself.
    """
    if ends not in ("faces", "periodic"):
        raise ValueError(f"ends={ends!r} must be 'faces' or 'periodic'.")
    labels, count = label_block(np.asarray(phase, bool), connectivity)
    around = {*periodic, *((axis,) if ends == "periodic" else ())}
    groups, wraps = joined_around(count, *wrapped_pairs(labels, connectivity, around))
    first, last = np.zeros(count + 1, bool), np.zeros(count + 1, bool)
    first[np.take(labels, 0, axis)] = last[np.take(labels, -1, axis)] = True
    return lookup(joining(groups, wraps[:, axis], first, last, ends)[0], labels)


def joined_around(count: int, pairs: np.ndarray, winding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join labels that are neighbours, and find which components come back to themselves shifted by
    the image.

    Parameters
    ----------
    count
        The largest label; 0 is none, and is in no pair.
    pairs, winding
        Labels that are neighbours, shape (n, 2), and by how many periods the image goes on between
        the two along each axis, shape (n, 3).

    Returns
    -------
        For the labels 0 to `count` their component, and for each component along which axes it
        wraps around.
    """
    if not len(pairs):
        return np.arange(count + 1), np.zeros((count + 1, 3), bool)
    groups, components = merge_labels(pairs, count + 1)
    wraps = np.zeros((components, 3), bool)
    for axis in range(3):
        if winding[:, axis].any():
            wraps[:, axis] = _winds(pairs, winding[:, axis], groups, components)
    return groups, wraps


def joining(
    groups: np.ndarray, wraps: np.ndarray, first: np.ndarray, last: np.ndarray, ends: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return which labels belong to a component that joins the ends of an axis, and which to one
    that touches an end at all (in a periodic image: the same); see `joins_ends`.

    Parameters
    ----------
    groups, wraps
        The component of each label, and whether a component wraps around along the axis.
    first, last
        Whether a label has a voxel in the first and in the last layer.
    ends
        "faces" or "periodic".
    """
    if ends == "periodic":
        joins = touches = wraps
    else:
        reached = np.zeros((2, len(wraps)), bool)
        for end, there in enumerate((first, last)):
            reached[end, groups[there]] = True
        joins, touches = reached[0] & reached[1], reached[0] | reached[1]
    joins, touches = joins[groups], touches[groups]
    joins[0] = touches[0] = False
    return joins, touches


def wrapped_pairs(
    labels: np.ndarray, connectivity: int, axes: Collection[int], phases: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of labels that are neighbours where the image goes on with itself along some
    axes.

    With `phases` only labels of the same phase are.

    Returns
    -------
        The pairs, shape (n, 2), and for each by how many periods the image goes on along each axis,
        shape (n, 3).
    """
    pairs, winding = [np.zeros((0, 2), np.int64)], [np.zeros((0, 3), np.int64)]
    for offset in HALF_OFFSETS:
        around = [a for a in range(3) if offset[a]]
        for crossing in _subsets(around):
            if not crossing or not set(crossing) <= set(axes):
                continue
            # Along the axes that are crossed the last layer meets the first; along the others a
            # step of one stays inside.
            below = tuple(_side(offset[a], a in crossing, True) for a in range(3))
            above = tuple(_side(offset[a], a in crossing, False) for a in range(3))
            low, high = labels[below], labels[above]
            both = (low > 0) & (high > 0)
            if phases is not None:
                both &= phases[below] == phases[above]
            if sum(map(abs, offset)) <= {6: 1, 18: 2, 26: 3}[connectivity] and both.any():
                found = _unique_pairs(low[both], high[both])
                pairs.append(found)
                periods = np.asarray([offset[a] if a in crossing else 0 for a in range(3)])
                winding.append(np.broadcast_to(periods, (len(found), 3)))
    return np.concatenate(pairs), np.concatenate(winding)


def _side(step: int, crosses: bool, low: bool) -> slice:
    if step == 0:
        return slice(None)
    if crosses:
        return slice(-1, None) if (step > 0) == low else slice(0, 1)
    return slice(None, -1) if (step > 0) == low else slice(1, None)


def _subsets(axes: list[int]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for axis in axes:
        found += [(*subset, axis) for subset in found]
    return found


HALF_OFFSETS = tuple((i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1) if (i, j, k) > (0, 0, 0))
"""One of each two opposite directions to a neighbour."""


def _winds(pairs: np.ndarray, winding: np.ndarray, merged: np.ndarray, components: int) -> np.ndarray:
    """Return which components come back to themselves another period on.

    Along a spanning tree every label gets the period in which it lies; an edge of the component
    that disagrees closes a way around the image.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order

    found = np.zeros(components, bool)
    if not len(pairs):
        return found
    nodes, inverse = np.unique(pairs, return_inverse=True)
    ends, count = inverse.reshape(pairs.shape), len(nodes)
    root = count
    _, one_of_each = np.unique(merged[nodes], return_index=True)
    a = np.concatenate([ends[:, 0], ends[:, 1], np.full(len(one_of_each), root)])
    b = np.concatenate([ends[:, 1], ends[:, 0], one_of_each])
    period = np.concatenate([winding, -winding, np.zeros(len(one_of_each), np.int64)])
    key = a * (count + 1) + b
    _, once = np.unique(key, return_index=True)
    edges = key[once]
    graph = coo_array((np.ones(len(once), bool), (a[once], b[once])), shape=(count + 1, count + 1)).tocsr()
    _, before = breadth_first_order(graph, root, directed=True)
    before = before.astype(np.int64)
    before[root] = root
    step = np.zeros(count + 1, np.int64)
    others = np.arange(count)
    step[others] = period[once][np.searchsorted(edges, before[others] * (count + 1) + others)]
    while np.any(before != root):  # steps back to the root, added up in doubling strides
        step = step + step[before]
        before = before[before]
    disagree = step[ends[:, 0]] + winding != step[ends[:, 1]]
    found[merged[pairs[disagree, 0]]] = True
    return found
