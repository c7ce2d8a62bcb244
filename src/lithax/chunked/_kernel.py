"""One function for all blocks of a call: compiled by JAX, or run as it is by another array library."""

import hashlib
import importlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import numpy as np

from lithax.arrays import namespace, to_numpy
from lithax.chunked._device_turns import DeviceTurns, compiled_bytes
from lithax.chunked._elementwise import check_by_trial, check_jaxpr
from lithax.chunked._lift import lift
from lithax.grid import Index, triple
from lithax.ops import ARITHMETIC, PlainFunction, Program, Step, VoxelOp, numpy_dtype

_CHECKED = "lithax_elementwise"


@dataclass(frozen=True)
class KernelRequest:
    """What one block function must do."""

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


class Kernel:
    """A block function: blocks in host memory in, the cores of the results out."""

    out_dtypes: tuple[np.dtype, ...]
    computation: str | None
    """Digest of what is computed; None if it cannot be known."""
    natural_dtypes: tuple[np.dtype, ...]
    """What the function returns before it is converted to `out_dtypes`."""
    temporary_bytes: int
    """Memory that one call needs besides its arguments and results [byte]."""
    at_once: int | None = None
    """How many blocks the memory of the devices holds; None: any number."""

    def __call__(self, blocks, offset, valid=None, donor_voxel=None, old=None) -> tuple[np.ndarray, ...]:
        raise NotImplementedError


def make_kernel(request: KernelRequest, backend: Any, device: Any = None) -> Kernel:
    """Return the block function for a backend: "jax", "numpy", "torch", "cupy", or an array-API namespace.

    `device` may be a tuple of JAX devices, among which blocks are dealt out.
    """
    if isinstance(device, tuple):
        if backend == "jax":
            return _OnDevices(request, device)
        device = None
    if backend == "jax":
        return _JaxKernel(request, device)
    return _EagerKernel(request, backend, device)


def _finish(request: KernelRequest, outs: Any, valid: Any, old: Any, natural: list) -> tuple[Any, ...]:
    outs = tuple(outs) if isinstance(outs, tuple | list) else (outs,)
    out_dtypes = request.out_dtypes
    if out_dtypes is not None and len(out_dtypes) not in (1, len(outs)):
        raise ValueError(
            f"{len(out_dtypes)} dtypes (or images in out) are given, {request.program!r} returns {len(outs)} arrays."
        )
    results = []
    for k, out in enumerate(outs):
        xp = namespace(out)
        shape = tuple(getattr(out, "shape", ()))
        _check_core(request, shape, request.core, request.block_shapes)
        natural.append(numpy_dtype(out.dtype))
        wanted = None if out_dtypes is None else out_dtypes[k if len(out_dtypes) > 1 else 0]
        if wanted is not None:
            out = xp.astype(out, _dtype_of(xp, wanted))
        if request.selects:
            widest = tuple((n - c) // 2 for n, c in zip(valid.shape, request.core, strict=True))
            inner = valid[tuple(slice(w, w + c) for w, c in zip(widest, request.core, strict=True))]
            other = (
                old[k]
                if request.keeps_old
                else xp.asarray(fill_of(request.fill_values or (), k, xp, out.dtype), dtype=out.dtype)
            )
            out = xp.where(inner, out, other)
        results.append(out)
    return tuple(results)


def _check_core(request: KernelRequest, shape: tuple[int, ...], core: Index, blocks: Sequence[tuple[int, ...]]) -> None:
    if shape != core:
        raise ValueError(
            f"{request.program!r} returned shape {shape} for blocks of shape {', '.join(map(str, blocks))}; "
            f"a function of voxels returns one value per voxel of the core, {core}."
        )


def fill_of(fill_values: tuple[Any, ...], k: int, xp: Any, dtype: Any) -> Any:
    """Return the value of the voxels left out of result `k`: NaN, 0 or False unless given."""
    value = fill_values[k if len(fill_values) > 1 else 0] if fill_values else "default"
    if isinstance(value, str) and value == "default":
        return float("nan") if xp.isdtype(dtype, ("real floating", "complex floating")) else 0
    return value


def _dtype_of(xp: Any, dtype: np.dtype) -> Any:
    return getattr(xp, "bool" if dtype == np.bool_ else dtype.name)


def needs_x64(program: Program, dtypes: Sequence[np.dtype]) -> bool:
    """Whether JAX must work in 64 bits: on 64-bit voxels, and where an operation of ours makes some of narrower ones."""
    arithmetic = list(ARITHMETIC.values())
    if any(step.op.context or step.op.body in arithmetic for step in program.steps):
        return True
    own = any(isinstance(s.op, VoxelOp) and s.op.body.__module__.startswith("lithax.") for s in program.steps)
    return any(d in _WIDE or (own and d in _WIDE_IF_REAL) for d in map(np.dtype, dtypes))


class _JaxKernel(Kernel):
    def __init__(self, request: KernelRequest, device: Any):
        self.request = request
        self.device = device
        dynamic, key, rebuild = lift(request.program, request.guards)
        contexts = any(s.op.context for s in request.program.steps)
        declared = [d for d in request.out_dtypes or () if d is not None]
        self.x64 = needs_x64(request.program, [*request.dtypes, *(np.dtype(a.dtype) for a in dynamic), *declared])
        self.dynamic = dynamic
        self.image_shape = np.asarray(request.image_shape, np.int32)
        static_shape = request.image_shape if contexts else None
        frame = (request.spacing, request.origin) if contexts else None
        cache_key = (
            key,
            request.block_shapes,
            tuple(d.str for d in request.dtypes),
            tuple((np.shape(a), np.dtype(a.dtype).str) for a in dynamic),
            request.core,
            static_shape,
            frame,
            request.selects,
            request.guards,
            request.keeps_old,
            None if request.fill_values is None else tuple(map(repr, request.fill_values)),
            None if request.out_dtypes is None else tuple(map(str, request.out_dtypes)),
            self.x64,
            str(device),
        )
        compiled = _COMPILED.get(cache_key, lambda: self._compile(rebuild, static_shape))
        self.call, self.computation, self.out_dtypes, self.natural_dtypes = compiled[:4]
        self.temporary_bytes, self.block_bytes = compiled[4]

    def scope(self):
        return jax.enable_x64(True) if self.x64 else nullcontext()

    def _compile(self, rebuild: Callable, static_shape: Index | None):
        request = self.request
        natural: list[np.dtype] = []

        def kernel(dynamic, blocks, offset, shape, valid, donor_voxel, old, seed):
            program = _guard_elementwise(rebuild(dynamic))
            image_shape = static_shape or (shape[0], shape[1], shape[2])
            outs = program.on_block(
                blocks,
                offset=(offset[0], offset[1], offset[2]),
                shape=image_shape,
                spacing=request.spacing,
                origin=request.origin,
                valid=valid if request.guards else None,
                donor_voxel=(donor_voxel[0], donor_voxel[1], donor_voxel[2]) if request.guards else None,
                seed=seed,
            )
            return _finish(request, outs, valid, old, natural)

        def like(shape, dtype):
            return jax.ShapeDtypeStruct(shape, dtype)

        with self.scope(), _on(self.device):
            three = like((3,), np.int32)
            widest = tuple(max(s[a] for s in request.block_shapes) for a in range(3))
            old = tuple(like(request.core, d) for d in request.out_dtypes or ()) if request.keeps_old else None
            traced = jax.jit(kernel).trace(
                [like(np.shape(a), a.dtype) for a in self.dynamic],
                [like(s, d) for s, d in zip(request.block_shapes, request.dtypes, strict=True)],
                three,
                three,
                like(widest, np.bool_) if request.selects else None,
                three if request.selects else None,
                old,
                like((), np.int64 if self.x64 else np.int32),
            )
            _check_marked(traced.jaxpr.jaxpr)
            lowered = traced.lower()
            digest = hashlib.sha256(lowered.as_text().encode()).hexdigest()
            compiled = lowered.compile()
            out_dtypes = tuple(np.dtype(o.dtype) for o in jax.tree_util.tree_leaves(traced.out_info))
        return compiled, digest, out_dtypes, tuple(natural), compiled_bytes(compiled)

    def __call__(self, blocks, offset, valid=None, donor_voxel=None, old=None):
        request = self.request
        with self.scope(), _on(self.device):
            seed = np.int64(request.seed) if self.x64 else np.int32(request.seed)
            first = np.asarray(donor_voxel, np.int32) if request.selects else None
            outs = self.call(
                self.dynamic,
                list(blocks),
                np.asarray(offset, np.int32),
                self.image_shape,
                valid,
                first,
                None if old is None else tuple(old),
                seed,
            )
            return tuple(np.asarray(o) for o in outs)


class _OnDevices(Kernel):
    """The same block function on chosen devices; on each it is compiled when it is first used there."""

    def __init__(self, request: KernelRequest, devices: tuple[Any, ...]):
        self.request = request
        model = _JaxKernel(request, devices[0])
        self._kernels = {devices[0]: model}
        self._turns = DeviceTurns(devices, model.block_bytes)
        self.at_once = self._turns.at_once
        self.out_dtypes, self.natural_dtypes = model.out_dtypes, model.natural_dtypes
        self.computation, self.temporary_bytes = model.computation, model.temporary_bytes

    def __call__(self, blocks, offset, valid=None, donor_voxel=None, old=None):
        with self._turns.take() as device:
            if device not in self._kernels:
                self._kernels[device] = _JaxKernel(self.request, device)
            return self._kernels[device](blocks, offset, valid, donor_voxel, old)


class _EagerKernel(Kernel):
    """The same program, run step by step by NumPy, PyTorch, CuPy or any array-API namespace."""

    computation = None
    temporary_bytes = 0

    def __init__(self, request: KernelRequest, backend: Any, device: Any):
        self.request = request
        self.xp = backend_namespace(backend)
        self.device = device
        arrays, _, rebuild = lift(request.program)
        self.program = rebuild([self.to_backend(np.array(to_numpy(a))) for a in arrays])
        self.natural_dtypes = self._trial()
        wanted = request.out_dtypes or (None,)
        wanted = wanted * len(self.natural_dtypes) if len(wanted) == 1 else wanted
        if len(wanted) != len(self.natural_dtypes):
            raise ValueError(
                f"{len(wanted)} dtypes (or images in out) are given, {request.program!r} returns {len(self.natural_dtypes)} arrays."
            )
        self.out_dtypes = tuple(n if w is None else w for n, w in zip(self.natural_dtypes, wanted, strict=True))
        # Without a compiler to ask: every step holds its result and an intermediate of the same size.
        self.temporary_bytes = 3 * sum(int(np.prod(s)) for s in request.block_shapes) * 8

    def to_backend(self, array: np.ndarray) -> Any:
        return to_backend(self.xp, array, self.device)

    def _trial(self) -> tuple[np.dtype, ...]:
        """Run the program on a small block; return the types of its results, having checked the user's functions."""
        request = self.request
        whole = any(s != 1 for s in request.program.scale)
        core = request.core if whole else (2, 2, 2)
        grown = [tuple(s - c for s, c in zip(shape, request.core, strict=True)) for shape in request.block_shapes]
        shapes = request.block_shapes if whole else [tuple(g + 2 for g in growth) for growth in grown]
        blocks = [self.to_backend(np.ones(s, d)) for s, d in zip(shapes, request.dtypes, strict=True)]
        met: list[tuple[Step, tuple[Any, ...]]] = []
        with np.errstate(all="ignore"):
            outs = _watched(self.program, met).on_block(
                blocks, offset=(0, 0, 0), shape=request.image_shape, spacing=request.spacing, origin=request.origin
            )
        for step, given in met:
            if not any(isinstance(g, tuple) for g in given):
                check_by_trial(
                    lambda *v, step=step: _each(to_numpy, step.run(v, ((0, 0, 0),) * len(v), None, None)),
                    step.op.name,
                    [numpy_dtype(g.dtype) for g in given],
                    self.to_backend,
                )
        outs = tuple(outs) if isinstance(outs, tuple | list) else (outs,)
        for out in outs:
            _check_core(request, tuple(getattr(out, "shape", ())), core, shapes)
        return tuple(numpy_dtype(o.dtype) for o in outs)

    def __call__(self, blocks, offset, valid=None, donor_voxel=None, old=None):
        request = self.request
        blocks = [self.to_backend(b) for b in blocks]
        if valid is not None:
            valid = self.to_backend(valid)
        outs = self.program.on_block(
            blocks,
            offset=tuple(map(int, offset)),
            shape=request.image_shape,
            spacing=request.spacing,
            origin=request.origin,
            valid=valid if request.guards else None,
            donor_voxel=triple(map(int, donor_voxel)) if request.guards and donor_voxel is not None else None,
            seed=request.seed,
        )
        old = None if old is None else [self.to_backend(o) for o in old]
        return tuple(to_numpy(o) for o in _finish(request, outs, valid, old, []))


def to_backend(xp: Any, array: np.ndarray, device: Any = None) -> Any:
    """Return a block in host memory as an array of a library; PyTorch knows no read-only arrays."""
    if xp.__name__.endswith("torch") and not array.flags.writeable:
        array = array.copy()
    return xp.asarray(array, **({} if device is None else {"device": device}))


def backend_namespace(backend: Any) -> Any:
    """Return the array-API namespace of a backend's name, or of the namespace itself."""
    if not isinstance(backend, str):
        return backend
    if backend not in ("numpy", "torch", "cupy"):
        raise ValueError(
            f"backend={backend!r} is not known; use 'jax', 'numpy', 'torch', 'cupy', or an array-API namespace."
        )
    try:
        return importlib.import_module(f"array_api_compat.{backend}")
    except ImportError as error:
        raise ImportError(f"backend={backend!r} needs the package {backend}, which is not installed.") from error


def _each(function: Callable, value: Any) -> Any:
    return tuple(map(function, value)) if isinstance(value, tuple | list) else function(value)


def _guard_elementwise(program: Program) -> Program:
    """Mark the user's element-wise functions, so that they can be found in the traced program and checked."""
    steps = []
    for step in program.steps:
        if isinstance(step.op, PlainFunction) and step.elementwise:
            steps.append(replace(step, op=PlainFunction(_marked(step, step.op), step.op.halo), parameters={}))
        else:
            steps.append(step)
    return Program(tuple(steps))


def _watched(program: Program, met: list[tuple[Step, tuple[Any, ...]]]) -> Program:
    """Return the program with its element-wise plain functions noting what they are given."""
    steps = []
    for step in program.steps:
        op = step.op
        if isinstance(op, PlainFunction) and step.elementwise:

            def call(*blocks: Any, step: Step = step, op: PlainFunction = op) -> Any:
                met.append((step, blocks))
                return op.function(*op.arguments, *blocks, **step.parameters)

            call.__name__ = op.name
            step = replace(step, op=PlainFunction(call, op.halo), parameters={})
        steps.append(step)
    return Program(tuple(steps))


def _marked(step: Step, op: PlainFunction) -> Callable:
    # What is traced among the function and its parameters is passed by, so that only voxels and arrays are arguments;
    # the rest are constants.
    bound = (op.function, op.arguments, dict(step.parameters))
    arrays, constants = eqx.partition(bound, eqx.is_array)

    def call(*blocks: Any) -> Any:
        def run(blocks: tuple[Any, ...], arrays: Any) -> Any:
            function, arguments, parameters = eqx.combine(arrays, constants)
            return function(*arguments, *blocks, **parameters)

        run.__name__ = run.__qualname__ = f"{_CHECKED}:{len(jax.tree_util.tree_leaves(blocks))}:{op.name}"
        return jax.jit(run)(blocks, arrays)

    call.__name__ = step.op.name
    return call


def check_plain_functions(program: Program, dtype: np.dtype) -> None:
    """Raise NotElementwiseError if a step of a program that will be compiled elsewhere mixes voxels without saying so."""
    if not any(isinstance(step.op, PlainFunction) and step.elementwise for step in program.steps):
        return
    shape = (4, 3, 5)
    (halo,) = program.halos(1)
    block = jax.ShapeDtypeStruct(tuple(n + 2 * h for n, h in zip(shape, halo, strict=True)), dtype)
    with jax.enable_x64(True):
        marked = _guard_elementwise(program)
        _check_marked(jax.make_jaxpr(lambda b: marked.on_block([b], offset=(0, 0, 0), shape=shape))(block).jaxpr)


def _check_marked(jaxpr: Any) -> None:
    for equation in jaxpr.eqns:
        name = str(equation.params.get("name", ""))
        if name.startswith(_CHECKED):
            _, blocks, function = name.split(":", 2)
            check_jaxpr(equation.params["jaxpr"].jaxpr, function, int(blocks))


def _on(device: Any):
    return nullcontext() if device is None else jax.default_device(device)


class _Compiled:
    """The last few compiled block functions; two threads never compile the same one."""

    def __init__(self, size: int = 256):
        self._size = size
        self._lock = threading.RLock()
        self._entries: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any, compile_it: Callable[[], Any]) -> Any:
        with self._lock:
            if key not in self._entries:
                self._entries[key] = compile_it()
                while len(self._entries) > self._size:
                    self._entries.popitem(last=False)
            self._entries.move_to_end(key)
            return self._entries[key]


_COMPILED = _Compiled()
_WIDE = {np.dtype(t) for t in ("int64", "uint64", "float64", "complex128")}
_WIDE_IF_REAL = {np.dtype("int32"), np.dtype("uint32")}
"""Filters turn these into float64."""
