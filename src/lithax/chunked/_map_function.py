"""The function of a map: blocks in host memory in, the cores of the results out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import numpy as np

from lithax.arrays import namespace, to_numpy
from lithax.chunked._block_function import BlockFunction, HostFunction, backend_namespace, to_backend
from lithax.chunked._block_reader import ReadBlock
from lithax.chunked._elementwise_marks import check_on_sample, mark_elementwise
from lithax.chunked._lift import lift
from lithax.grid import Index
from lithax.ops import ARITHMETIC, Program, VoxelOp, numpy_dtype


@dataclass(frozen=True)
class MapRequest:
    """What one block function of a map must do."""

    program: Program
    block_shapes: tuple[Index, ...]
    dtypes: tuple[np.dtype, ...]
    core: Index
    image_shape: Index
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    selects: bool
    guards: bool  # excluded voxels are kept from the function, too
    keeps_old: bool
    fill_values: tuple[Any, ...] | None
    out_dtypes: tuple[np.dtype | None, ...] | None
    seed: int = 0


@dataclass(frozen=True)
class MapFunction:
    """A function of blocks that gives one core per result, however it is run."""

    call: Callable[[ReadBlock, Sequence[np.ndarray] | None], Sequence[np.ndarray]]
    """Of a block, and of what the results hold now where voxels left out keep it."""
    core: Index
    """Shape of a result of one block."""
    out_dtypes: tuple[np.dtype, ...]
    natural_dtypes: tuple[np.dtype, ...] = ()
    """What the function returns before it is converted to `out_dtypes`."""
    computation: str | None = None
    """Digest of what is computed; None if it cannot be known."""
    temporary_bytes: int = 0
    """Memory that one call needs besides its arguments and results [byte]."""
    at_once: int | None = None
    """How many blocks the memory of the devices holds; None: any number."""
    fills: tuple[Any, ...] = ()
    """Value of the voxels left out, per result."""


class _Cores(eqx.Module):
    """The results for one block, and the types that they had before they were converted."""

    arrays: tuple[Any, ...]
    natural: tuple[np.dtype, ...] = eqx.field(static=True)


def map_function(request: MapRequest, backend: Any, device: Any = None) -> MapFunction:
    """Return the block function for a backend: "jax", "numpy", "torch", "cupy", or an array-API
    namespace.

    `device` is one of the backend's; for JAX it may be a tuple of them, to which blocks go in turn.
    """
    if backend == "jax":
        return _compiled(request, device if isinstance(device, tuple) or device is None else (device,))
    return _on_host(request, backend, None if isinstance(device, tuple) else device)


def _compiled(request: MapRequest, devices: tuple[Any, ...] | None) -> MapFunction:
    arrays, key, rebuild = lift(request.program, request.guards)
    contexts = any(s.op.context for s in request.program.leaves)
    declared = [d for d in request.out_dtypes or () if d is not None]
    wide = needs_x64(request.program, [*request.dtypes, *(np.dtype(a.dtype) for a in arrays), *declared])
    # Only a function that asks where it is depends on the image that a block is from.
    static_shape = request.image_shape if contexts else None
    key = None if key is None else (
        "map", key, request.core, static_shape, (request.spacing, request.origin) if contexts else None,
        request.selects, request.guards, request.keeps_old,
        None if request.fill_values is None else tuple(map(repr, request.fill_values)),
        None if request.out_dtypes is None else tuple(map(str, request.out_dtypes)),
    )  # fmt: skip

    def body(arrays, blocks, offset, shape, valid, donor_voxel, old, seed):
        program = mark_elementwise(rebuild(arrays))
        return _run(request, program, blocks, offset, static_shape or shape, valid, donor_voxel, old, seed)

    def like(shape: Any, dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    three, seed_type = like((3,), np.int32), np.int64 if wide else np.int32
    widest = tuple(max(s[a] for s in request.block_shapes) for a in range(3))
    examples = (
        [like(s, d) for s, d in zip(request.block_shapes, request.dtypes, strict=True)],
        three,
        three,
        like(widest, np.bool_) if request.selects else None,
        three if request.selects else None,
        tuple(like(request.core, d) for d in request.out_dtypes or ()) if request.keeps_old else None,
        like((), seed_type),
    )
    function = BlockFunction(body, arrays, examples, wide=wide, devices=devices, key=key)
    image_shape, seed = np.asarray(request.image_shape, np.int32), seed_type(request.seed)

    def call(read: ReadBlock, old: Sequence[np.ndarray] | None) -> tuple[np.ndarray, ...]:
        donor = np.asarray(read.donor_voxel, np.int32) if request.selects else None
        offset = np.asarray(read.start, np.int32)
        kept = None if old is None else tuple(old)
        return function(read.blocks, offset, image_shape, read.valid_padded, donor, kept, seed).arrays

    dtypes = tuple(np.dtype(r.dtype) for r in function.results.arrays)
    return MapFunction(
        call, request.core, dtypes, function.results.natural, function.computation, function.temporary_bytes,
        function.at_once, _fills(request, dtypes),
    )  # fmt: skip


def _on_host(request: MapRequest, backend: Any, device: Any) -> MapFunction:
    xp = backend_namespace(backend)

    def convert(array: np.ndarray) -> Any:
        return to_backend(xp, array, device)

    arrays, _, rebuild = lift(request.program)
    program = rebuild([convert(np.array(to_numpy(a))) for a in arrays])
    natural = _trial(request, program, convert)
    wanted = request.out_dtypes or (None,)
    wanted = wanted * len(natural) if len(wanted) == 1 else wanted
    _check_count(request, len(natural))
    dtypes = tuple(n if w is None else w for n, w in zip(natural, wanted, strict=True))

    def body(blocks, offset, valid, donor_voxel, old):
        return _run(request, program, blocks, offset, request.image_shape, valid, donor_voxel, old, request.seed)

    # Every step holds its result and an intermediate of the same size.
    temporary = 3 * sum(int(np.prod(s)) for s in request.block_shapes) * 8
    function = HostFunction(body, backend, device, temporary)

    def call(read: ReadBlock, old: Sequence[np.ndarray] | None) -> tuple[np.ndarray, ...]:
        return function(read.blocks, read.start, read.valid_padded, read.donor_voxel, old).arrays

    return MapFunction(
        call, request.core, dtypes, natural, temporary_bytes=temporary, fills=_fills(request, dtypes)
    )  # fmt: skip


def _run(request: MapRequest, program: Program, blocks, offset, shape, valid, donor_voxel, old, seed) -> _Cores:
    if not program.depends_on_place(request.guards):  # tracing a number takes as long as the function
        offset = shape = (0, 0, 0)
    outs = program.on_block(
        blocks,
        offset=(offset[0], offset[1], offset[2]),
        shape=(shape[0], shape[1], shape[2]),
        spacing=request.spacing,
        origin=request.origin,
        valid=valid if request.guards else None,
        donor_voxel=(donor_voxel[0], donor_voxel[1], donor_voxel[2]) if request.guards else None,
        seed=seed,
    )
    outs = tuple(outs) if isinstance(outs, tuple | list) else (outs,)
    _check_count(request, len(outs))
    for out in outs:
        _check_core(request, tuple(getattr(out, "shape", ())), request.core, request.block_shapes)
    natural = tuple(numpy_dtype(out.dtype) for out in outs)
    return _Cores(tuple(_stored(request, k, out, valid, old) for k, out in enumerate(outs)), natural)


def _stored(request: MapRequest, k: int, out: Any, valid: Any, old: Any) -> Any:
    """Return a result in the type that is stored, voxels left out at their old value or the fill
    value.
    """
    xp, dtypes = namespace(out), request.out_dtypes
    wanted = None if dtypes is None else dtypes[k if len(dtypes) > 1 else 0]
    if wanted is not None:
        out = xp.astype(out, getattr(xp, "bool" if wanted == np.bool_ else wanted.name))
    if not request.selects:
        return out
    widest = ((n - c) // 2 for n, c in zip(valid.shape, request.core, strict=True))
    inner = valid[tuple(slice(w, w + c) for w, c in zip(widest, request.core, strict=True))]
    if request.keeps_old:
        return xp.where(inner, out, old[k])
    return xp.where(inner, out, xp.asarray(_fill(request, k, xp, out.dtype), dtype=out.dtype))


def _fill(request: MapRequest, k: int, xp: Any, dtype: Any) -> Any:
    """Return the value of the voxels left out of result `k`: NaN, 0 or False unless given."""
    values = request.fill_values
    value = values[k if len(values) > 1 else 0] if values else "default"
    if isinstance(value, str) and value == "default":
        return float("nan") if xp.isdtype(dtype, ("real floating", "complex floating")) else 0
    return value


def _fills(request: MapRequest, dtypes: Sequence[np.dtype]) -> tuple[Any, ...]:
    xp = namespace(np.empty(0))
    return tuple(_fill(request, k, xp, dtype) for k, dtype in enumerate(dtypes))


def _check_count(request: MapRequest, count: int) -> None:
    declared = request.out_dtypes
    if declared is not None and len(declared) not in (1, count):
        raise ValueError(
            f"{len(declared)} dtypes (or images in out) are given, {request.program!r} returns {count} arrays."
        )


def _check_core(request: MapRequest, shape: tuple[int, ...], core: Index, blocks: Sequence[tuple[int, ...]]) -> None:
    if shape != core:
        raise ValueError(
            f"{request.program!r} returned shape {shape} for blocks of shape {', '.join(map(str, blocks))}; "
            f"a function of voxels returns one value per voxel of the core, {core}."
        )


def needs_x64(program: Program, dtypes: Sequence[np.dtype]) -> bool:
    """Whether JAX must work in 64 bits: on 64-bit voxels, and where an operation of ours makes some
    of narrower ones.
    """
    arithmetic = list(ARITHMETIC.values())
    if any(step.op.context or step.op.body in arithmetic for step in program.leaves):
        return True
    own = any(isinstance(s.op, VoxelOp) and s.op.body.__module__.startswith("lithax.") for s in program.leaves)
    return any(d in _WIDE or (own and d in _WIDE_IF_REAL) for d in map(np.dtype, dtypes))


def _trial(request: MapRequest, program: Program, convert: Callable) -> tuple[np.dtype, ...]:
    """Run the program on a small block; return the types of its results, having checked the user's
    functions.
    """
    whole = any(s != 1 for s in request.program.scale)
    core = request.core if whole else (2, 2, 2)
    grown = [tuple(s - c for s, c in zip(shape, request.core, strict=True)) for shape in request.block_shapes]
    shapes = request.block_shapes if whole else [tuple(g + 2 for g in growth) for growth in grown]
    blocks = [convert(np.ones(s, d)) for s, d in zip(shapes, request.dtypes, strict=True)]

    def run(program: Program) -> Any:
        with np.errstate(all="ignore"):
            return program.on_block(
                blocks, offset=(0, 0, 0), shape=request.image_shape, spacing=request.spacing, origin=request.origin
            )

    outs = check_on_sample(program, run, convert, to_numpy)
    outs = tuple(outs) if isinstance(outs, tuple | list) else (outs,)
    for out in outs:
        _check_core(request, tuple(getattr(out, "shape", ())), core, shapes)
    return tuple(numpy_dtype(o.dtype) for o in outs)


_WIDE = {np.dtype(t) for t in ("int64", "uint64", "float64", "complex128")}
_WIDE_IF_REAL = {np.dtype("int32"), np.dtype("uint32")}
"""Filters turn these into float64."""
