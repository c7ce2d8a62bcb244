"""Solvers are compiled without most optimisations here: compiling is what these tests cost, and half of it is saved.

The algorithm and its derivatives are the same. ``nox -s slow`` runs the room as users compile it, and so run the pages of
the documentation, the report, and the tests of many devices.
"""

import os

import pytest


@pytest.fixture(autouse=True, scope="package")
def plainly_compiled():
    import jax

    if os.environ.get("LITHAX_TESTS_OPTIMISED") == "1":
        yield
        return
    before = jax.config.read("jax_disable_most_optimizations")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # programs that a test starts, too
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", before)
