"""Measure over a grid: every block gives a state, states are combined in the order of the blocks."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from lithax.chunked._block_layout import Layout, stretch
from lithax.chunked._block_tree import BlockTree, combine_nodes
from lithax.chunked._cache import ChunkCache
from lithax.chunked._device_turns import DeviceTurns, compiled_bytes, on_device
from lithax.chunked._kernel import _COMPILED, _check_marked, _guard_elementwise, backend_namespace, to_backend
from lithax.chunked._lift import lift
from lithax.chunked._padded import read_padded
from lithax.chunked._pool import run_all
from lithax.chunked._progress import Progress
from lithax.chunked._valid_blocks import Selection
from lithax.geometry import Frame
from lithax.grid import BlockSource, Halo, Index, box_shape, triple
from lithax.ops import Context, Program


@dataclass
class BlockReader:
    """Reads the blocks of several images and the voxels that count among them."""

    sources: Sequence[BlockSource]
    layout: Layout
    selection: Selection | None
    cache: ChunkCache
    compiled: bool
    halos: tuple[Halo, ...]
    boundary: str = "reflect"
    boundary_value: Any = 0

    def read(self, block: Index) -> "ReadBlock | None":
        """Return a block of every image and which of its voxels count; None if none does.

        Where no halo is asked for, voxels that do not count hold the value of one that does.
        """
        grid = self.layout.grid
        start, core = grid.start(block), self.layout.block
        inner = tuple(slice(0, n) for n in box_shape(grid.box(block)))
        valid = np.zeros(core, bool)
        first = (0, 0, 0)
        valid_padded = None
        if self.selection is None:
            valid[inner] = True
        else:
            widest = triple(max(h[a] for h in self.halos) for a in range(3))
            begin = triple(s - w for s, w in zip(start, widest, strict=True))
            shape = triple(c + 2 * w for c, w in zip(core, widest, strict=True))
            valid_padded = self.selection.block(self.cache, begin, shape, widest, self.boundary, self.compiled)
            center = valid_padded[tuple(slice(w, w + c) for w, c in zip(widest, core, strict=True))]
            valid[inner] = center[inner]
            first = triple(map(int, np.unravel_index(int(np.argmax(valid)), core)))
            if not valid[first]:
                return None
        blocks = []
        for source, halo in zip(self.sources, self.halos, strict=True):
            begin = triple(s - h for s, h in zip(start, halo, strict=True))
            shape = triple(c + 2 * h for c, h in zip(core, halo, strict=True))
            values = read_padded(source, self.cache, begin, shape, halo, self.boundary, self.boundary_value)
            if self.selection is not None and not any(halo):
                values = np.where(valid, values, values[first])
            blocks.append(values)
        return ReadBlock(start, blocks, valid, valid_padded, first)


@dataclass
class ReadBlock:
    """One block of every image: `valid` over the core, `valid_padded` over the core and its halo (None: no selection)."""

    start: Index
    blocks: list[np.ndarray]
    valid: np.ndarray
    valid_padded: np.ndarray | None
    first: Index


@dataclass(frozen=True)
class BlockState:
    """How the state of one block is made."""

    of: Callable[[ReadBlock], Any]
    temporary_bytes: int
    """Memory that this needs besides the block [byte]."""
    at_once: int | None = None
    """How many blocks the memory of the devices holds; None: any number."""
    state_bytes: int | None = None
    """Length of a state [byte]; None where no compiler says it."""


def reduce_blocks(
    measure: Any,
    state: BlockState,
    reader: BlockReader,
    *,
    workers: int,
    label: str,
    show_progress: bool,
    gather: Callable[[Any], list[Any]],
    share: tuple[int, int] = (0, 1),
    watch: Callable[[], None] = lambda: None,
) -> Any:
    """Return the combined state of all blocks; None if no voxel counts.

    States are combined on the host in block order along one tree, so that float sums have the same bits for any number of
    threads and processes. Each process makes the nodes of its stretch, and the processes tell each other these.
    """
    own = stretch(reader.layout.grid, share)
    tree = BlockTree(measure.combine, own.start)
    each_block(
        reader,
        state.of,
        tree.add,
        workers=workers,
        label=label,
        show_progress=show_progress,
        share=share,
        watch=watch,
    )
    nodes = tree.end(own.stop)
    if nodes and getattr(measure, "exact", False):
        nodes = [(nodes[0][0], functools.reduce(measure.combine, [node for _, node in nodes]))]
    return combine_nodes(measure.combine, gather(nodes))


def each_block(
    reader: BlockReader,
    work: Callable[[ReadBlock], Any],
    take: Callable[[int, Any], None],
    *,
    workers: int,
    label: str,
    show_progress: bool,
    share: tuple[int, int] = (0, 1),
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Work on every block in which a voxel counts, in threads, and take the results in the order of the blocks.

    `take` is given the place of the block in that order, and the result.
    Of several processes each works on a stretch of the blocks; `share` is this one's place among them, and their number.
    ``watch()`` raises if another process has failed.
    """
    grid = reader.layout.grid
    blocks = [grid.index(position) for position in stretch(grid, share)]
    waiting: dict[Index, Any] = {}
    order = iter(blocks)
    expected = next(order, None)
    progress = Progress(sum(math.prod(box_shape(grid.box(b))) for b in blocks), label, show_progress)

    def read_and_work(block: Index) -> Any:
        read = reader.read(block)
        return None if read is None else work(read)

    def done(block: Index, result: Any) -> None:
        nonlocal expected
        progress.add(math.prod(box_shape(grid.box(block))))
        waiting[block] = result
        while expected in waiting:
            ready = waiting.pop(expected)
            if ready is not None:
                take(grid.linear(expected), ready)
            expected = next(order, None)

    try:
        run_all(blocks, read_and_work, min(workers, max(len(blocks), 1)), done, watch)
    finally:
        progress.close()


def block_state(
    measure: Any,
    reader: BlockReader,
    frame: Frame,
    backend: Any,
    program: Program | None = None,
    devices: Sequence[Any] | None = None,
) -> BlockState:
    """Compile what measures one block.

    A `program` is applied to the first image, whose halo the reader must have, before it is measured. Blocks are dealt out to the `devices`;
    None is the default one.
    """
    dtypes = tuple(s.dtype for s in reader.sources)
    core = reader.layout.block

    def context(offset: Any, valid: Any) -> dict[str, Any]:
        if not getattr(measure, "context", False):
            return {}
        return {"block": Context(tuple(offset), frame.shape, frame.voxel_length, frame.voxel_origin, valid)}

    def after(program: Program | None, blocks: list[Any], offset: Any, valid_padded: Any, first: Any) -> list[Any]:
        if program is None:
            return blocks
        made = program.on_block(
            blocks[:1],
            offset=tuple(offset),
            shape=frame.shape,
            spacing=frame.voxel_length,
            origin=frame.voxel_origin,
            valid=valid_padded,
            donor_voxel=None if valid_padded is None else tuple(first),
        )
        return [made, *blocks[1:]]

    if backend != "jax" or getattr(measure, "host", False):
        xp = backend_namespace("numpy" if backend == "jax" else backend)

        def state_on_host(read: ReadBlock) -> Any:
            arrays = [to_backend(xp, b) for b in read.blocks]
            valid_padded = None if read.valid_padded is None else to_backend(xp, read.valid_padded)
            arrays = after(program, arrays, read.start, valid_padded, read.first)
            flags = to_backend(xp, read.valid)
            return to_host(measure.of(*arrays, valid=flags, **context(read.start, flags)))

        # Without a compiler to ask: every step of a measurement holds an intermediate or two of float64.
        return BlockState(state_on_host, 4 * 8 * math.prod(core))

    leaves, structure = jax.tree_util.tree_flatten(measure)
    dynamic = [leaf for leaf in leaves if isinstance(leaf, np.ndarray | jax.Array)]
    where = [isinstance(leaf, np.ndarray | jax.Array) for leaf in leaves]
    fixed = [None if w else leaf for w, leaf in zip(where, leaves, strict=True)]
    lifted, program_key, rebuild_program = (
        ([], None, None) if program is None else lift(program, reader.selection is not None)
    )
    valid_padded_shape = None
    if program is not None and reader.selection is not None:
        widest = triple(max(h[a] for h in reader.halos) for a in range(3))
        valid_padded_shape = triple(c + 2 * w for c, w in zip(core, widest, strict=True))

    def kernel(
        arrays: list[Any],
        parameters: list[Any],
        blocks: list[Any],
        valid: Any,
        valid_padded: Any,
        offset: Any,
        first: Any,
    ) -> Any:
        supply = iter(arrays)
        filled = [next(supply) if w else leaf for w, leaf in zip(where, fixed, strict=True)]
        rebuilt = jax.tree_util.tree_unflatten(structure, filled)
        at = (offset[0], offset[1], offset[2])
        own = None if rebuild_program is None else _guard_elementwise(rebuild_program(parameters))
        blocks = after(own, blocks, at, valid_padded, (first[0], first[1], first[2]))
        return rebuilt.of(*blocks, valid=valid, **context(at, valid))

    key = (
        "reduce",
        structure,
        tuple((type(leaf), repr(leaf) if isinstance(leaf, float) else leaf) for leaf in fixed),
        tuple((a.shape, str(a.dtype)) for a in dynamic),
        program_key,
        tuple((np.shape(a), str(a.dtype)) for a in lifted),
        valid_padded_shape,
        reader.halos,
        core,
        tuple(d.str for d in dtypes),
        frame if program is not None or getattr(measure, "context", False) else None,
    )

    def build(device: Any) -> Any:
        like = jax.ShapeDtypeStruct
        with jax.enable_x64(True), on_device(device):
            shapes = [tuple(c + 2 * h for c, h in zip(core, halo, strict=True)) for halo in reader.halos]
            traced = jax.jit(kernel).trace(
                [like(a.shape, a.dtype) for a in dynamic],
                [like(np.shape(a), a.dtype) for a in lifted],
                [like(s, d) for s, d in zip(shapes, dtypes, strict=True)],
                like(core, np.bool_),
                None if valid_padded_shape is None else like(valid_padded_shape, np.bool_),
                like((3,), np.int64),
                like((3,), np.int64),
            )
            if program is not None:
                _check_marked(traced.jaxpr.jaxpr)
            compiled = traced.lower().compile()
            # On the host counts have 64 bits.
            leaves = jax.tree_util.tree_leaves(traced.out_info)
            states = sum(math.prod(leaf.shape) * max(leaf.dtype.itemsize, 8) for leaf in leaves)
            return compiled, (*compiled_bytes(compiled), states)

    own: dict[str, Any] = {}  # where the measurement itself cannot be a key

    def compiled_for(device: Any) -> Any:
        try:
            return _COMPILED.get((*key, str(device)), lambda: build(device))
        except TypeError as error:
            if "unhashable" not in str(error):
                raise
            if str(device) not in own:
                own[str(device)] = build(device)
            return own[str(device)]

    _, (temporary_bytes, block_bytes, state_bytes) = compiled_for(None if devices is None else devices[0])
    turns = DeviceTurns(devices, block_bytes)

    def state(read: ReadBlock) -> Any:
        offset, first = np.asarray(read.start, np.int64), np.asarray(read.first, np.int64)
        valid_padded = None if valid_padded_shape is None else read.valid_padded
        with turns.take() as device, jax.enable_x64(True):
            compiled, _ = compiled_for(device)
            return to_host(compiled(dynamic, lifted, read.blocks, read.valid, valid_padded, offset, first))

    return BlockState(state, temporary_bytes, turns.at_once, state_bytes)


def to_host(state: Any) -> Any:
    """Return a state with NumPy arrays for leaves."""
    from lithax.arrays import is_array, to_numpy

    # JAX differentiates by arrays of a class of its own, which other processes could not read.
    return jax.tree_util.tree_map(lambda leaf: np.asarray(to_numpy(leaf)) if is_array(leaf) else leaf, state)
