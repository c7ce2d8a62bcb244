"""Measure images of any size, and differentiate losses over them."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lithax.chunked import (
    ALLOCATOR_OVERHEAD,
    ANY_MACHINE,
    CACHE_OVERHEAD,
    FIXED_BYTES,
    BlockReader,
    ChunkCache,
    LossOverBlocks,
    StateFunction,
    check_plain_functions,
    choose_layout,
    evaluation_bytes,
    has_real_numbers,
    largest_chunk,
    layers_fit,
    most_nodes,
    reduce_blocks,
    state_function,
)
from lithax.errors import MemoryLimitError
from lithax.grid import Halo
from lithax.images._call import (
    NOT_COMPILED,
    Inputs,
    cache_bytes,
    check_halo_fits,
    gather_inputs,
    refuse_tracers,
    size_text,
    world_of,
)
from lithax.images._collective import check_same, together
from lithax.images._identity import call_of
from lithax.images._run import Run
from lithax.measure import Traits
from lithax.ops import Program, as_steps


def chunk_reduce(
    measure: Any,
    *images: Any,
    fn: Callable[..., Any] | None = None,
    where: Any = None,
    backend: Any = "jax",
    memory_limit: int | str | None = None,
    workers: int | None = None,
    world: Any = None,
    progress: bool = True,
) -> Any:
    """Take a measurement over the voxels of one or more images, whatever their size.

    Parameters
    ----------
    measure
        A measurement of `lithax.measure`, or anything with ``of(*blocks, valid)``, ``combine(a,
        b)`` and ``finish(state)``. States are combined along one tree over the blocks in their
        order: integers are exact, and float sums have the same bits for any number of threads and
        processes on one chunk grid. If it says ``exact = True``, any grouping gives the same bits,
        and processes tell each other less.
    *images
        Images (or arrays) on one grid of voxels.
    fn
        A voxel operation, a chain or a `functools.partial` of one, applied to the first image, with
        halo and boundary rule, before it is measured: what ``chunk_map(fn, image)`` would write is
        measured and not stored.
    where
        Which voxels count, as for `chunk_map`; an `fn` that looks at neighbours needs a masked form
        then.
    backend, memory_limit, workers, world, progress
        As for `chunk_map`.

    Returns
    -------
        What ``measure.finish`` makes of the combined state.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, before anything is read; if `where` selects no voxel.
    MemoryLimitError
        If more memory than `memory_limit` would be needed.
    """
    world = world_of("chunk_reduce", images, world)
    with together(world):
        prepared = prepare_reduce(
            "chunk_reduce", measure, images,
            fn=fn, where=where, run=Run(backend, None, memory_limit, workers, world, progress),
        )  # fmt: skip
        prepared.check_memory()
        check_same(world, "chunk_reduce", lambda: call_of(prepared.inputs, measure=measure, fn=fn))
        return prepared.measure(measure, world, **prepared.run.over_blocks(type(measure).__name__))


@dataclass(frozen=True)
class PreparedReduce:
    """A call of `chunk_reduce`, checked and compiled, before anything is read."""

    name: str
    inputs: Inputs
    reader: BlockReader
    state: StateFunction
    exact: bool
    run: Run

    @property
    def block_bytes(self) -> int:
        """Bytes of voxels of one block of every image, halos included."""
        block, reader = self.reader.layout.block, self.reader
        padded = [math.prod(b + 2 * h for b, h in zip(block, halo, strict=True)) for halo in reader.halos]
        return sum(n * s.dtype.itemsize for n, s in zip(padded, reader.sources, strict=True))

    @property
    def memory(self) -> int:
        """An upper bound of the memory that the call needs [byte]."""
        reader, block = self.reader, self.reader.layout.block
        each = self.block_bytes + math.prod(block) + self.state.temporary_bytes
        # A chunk as it is stored (noise does not get shorter), and decoded.
        each += 2 * largest_chunk(reader.sources) + evaluation_bytes(reader.sources, reader.block_shapes)
        if reader.selection is not None:  # flags, and the blocks with what is left out replaced
            widest = [max(h[a] for h in reader.halos) for a in range(3)]
            valid_padded = math.prod(b + 2 * w for b, w in zip(block, widest, strict=True))
            each += self.block_bytes + (2 + len(reader.selection.sources)) * valid_padded
            chosen = reader.selection.sources
            each += evaluation_bytes(chosen, [reader.block_shapes[0]] * len(chosen))
        at_once = min(self.run.workers, len(reader.layout.grid))
        states = (at_once + len(reader.layout.grid).bit_length()) * (
            self.state.state_bytes or 0
        ) + 2 * self.bytes_exchanged
        return int(ALLOCATOR_OVERHEAD * each * at_once + CACHE_OVERHEAD * reader.cache.capacity) + states + FIXED_BYTES

    @property
    def bytes_exchanged(self) -> int:
        """How much the processes tell each process at the end, at most: the nodes of a tree over
        each one's blocks [byte].
        """
        count = self.inputs.world.count
        if count == 1:
            return 0
        nodes = 1 if self.exact else most_nodes(-(-len(self.reader.layout.grid) // count))
        return count * nodes * (self.state.state_bytes or 0)

    def measure(self, measure: Any, world: Any, **over: Any) -> Any:
        """Take the measurement; `over` is for `reduce_blocks`."""
        state = reduce_blocks(measure, self.state, self.reader, gather=world.gather, **over)
        if state is None:
            raise ValueError(f"where={self.inputs.where!r} selects no voxel, so there is nothing to measure.")
        return measure.finish(state)

    def check_memory(self) -> None:
        """Raise MemoryLimitError if the call needs more memory than it may."""
        limit = self.run.memory_limit
        if self.memory > limit:
            check_halo_fits(self.reader.halos, self.memory, limit)
            raise MemoryLimitError(
                f"the call needs up to {size_text(self.memory)} for {self.run.workers} blocks in flight, memory_limit is "
                f"{size_text(limit)}; use smaller chunks (image.copy(store, chunks=64)) or fewer workers (workers=1), or raise "
                "memory_limit."
            )


def prepare_reduce(
    name: str,
    measure: Any,
    images: Sequence[Any],
    *,
    fn: Callable[..., Any] | None = None,
    where: Any = None,
    run: Run | None = None,
) -> PreparedReduce:
    """Check a call of `chunk_reduce`, choose its blocks and compile its measurement.

    A call that no memory holds is refused before it is compiled.
    """
    _check_methods("measure", measure, "a measurement such as lx.measure.Moments()")
    run = run or Run()
    inputs = gather_inputs(name, images, where, run.world)
    run = run.settled(inputs.world)
    program = None if fn is None else _program_on(inputs, "fn", fn)
    title = type(measure).__name__ if program is None else f"{type(measure).__name__} of {program!r}"
    halo = Traits.of(measure).halo
    if any(halo) and program is not None:
        raise ValueError(
            f"{type(measure).__name__} looks at neighbouring voxels (halo={measure.halo!r}), which fn= has not computed; write "
            f"what fn gives with chunk_map, and measure that."
        )
    reader = make_reader(inputs, (halo,) * len(images), run) if any(halo) else _reader_for(program, inputs, run)
    exact = Traits.of(measure).exact
    least = PreparedReduce(title, inputs, reader, StateFunction(lambda read: None, 0), exact, run)
    if name != "plan" or least.memory >= NOT_COMPILED:
        least.check_memory()
    return replace(least, state=state_function(measure, reader, inputs.frame, run.backend, program, run.device))


def random_voxels(shape: Sequence[int], dtype: Any, below: int = 200) -> np.ndarray:
    """Return voxels that stand for those that a plan does not read."""
    kind = np.dtype(str(dtype))
    return (np.random.default_rng(0).random(shape) * (1 if kind.kind == "f" else below)).astype(kind)


def measured_at_random(measure: Any, images: Sequence[Any], fn: Any = None, below: int = 200) -> Any:
    """Return a measurement of a few random voxels, for a plan that goes on with it."""
    voxels = [random_voxels((16, 16, 16), image.dtype, below) for image in images]
    if fn is not None:
        voxels[0] = np.asarray(fn(voxels[0]))
    if not callable(measure):
        return measure.finish(measure.of(*voxels, valid=np.ones(voxels[0].shape, bool)))
    return measure(*voxels)


def chunk_value_and_grad(
    loss: Any,
    parameters: Any,
    *images: Any,
    model: Callable[[Any], Any] | None = None,
    where: Any = None,
    memory_limit: int | str | None = None,
    workers: int | None = None,
    world: Any = None,
    progress: bool = True,
) -> tuple[np.ndarray, Any]:
    """Return a loss over images of any size and its gradient by the parameters.

    Parameters
    ----------
    loss
        A measurement with ``of(parameters, *blocks, valid)``, ``combine`` and ``finish(state)`` →
        number, such as `lithax.measure.MeanSquaredError`. If it is `additive` (states add up) one
        pass over the images is enough, otherwise two are made.
    parameters
        Any pytree; the gradient is by its real numbers and arrays.
    *images
        Images (or arrays) on one grid of voxels.
    model
        A function of the parameters that returns a voxel operation, a chain or a partial of one; it
        is applied to the first image, with halo and boundary rule, before the loss sees it.
    where
        Which voxels count, as for `chunk_map`; a model that looks at neighbours needs a masked form
        then.
    memory_limit, workers, world, progress
        As for `chunk_map`.

    Returns
    -------
        The value, and a gradient with the structure of `parameters` (None for leaves that are not
        real numbers).

    Raises
    ------
    ValueError
        If `parameters` holds no real number.

    Examples
    --------
    >>> import numpy as np
    >>> import lithax as lx
    >>> x = lx.from_array(np.ones((4, 4, 4), "f4"))
    >>> loss = lx.measure.MeanSquaredError(model=lambda p, v: p["gain"] * v)
    >>> value, gradient = lx.chunk_value_and_grad(loss, {"gain": 3.0}, x, x)
    >>> float(value), float(gradient["gain"])
    (4.0, 4.0)
    """
    refuse_tracers("chunk_value_and_grad", parameters)
    if not has_real_numbers(parameters):
        raise ValueError(
            f"parameters={parameters!r} holds no real number to differentiate by; make them floats, or use "
            f"lx.chunk_loss(loss, ...)(parameters) for the value alone."
        )
    world = world_of("chunk_value_and_grad", images, world)
    with together(world):
        run = Run("jax", None, memory_limit, workers, world, progress)
        over = loss_over("chunk_value_and_grad", loss, parameters, images, model, where, run)
        return over.value_and_gradient(parameters)


def loss_over(
    name: str,
    loss: Any,
    parameters: Any,
    images: Sequence[Any],
    model: Callable | None,
    where: Any,
    run: Run,
    evaluation: str = "",
) -> LossOverBlocks:
    """Check a call with a loss and return the loss over blocks; `evaluation` says which one it is,
    on which processes agree, too.
    """
    _check_methods("loss", loss, "lx.measure.MeanSquaredError(...), lx.measure.MeanLoss(function)")
    _check_takes_parameters(loss, len(images))
    if any(Traits.of(loss).halo):
        raise TypeError(
            f"loss is a {type(loss).__name__} that looks at neighbouring voxels; only model= may do so here."
        )
    inputs = gather_inputs(name, images, where, run.world)
    run = run.settled(inputs.world)
    check_same(
        run.world,
        name,
        lambda: {"evaluation": evaluation} | call_of(inputs, loss=loss, parameters=parameters, model=model),
    )
    program = None if model is None else _program_on(inputs, "model", model(parameters))
    if program is not None and program.host:
        raise TypeError(f"model gives {program!r} with a host function, which has no gradient; use chunk_reduce.")
    reader = _reader_for(program, inputs, run)
    PreparedReduce(name, inputs, reader, StateFunction(lambda read: None, 0), False, run).check_memory()
    if program is not None:
        check_plain_functions(program, inputs.sources[0].dtype)
    passes = run.over_blocks(type(loss).__name__)
    return LossOverBlocks(loss, model, reader, inputs.frame, passes, run.world.gather, run.device)


def _check_methods(name: str, measurement: Any, examples: str) -> None:
    """Refuse what is no measurement."""
    for method in ("of", "combine", "finish"):
        if not callable(getattr(measurement, method, None)):
            raise TypeError(
                f"{name} is a {type(measurement).__name__} without the method {method!r}; give {examples}, "
                "or an object with of, combine and finish."
            )


def _check_takes_parameters(loss: Any, count: int) -> None:
    """Refuse a measurement that is no loss: it takes voxels, and no parameters before them."""
    try:
        signature = inspect.signature(loss.of)
    except (TypeError, ValueError):  # of something that does not say
        return
    try:
        signature.bind(None, *([None] * count), valid=None)
    except TypeError:
        name = type(loss).__name__
        raise TypeError(
            f"loss is a {name}, whose of{signature} does not take (parameters, {'one image' if count == 1 else f'{count} images'}, valid=...). "
            f"A measurement is made a loss by lx.measure.Match({name}(...), value, standard_deviation), a function of voxels by "
            "lx.measure.MeanLoss(function)."
        ) from None


def _program_on(inputs: Inputs, name: str, operation: Any) -> Program:
    """Return the program of an operation that is applied to the first image before it is
    measured.
    """
    program = Program(as_steps(operation)).in_voxels(inputs.frame).fitted(inputs.frame.shape)
    if program.scale != (1, 1, 1):
        raise ValueError(
            f"{name} gives {program!r}, whose result is on another grid than the image; use chunk_map first."
        )
    if inputs.selection is not None:
        program.check_selection()
    return program


def _reader_for(program: Program | None, inputs: Inputs, run: Run) -> BlockReader:
    """Return a reader of blocks with the halo that a program on the first image needs."""
    none = ((0, 0, 0),) * len(inputs.sources)
    if program is None:
        return make_reader(inputs, none, run)
    return make_reader(inputs, (program.halos(1)[0], *none[1:]), run, program.reading_rule)


def make_reader(
    inputs: Inputs, halos: tuple[Halo, ...], run: Run, rule: tuple[str, Any] = ("nearest", 0)
) -> BlockReader:
    """Return a reader of the blocks of a measurement, padded by a boundary rule."""
    chunks = inputs.sources[0].chunks
    layout = choose_layout(inputs.frame.shape, [chunks], [chunks], ANY_MACHINE)
    sources = inputs.sources + (inputs.selection.sources if inputs.selection is not None else ())
    every = halos + (max(halos),) * (len(sources) - len(halos))
    capacity = cache_bytes(sources, every, layout.block, run.memory_limit)
    fit = layers_fit(capacity, sources)
    cache = ChunkCache(capacity, lambda source, index: fit)
    return BlockReader(inputs.sources, layout, inputs.selection, cache, run.backend == "jax", halos, rule[0], rule[1])
