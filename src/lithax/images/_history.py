"""The runs that changed an image in place and ended: so that a script that runs again does not
apply them again.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lithax.errors import ResumeError
from lithax.images._voxel_image import VoxelImage
from lithax.storage import differing_parts, fingerprint, same_content

KEPT = 16
"""Entries of runs that were neither named nor to be resumed, of which the last ones are kept."""


def applied_before(image: VoxelImage, identity: Mapping[str, Any], resume_key: str | None) -> bool:
    """Tell whether a run that is to be resumed in place has ended before, and was named.

    Parameters
    ----------
    image
        The image that is changed.
    identity
        What makes the run the same as an earlier one.
    resume_key
        The user's name for it.

    Returns
    -------
        True if the step of that name is done: the image is to be left as it is. False if the step
        is to be made, or an interrupted one finished.

    Raises
    ------
    ResumeError
        If the run has ended and was not named; if its name stood for another step; or if the voxels
        have been changed otherwise since, so that it cannot be told whether the step is wanted
        again.
    """
    metadata = image.stored.reload_metadata()
    step = _step(identity)
    if resume_key is None:
        entries = [entry for entry in metadata.history if entry.get("step") == step]
    else:
        entries = [entry for entry in metadata.history if entry.get("key") == resume_key]
    unfinished = metadata.state != "complete"
    if unfinished and not differing_parts(metadata.run, identity):
        return False  # this very run was begun, maybe once more, and cut off
    if not entries:
        return False
    entry, where = entries[-1], image.stored.where
    name = "this change in place" if resume_key is None else f"the step resume_key={resume_key!r}"
    done = f"{name} was applied to the image at {where} before (it ended {entry.get('finished')})"
    if not unfinished:
        now = fingerprint(image.stored, thorough=True)
        if same_content(metadata.history[-1].get("after"), now) is False:
            if same_content(entry.get("before"), now):
                return False  # the voxels are again what they were before the step
            raise ResumeError(
                f"{done}, and the voxels were changed otherwise since, so it cannot be told whether it is wanted again; to apply it "
                f"once more pass resume=False, or begin again from a fresh image."
            )
    if resume_key is None:
        raise ResumeError(
            f"{done}; to apply it once more pass resume=False. So that a script can be run again, name each of its steps: "
            f"with resume_key='...' a step that is done leaves the image as it is."
        )
    if entry.get("step") != step:
        raise ResumeError(
            f"{done} with another function, other parameters or other inputs; give this step a name of its own, or begin again "
            f"from a fresh image."
        )
    return True


def is_listed(image: VoxelImage, identity: Mapping[str, Any]) -> bool:
    """Tell whether the last run that changed an image in place and ended was this one."""
    history = image.metadata.history
    return bool(history) and history[-1].get("step") == _step(identity)


def entry_of(
    identity: Mapping[str, Any], resume_key: str | None, resumable: bool, before: Any, image: VoxelImage
) -> dict[str, Any]:
    """Return what the history of an image says of a run that has just ended."""
    entry: dict[str, Any] = {
        "step": _step(identity),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "before": before,
        "after": fingerprint(image.stored, thorough=False),
    }
    if resume_key is not None:
        entry["key"] = resume_key
    return entry if resumable else entry | {"passing": True}


def with_entry(history: tuple[Mapping[str, Any], ...], entry: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return a history with one more entry, without the oldest of those that nobody will ask
    for.
    """
    whole = [*history, entry]
    passing = [n for n, old in enumerate(whole) if old.get("passing") and "key" not in old]
    gone = set(passing[:-KEPT])
    return tuple(old for n, old in enumerate(whole) if n not in gone)


def _step(identity: Mapping[str, Any]) -> str:
    """Return a digest of what a run does, wherever its images lie."""
    parts = {k: v for k, v in identity.items() if k not in ("input_hashes", "input_state", "version", "before")}
    # An input is what it holds, wherever it lies; only of one that cannot be known so the place
    # counts.
    states = [
        {"content": state["content"]} if state.get("content") else dict(state)
        for state in identity.get("input_state") or []
    ]
    text = json.dumps(_without_places(parts) | {"states": states}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _without_places(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_places(v) for k, v in value.items() if k != "store"}
    return [_without_places(v) for v in value] if isinstance(value, list | tuple) else value
