"""The record of a computation that the user, or a study, has named by a key."""

from typing import Any

_MARK = "key:"


def keyed(key: str, computation: str | None = None) -> str:
    """Return what is recorded of a computation with a key, and of what else is known of it."""
    return f"{_MARK}{key}" + (f" {computation}" if computation else "")


def made_with(run: Any, key: str) -> bool:
    """Return whether the record of a run (the metadata of its result) names this key."""
    known = run.get("computation") if isinstance(run, dict) else None
    return known is not None and (known == keyed(key) or known.startswith(f"{keyed(key)} "))
