"""Does a function give on chunks what it gives on the whole array?"""

import itertools
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import jax
import numpy as np

from lithax.arrays import to_numpy
from lithax.chunked import backend_namespace, needs_x64
from lithax.images import chunk_map, chunk_reduce, from_array
from lithax.ops import Program, as_steps

_RULES = ("halo", "boundary", "boundary_value", "seed")


def assert_chunk_invariant(
    fn: Any,
    *arrays: Any,
    chunks: Iterable[Any] | None = None,
    shards: Any = None,
    where: Any = None,
    backend: Any = "jax",
    ulp: int = 0,
    rtol: float = 1e-12,
    **options: Any,
) -> None:
    """Check that a function, an operation, a chain or a measurement gives the same for every chunk
    grid.

    The whole arrays are given to the function (compiled, on JAX), images of them to `chunk_map` or
    `chunk_reduce`.

    Parameters
    ----------
    fn
        What either combinator takes.
    *arrays
        Arrays of one shape.
    chunks
        Chunk shapes to try, as `create` takes them; by default `some_chunks` of the shape.
    shards
        Shard shape of the results; None for none.
    where
        Boolean array, True = taken in.
    backend
        "jax", "numpy", "torch", "cupy", or an array-API namespace.
    ulp
        How many units in the last place voxels of real results may differ [-].
    rtol
        Relative tolerance of real numbers that a measurement returns; sums of chunks are rounded
        differently.
    **options
        Other arguments of the combinator, and parameters of the function.

    Raises
    ------
    AssertionError
        If a grid gives another result; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> import lithax as lx
    >>> plate = np.eye(6).reshape(6, 6, 1)
    >>> assert_chunk_invariant(lx.ops.gaussian, plate, sigma=0.5, backend="numpy")
    """
    arrays = tuple(to_numpy(a) for a in arrays)
    is_measurement = all(callable(getattr(fn, m, None)) for m in ("of", "combine", "finish"))
    expected = fn(*arrays, valid=where) if is_measurement else _whole(fn, arrays, where, backend, options)
    for grid in some_chunks(arrays[0].shape) if chunks is None else chunks:
        images = [from_array(a, chunks=grid) for a in arrays]
        label = f"chunks {grid}" + (f" in shards {shards}" if shards is not None else "")
        if is_measurement:
            found = chunk_reduce(fn, *images, where=where, backend=backend, progress=False, **options)
            assert_same_result(found, expected, rtol, label)
            continue
        if shards is not None:
            options = options | {"chunks": grid, "shards": shards}
        made = chunk_map(fn, *images, where=where, backend=backend, progress=False, **options)
        made = made if isinstance(made, tuple) else (made,)
        assert len(made) == len(expected), f"{label}: {len(made)} results instead of {len(expected)}"
        for image, (values, fill) in zip(made, expected, strict=True):
            values = values if where is None else np.where(where, values, np.asarray(fill, values.dtype))
            assert_same_bits(np.asarray(image), values, ulp, label)


def _whole(fn: Any, arrays: Sequence[np.ndarray], where: Any, backend: Any, options: dict[str, Any]) -> list[Any]:
    rules = {k: options[k] for k in _RULES if k in options}
    own = {"store", "workers", "memory_limit", "fill_value", "dtype", "parameters", *_RULES}
    parameters = dict(options.get("parameters") or {}) | {k: v for k, v in options.items() if k not in own}
    seed = rules.pop("seed", 0)
    program = Program(as_steps(fn, parameters, **rules))

    def whole(*values: Any, valid: Any = None) -> Any:
        return program.on_arrays(*values, valid=valid, seed=seed)

    if backend == "jax":
        with jax.enable_x64(True) if needs_x64(program, [a.dtype for a in arrays]) else nullcontext():
            found = jax.jit(whole)(*arrays, valid=where)
    else:
        xp = backend_namespace(backend)
        valid = None if where is None else xp.asarray(where)
        found = whole(*(xp.asarray(a.copy()) for a in arrays), valid=valid)
    results = [to_numpy(f) for f in (found if isinstance(found, tuple | list) else (found,))]
    dtype, fill = options.get("dtype"), options.get("fill_value")
    results = [r if dtype is None else r.astype(dtype) for r in results]
    return [(r, fill if fill is not None else np.nan if r.dtype.kind in "fc" else 0) for r in results]


def some_chunks(shape: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return a few telling chunk shapes for an image: one chunk, chunks that do not divide it, thin
    ones.
    """
    x, y, z = shape
    wanted = [(x, y, z), tuple(n // 2 + 1 for n in shape), (max(x // 3, 1), y, max(z // 2, 1))]
    return list(dict.fromkeys(wanted))


def assert_same_bits(found: np.ndarray, expected: np.ndarray, ulp: int = 0, label: str = "") -> None:
    """Check that two arrays agree in dtype, shape and every bit (any NaN equals any other), or
    within some ulp.
    """
    start = f"{label}: " if label else ""
    assert found.shape == expected.shape, f"{start}shape {found.shape} instead of {expected.shape}"
    assert found.dtype == expected.dtype, f"{start}dtype {found.dtype} instead of {expected.dtype}"
    if found.dtype.kind == "c":
        parts = [(np.real(found), np.real(expected)), (np.imag(found), np.imag(expected))]
    else:
        parts = [(found, expected)]
    for a, b in parts:
        a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
        bits = f"u{a.dtype.itemsize}"
        wrong = a.view(bits) != b.view(bits)
        if a.dtype.kind == "f":
            wrong &= ~(np.isnan(a) & np.isnan(b))
            if ulp:
                with np.errstate(all="ignore"):
                    wrong &= ~(np.abs(a - b) <= ulp * np.spacing(np.maximum(np.abs(a), np.abs(b))))
        if wrong.any():
            first = tuple(map(int, np.argwhere(wrong)[0]))
            raise AssertionError(
                f"{start}{wrong.sum()} of {wrong.size} voxels differ, the first at {first}: {a[first]!r} instead of {b[first]!r}"
            )


def assert_same_result(found: Any, expected: Any, rtol: float = 1e-12, label: str = "") -> None:
    """Check that two results of a measurement agree: whole numbers exactly, real ones within
    `rtol`.
    """
    a, b = (dict(_leaves(value)) for value in (found, expected))
    assert a.keys() == b.keys(), f"{label}: parts {sorted(a.keys() ^ b.keys())} are in one result only"
    for name in a:
        x, y = np.asarray(a[name]), np.asarray(b[name])
        if x.dtype.kind in "fc" or y.dtype.kind in "fc":
            np.testing.assert_allclose(x, y, rtol=rtol, atol=0, err_msg=f"{label}: {name}")
        else:
            np.testing.assert_array_equal(x, y, err_msg=f"{label}: {name}")


def _leaves(value: Any, name: str = "result") -> Iterable[tuple[str, Any]]:
    if isinstance(value, np.ndarray | np.generic | int | float | complex | str) or value is None:
        yield name, 0 if value is None else value
    elif isinstance(value, dict):
        yield from itertools.chain(*(_leaves(v, f"{name}[{k!r}]") for k, v in value.items()))
    elif isinstance(value, tuple | list):
        yield from itertools.chain(*(_leaves(v, f"{name}[{k}]") for k, v in enumerate(value)))
    elif hasattr(value, "__dict__"):
        yield from itertools.chain(*(_leaves(v, f"{name}.{k}") for k, v in vars(value).items()))
    else:
        yield name, repr(value)
