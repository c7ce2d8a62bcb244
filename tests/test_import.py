"""Importing lithax is cheap and changes nothing: no device, no MPI, no thread, no setting, nothing heavy.

The same holds when what most programs need has been loaded, which happens on first use.
"""

import json
import subprocess
import sys

import pytest

PROBE = """
import json, sys, threading, warnings
warnings.simplefilter("error")
import jax, zarr
settings = lambda: [repr(sorted(jax.config.values.items())), repr(zarr.config.config), repr(warnings.filters)]
threads, before = threading.active_count(), settings()
import lithax
lithax.open, lithax.chunk_map, lithax.label, lithax.ops, lithax.measure, lithax.report, lithax.runtime
print(json.dumps({
    "modules": sorted(sys.modules),
    "backends": sorted(jax._src.xla_bridge._backends),
    "threads": threading.active_count() - threads,
    "unchanged": settings() == before,
}))
"""
HEAVY = ["pint", "mpi4py", "pandas", "xarray", "matplotlib", "torch", "IPython", "dask", "scipy.ndimage", "hypothesis"]


@pytest.fixture(scope="module")
def probe():
    run = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", HEAVY)
def test_heavy_packages_wait_until_they_are_used(probe, name):
    assert name not in probe["modules"]


def test_no_device_is_started(probe):
    assert probe["backends"] == []


def test_no_thread_is_started(probe):
    assert probe["threads"] == 0


def test_no_setting_is_changed(probe):
    assert probe["unchanged"]


def test_nothing_is_loaded_before_it_is_used():
    probe = "import sys, lithax; print(*(name for name in sys.modules if name.startswith(('lithax', 'jax', 'zarr'))))"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) == {"lithax", "lithax.groups"}


def test_a_function_is_not_hidden_by_the_package_of_its_name():
    probe = "from lithax.report import Report; import lithax; assert callable(lithax.report)"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
