"""What the inputs of a run hold, as far as it can be known without reading them: so that a later
call notices a change.
"""

from typing import Any

import numpy as np

from lithax.errors import IncompleteImageError
from lithax.images._derived_array import origins
from lithax.images._voxel_image import VoxelImage
from lithax.storage import AbstractStoredArray, fingerprint, fingerprint_of_values, locate, same_content

IN_PLACE = "changed in place"


def input_states(inputs: Any, outputs: Any, *, thorough: bool) -> list[dict[str, Any]]:
    """Return the fingerprint of every image and array that a call reads, its selection's included.

    Parameters
    ----------
    inputs
        The `Inputs` of the call.
    outputs
        The images of ``out=``, or None; one of them among the inputs changes by the run itself.
    thorough
        Read those parts of local images that are read-only whose files were copied or restored
        since they were written.
    """
    return [_state(name, source, outputs or (), thorough) for name, source in _read(inputs)]


def _read(inputs: Any) -> list[tuple[str, Any]]:
    """Return the arrays that a call reads, those that a crop or an expression follows from, with a
    name for each.
    """
    named = [(f"image {n}", source) for n, source in enumerate(inputs.sources)]
    if inputs.selection is not None:
        named += [(f"image {n} of where=", source) for n, source in enumerate(inputs.selection.sources)]
    return [(name, origin) for name, source in named for origin in origins(source)]


def _state(name: str, source: Any, outputs: Any, thorough: bool) -> dict[str, Any]:
    if isinstance(source, AbstractStoredArray):
        described = {"name": f"{name} (memory)" if source.in_memory else f"{name} ({source.where})"}
        if any(isinstance(out, VoxelImage) and locate(out.zarray).holds(source) for out in outputs):
            return described | {"content": IN_PLACE, "state": None}
        # Files that were copied are read once where that can be noted, else only when an answer
        # depends on it.
        return described | fingerprint(source, thorough=thorough or not source.read_only)
    values = getattr(source, "_array", None)
    if isinstance(values, np.ndarray):
        return {"name": f"{name} (an array)"} | fingerprint_of_values(values)
    return {"name": name, "content": None, "state": None}


def without_times(states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the fingerprints that equal runs have in common, wherever and whenever their inputs
    were written.

    Where digests are known, lengths and times of files say nothing more.
    """
    return [state if state["content"] is None else state | {"state": None} for state in states]


def check_unchanged(before: list[dict[str, Any]], inputs: Any) -> None:
    """Refuse a result if inputs in files were written to since `before`; reads none of them.

    Raises
    ------
    IncompleteImageError
        It names those that were.
    """
    if not any(entry["state"] for entry in before):
        return
    changed = []
    for then, (_, source) in zip(before, _read(inputs), strict=True):
        if then["state"] is not None and isinstance(source, AbstractStoredArray) and source.directory is not None:
            now = fingerprint(source, thorough=False)
            if now["state"] != then["state"] and not (then["content"] and same_content(then, now)):
                changed.append(then["name"])
    if changed:
        raise IncompleteImageError(
            f"{', '.join(changed)} was written to while it was read, so the result may mix old and new voxels; repeat the "
            "call with overwrite=True."
        )
