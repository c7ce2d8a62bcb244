"""The folder of a report: what may be replaced in it, and what a failure leaves."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STORES = ("scan.zarr", "pores.zarr")
DEMO_FILES = ("scan.raw", "scan.raw.json")

_UNFINISHED = {"format": "lithax-report", "state": "unfinished"}


@contextlib.contextmanager
def report_folder(folder: Path, *, overwrite: bool, demo: bool) -> Iterator[Path]:
    """Make the folder, or see that what it holds may be replaced; on a failure remove what the
    report made.

    Replaced without being asked are an unfinished report, and a demo by a demo, because both come
    out the same.

    Raises
    ------
    FileExistsError
        If the folder holds a report and `overwrite` is False, or stores that no report made.
    """
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    document = folder / "report.json"
    earlier = _read(document)
    names = (*STORES, *DEMO_FILES) if demo else STORES
    if document.exists():
        may = overwrite or earlier.get("state") == "unfinished" or (demo and _is_demo(earlier))
        if not may:
            raise FileExistsError(
                f"output={str(folder)!r} holds a report already; name another folder, or pass overwrite=True (--overwrite)."
            )
    else:
        for name in names:
            if (folder / name).exists():
                raise FileExistsError(
                    f"output={str(folder)!r} holds {name}, and no report.json says that a report made it; name another folder, or move it."
                )
    finished = document.exists() and earlier.get("state") != "unfinished"
    if not finished:
        document.write_text(json.dumps(_UNFINISHED) + "\n", encoding="utf-8")
    try:
        yield folder
    except BaseException:
        if not finished:
            for name in (*names, "report.json"):
                _remove(folder / name)
            if new:
                with contextlib.suppress(OSError):
                    folder.rmdir()  # unless somebody else put something there
        raise


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_demo(document: dict[str, Any]) -> bool:
    provenance = document.get("provenance")
    return isinstance(provenance, dict) and "simulated" in provenance.get("input", {})


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
