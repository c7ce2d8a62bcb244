"""What makes a run the same as an earlier one, and the record of what a result came from."""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jax
import numpy as np

from lithax.chunked import ArraySource, lift
from lithax.errors import ResumeError
from lithax.geometry import Frame
from lithax.grid import triple
from lithax.images._derived_array import derivation, origins
from lithax.images._input_state import input_states, without_times
from lithax.images._resume_key import keyed
from lithax.images._voxel_image import VoxelImage
from lithax.images._where import Domain
from lithax.ops import PlainFunction, Program, Step
from lithax.storage import AbstractStoredArray


@functools.cache
def version(package: str) -> str:
    """Return the version of an installed package; reading it from disk takes half a millisecond."""
    return importlib.metadata.version(package)


def identity_of(prepared: Any, resume_key: str | None, needed: bool, recorded: bool) -> dict[str, Any]:
    """Return what makes a run the same as an earlier one, part by part, as JSON holds it.

    Parameters
    ----------
    prepared
        The call, a `PreparedMap`.
    resume_key
        The user's name for the computation.
    needed
        Whether the call is to be compared with an earlier one.
    recorded
        Whether a later call may be compared with this one: its output outlives it.

    Raises
    ------
    ResumeError
        If it is, and the computation cannot be known.
    """
    computation = prepared.function.computation
    program: Program = prepared.program
    if computation is None and all(map(_is_ours, program.leaves)):
        computation = _digest(repr(program))
    if resume_key is not None:
        # The name stands for the function only where that cannot be known itself.
        computation = keyed(resume_key, computation)
    elif computation is None and needed:
        raise ResumeError(
            f"resume=True with backend={prepared.backend!r} cannot tell whether {program!r} is the same function as before; "
            f"name it with resume_key= in both calls."
        )
    inputs = prepared.inputs
    if recorded and inputs.world.first:
        prepared.states = input_states(inputs, prepared.out, thorough=needed)
    parts = {
        "computation": computation,
        "parameters": [{k: _known(v) for k, v in step.parameters.items()} for step in program.leaves],
        "arrays": _digest_of_arrays(lift(program)[0]),
        "boundary": [[step.boundary, _known(step.boundary_value)] for step in program.leaves],
        "grid": [
            list(prepared.layout.shape),
            [list(c) for c in prepared.chunks],
            [s and list(s) for s in prepared.shards],
        ],
        "dtype": [d.str for d in prepared.function.out_dtypes],
        "inputs": [describe_input(i) for i in inputs.images],
        "input_hashes": [_content_hash(i) for i in inputs.images],
        "input_state": without_times(prepared.states),
        "geometry": _describe_frame(inputs.frame),
        "where": _describe_where(inputs.where),
        "where_input": "exclude" if prepared.request.guards else "keep",
        "seed": prepared.request.seed,
        "fill_value": [_known(v) for v in prepared.request.fill_values or ()],
        "backend": name_of(prepared.backend),
        "version": version("lithax"),
    }
    return json.loads(json.dumps(parts))


def comparable(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must be the same in every process: all but what one of them may know sooner than
    another.
    """
    return {name: part for name, part in identity.items() if name not in ("input_hashes", "input_state")}


def call_of(inputs: Any, **what: Any) -> dict[str, Any]:
    """Return what must be the same in every process that takes part in a reduction; `what` are
    objects and numbers.
    """
    return {
        "inputs": [describe_input(i) for i in inputs.images],
        "geometry": _describe_frame(inputs.frame),
        "where": _describe_where(inputs.where),
    } | described_parameters(what)


def described_parameters(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return arguments as text that is the same for equal ones: of arrays by what they hold."""
    return {name: _describe_tree(value) for name, value in parameters.items()}


def _describe_tree(value: Any) -> str:
    leaves = jax.tree_util.tree_leaves(value)
    numbers = (int, float, complex, str)
    if (
        isinstance(value, (*numbers, tuple, list, dict))
        and len(leaves) < 9
        and all(isinstance(v, numbers) for v in leaves)
    ):
        return repr(value)
    texts = [repr(v) if isinstance(v, numbers) else type(v).__name__ for v in leaves]
    arrays = _digest_of_arrays([v for v in leaves if hasattr(v, "dtype")]) or ""
    name = getattr(value, "__qualname__", type(value).__qualname__)
    return f"{name} ({_digest(*texts, arrays)[:12]})"


def describe_places(store: Any) -> Any:
    """Return what a user passed as `store`, as far as another process can compare it."""
    if isinstance(store, tuple | list):
        return [describe_places(s) for s in store]
    return os.fspath(store) if isinstance(store, str | os.PathLike) else type(store).__name__


def provenance_of(prepared: Any) -> dict[str, Any]:
    """Return what an output of `chunk_map` says of where it came from."""
    return made_by(
        prepared.inputs,
        function=repr(prepared.program),
        parameters=[{k: _shown(v) for k, v in s.parameters.items()} for s in prepared.program.leaves],
        seed=prepared.request.seed,
        in_place=prepared.in_place,
        backend=name_of(prepared.backend),
    )


def made_by(inputs: Any, **what: Any) -> dict[str, Any]:
    """Return what a finished output says of where it came from; `what` are the function and its
    arguments.
    """
    return what | {
        "where": repr(inputs.where) if inputs.where is not None else None,
        "inputs": [describe_input(i) | {"content_hash": _content_hash(i)} for i in inputs.images],
        "versions": {name: version(name) for name in ("lithax", "jax", "numpy", "zarr")}
        | {"python": platform.python_version()},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def name_of(backend: Any) -> str:
    """Return the name of a backend that was given by name, or as a namespace."""
    return backend if isinstance(backend, str) else backend.__name__


def describe_input(image: Any) -> dict[str, Any]:
    """Return where an input is and what it holds; memory has no address that another program would
    know.
    """
    form = {"shape": list(image.shape), "dtype": str(image.dtype).rsplit(".", 1)[-1]}
    source = image.stored if isinstance(image, VoxelImage) else image
    if (derived := derivation(source, describe_input)) is not None:
        return derived | form
    if isinstance(source, AbstractStoredArray):
        return {"store": "memory" if source.in_memory else source.where} | form
    if isinstance(source, ArraySource):  # a leaf of an expression
        whole = triple(slice(0, n) for n in source.shape)
        return {"array": _digest_of_arrays([source.read(whole)])} | form
    return {"store": "memory"} | form


def _content_hash(image: Any) -> Any:
    """Return the stored hash of an input, or those of what it follows from."""
    if not isinstance(image, VoxelImage):
        return None
    hashes = [getattr(getattr(o, "metadata", None), "content_hash", None) for o in origins(image.stored)]
    return hashes[0] if derivation(image.stored, describe_input) is None else hashes


def _describe_frame(frame: Frame) -> list[Any]:
    return [list(frame.voxel_length), list(frame.voxel_origin), str(frame.voxel_unit)]


def _describe_where(where: Domain | None) -> Any:
    if where is None:
        return None
    described: dict[str, Any] = {"phases": None if where.phases is None else list(where.phases)}
    for name in ("exclude", "include", "segmentation", "region"):
        value = getattr(where, name)
        parts = value if isinstance(value, tuple | list) else (value,)
        described[name] = [_describe_part(p) for p in parts if p is not None]
    return described


def _describe_part(part: Any) -> Any:
    if hasattr(part, "shape") and hasattr(part, "dtype"):
        return describe_input(part)
    # A region: what it is made of, arrays by their values.
    leaves, structure = jax.tree_util.tree_flatten(part)
    return _digest(str(structure), *(f"{np.shape(v)}{np.asarray(v).tolist()!r}" for v in leaves))


def _is_ours(step: Step) -> bool:
    body = step.op.body
    named = "<" not in getattr(body, "__qualname__", "<")  # not made inside another function
    plain = isinstance(step.op, PlainFunction) and (step.op.arguments or not named)
    return getattr(body, "__module__", "").startswith("lithax.") and not plain


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _digest_of_arrays(arrays: list[Any]) -> str | None:
    if not arrays:
        return None
    digest = hashlib.sha256()
    for array in arrays:
        values = np.ascontiguousarray(np.asarray(array))
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _known(value: Any) -> Any:
    """Return a value whose text is the same in every program; of others, the type."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | complex | np.generic):
        return repr(value)
    if isinstance(value, tuple | list):
        return [_known(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _known(v) for k, v in value.items()}
    return type(value).__name__


def _shown(value: Any) -> Any:
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    array = np.asarray(value) if hasattr(value, "dtype") else None
    if array is not None and array.size <= 16 and array.dtype.kind in "biuf":
        return array.tolist()
    return repr(value)
