"""The memory that a plan announces is enough, and not much more than is used: promise 3 of the combinators."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import lithax as lx

MEASURED = """
import json, sys
from pathlib import Path
import numpy as np, psutil
import lithax as lx

folder, shape, chunk, what = Path(sys.argv[1]), tuple(json.loads(sys.argv[2])), int(sys.argv[3]), sys.argv[4]
calls = {
    "gaussian": (lx.chunk_map, lx.ops.gaussian, {"sigma": 1.5}),
    "median": (lx.chunk_map, lx.ops.median, {"radius": 1}),
    "element-wise": (lx.chunk_map, lambda v: v * 2 + 1, {}),
    "chain": (lx.chunk_map, lx.chain(lx.ops.median, lambda v: v < 0.4), {}),
    "numpy": (lx.chunk_map, lx.ops.gaussian, {"sigma": 1.0, "backend": "numpy"}),
    "moments": (lx.chunk_reduce, lx.measure.Moments(), {}),
    "histogram": (lx.chunk_reduce, lx.measure.Histogram(256, (0.0, 1.0)), {}),
}
combinator, fn, options = calls[what]
options |= {"workers": 2}
image = lx.open(folder / "image.zarr")


def go(image, name, **options):
    if combinator is lx.chunk_map:
        options |= {"store": folder / name, "overwrite": True}
    combinator(fn, image, progress=False, **options)


def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


small = lx.from_array(np.zeros((2 * chunk,) * 3, "f4"), chunks=chunk, store=folder / "small.zarr", overwrite=True)
go(small, "warm.zarr", **options)  # loads codecs, starts threads
place = {"store": folder / "x"} if combinator is lx.chunk_map else {}
plan = lx.plan(combinator, fn, image, **options, **place)  # compiles
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
go(image, "out.zarr", **options)
print(json.dumps({"peak": status("VmHWM") - before, "plan": plan.memory}))
"""


def measured(folder, shape, chunk, what):
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("the peak of a process can be measured on Linux only")
    program = folder / "measured.py"
    program.write_text(MEASURED)
    command = [sys.executable, "-W", "ignore", program, folder, json.dumps(shape), str(chunk), what]
    done = subprocess.run([os.fspath(c) for c in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def make(folder, shape, chunk):
    image = lx.create(shape, "f4", chunks=chunk, store=folder / "image.zarr")
    rng = np.random.default_rng(0)
    slab = rng.random((chunk, *shape[1:]), dtype="f4")
    for start in range(0, shape[0], chunk):
        image[start : start + chunk] = slab


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    make(folder, (160, 160, 160), 40)
    return folder


@pytest.mark.parametrize(
    "what", ["gaussian", *(pytest.param(w, marks=pytest.mark.slow) for w in ("element-wise", "moments"))]
)
def test_a_moderate_image(folder, what):
    found = measured(folder, (160, 160, 160), 40, what)
    assert found["peak"] <= found["plan"]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    make(folder, (1024, 512, 512), 128)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("what", ["gaussian", "median", "element-wise", "chain", "numpy", "moments", "histogram"])
def test_a_large_image(large, what):
    found = measured(large, (1024, 512, 512), 128, what)
    assert found["peak"] <= found["plan"]
    if what in ("gaussian", "median", "element-wise", "chain"):
        assert found["plan"] <= 1.5 * found["peak"]


def test_the_plan_does_not_grow_with_the_image():
    plans = []
    for size in (256, 512, 4096):
        image = lx.create((size, 512, 512), "f4", chunks=128)
        plans.append(
            lx.plan(lx.chunk_map, lambda v: v * 2, image, store="nowhere.zarr", workers=3, memory_limit="1 GiB")
        )
    assert plans[0].memory == plans[1].memory == plans[2].memory
    assert plans[2].bytes_written == 16 * plans[0].bytes_written


def test_results_in_memory_count():
    image = lx.create((256, 256, 256), "f4", chunks=64)
    kept = lx.plan(lx.chunk_map, lambda v: v * 2, image, workers=3)
    stored = lx.plan(lx.chunk_map, lambda v: v * 2, image, workers=3, store="nowhere.zarr")
    both = lx.plan(lx.chunk_map, lambda v: (v, v > 0), image, workers=3, store=("nowhere.zarr", None))
    assert kept.memory - stored.memory == image.nbytes
    assert both.memory - stored.memory > image.size
