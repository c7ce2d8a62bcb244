"""Kills, fuzzed metadata and damaged stores, drawn from seeds: ``python tests/faults/campaigns.py --minutes 5``.

Each campaign takes a seed and an empty folder and returns when what is promised holds; what does not raises. The same seed draws the
same faults.
"""

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

import lithax as lx
from lithax.errors import IncompleteImageError, LithaxError, LockedError, MetadataError, ResumeError

SHAPE = (16, 12, 8)
CHUNKS = (4, 4, 4)
SHARDS = (None, (8, 4, 8), (16, 12, 8))

KILLED = """
import os, signal, sys
import numpy as np
import lithax as lx
from lithax.storage import StoredArray
from lithax.storage import _journal, _objects

folder, kind, moment, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])

def reached(name):
    global count
    if name == moment:
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)

def around(owner, name, before, after):
    function = getattr(owner, name)
    def watched(*arguments):
        reached(before)
        result = function(*arguments)
        reached(after)
        return result
    setattr(owner, name, watched)

around(StoredArray, "write_unit", "before unit", "after unit")
around(_journal.Journal, "record", "before record", "after record")
around(_objects.DirectoryObjects, "_write", "before object", "after object")
around(os, "pwrite", "before ledger", "after ledger")
options = {"backend": "numpy", "progress": False, "workers": 2, "resume": True}
if kind == "new":
    image = lx.open(folder + "/in.zarr")
    lx.chunk_map(lambda v: v * 2 + 1, image, store=folder + "/out.zarr", resume_key="f", **options)
else:
    for n in range(3):
        image = lx.open(folder + "/out.zarr", incomplete=True)
        lx.chunk_map(lambda v: v * 2 + n, image, out=image, resume_key=f"step {n}", **options)
"""
MOMENTS = [f"{when} {what}" for what in ("unit", "record", "object", "ledger") for when in ("before", "after")]


def start():
    """Return a process that runs programs, and how to ask it."""
    command = [sys.executable, "-W", "ignore", Path(__file__).with_name("forks.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert json.loads(process.stdout.readline()) == "ready"

    def run(*words):
        process.stdin.write(json.dumps([str(word) for word in words]) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    return process, run


def kill(seed, folder, forked):
    """Runs that are killed several times, at any step of writing, end with the right voxels; nothing is made twice."""
    chooser = random.Random(seed)
    x = voxels(seed)
    grid = {"chunks": CHUNKS, "shards": chooser.choice(SHARDS)}
    kind = chooser.choice(["new", "in place"])
    lx.from_array(x, store=folder / "in.zarr", **grid)
    if kind == "in place":
        lx.from_array(x, store=folder / "out.zarr", **grid)
    (folder / "program.py").write_text(KILLED)
    for _ in range(chooser.randint(1, 4)):
        status, errors = forked(folder / "program.py", folder, kind, chooser.choice(MOMENTS), chooser.randint(1, 20))
        assert status in (0, -9), errors
    status, errors = forked(folder / "program.py", folder, kind, "none", 0)
    assert status == 0, errors
    expected = x * 2 + 1 if kind == "new" else ((x * 2) * 2 + 1) * 2 + 2
    np.testing.assert_array_equal(lx.open(folder / "out.zarr", check=True)[...], expected)
    np.testing.assert_array_equal(lx.open(folder / "in.zarr", check=True)[...], x)
    for name in ("in", "out"):
        found = lx.verify(folder / f"{name}.zarr", progress=False)
        assert found.sound, found.defects
        assert found.compared == found.chunks


def fuzz(seed, folder, forked):
    """Mutated metadata open as what they say or raise MetadataError; mutated records cost work, never wrong voxels."""
    chooser = random.Random(seed)
    x = voxels(seed)
    what = chooser.choice(["zarr.json", "ledger", "journal"])
    image = lx.from_array(x, chunks=CHUNKS, store=folder / "in.zarr")
    if what == "journal":
        status, errors = run_killed(folder, forked, chooser)
        assert status in (0, -9), errors
        path = folder / "out.zarr/.lithax/journal.jsonl"
    else:
        path = folder / "in.zarr" / ("zarr.json" if what == "zarr.json" else ".lithax/ledger")
    if not path.exists():
        return
    path.write_bytes(mutated(path.read_bytes(), chooser))
    if what == "zarr.json":
        with contextlib.suppress(MetadataError, IncompleteImageError):
            lx.open(folder / "in.zarr")
        return
    if what == "ledger":
        np.testing.assert_array_equal(lx.open(folder / "in.zarr")[...], x)
        with contextlib.suppress(OSError):  # a record that does not fit is not taken for one that does
            np.testing.assert_array_equal(lx.open(folder / "in.zarr", check=True)[...], x)
        str(lx.verify(folder / "in.zarr", progress=False))
        image[0] = 5
        x[0] = 5
        np.testing.assert_array_equal(lx.open(folder / "in.zarr")[...], x)
        assert lx.verify(folder / "in.zarr", record=True, progress=False)
        assert lx.verify(folder / "in.zarr", progress=False)
        return
    options = {"store": folder / "out.zarr", "backend": "numpy", "progress": False, "resume": True, "resume_key": "f"}
    image = lx.open(folder / "in.zarr")
    try:
        out = lx.chunk_map(lambda v: v * 2 + 1, image, **options)
    except ResumeError:  # the line that says which run it was
        out = lx.chunk_map(lambda v: v * 2 + 1, image, overwrite=True, **(options | {"resume": False}))
    np.testing.assert_array_equal(np.asarray(out), x * 2 + 1)


def run_killed(folder, forked, chooser):
    (folder / "program.py").write_text(KILLED)
    return forked(folder / "program.py", folder, "new", "after record", chooser.randint(1, 20))


def mutated(data, chooser):
    data = bytearray(data)
    for _ in range(chooser.randint(1, 4)):
        kind, at = chooser.randrange(5), chooser.randrange(max(1, len(data)))
        if kind == 0 and data:
            data[at % len(data)] = chooser.randrange(256)
        elif kind == 1:
            data[at:at] = chooser.randbytes(chooser.randint(1, 8))
        elif kind == 2:
            del data[at : at + chooser.randint(1, 30)]
        elif kind == 3:
            data[at : at + 9] = chooser.choice([b"null", b"[[[[", b"1e999", b"-1", b'"', b"}", b"0", b"true", b"{}"])
        else:
            del data[at:]
    return bytes(data)


def corrupt(seed, folder, forked):
    """Whatever happens to a stored object is named by verify and by a checking read, and mended by writing it again."""
    chooser = random.Random(seed)
    x = voxels(seed)
    x[: chooser.randint(0, 8)] = 0  # some objects are not stored
    grid = {"chunks": CHUNKS, "shards": chooser.choice(SHARDS)}
    store = folder / "a.zarr"
    image = lx.from_array(x, store=store, **grid)
    files = sorted(p for p in (store / "c").rglob("*") if p.is_file())
    harmed = chooser.choice(files)
    before = harmed.read_bytes()
    kind = chooser.choice(["flip", "cut", "remove", "swap", "append", "zero"])
    data = bytearray(before)
    if kind == "flip":
        data[chooser.randrange(len(data))] ^= 1 << chooser.randrange(8)
    elif kind == "cut":
        del data[chooser.randrange(len(data)) :]
    elif kind == "append":
        data += chooser.randbytes(chooser.randint(1, 9))
    elif kind == "zero":
        at = chooser.randrange(len(data))
        data[at : at + 16] = bytes(len(data[at : at + 16]))
    elif kind == "swap":
        data = bytearray(chooser.choice(files).read_bytes())
    status = harmed.stat()
    harmed.unlink()
    if kind != "remove":
        harmed.write_bytes(data)
        if chooser.random() < 0.5:
            os.utime(harmed, ns=(status.st_atime_ns, status.st_mtime_ns))
    if kind != "remove" and bytes(data) == before:
        assert lx.verify(store, progress=False)
        return
    found = lx.verify(store, progress=False)
    name = harmed.relative_to(store).as_posix()
    assert any(name in defect for defect in found.defects), found.defects
    try:
        lx.open(store, check=True)[...]
    except OSError as error:
        assert name in str(error), error  # noqa: PT017 (the same for a read that wrongly succeeds)
    else:
        raise AssertionError("damage was read")
    options = {"store": folder / "b.zarr", "backend": "numpy", "progress": False, "resume_key": "f"}
    try:
        lx.chunk_map(lambda v: v + 1, lx.open(store, check=True), **options)
    except (OSError, LithaxError) as error:
        assert not isinstance(error, LockedError)  # noqa: PT017
    else:
        raise AssertionError("damage was computed with")
    image[...] = x
    assert lx.verify(store, progress=False)
    np.testing.assert_array_equal(lx.open(store, check=True)[...], x)


CAMPAIGNS = {"kill": kill, "fuzz": fuzz, "corrupt": corrupt}


def voxels(seed):
    return np.random.default_rng(seed).integers(1, 1000, SHAPE).astype("i4")


def run_one(name, seed, forked):
    """Run a campaign with a seed, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        CAMPAIGNS[name](seed, Path(folder), forked)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--campaign", choices=[*CAMPAIGNS, "all"], default="all")
    parser.add_argument("--seed", type=int, help="run this seed only")
    arguments = parser.parse_args()
    names = list(CAMPAIGNS) if arguments.campaign == "all" else [arguments.campaign]
    first = random.SystemRandom().randrange(2**31) if arguments.seed is None else arguments.seed
    print(f"first seed: {first}", flush=True)
    process, forked = start()
    end, counts, failed = time.monotonic() + 60 * arguments.minutes, dict.fromkeys(names, 0), []
    seed = first
    while time.monotonic() < end and len(failed) < 10:
        for name in names:
            try:
                run_one(name, seed, forked)
            except Exception:
                failed.append((name, seed))
                print(f"FAILED: {name}, seed {seed}", flush=True)
                traceback.print_exc()
            counts[name] += 1
        if arguments.seed is not None:
            break
        seed += 1
    process.stdin.close()
    process.wait()
    done = ", ".join(f"{count} times {name}" for name, count in counts.items())
    print(f"{done}, seeds {first} to {seed - 1 if arguments.seed is None else seed}; {len(failed)} failed")
    for name, number in failed:
        print(f"python tests/faults/campaigns.py --campaign {name} --seed {number}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
