"""The basins of an image of any size, and what joins them: a graph, found in one pass.

Blocks are divided apart, and their faces brought together (`lithax.arrays.find_basins` says why
that is exact). What depends on the whole image is then asked of the graph; a second pass divides
the blocks again and looks up what each basin became.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lithax.arrays import NO_EDGES, Basins, Edges, find_basins
from lithax.chunked import FaceExchange, FoldPass, Layout, PassBlock, toward
from lithax.grid import Index, World, triple


class Relief(NamedTuple):
    """What a block is divided by, over its arrays."""

    values: np.ndarray
    taken: np.ndarray
    seeds: np.ndarray | None = None

    def basins(self, block: PassBlock, joined: bool = False) -> Basins:
        """Return the basins of the block, with the edges between them if `joined`."""
        return find_basins(*self, block.core, block.begin, block.shape, joined=joined)


class BasinGraph(NamedTuple):
    """The basins of all blocks, from number 0, which is none, and the edges between them."""

    values: np.ndarray
    """Value of the lowest voxel of each basin."""
    places: np.ndarray
    """Its place in C order."""
    seeds: np.ndarray
    """Its seed; 0: none."""
    marks: np.ndarray
    """What was noted of each basin, shape (n, k)."""
    edges: Edges
    bases: dict[int, int]
    """Number before the first basin of a block, by the place of the block."""

    def local(self, block: PassBlock, basins: Basins, of_all: np.ndarray) -> np.ndarray:
        """Return for each voxel of a block what `of_all` holds for its basin."""
        base = self.bases.get(block.place, 0)
        return np.concatenate([of_all[:1], of_all[base + 1 : base + 1 + len(basins.places)]])[basins.nodes]


BASIN_BYTES = 350
"""What each basin takes with its edges, until all of them are joined (measured)."""


Noted = Callable[[PassBlock, Relief, Basins], np.ndarray]


class _Part(NamedTuple):
    values: np.ndarray
    places: np.ndarray
    seeds: np.ndarray
    marks: np.ndarray


def graph_of(parts: Sequence[Any], edges: Edges, bases: dict[int, int]) -> BasinGraph:
    """Return the graph of the basins of all parts of an image, in their order."""
    if not parts:
        return BasinGraph(np.zeros(1), np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros((1, 0)), edges, bases)
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in _Part._fields]
    # Number 0 stands for no basin.
    values, places, seeds, marks = (np.concatenate([np.zeros((1, *c.shape[1:]), c.dtype), c]) for c in columns)
    return BasinGraph(values, places, seeds, marks, edges, bases)


def graph_of_array(relief: Relief, noted: Callable[[Basins], np.ndarray] | None = None) -> tuple[Basins, BasinGraph]:
    """Return the basins of a whole array."""
    shape = triple(relief.values.shape)
    basins = find_basins(*relief, triple(slice(0, n) for n in shape), (0, 0, 0), shape)
    marks = np.zeros((len(basins.places), 0)) if noted is None else noted(basins)
    return basins, graph_of([_Part(*basins[1:4], marks)], basins.edges, {0: 0})


def basin_pass(
    name: str, inputs: Sequence[Any], layout: Layout, relief: Callable[[PassBlock], Relief], noted: Noted | None = None
) -> Generator[FoldPass, Any, BasinGraph]:
    """Yield the pass that finds the basins of an image; return their graph.

    Parameters
    ----------
    relief
        Of a block with a halo of one.
    noted
        Returns what is noted of each basin of a block, shape (n, k).
    """
    grid, shape = layout.grid, layout.shape
    bases: dict[int, int] = {}
    kept: list[_Part] = []
    edges: list[Edges] = []
    total = 0

    def meet(low: Any, high: Any, offset: Any, periods: Any) -> None:
        edges.append(_across(low, high))

    exchange = FaceExchange(grid, meet)

    def kernel(block: PassBlock) -> Any:
        seen = relief(block)
        basins = seen.basins(block, joined=True)
        at = triple(b.start // n for b, n in zip(block.box, layout.block, strict=True))
        own = block.inner(seen.values)
        faces = {}
        for offset in exchange.offsets:
            if exchange.neighbour(at, offset) is not None:
                side = toward(offset)
                faces[offset] = own[side].copy(), basins.nodes[side].astype(np.int64), _places(block, side, shape)
        marks = np.zeros((len(basins.places), 0)) if noted is None else noted(block, seen, basins)
        return _Part(*basins[1:4], marks), basins.edges, faces

    def take(block: PassBlock, found: Any) -> None:
        nonlocal total
        part, inner, faces = found
        bases[block.place] = total
        exchange.add(grid.index(block.place), {o: _raised(face, total) for o, face in faces.items()})
        kept.append(part)
        edges.append(_lifted(inner, total))
        total += len(part.places)

    def finish(world: World) -> BasinGraph:
        counts = world.gather(total)
        before = sum(counts[: world.index])
        own = [_lifted(e, before) for e in edges]
        edges.clear()
        exchange.finish(world, lambda face: _raised(face, before))
        everything = kept, [*own, *edges], {k: b + before for k, b in bases.items()}
        gathered = world.gather(everything)
        every = [e for _, some, _ in gathered for e in some]
        joined = Edges(*(np.concatenate(column) for column in zip(*every, strict=True))) if every else NO_EDGES
        return graph_of(
            [p for some, *_ in gathered for p in some], joined, {k: b for *_, s in gathered for k, b in s.items()}
        )

    nothing = graph_of([], NO_EDGES, {})
    graph = yield FoldPass(
        name, kernel, take, finish, inputs, halo=(1, 1, 1), voxel_bytes=56, kept_bytes=4.0,
        growing=lambda: BASIN_BYTES * total, assumed=nothing,
    )  # fmt: skip
    return graph


def _lifted(edges: Edges, base: int) -> Edges:
    return edges._replace(first=edges.first + base, second=edges.second + base)


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
