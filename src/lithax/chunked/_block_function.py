"""One function for every block of a call: compiled by JAX, or run as it is on blocks in host
memory.

All that lithax compiles to run block by block is compiled here. A map, a measurement, a derivative
and what pulls it back are bodies handed to `BlockFunction`, which owns the rest: the 64-bit scope,
the devices and whose turn it is, the memory that a block takes, the check of element-wise
functions, and the programs that are compiled already.
"""

import hashlib
import importlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from lithax.arrays import gaps_named, is_array, to_numpy
from lithax.chunked._device_turns import DeviceTurns, compiled_bytes, on_device
from lithax.chunked._elementwise_marks import check_marked
from lithax.chunked._jaxpr_key import jaxpr_key
from lithax.runtime import check_fork


@dataclass(frozen=True)
class _Compiled:
    run: Any
    computation: str
    results: Any
    temporary_bytes: int
    block_bytes: int


class BlockFunction:
    """A function of a block, compiled by JAX for blocks of one shape, on each device when it is
    first used there.

    Parameters
    ----------
    body
        A pure function ``body(arrays, *arguments)`` that returns a pytree of arrays.
    arrays
        A pytree of arrays and numbers that are the same for all blocks. They are arguments of the
        compiled program, so that a sweep over their values compiles once.
    examples
        Arguments for one block, or their `jax.ShapeDtypeStruct`.
    wide
        Whether JAX works in 64 bits.
    devices
        JAX devices, to which blocks go in turn; None for the default one.
    key
        What tells this body from every other, so that it need not be traced to be recognised: with
        the same key, the body must compute the same. None, or a key without hash: it is traced in
        every call.

    Notes
    -----
    A body that was never seen is traced, which takes milliseconds, and compiled, which takes a
    second, only if no equal program (`jaxpr_key`) was. So an equal lambda, written again in a loop,
    compiles once; and one that reads a global that has changed since is another program.
    """

    def __init__(
        self,
        body: Callable[..., Any],
        arrays: Any,
        examples: Sequence[Any],
        *,
        wide: bool = True,
        devices: Sequence[Any] | None = None,
        key: Hashable = None,
    ):
        check_fork()
        self._body, self._arrays, self._examples, self._wide = body, arrays, tuple(examples), wide
        self._key = None
        if key is not None:
            with self._scope():
                leaves, structure = jax.tree_util.tree_flatten((arrays, self._examples))
                self._key = (key, structure, tuple(map(_form, leaves)), wide)
        self._lock = threading.Lock()
        self._programs: dict[Any, _Compiled] = {}
        first = self._compiled_for((devices or (None,))[0])
        self.computation = first.computation
        """Digest of what is computed."""
        self.results = first.results
        """What a call returns, with a `jax.ShapeDtypeStruct` for every array."""
        self.temporary_bytes = first.temporary_bytes
        """Memory that one call needs besides its arguments and results [byte]."""
        self._turns = DeviceTurns(devices, first.block_bytes)
        self.at_once = self._turns.at_once
        """How many blocks the memory of the devices holds; None: any number."""

    def __call__(self, *arguments: Any) -> Any:
        """Return the results for one block, NumPy arrays in host memory."""
        check_fork()
        with self._turns.take() as device, self._scope():
            return to_host(self._compiled_for(device).run(self._arrays, *arguments))

    def _scope(self) -> Any:
        # The scope belongs to the thread: every worker enters its own.
        return jax.enable_x64(True) if self._wide else nullcontext()

    def _compiled_for(self, device: Any) -> _Compiled:
        found = self._programs.get(device)
        if found is None:
            with self._lock, on_device(device), self._scope():
                found = self._programs[device] = _PROGRAMS.find(self._key, device, self._wide, self._trace)
        return found

    def _trace(self) -> Any:
        # A function of its own each time: JAX remembers what it traced by the function, whatever
        # that reads.
        return jax.jit(lambda arrays, *arguments: self._body(arrays, *arguments)).trace(self._arrays, *self._examples)


class _Programs:
    """The last few compiled programs, by what they were traced from and by what they are.

    Two threads never compile the same one.
    """

    def __init__(self, size: int = 256):
        self._size = size
        self._lock = threading.RLock()
        self._by_source: OrderedDict[Any, _Compiled] = OrderedDict()
        self._by_program: OrderedDict[Any, _Compiled] = OrderedDict()

    def find(self, key: Any, device: Any, wide: bool, trace: Callable[[], Any]) -> _Compiled:
        source = None if key is None else (key, device)
        with self._lock:
            try:
                known = None if source is None else self._kept(self._by_source, source)
            except TypeError as error:
                if "unhashable" not in str(error):
                    raise
                source = known = None
            if known is not None:
                return known
            traced = trace()
            trees = jax.tree_util.tree_structure(traced.out_info)
            program = (jaxpr_key(traced.jaxpr), trees, wide, device)
            found = self._kept(self._by_program, program)
            if found is None:
                found = self._keep(self._by_program, program, _compile(traced))
            return found if source is None else self._keep(self._by_source, source, found)

    def clear(self) -> None:
        with self._lock:
            self._by_source.clear()
            self._by_program.clear()

    def _kept(self, entries: OrderedDict[Any, _Compiled], key: Any) -> _Compiled | None:
        if key in entries:
            entries.move_to_end(key)
        return entries.get(key)

    def _keep(self, entries: OrderedDict[Any, _Compiled], key: Any, compiled: _Compiled) -> _Compiled:
        entries[key] = compiled
        while len(entries) > self._size:
            entries.popitem(last=False)
        return compiled


def _compile(traced: Any) -> _Compiled:
    check_marked(traced.jaxpr.jaxpr)
    lowered = traced.lower()
    computation = hashlib.sha256(lowered.as_text().encode()).hexdigest()
    compiled = lowered.compile()
    return _Compiled(compiled, computation, traced.out_info, *compiled_bytes(compiled))


def _form(leaf: Any) -> Hashable:
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf.shape, str(leaf.dtype), leaf.weak_type
    if isinstance(leaf, np.ndarray):
        return leaf.shape, str(leaf.dtype), False
    aval = jax.typeof(leaf)
    return aval.shape, str(aval.dtype), aval.weak_type


class HostFunction:
    """A function of a block that is run as it is, on blocks in host memory or on those of another
    array library.

    Parameters
    ----------
    body
        A function of a block's arrays. With NumPy it may call any compiled package.
    backend
        "numpy", "torch", "cupy", or an array-API namespace. Voxels (arrays with three axes) come as
        its arrays; what else a block has, as it is.
    device
        A device of that library; None for its default.
    temporary_bytes
        Memory that one call needs besides its arguments and results [byte], as estimated: there is
        no compiler to ask.
    """

    computation = None
    at_once = None

    def __init__(self, body: Callable[..., Any], backend: Any = "numpy", device: Any = None, temporary_bytes: int = 0):
        self._body, self._namespace, self._device = body, backend_namespace(backend), device
        self.temporary_bytes = temporary_bytes

    def __call__(self, *arguments: Any) -> Any:
        """Return the results for one block, NumPy arrays in host memory."""
        own = jax.tree_util.tree_map(self._own, arguments)
        with gaps_named(getattr(self._body, "__name__", "the function"), *jax.tree_util.tree_leaves(own)):
            return to_host(self._body(*own))

    def _own(self, value: Any) -> Any:
        voxels = isinstance(value, np.ndarray) and value.ndim == 3
        return to_backend(self._namespace, value, self._device) if voxels else value


def to_host(state: Any) -> Any:
    """Return a pytree with NumPy arrays for leaves."""
    # JAX differentiates by arrays of a class of its own, which other processes could not read.
    return jax.tree_util.tree_map(lambda leaf: np.asarray(to_numpy(leaf)) if is_array(leaf) else leaf, state)


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


_PROGRAMS = _Programs()


def forget_programs() -> None:
    """Free the compiled programs; they are compiled again where they are needed again."""
    _PROGRAMS.clear()
