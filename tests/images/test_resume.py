"""A run that ends before its time leaves other images as they were, and an output that is finished to the same bytes."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

import lithax as lx
from lithax.errors import IncompleteImageError, LockedError, ResumeError
from lithax.testing import assert_same_bits

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")

SHAPE, CHUNKS, SHARDS = (40, 30, 50), (10, 10, 10), (20, 20, 20)
RUNS = Path(__file__).with_name("killed_runs.py")
QUICK, MANY = 3, 20


class Runner:
    """Starts runs in a process of their own and says how they ended."""

    def __init__(self, errors):
        self.errors = errors
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", RUNS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.running = None
        assert self._read() == "ready"

    def start(self, **spec):
        if self.running is not None:  # a test that failed left it behind
            self.kill()
            self.end()
        self.errors.unlink(missing_ok=True)
        spec = {k: os.fspath(v) if isinstance(v, Path) else v for k, v in spec.items()}
        self.process.stdin.write(json.dumps(spec | {"errors": os.fspath(self.errors)}) + "\n")
        self.process.stdin.flush()
        self.running = self._read()["pid"]
        return self.running

    def end(self):
        """Return the exit status of the run, negative for a signal."""
        status, self.running = self._read()["status"], None
        return status

    def is_alive(self):
        """Whether the run still works; one that has ended is waited for by the process that forked it."""
        try:
            return psutil.Process(self.running).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.running, signal.SIGKILL)

    def run(self, **spec):
        self.start(**spec)
        return self.end()

    def traceback(self):
        return self.errors.read_text()

    def _read(self):
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    runner = Runner(tmp_path_factory.mktemp("runs") / "errors")
    yield runner
    runner.process.stdin.close()
    assert runner.process.wait() == 0
    runner.process.stdout.close()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """An image in which some shards of any result hold nothing but the fill value, and are not stored."""
    x = np.random.default_rng(5).integers(1, 1000, SHAPE).astype("f4")
    x[20:, :, :25] = 0
    path = tmp_path_factory.mktemp("source") / "source.zarr"
    lx.from_array(x, chunks=CHUNKS, store=path)
    return path


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory, runner):
    """What an uninterrupted run leaves, for every function and both grids."""
    folder = tmp_path_factory.mktemp("whole")
    made = {}
    for function in ("gaussian", "double"):
        for shards in (None, SHARDS):
            store = folder / f"{function}-{bool(shards)}.zarr"
            assert runner.run(kind="new", source=source, store=store, function=function, options=grid(shards)) == 0
            made[function, shards] = stored(store)
    return made


def grid(shards):
    return {"chunks": CHUNKS, "shards": shards}


def doubling(source, store, shards=None):
    return {"kind": "new", "source": source, "store": store, "function": "double", "options": grid(shards)}


def stored(path):
    """Return every stored byte by its place; of the metadata what does not tell of the time, and not the ledger, which does."""
    found = {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    assert all(name.startswith((".lithax/ledger", ".lithax/locks")) for name in found if ".lithax" in name), found
    found = {name: data for name, data in found.items() if ".lithax" not in name}
    document = json.loads(found["zarr.json"])
    document["attributes"]["lithax"]["provenance"] = document["attributes"]["lithax"]["created"] = None
    return found | {"zarr.json": json.dumps(document)}


def remains(path):
    """What a run has left beside a complete image, but for what stays there: the ledger and the files that are locked."""
    return sorted(p.name for p in path.glob(".lithax/*") if p.name not in ("ledger", "locks"))


def journal_lines(path):
    lines = 0
    with contextlib.suppress(FileNotFoundError):  # the run ends while it is looked at
        for journal in path.glob(".lithax/journal*"):
            lines += journal.read_bytes().count(b"\n")
    return lines


def check_unfinished(store):
    """An image that was cut off says so to whoever opens it, and can be looked at all the same."""
    with pytest.raises(IncompleteImageError, match=r"was cut off while it was written.*resume=True"):
        lx.open(store)
    assert lx.open(store, incomplete=True).metadata.state == "writing"


def kill_at_random_moments(runner, seed, start, store):
    """Start a run and kill it from outside when its journal has grown to a random length; True if it came to that."""
    chooser = random.Random(seed)
    length = chooser.randint(1, 14)
    start()
    while journal_lines(store) < length and runner.is_alive():
        pass
    for _ in range(chooser.randint(0, 2000)):  # some more work, however long that takes
        pass
    runner.kill()
    return runner.end() == -signal.SIGKILL


MOMENTS = [
    ("block", 1), ("block", 9), ("before write", 1), ("before write", 7), ("half written", 5), ("before rename", 6),
    ("after write", 1), ("after write", 8), ("before record", 5), ("half recorded", 4),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shards", "moment", "count"),
    [
        *(pytest.param(None, *moment, marks=[pytest.mark.slow] * (k in (0, 2, 6))) for k, moment in enumerate(MOMENTS)),
        *(pytest.param(SHARDS, *moment, marks=[pytest.mark.slow] * (k % 2 == 0)) for k, moment in enumerate(MOMENTS)),
    ],
)
def test_killed_at_a_chosen_moment_and_resumed(runner, source, whole, tmp_path, shards, moment, count):
    before = stored(source)
    store = tmp_path / "out.zarr"
    spec = doubling(source, store, shards)
    assert runner.run(**spec, moment=moment, count=min(count, 3) if shards else count) == -signal.SIGKILL
    check_unfinished(store)
    assert runner.run(**spec, resume=True) == 0, runner.traceback()
    assert stored(store) == whole["double", shards]
    assert stored(source) == before


@pytest.mark.parametrize(
    "seed", [*range(QUICK), *(pytest.param(s, marks=pytest.mark.slow) for s in range(QUICK, MANY))]
)
def test_killed_at_random_moments_again_and_again(runner, source, whole, tmp_path, seed):
    chooser = random.Random(seed)
    function, shards = chooser.choice(list(whole))
    store = tmp_path / "out.zarr"
    spec = {"kind": "new", "source": source, "store": store, "function": function, "options": grid(shards)}
    for turn in range(3):
        # Another number of workers makes other blocks of the same chunks.
        more = {"workers": chooser.randint(1, 4), "resume": True}
        killed = kill_at_random_moments(
            runner, (seed, turn).__hash__(), lambda more=more: runner.start(**spec, **more), store
        )
        if killed and store.exists() and (store / "zarr.json").exists():
            assert lx.open(store, incomplete=True).metadata.state in ("writing", "complete")
    assert runner.run(**spec, resume=True) == 0, runner.traceback()
    assert stored(store) == whole[function, shards]


def in_place_target(tmp_path, dtype="f4"):
    x = np.random.default_rng(6).integers(0, 100, SHAPE).astype(dtype)
    x[:20, :20] = 0
    store = tmp_path / "image.zarr"
    lx.from_array(x, chunks=CHUNKS, shards=SHARDS if dtype == "f4" else None, store=store).content_hash()
    return x, store


IN_PLACE = [m for m in MOMENTS if m[0] != "block"]


@pytest.mark.parametrize(
    ("dtype", "moment", "count"),
    [
        *(pytest.param("f4", *moment, marks=[pytest.mark.slow] * (k in (0, 5))) for k, moment in enumerate(IN_PLACE)),
        *(pytest.param("i2", *moment, marks=[pytest.mark.slow] * (k % 2 == 1)) for k, moment in enumerate(IN_PLACE)),
    ],
)
def test_a_change_in_place_is_never_made_twice(runner, tmp_path, moment, count, dtype):
    x, store = in_place_target(tmp_path, dtype)
    spec = {"kind": "in place", "store": store, "other": 3}
    for turn in range(2):
        ended = runner.run(**spec, moment=moment, count=min(count, 3), resume=turn > 0)
        assert ended == -signal.SIGKILL, runner.traceback()
        check_unfinished(store)
    assert runner.run(**spec, resume=True) == 0, runner.traceback()
    image = lx.open(store)
    assert_same_bits(np.asarray(image), x + np.dtype(dtype).type(3))
    assert image.metadata.provenance["in_place"]
    assert remains(store) == []
    assert not list(store.rglob("*.partial"))


@pytest.mark.parametrize(
    "seed", [*range(QUICK), *(pytest.param(s, marks=pytest.mark.slow) for s in range(QUICK, MANY))]
)
def test_in_place_at_random_moments(runner, tmp_path, seed):
    x, store = in_place_target(tmp_path)
    spec = {"kind": "in place", "store": store, "other": 3}
    for turn in range(3):
        resume = lx.open(store, incomplete=True).metadata.state == "writing"
        if turn and not resume:
            break  # it was done before the kill came
        kill_at_random_moments(
            runner, seed * 10 + turn, lambda resume=resume: runner.start(**spec, resume=resume), store
        )
    if lx.open(store, incomplete=True).metadata.state == "writing":
        assert runner.run(**spec, resume=True) == 0, runner.traceback()
        assert_same_bits(np.asarray(lx.open(store)), x + np.float32(3))
    else:  # killed before it began, or after it had ended
        assert (np.asarray(lx.open(store)) - x).std() == 0


def test_in_place_with_another_image(runner, source, tmp_path):
    x, store = in_place_target(tmp_path)
    spec = {"kind": "in place", "store": store, "other": os.fspath(source)}
    assert runner.run(**spec, moment="before rename", count=6) == -signal.SIGKILL
    assert runner.run(**spec, resume=True) == 0, runner.traceback()
    assert_same_bits(np.asarray(lx.open(store)), x + np.asarray(lx.open(source)))


def killed(runner, source, store, **more):
    spec = doubling(source, store)
    assert runner.run(**(spec | more), moment="after write", count=9) == -signal.SIGKILL, runner.traceback()
    return spec | more


def test_only_what_is_missing_is_done_again(runner, source, tmp_path):
    store = tmp_path / "out.zarr"
    killed(runner, source, store)
    recorded = {p: p.stat().st_mtime_ns for p in store.glob("c/*/*/*") if p.suffix != ".partial"}
    blocks = []

    def double(v):
        blocks.append(v.shape)
        return v * 2

    chunks = int(np.prod([n // c for n, c in zip(SHAPE, CHUNKS, strict=True)]))
    out = lx.chunk_map(
        double,
        lx.open(source),
        store=store,
        resume=True,
        backend="numpy",
        resume_key="double",
        progress=False,
        workers=40,
    )
    trial = 3  # calls that look at the function before the run
    assert 0 < len(blocks) - trial < chunks - 5
    kept = sum(p.stat().st_mtime_ns == before for p, before in recorded.items())
    assert kept >= len(recorded) - 3  # those whose record the kill prevented
    assert_same_bits(np.asarray(out), np.asarray(lx.open(source)) * 2)


def test_a_finished_output_is_not_made_again(runner, source, tmp_path):
    image, store = lx.open(source), tmp_path / "out.zarr"
    calls = []

    def double(v):
        calls.append(None)
        return v * 2

    options = {"store": store, "backend": "numpy", "resume_key": "double", "progress": False, "resume": True}
    lx.chunk_map(double, image, **options)
    many = len(calls)
    before = stored(store)
    again = lx.chunk_map(double, image, **options)
    assert len(calls) - many <= 3  # that look at the function
    assert stored(store) == before
    image.content_hash()  # what is known of the input since then does not make it another run
    lx.chunk_map(double, image, **options)
    assert_same_bits(np.asarray(again), np.asarray(image) * 2)
    with pytest.raises(
        ResumeError, match=r"the complete image at .* comes from another call \(computation.*overwrite=True"
    ):
        lx.chunk_map(double, image, **(options | {"resume_key": "another"}))
    replaced = lx.chunk_map(lambda v: v * 3, image, **(options | {"resume_key": "another", "overwrite": True}))
    assert_same_bits(np.asarray(replaced), np.asarray(image) * 3)


def test_another_run_is_refused_and_what_differs_is_named(runner, source, tmp_path):
    store = tmp_path / "out.zarr"
    killed(runner, source, store)
    image = lx.open(source)
    moved = lx.from_array(np.asarray(image), chunks=CHUNKS, store=tmp_path / "moved.zarr", voxel_length=2.0)
    base = {"store": store, "backend": "numpy", "resume": True, "resume_key": "double", "progress": False}

    def refused(fn, picture, parts, error=ResumeError, **changes):
        with pytest.raises(error, match=parts):
            lx.chunk_map(fn, picture, **(base | changes))

    refused(lambda v: v * 2, image, r"comes from another call \(computation: \"key:double\" then", resume_key="other")
    refused(lambda v: v * 2, moved, r"geometry: .*inputs: ")
    refused(lambda v: v * 2, image, r"grid: ", chunks=20)
    refused(lambda v: v * 2, image, r"dtype: ", dtype="f8")
    refused(lambda v: v * 2, image, r"seed: 0 then, 4 now", seed=4)
    refused(lambda v: v * 2, image, r"where: ", where=lx.regions.Sphere((0, 0, 0), 5.0))
    refused(lambda v, factor: v * factor, image, r"parameters: ", factor=2)
    refused(lambda v: v[1:-1, 1:-1, 1:-1], image, r"boundary: ", halo=1, boundary="wrap")
    refused(lambda v: v * 2, image, r"name it with resume_key= in both calls", resume_key=None)
    refused(lambda v: v * 2, image, r"backend: ", backend="jax")
    refused(lambda v: v * 2, image, r"resume='maybe' must be True, False or 'force'", ValueError, resume="maybe")
    # Not even by force: the units that are there would not fit.
    refused(lambda v: v * 2, image, r"has shape .* this call makes", resume="force", chunks=20)
    out = lx.chunk_map(lambda v: v * 3, image, **(base | {"resume": "force", "resume_key": "other"}))
    values = np.unique(np.asarray(out) / np.where(np.asarray(image) == 0, 1, np.asarray(image)))
    assert set(values) == {0.0, 2.0, 3.0}  # what was there is kept, at the user's word


def test_compiled_functions_are_known_by_what_they_compute(runner, source, tmp_path):
    """On JAX without any key: an equal lambda in another process is the same function, another constant is not."""
    store = tmp_path / "out.zarr"
    killed(runner, source, store, backend="jax")
    image = lx.open(source)
    options = {"store": store, "resume": True, "progress": False, **grid(None)}
    with pytest.raises(ResumeError, match="computation: "):
        lx.chunk_map(lambda v: v * 3, image, **options)
    table = np.asarray([2.0, 3.0], "f4")
    with pytest.raises(ResumeError, match="computation: "):
        lx.chunk_map(lambda v: v * table[1], image, **options)
    out = lx.chunk_map(lambda v: v * 2, image, **options)
    assert_same_bits(np.asarray(out), np.asarray(image) * 2)


def test_arrays_among_the_parameters_belong_to_the_run(source, tmp_path):
    image, store = lx.open(source), tmp_path / "out.zarr"
    fail = [True]

    def scaled(v, *, gain):
        if fail[0] and v.shape[0] > 5:
            fail[0] = False
            raise ZeroDivisionError
        return v * gain

    options = {"store": store, "backend": "numpy", "resume_key": "scaled", "progress": False}
    fail[0] = False
    calls = {"left": 12}

    def failing(v, *, gain):
        calls["left"] -= 1
        if calls["left"] == 0:
            raise ZeroDivisionError("half way")
        return v * gain

    with pytest.raises(ZeroDivisionError, match="half way"):
        lx.chunk_map(failing, image, gain=np.asarray(2.0, "f4"), workers=40, **options)
    with pytest.raises(ResumeError, match="arrays: "):
        lx.chunk_map(failing, image, gain=np.asarray(3.0, "f4"), resume=True, **options)
    region = lx.regions.Sphere(np.asarray([1.0, 2.0, 3.0]), 100.0)
    with pytest.raises(ResumeError, match="where: "):
        lx.chunk_map(failing, image, gain=np.asarray(2.0, "f4"), where=region, resume=True, **options)
    out = lx.chunk_map(failing, image, gain=np.asarray(2.0, "f4"), resume=True, **options)
    assert_same_bits(np.asarray(out), np.asarray(image) * 2)


def test_an_input_in_memory_has_no_address(runner, source, tmp_path):
    """The array that a script reads again and passes again is the same input, wherever it lies."""
    np.save(tmp_path / "x.npy", np.asarray(lx.open(source)))
    store = tmp_path / "out.zarr"
    spec = killed(runner, tmp_path / "x.npy", store)
    assert runner.run(**spec, resume=True) == 0, runner.traceback()
    assert_same_bits(np.asarray(lx.open(store)), np.asarray(lx.open(source)) * 2)


def test_a_stale_lock_is_named_with_its_remedy(runner, source, tmp_path):
    store = tmp_path / "out.zarr"
    killed(runner, source, store)
    image = lx.open(source)
    options = {"store": store, "backend": "numpy", "resume_key": "double", "progress": False, **grid(None)}
    with pytest.raises(
        LockedError, match=r"was being written by process \d+ on .*, which is no longer running; pass resume=True"
    ):
        lx.chunk_map(lambda v: v * 2, image, **options)
    with pytest.raises(IncompleteImageError, match="was cut off while it was written"):
        lx.chunk_map(lambda v: v * 2, lx.open(store, incomplete=True), backend="numpy")
    out = lx.chunk_map(lambda v: v * 4, image, overwrite=True, **options)
    assert_same_bits(np.asarray(out), np.asarray(image) * 4)


def test_a_lock_of_another_machine(source, tmp_path):
    store = tmp_path / "out.zarr"
    made = lx.zeros(SHAPE, "f4", chunks=CHUNKS, store=store)
    made.stored.write_object(
        ".lithax/lock", json.dumps({"host": "elsewhere", "pid": 1, "started": 0, "since": "now"}).encode()
    )
    for call in (lambda: made.fill(1), lambda: made.fill(1, resume=True)):
        with pytest.raises(
            LockedError, match=r"locked by process 1 on elsewhere.*on another machine; if that run is over, remove"
        ):
            call()
    assert not np.asarray(made).any()
    made.stored.write_object(".lithax/lock", b"rubbish")
    made.fill(1)  # nobody: the image is complete
    assert (np.asarray(made) == 1).all()


def test_a_second_run_on_the_same_output_is_refused(runner, source, tmp_path):
    store, go = tmp_path / "out.zarr", tmp_path / "go"
    pid = runner.start(kind="new", source=source, store=store, wait=go)
    while not go.with_suffix(".waiting").exists():
        assert runner.is_alive(), runner.traceback()
    image = lx.open(source)
    try:
        for options in ({}, {"resume": True}, {"overwrite": True}, {"resume": "force"}):
            with pytest.raises(LockedError, match=f"is being written by process {pid} "):
                lx.chunk_map(lambda v: v + 1, image, store=store, backend="numpy", resume_key="key", **options)
        target = lx.open(store, incomplete=True)
        with pytest.raises(LockedError, match=f"is being written by process {pid} "):
            lx.chunk_map(lambda v: v + 1, image, out=target, backend="numpy")
    finally:
        go.touch()
    assert runner.end() == 0, runner.traceback()
    assert_same_bits(np.asarray(lx.open(store)), np.asarray(image) + 1)


def run_of_kind(kind, source, tmp_path):
    """Return a run that makes a new output or works in place: its specification, where it writes, and what must be there."""
    if kind == "new":
        store = tmp_path / "out.zarr"
        return doubling(source, store), store, np.asarray(lx.open(source)) * 2
    x, store = in_place_target(tmp_path)
    return {"kind": "in place", "store": store, "other": 3}, store, x + np.float32(3)


@pytest.mark.parametrize("kind", ["new", "in place"])
def test_ctrl_c_drains_and_leaves_a_resumable_output(runner, source, tmp_path, kind):
    spec, store, expected = run_of_kind(kind, source, tmp_path)
    assert runner.run(**spec, moment="before write", count=4, action="interrupt") == 1
    text = runner.traceback()
    assert "KeyboardInterrupt" in text
    assert "The output is unfinished: repeat the call with resume=True to go on" in text
    check_unfinished(store)
    assert not (store / ".lithax" / "lock").exists()
    assert not list(store.rglob("*.partial"))
    assert runner.run(**spec, resume=True) == 0, runner.traceback()
    assert_same_bits(np.asarray(lx.open(store)), expected)


@pytest.mark.parametrize("moment", ["before write", "half written", "before rename", "before record", "half recorded"])
@pytest.mark.parametrize("kind", ["new", "in place"])
def test_a_full_disk(runner, source, tmp_path, kind, moment):
    spec, store, expected = run_of_kind(kind, source, tmp_path)
    before = stored(source)
    assert runner.run(**spec, moment=moment, count=3, action="full") == 1
    assert "No space left on device" in runner.traceback()
    check_unfinished(store)
    assert stored(source) == before
    assert runner.run(**spec, resume=True) == 0, runner.traceback()
    assert_same_bits(np.asarray(lx.open(store)), expected)


def test_units_changed_by_somebody_else(runner, source, tmp_path):
    """In a new output they are made again; in place nobody can tell whether the change was applied."""
    store = tmp_path / "out.zarr"
    spec = killed(runner, source, store)
    recorded = [json.loads(line)["unit"] for line in (store / ".lithax/journal.jsonl").read_text().splitlines()[1:]]
    unit = next(u for u in recorded if store.joinpath("c", *map(str, u)).exists())
    store.joinpath("c", *map(str, unit)).write_bytes(b"other")
    assert runner.run(**spec, resume=True) == 0, runner.traceback()
    assert_same_bits(np.asarray(lx.open(store)), np.asarray(lx.open(source)) * 2)

    _, store = in_place_target(tmp_path)
    spec = {"kind": "in place", "store": store, "other": 3}
    assert runner.run(**spec, moment="after write", count=3) == -signal.SIGKILL
    recorded = [json.loads(line)["unit"] for line in (store / ".lithax/journal.jsonl").read_text().splitlines()[1:]]
    unit = next(u for u in recorded if store.joinpath("c", *map(str, u)).exists())
    store.joinpath("c", *map(str, unit)).write_bytes(b"other")
    assert runner.run(**spec, resume=True) == 1
    assert "is neither as before nor as after the interrupted run" in runner.traceback()


def test_a_journal_beside_a_complete_image_is_remains(runner, source, tmp_path):
    """Killed before anything was changed, or after everything was: there is nothing to resume."""
    x, store = in_place_target(tmp_path)
    (store / ".lithax").mkdir(exist_ok=True)
    lock = {"host": os.uname().nodename, "pid": 2**22 + 1, "started": 0.0, "since": "yesterday"}
    (store / ".lithax/lock").write_text(json.dumps(lock))
    (store / ".lithax/journal.jsonl").write_text(
        '{"journal": 1, "identity": {}}\n{"unit": [0, 0, 0], "digest": "x", "old": "y"}\n'
    )
    image = lx.open(store)
    image += 1
    assert_same_bits(np.asarray(image), x + np.float32(1))
    assert remains(store) == []


def test_in_place_in_memory():
    """Memory does not outlive a kill, but it does an exception: the change is finished, not made twice."""
    x = np.random.default_rng(7).random((12, 10, 8)).astype("f4")
    image = lx.from_array(x, chunks=4)
    left = [7]

    def add(v):
        left[0] -= 1
        if left[0] == 0:
            raise ZeroDivisionError("half way")
        return v + np.float32(1)

    options = {"out": image, "backend": "numpy", "resume_key": "add", "progress": False, "workers": 3}
    with pytest.raises(ZeroDivisionError) as raised:
        lx.chunk_map(add, image, **options)
    assert "resume=True to go on" in "".join(raised.value.__notes__)
    assert not np.array_equal(np.asarray(image), x)
    with pytest.raises(IncompleteImageError, match="was cut off while it was written"):
        lx.chunk_map(add, image, **options)
    lx.chunk_map(add, image, resume=True, **options)
    assert_same_bits(np.asarray(image), x + np.float32(1))
    image += 1
    assert_same_bits(np.asarray(image), (x + np.float32(1)) + np.float32(1))


def test_a_handle_that_does_not_know_of_the_interrupted_run(runner, tmp_path):
    x, store = in_place_target(tmp_path)
    handle = lx.open(store)
    spec = {"kind": "in place", "store": store, "other": 3}
    assert runner.run(**spec, moment="after write", count=3) == -signal.SIGKILL
    with pytest.raises((IncompleteImageError, LockedError), match="resume=True"):
        handle += 1
    assert runner.run(**spec, resume=True) == 0, runner.traceback()
    assert_same_bits(np.asarray(lx.open(store)), x + np.float32(3))


def test_several_outputs(runner, source, tmp_path):
    image = lx.open(source)
    left = [14]

    def both(v):
        left[0] -= 1
        if left[0] == 0:
            raise ZeroDivisionError("half way")
        return v * 2, v > 500

    stores = (tmp_path / "a.zarr", tmp_path / "b.zarr")
    options = {"store": stores, "backend": "numpy", "resume_key": "both", "progress": False, "workers": 40}
    with pytest.raises(ZeroDivisionError):
        lx.chunk_map(both, image, **options)
    for store in stores:
        check_unfinished(store)
    a, b = lx.chunk_map(both, image, resume=True, **options)
    assert_same_bits(np.asarray(a), np.asarray(image) * 2)
    assert_same_bits(np.asarray(b), np.asarray(image) > 500)
    assert not [p for store in stores for p in remains(store)]


def test_a_finished_output_says_what_produced_it(source, tmp_path):
    image = lx.open(source)
    out = lx.chunk_map(
        lx.chain(lx.ops.median, lambda v, p=1: v * 2), image, store=tmp_path / "out.zarr", where=lx.regions.Sphere((0, 0, 0), 30.0),
        backend="numpy", progress=False, hash_inputs=True, field_name="CT", field_unit="HU",
    )  # fmt: skip
    told = lx.open(tmp_path / "out.zarr").metadata
    assert told.state == "complete"
    assert (told.field_name, told.field_unit) == ("CT", "HU")
    made = told.provenance
    assert made["function"].startswith("median(boundary='reflect') | <lambda>(")
    assert "Sphere" in made["where"]
    assert made["backend"] == "numpy"
    assert made["inputs"][0]["content_hash"] == image.content_hash()
    assert made["inputs"][0]["store"].endswith("source.zarr")
    assert made["versions"].keys() >= {"lithax", "jax", "numpy", "zarr", "python"}
    assert made["finished"]
    assert out.metadata == told
    gauss = lx.chunk_map(lx.ops.gaussian, out, sigma=1.5, boundary="wrap", backend="numpy", progress=False)
    assert gauss.metadata.provenance["parameters"] == [{"sigma": 1.5}]
    assert "boundary='wrap'" in gauss.metadata.provenance["function"]
