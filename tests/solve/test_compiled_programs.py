"""Compiled programs of the solvers can be kept: JAX's cache on disk takes none with a host callback in it."""

import logging

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

import lithax as lx


@pytest.fixture
def a_cache(tmp_path):
    """An empty folder of compiled programs, used by this test only."""
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    before = {name: getattr(jax.config, name) for name in names}
    for name, value in zip(names, (str(tmp_path), 0, -1), strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_no_program_of_a_solve_is_kept_out_of_the_cache(a_cache, caplog):
    pore = np.ones((7, 4, 3), bool)  # of no other test: these programs are compiled here
    pore[:, 1, 1] = False
    with caplog.at_level(logging.DEBUG, "jax._src.compiler"):
        lx.solve.conductivity(pore)
        lx.solve.permeability(pore)
    assert any(a_cache.iterdir())
    assert not [line for line in caplog.messages if "uses host callbacks" in line]
