"""The harness: annotations checked as functions are first called, a fixture for all array libraries, marks that are off at first."""

import contextlib
import ctypes
import functools
import gc
import importlib
import importlib.metadata
import inspect
import json
import math
import os
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import hypothesis
import jaxtyping
import numpy as np
import pytest
from jaxtyping import install_import_hook

# Shapes and dtypes are checked in the rooms that compute. An integer is a float, as for a static checker; `Self` is
# beyond a checker that sees one function at a time.
COMPUTING = [
    f"lithax.{room}" for room in ("arrays", "generate", "geometry", "grid", "measure", "models", "ops", "solve")
]
OVERRIDES = "beartype.FrozenDict({__import__('typing').Self: object})"
CHECKER = f"beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True, hint_overrides={OVERRIDES}))"
CHECKED_CALLS = {"0": 0, "all": math.inf}.get(os.environ.get("LITHAX_CHECK_TYPES", ""), 30)
"""How many calls of a function are checked: a check takes longer than most functions that are called ten thousand times."""

_left: dict[Any, float] = {}


def checked_at_first(jaxtyped, fn, **options):
    """Decorate a function as jaxtyping does, but leave its later calls unchecked; closures of one text count as one."""
    if not inspect.isfunction(fn):
        return jaxtyped(fn, **options)
    code = fn.__code__
    checked = None

    @functools.wraps(fn)
    def call(*arguments, **parameters):
        nonlocal checked
        left = _left.get(code, CHECKED_CALLS)
        if left <= 0:
            return fn(*arguments, **parameters)
        _left[code] = left - 1
        checked = checked or jaxtyped(fn, **options)
        return checked(*arguments, **parameters)

    return call


if CHECKED_CALLS:
    install_import_hook(COMPUTING, CHECKER)
    if not math.isinf(CHECKED_CALLS):
        jaxtyping.jaxtyped = functools.partial(functools.partial, checked_at_first, jaxtyping.jaxtyped)

# Compiling is most of what the tests cost, and without optimisations a third of it is left; arithmetic and rounding of
# single operations stay. `nox -s optimised` and `nox -s slow` compile as users do, and so do the documentation and the benchmarks.
PLAIN = ["--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true"]
if importlib.metadata.version("jax").startswith("0.10."):
    PLAIN.append("--xla_cpu_use_fusion_emitters=false")  # XLA ends the process where it does not know a flag
if os.environ.get("LITHAX_TESTS_OPTIMISED") != "1" and PLAIN[0] not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *PLAIN]).strip()


def share_contexts(programs=100):
    """JAX makes an MLIR context, 5 ms, for each program it lowers, be it one addition; here so many of a thread share one."""
    from jax._src.interpreters import mlir
    from jax._src.lib.mlir import ir

    make = getattr(mlir, "make_ir_context", None)
    if make is None:  # another JAX: as it is
        return
    mine = threading.local()  # a program is lowered and compiled by one thread, and contexts have no locks

    def context():
        with contextlib.suppress(ValueError):  # one is lowered while another is: their places must not be mixed up
            if ir.Context.current is not None:
                return make()
        if getattr(mine, "left", 0) == 0:
            mine.left, mine.context = programs, make()
        mine.left -= 1
        return mine.context

    mlir.make_ir_context = context


if os.environ.get("LITHAX_TESTS_OPTIMISED") != "1":
    share_contexts()

gc.set_threshold(50_000, 20, 100)  # tracing makes many small objects, and nearly no cycles

BACKENDS = {
    "numpy": "array_api_compat.numpy",
    "array_api_strict": "array_api_strict",
    "jax": "jax.numpy",
    "torch": "array_api_compat.torch",
}
INSTALL = {"torch": "run LITHAX_TESTS_TORCH=1 nox -s tests, or pip install torch"}
OPTIONAL = {"gpu": "needs a GPU that JAX can see", "mpi": "starts MPI processes", "slow": "takes minutes or gigabytes"}

ROOM = {"file": 2.5e8, "test": 3.5e8}
"""Bytes by which a worker may grow until the end of a file, and of a test: two workers, and what they start, stay below 4 GiB."""

_after_release: list[float] = []
"""What the worker held when it began, or was left with by the last release [byte]."""

hypothesis.settings.register_profile("default", deadline=None, print_blob=True, max_examples=40)
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, database=None)
hypothesis.settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser):
    group = parser.getgroup("lithax")
    for mark, why in OPTIONAL.items():
        group.addoption(f"--run-{mark}", action="store_true", help=f"also run the tests marked {mark}: one {why}")


def pytest_collection_modifyitems(config, items):
    for mark, why in OPTIONAL.items():
        if not config.getoption(f"--run-{mark}"):
            skip = pytest.mark.skip(reason=f"{why}: run with --run-{mark}")
            for item in items:
                if mark in item.keywords:
                    item.add_marker(skip)


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu"):
        import jax

        if jax.default_backend() != "gpu":
            pytest.skip("JAX sees no GPU: run `nox -s gpu` on a machine that has one")


@pytest.fixture(params=BACKENDS)
def xp(request):
    """One array-API namespace after the other: ``xp.asarray(values)`` makes the input of an op."""
    name = BACKENDS[request.param]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in INSTALL:
            raise
        pytest.skip(f"{error.name} is not installed: {INSTALL[error.name]}")


@pytest.fixture(autouse=True, scope="module")
def released_after_a_file():
    """Free what was compiled as soon as it fills a share of the memory: files of tests share programs until then."""
    _after_release[:] = _after_release or [resident()]
    yield
    release(ROOM["file"])


@pytest.fixture(autouse=True)
def released_after_a_test():
    """Free it before the end of the file where it grows fast."""
    yield
    release(ROOM["test"])


def release(room):
    if "jax" not in sys.modules or resident() <= _after_release[0] + room:
        return
    sys.modules["jax"].clear_caches()
    if "lithax.chunked" in sys.modules:
        sys.modules["lithax.chunked"].forget_programs()
    gc.collect()
    if sys.platform == "linux":  # what was freed goes back to the system
        ctypes.CDLL(None).malloc_trim(0)
    _after_release[:] = [resident()]


def resident():
    """Return the memory that the process holds now [byte]; infinitely much where it cannot be asked."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return float("inf")


@pytest.fixture
def seed(request):
    """An integer that belongs to the test's name: the same on every run, another one for every test."""
    value = zlib.crc32(request.node.nodeid.encode())
    print(f"seed: {value}")  # pytest shows it beside a failure
    return value


@pytest.fixture
def rng(seed):
    """A NumPy generator made from `seed`."""
    return np.random.default_rng(seed)


@pytest.fixture
def strict_promotion():
    """JAX refuses to promote dtypes and ranks on its own: for ops, where no cast may be implicit."""
    import jax

    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def stored_bytes():
    """``stored_bytes(folder)``: every stored byte by its place, but for when it was made; the folder goes by one name."""

    def read(folder):
        files = [p for p in Path(folder).rglob("*") if p.is_file() and ".lithax" not in p.parts]
        found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}
        for name in [name for name in found if name.endswith("zarr.json")]:
            document = json.loads(found[name].replace(str(folder).encode(), b"folder"))
            provenance = document["attributes"].get("lithax", {}).get("provenance")
            if provenance is not None:
                del provenance["finished"]
            document["attributes"].get("lithax", {}).pop("created", None)
            found[name] = json.dumps(document, sort_keys=True).encode()
        return found

    return read
