"""A dual-energy study shared by processes leaves what one process leaves, byte for byte."""

import json
from pathlib import Path

import pytest


def files(folder):
    """Every stored byte by its place, but for the record of when it was made; the folder goes by one name."""
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}
    for name in [name for name in found if name.endswith("zarr.json")]:
        document = json.loads(found[name].replace(str(folder).encode(), b"folder"))
        provenance = document["attributes"].get("lithax", {}).get("provenance")
        if provenance is not None:
            del provenance["finished"]
        found[name] = json.dumps(document, sort_keys=True).encode()
    return found


@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.mpi)])
def test_the_same_bytes_as_of_one_process(mpiexec, succeeded, tmp_path, count):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    (expected,) = succeeded(mpiexec(1, "dual_energy", "mpi", alone))
    (found,) = succeeded(mpiexec(count, "dual_energy", "mpi", shared))
    assert json.loads(found) == json.loads(expected)
    assert files(shared) == files(alone)
