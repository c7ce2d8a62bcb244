"""Processes that are real: the worlds, a whole pipeline, and what happens when one of them fails."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import lithax as lx
from lithax.testing import on_threads

KINDS = ["mpi", "jax"]
SHAPE = (24, 20, 22)


@pytest.mark.parametrize("kind", ["mpi", pytest.param("jax", marks=pytest.mark.mpi)])
def test_a_world(mpiexec, succeeded, kind):
    name, *report = succeeded(mpiexec(2, "world", kind))
    assert name == {"mpi": "MpiWorld", "jax": "JaxWorld"}[kind]
    assert [line.partition(" on ")[0] for line in report] == ["process 0 of 2", "process 1 of 2"]


@pytest.mark.mpi
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores are divided on Linux alone")
@pytest.mark.parametrize(("shared", "expected"), [("1", "all"), ("", "own")])
def test_whose_cores_are_whose(mpiexec, succeeded, shared, expected):
    """Of two processes that the launcher did not bind."""
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("there is one core")
    lines = [set(json.loads(line)) for line in succeeded(mpiexec(2, "cores", LITHAX_SHARE_CORES=shared))]
    assert set().union(*lines) == cores
    assert (lines[0] & lines[1] == cores) == (expected == "all")
    assert expected == "all" or not lines[0] & lines[1]


@pytest.mark.mpi
@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="a port cannot be shared here")
def test_nobody_takes_the_port_of_the_coordinator(mpiexec, succeeded):
    """It was free when it was looked for; a program that was started at that moment could have it first."""
    assert succeeded(mpiexec(2, "port")) == ["kept"]


@pytest.mark.mpi
def test_a_world_that_slurm_started(srun):
    """With an MPI library that does not know Slurm, "auto" falls back on jax.distributed."""
    ends = srun(2, "world", "auto")
    assert [code for code, _ in ends] == [0, 0], ends
    assert ends[0][1].splitlines()[0] == "JaxWorld"


@pytest.mark.mpi
@pytest.mark.slow  # three work together in other tests, too
@pytest.mark.parametrize("kind", KINDS)
def test_a_world_of_three(mpiexec, succeeded, kind):
    assert len(succeeded(mpiexec(3, "world", kind))) == 4


@pytest.fixture(scope="module")
def scan():
    coarse = np.random.default_rng(3).integers(0, 200, [n // 2 for n in SHAPE])
    return np.kron(coarse, np.ones((2, 2, 2))).astype("u2")


@pytest.fixture(scope="module")
def alone(scan, tmp_path_factory):
    """What the pipeline finds in one process, started without a launcher."""
    return Path(__file__).parent / "programs" / "pipeline.py", run_alone(scan, tmp_path_factory.mktemp("alone"))


def run_alone(scan, folder):
    scan.T.tofile(folder / "scan.raw")
    program = Path(__file__).parent / "programs" / "pipeline.py"
    done = subprocess.run(
        [sys.executable, str(program), "auto", str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), folder


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("jax", 2),
        ("auto", 3),
        *(pytest.param("auto", count, marks=pytest.mark.slow) for count in (2, 4)),
    ],
)
@pytest.mark.mpi
def test_a_pipeline_gives_the_same_bytes(mpiexec, succeeded, scan, alone, tmp_path, kind, count):
    _, (expected, folder) = alone
    scan.T.tofile(tmp_path / "scan.raw")
    (line,) = succeeded(mpiexec(count, "pipeline", kind, tmp_path))
    assert json.loads(line) == expected
    assert chunks_of(tmp_path) == chunks_of(folder)


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("kind", "count"),
    [
        pytest.param("mpi", 2, marks=pytest.mark.slow),
        ("mpi", 3),
        ("jax", 2),
    ],  # two under MPI: with several devices, below
)
def test_everything_that_images_can_do(mpiexec, succeeded, everything_alone, tmp_path, kind, count):
    """Making, changing, filtering, measuring, coarser levels, files: what one process finds, and the same chunks."""
    expected, folder = everything_alone
    (line,) = succeeded(mpiexec(count, "everything", kind, tmp_path))
    assert json.loads(line) == expected
    assert chunks_of(tmp_path) == chunks_of(folder)


@pytest.mark.mpi
def test_processes_that_compute_on_several_devices_each(mpiexec, succeeded, everything_alone, tmp_path):
    expected, folder = everything_alone
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=3"
    (line,) = succeeded(mpiexec(2, "everything", "mpi", tmp_path, "1,2", XLA_FLAGS=flags))
    assert json.loads(line) == expected
    assert chunks_of(tmp_path) == chunks_of(folder)


@pytest.fixture(scope="module")
def everything_alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("everything")
    program = Path(__file__).parent / "programs" / "everything.py"
    done = subprocess.run(
        [sys.executable, str(program), "serial", str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), folder


def chunks_of(folder):
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file() and p.name != "zarr.json")
    files = [p for p in files if ".lithax" not in p.parts]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.suffix != ".json"}


@pytest.fixture
def stored(scan, tmp_path):
    """A folder with an image, and what filtering it gives."""
    image = lx.from_array(scan, 4, tmp_path / "scan")
    blurred = lx.chunk_map(partial(lx.ops.gaussian, sigma=0.8), image, progress=False)
    return tmp_path, blurred.content_hash()


def finish(folder, count):
    """Go on with what a failed run left, on another number of processes."""

    def work(world):
        image = lx.open(folder / "scan", world=world)
        filtered = partial(lx.ops.gaussian, sigma=0.8)
        out = lx.chunk_map(filtered, image, store=folder / "out", workers=1, progress=False, resume=True)
        return out.content_hash()

    (value,) = set(on_threads(count, work))
    return value


LIMITS = {"mpi": 10, "jax": 30}
"""How long the others may go on after one has failed [s]; for jax.distributed that is its heartbeat, and as much again."""


def ended_in_time(folder, kind):
    seconds = time.time() - (folder / "struck").stat().st_mtime
    assert seconds < LIMITS[kind], f"the others went on for {seconds:.1f} s"


FAILURES = {
    "disk": "No space left on device",
    "limit": "File too large",
    "unwritable": "Permission denied",
    "user": "ZeroDivisionError: in the user's own lines",
}


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("mpi", "disk"),
        *(pytest.param("mpi", how, marks=pytest.mark.mpi) for how in [*FAILURES][1:]),
        # Under jax.distributed the others wait for its heartbeat, whatever failed.
        pytest.param("jax", "disk", marks=pytest.mark.mpi),
        *(pytest.param("jax", how, marks=[pytest.mark.mpi, pytest.mark.slow]) for how in [*FAILURES][1:]),
    ],
)
def test_an_exception_of_one_ends_all(mpiexec, stored, kind, how):
    folder, expected = stored
    if how == "unwritable" and os.geteuid() != 0:
        pytest.skip("only root can take the right to write from one process: run as root, in a container for example")
    done = mpiexec(2, "fails", kind, folder, how, 1, 3)
    assert done.returncode != 0
    ended_in_time(folder, kind)
    assert FAILURES[how] in done.stderr
    assert 'fails.py", line' in done.stderr  # the traceback of the one that failed
    if how != "user":
        assert "process 1 of 2" in done.stderr
        assert "resume=True" in done.stderr
        assert (folder / "out" / ".lithax" / "journal-1.jsonl").exists()
        assert finish(folder, 3) == expected


@pytest.mark.mpi
@pytest.mark.parametrize("kind", KINDS)
def test_one_that_ends_early_is_not_waited_for(mpiexec, stored, kind):
    done = mpiexec(3, "fails", kind, stored[0], "exit", 1, 0)
    assert done.returncode != 0
    ended_in_time(stored[0], kind)
    assert "process 1 came to the end of its program" in done.stderr


def killed(mpiexec, stored, seed, kind="mpi"):
    folder, expected = stored
    draw = random.Random(seed)
    how = draw.choice(["kill", "kill-after", "kill-recorded"])
    who, when = draw.randrange(2), draw.randrange(1, 60)
    done = mpiexec(2, "fails", kind, folder, how, who, when)
    text = done.stdout + done.stderr
    assert done.returncode != 0, f"{how=} {who=} {when=}: {text}"
    # The launcher names the PID and the signal; report() says whose PID that is.
    (pid,) = re.findall(rf"process {who} of 2 on \S+ \(PID (\d+)\)", text)
    assert re.search(rf"PID {pid} .*?signal 9|PID {pid} .*?SIGNAL: 9", text, re.DOTALL), text
    ended_in_time(folder, kind)
    assert finish(folder, draw.choice([1, 3])) == expected


@pytest.mark.mpi
@pytest.mark.parametrize("seed", range(3))
def test_a_killed_process_ends_all_and_nothing_is_lost(mpiexec, stored, seed):
    killed(mpiexec, stored, seed)


@pytest.mark.mpi
@pytest.mark.parametrize("who", [0, 1])
def test_jax_notices_a_killed_process_without_a_launcher(srun, stored, who):
    """Nobody but the coordinator of jax.distributed (the first process), or its silence, tells the others."""
    folder, expected = stored
    ends = srun(2, "fails", "jax", folder, "kill", who, 20)
    assert ends[who][0] == -signal.SIGKILL
    assert ends[1 - who][0] != 0
    if who == 1:  # with the first one the coordinator is gone, and nobody knows more
        assert "tasks are unhealthy (stopped sending heartbeats):\n1\n" in ends[0][1]
    ended_in_time(folder, "jax")
    assert finish(folder, 3) == expected


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 23))
def test_killed_at_many_moments(mpiexec, stored, seed):
    killed(mpiexec, stored, seed)


@pytest.mark.mpi
def test_a_change_in_place_is_never_applied_twice(mpiexec, stored, scan):
    folder, _ = stored
    done = mpiexec(2, "fails", "mpi", folder, "kill-in-place", 1, 20)
    assert done.returncode != 0
    with pytest.raises(lx.errors.IncompleteImageError):
        lx.open(folder / "scan")
    image = lx.open(folder / "scan", incomplete=True)
    image.apply("add", 1, progress=False, resume=True)
    np.testing.assert_array_equal(lx.open(folder / "scan")[...], scan + 1)


@pytest.mark.mpi
def test_an_array_over_the_devices_of_all_processes(mpiexec, succeeded, tmp_path, rng):
    values = rng.normal(size=(17, 6, 8)).astype("f4")  # 17 does not divide by 2
    lx.from_array(values, 4, tmp_path / "a")
    *_, line = succeeded(mpiexec(2, "sharded", tmp_path))  # gloo also writes
    for _ in range(3):
        padded = np.pad(values, ((1, 1), (0, 0), (0, 0)), "edge")
        values = (padded[2:] + 2 * padded[1:-1] + padded[:-2]) / 4
    # Three steps of three roundings each, of values around 1.
    np.testing.assert_allclose(lx.open(tmp_path / "b")[...], values, atol=1e-6)
    assert line == lx.open(tmp_path / "b").content_hash()


@pytest.mark.mpi
@pytest.mark.parametrize(("count", "reservoir"), [pytest.param(2, 0, marks=pytest.mark.slow), (3, 2)])
def test_conduction_over_processes(mpiexec, succeeded, tmp_path, rng, count, reservoir):
    """Each process reads its own part; what is found is that of one process, and the gradient is kept as an image."""
    lx.from_array((rng.random((13, 10, 11)) < 0.5).astype("u1"), 8, tmp_path / "rock")  # 13 divides by neither 2 nor 3
    rock = lx.open(tmp_path / "rock")
    options = {"pore": 0, "values": {0: 1.0, 1: 0.01}, "fluid": 1.0, "reservoir": reservoir, "tolerance": 1e-6}
    alone = lx.solve.conductivity(rock, fields=True, gradient=True, **options)
    *_, line = succeeded(mpiexec(count, "conduction", tmp_path, "jax", reservoir))
    value, iterations, again, coarse, *flux = map(float, line.split())
    assert value == pytest.approx(float(alone.value), rel=1e-6)  # rounding of the sums
    assert iterations == int(alone.iterations)
    assert again < iterations
    assert coarse == pytest.approx(value, rel=1e-5)  # from a bad guess, to the tolerance
    expected = [float(np.sum(part[...])) for part in alone.flux]
    assert flux == pytest.approx(expected, abs=1e-5 * expected[0])  # those across nearly cancel
    slope = alone.gradient[...]
    for name, of_one in (("slope", slope), ("slope by jax", slope), ("potential", alone.potential[...])):
        np.testing.assert_allclose(lx.open(tmp_path / name)[...], of_one, atol=1e-5 * np.max(of_one))


@pytest.mark.mpi
@pytest.mark.parametrize("program", ["conduction", pytest.param("permeability", marks=pytest.mark.slow)])
def test_solves_under_mpi_alone_are_refused(mpiexec, succeeded, tmp_path, program):
    lx.from_array(np.zeros((6, 5, 4), "u1"), store=tmp_path / "rock")
    (line,) = succeeded(mpiexec(2, program, tmp_path, "mpi", 0))
    assert "connect('jax')" in line


@pytest.mark.mpi
@pytest.mark.parametrize(("count", "reservoir"), [(2, 0), pytest.param(3, 1, marks=pytest.mark.slow)])
def test_permeability_over_processes(mpiexec, succeeded, tmp_path, rng, count, reservoir):
    """Each process reads, labels and walls its own part; what is found is that of one process."""
    values = (rng.random((13, 10, 11)) < 0.4).astype("u1")
    values[:, :3, :2] = 2
    values[5:9, :, 3:8] = 0  # the widest way through is not one voxel wide
    lx.from_array(values, 8, tmp_path / "rock")
    options = {"pore": 0, "permeability": {2: 0.01}, "axis": "y", "reservoir": reservoir, "tolerance": 1e-3}
    alone = lx.solve.permeability(lx.open(tmp_path / "rock"), fields=True, **options)
    expected = [float(alone.value), int(alone.iterations), alone.porosities.percolating, float(alone.narrow_share)]
    *_, line = succeeded(mpiexec(count, "permeability", tmp_path, "jax", reservoir))
    *numbers, width = map(float, line.split())
    # Rounding of sums that are taken in another order, in float32, and of some iterations.
    assert numbers == pytest.approx(expected, rel=1e-5)
    assert width == alone.breakthrough_diameter > 1
    pressure = alone.pressure[...]
    np.testing.assert_allclose(lx.open(tmp_path / "pressure")[...], pressure, atol=1e-4 * np.max(np.abs(pressure)))


@pytest.mark.mpi
def test_cells_of_a_notebook_on_four_engines(stored):
    """As `%%px --block` runs them: ipyparallel starts the engines with mpiexec, and each cell runs on all."""
    pytest.importorskip("ipyparallel", reason="needs ipyparallel: run nox -s mpi, or pip install ipyparallel")
    if shutil.which("mpiexec") is None and not Path(sys.executable).with_name("mpiexec").exists():
        pytest.skip("mpiexec is not installed: pip install 'lithax[mpi]'")
    folder, expected = stored
    program = Path(__file__).parent / "programs" / "notebook.py"
    done = subprocess.run(
        [sys.executable, str(program), str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["failed"]) == 4  # the failing cell failed on every engine, and said why
    assert all("different arguments: parameters.sigma is" in text for text in told["failed"])
    moments = repr(lx.chunk_reduce(lx.measure.Moments(), lx.open(folder / "out"), progress=False))
    size = int(np.prod(SHAPE))
    assert told["found"] == [[k, 4, True, moments, expected, size if k == 0 else None] for k in range(4)]


@pytest.mark.mpi
def test_a_program_that_never_connected_is_told(mpiexec, tmp_path):
    done = mpiexec(2, "unconnected", tmp_path)
    assert done.returncode != 0
    assert "2 copies of " in done.stderr
    assert "begin the program with lithax.runtime.connect()" in done.stderr


@pytest.mark.mpi
@pytest.mark.parametrize("kind", KINDS)
def test_processes_on_one_shard_and_on_a_changed_input(mpiexec, succeeded, tmp_path, kind):
    """No plane and no attribute is lost; whoever changes the input, every process refuses to go on with the output."""
    lx.zeros((24, 8, 8), "u2", chunks=4, shards=(24, 8, 8), store=tmp_path / "shard.zarr")
    lx.from_array(np.full((16, 8, 8), 3, "u2"), chunks=4, store=tmp_path / "scan.zarr")
    said = succeeded(mpiexec(2, "faults", tmp_path, kind))
    image = lx.open(tmp_path / "shard.zarr")
    assert image[:, 1, 1].tolist() == [*range(1, 25)]
    assert image[:, 0, 0].tolist() == [*range(100, 124)]
    assert dict(image.attrs) == {f"plane {n}": n for n in range(24)}
    assert (image.description, image.voxel_unit) == ("by all", "mm")
    assert lx.verify(image, progress=False)
    for turn in ("at first", "again"):
        assert sorted(line for line in said if line.startswith(turn)) == [f"{turn}: {k} has 6" for k in (0, 1)]
    refused = sorted(line for line in said if line.startswith("refused"))
    assert [line[:10] for line in refused] == ["refused: 0", "refused: 1"]
    assert all("scan.zarr" in line for line in refused)
    assert (lx.open(tmp_path / "out.zarr")[...] == 6).all()
