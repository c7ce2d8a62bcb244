"""The function of a measurement: the state of one block."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from lithax.chunked._block_function import BlockFunction, HostFunction
from lithax.chunked._block_reader import BlockReader, ReadBlock
from lithax.chunked._elementwise_marks import mark_elementwise
from lithax.chunked._function_state import function_state
from lithax.chunked._lift import lift, lift_tree
from lithax.geometry import Frame
from lithax.grid import Halo, triple
from lithax.measure import Traits
from lithax.ops import Context, Program


@dataclass(frozen=True)
class StateFunction:
    """How the state of one block is made."""

    of: Callable[[ReadBlock], Any]
    temporary_bytes: int
    """Memory that this needs besides the block [byte]."""
    at_once: int | None = None
    """How many blocks the memory of the devices holds; None: any number."""
    state_bytes: int | None = None
    """Length of a state [byte]; None where no compiler says it."""


def state_function(
    measure: Any,
    reader: BlockReader,
    frame: Frame,
    backend: Any,
    program: Program | None = None,
    devices: Sequence[Any] | None = None,
) -> StateFunction:
    """Return what measures one block.

    A `program` is applied to the first image, whose halo the reader must have, before it is
    measured. Blocks go to the `devices` in turn; None is the default one. A measurement that says
    ``host = True`` is run on NumPy arrays under any backend.
    """

    def state(measure: Any, program: Program | None, blocks, valid, valid_padded, offset, donor_voxel) -> Any:
        at = (offset[0], offset[1], offset[2])
        if program is not None:
            first = predicted(program, blocks[:1], frame, at, valid_padded, donor_voxel)
            blocks = [first, *blocks[1:]]
        context = {}
        if traits.context:
            context["block"] = Context(at, frame.shape, frame.voxel_length, frame.voxel_origin, valid)
        return measure.of(*blocks, valid=valid, **context)

    traits = Traits.of(measure)
    selects = reader.selection is not None and program is not None
    on_numpy = traits.host or (program is not None and program.host)
    if backend != "jax" or on_numpy:
        # Every step of a measurement holds an intermediate or two of float64.
        temporary = 4 * 8 * math.prod(reader.layout.block)
        host = HostFunction(
            lambda *block: state(measure, program, *block), "numpy" if on_numpy else backend, None, temporary
        )

        def on_host(read: ReadBlock) -> Any:
            return host(
                read.blocks,
                read.valid_within(traits.halo),
                read.valid_padded if selects else None,
                read.start,
                read.donor_voxel,
            )

        return StateFunction(on_host, temporary)

    own, measure_key, rebuild = lift_tree(measure)
    parameters, program_key, rebuild_program = ([], None, None) if program is None else lift(program, selects)

    def body(arrays, *block):
        own, parameters = arrays
        inner = None if rebuild_program is None else mark_elementwise(rebuild_program(parameters))
        return state(rebuild(own), inner, *block)

    key = (
        "state", measure_key, function_state(type(measure)), program_key, reader.halos,
        frame if program is not None or traits.context else None,
    )  # fmt: skip
    function = BlockFunction(
        body, (own, parameters), block_examples(reader, selects, traits.halo), devices=devices, key=key
    )
    # On the host counts have 64 bits.
    leaves = jax.tree_util.tree_leaves(function.results)
    state_bytes = sum(math.prod(leaf.shape) * max(leaf.dtype.itemsize, 8) for leaf in leaves)
    return StateFunction(
        lambda read: function(*block_arguments(read, selects, traits.halo)),
        function.temporary_bytes,
        function.at_once,
        state_bytes,
    )


def predicted(program: Program, blocks: Sequence[Any], frame: Frame, at: Any, valid_padded: Any, donor: Any) -> Any:
    """Return what a program makes of the first image, with what is left out kept from it."""
    return program.on_block(
        blocks,
        offset=at,
        shape=frame.shape,
        spacing=frame.voxel_length,
        origin=frame.voxel_origin,
        valid=valid_padded,
        donor_voxel=None if valid_padded is None else (donor[0], donor[1], donor[2]),
    )


def block_examples(reader: BlockReader, selects: bool, halo: Halo = (0, 0, 0)) -> tuple[Any, ...]:
    """Return the forms of `block_arguments`: voxels, flags, flags with halo (if a program
    `selects`), offset, donor voxel.
    """
    like = jax.ShapeDtypeStruct
    core, widest = reader.layout.block, reader.widest
    three = like((3,), np.int64)
    return (
        [like(s, source.dtype) for s, source in zip(reader.block_shapes, reader.sources, strict=True)],
        like(triple(c + 2 * h for c, h in zip(core, halo, strict=True)), np.bool_),
        like(tuple(c + 2 * w for c, w in zip(core, widest, strict=True)), np.bool_) if selects else None,
        three,
        three,
    )


def block_arguments(read: ReadBlock, selects: bool, halo: Halo = (0, 0, 0)) -> tuple[Any, ...]:
    """Return a block as the compiled functions of measurements take it."""
    offset, donor = np.asarray(read.start, np.int64), np.asarray(read.donor_voxel, np.int64)
    return read.blocks, read.valid_within(halo), read.valid_padded if selects else None, offset, donor
