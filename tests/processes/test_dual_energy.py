"""A dual-energy study shared by processes leaves what one process leaves, byte for byte."""

import json

import pytest


@pytest.mark.mpi
@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_the_same_bytes_as_of_one_process(mpiexec, succeeded, stored_bytes, tmp_path, count):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    (expected,) = succeeded(mpiexec(1, "dual_energy", "mpi", alone))
    (found,) = succeeded(mpiexec(count, "dual_energy", "mpi", shared))
    assert json.loads(found) == json.loads(expected)
    assert stored_bytes(shared) == stored_bytes(alone)
