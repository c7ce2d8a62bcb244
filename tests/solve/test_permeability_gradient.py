"""Derivatives of permeability against differences in float64, and what they cost."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import lithax as lx
from lithax.testing import SphereArray

TIGHT = {"tolerance": 1e-10, "gradient_tolerance": 1e-9, "max_iterations": 200}
STEP = 1e-5
"""Of the differences, which are central: their own error is near 1e-9."""


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def pore_fractions(shape, seed=0):
    return jnp.asarray(np.clip(np.random.default_rng(seed).random(shape), 0.1, 1))


def difference(function, x, at):
    return float((function(x.at[at].add(STEP)) - function(x.at[at].add(-STEP))) / (2 * STEP))


SMALL = (4, 4, 4)
"""So few cells that they are solved at once: compiles soon. The larger one has a level more."""


@pytest.mark.parametrize(
    ("ends", "sides", "shape"),
    [("periodic", "periodic", SMALL), pytest.param("pressure", "symmetric", (8, 8, 8), marks=pytest.mark.slow)],
)
def test_soft_walls(ends, sides, shape):
    fractions = pore_fractions(shape)

    def k(field):
        return lx.solve.permeability(field, axis="x", ends=ends, sides=sides, **TIGHT).value

    gradient = jax.grad(k)(fractions)
    assert gradient.dtype == jnp.float64
    for at in [(0, 0, 0), (1, 2, 3), tuple(n - 1 for n in shape)]:
        assert gradient[at] == pytest.approx(difference(k, fractions, at), rel=1e-7)


@pytest.mark.slow
def test_inside_a_compiled_function():
    fractions = pore_fractions(SMALL)

    def k(field):
        return lx.solve.permeability(field, axis="x", **TIGHT).value

    value, gradient = jax.jit(jax.value_and_grad(k))(fractions)
    outside, same = jax.value_and_grad(k)(fractions)
    assert float(value) == pytest.approx(float(outside), rel=1e-9)
    assert np.asarray(gradient) == pytest.approx(np.asarray(same), rel=1e-6, abs=1e-9)


@pytest.mark.slow
def test_what_does_not_converge_raises_inside_a_compiled_function():
    short = jax.jit(lambda field: lx.solve.permeability(field, axis="x", max_iterations=1, throw=True).value)
    with pytest.raises(RuntimeError, match="did not converge"):
        jax.block_until_ready(short(pore_fractions(SMALL)))


@pytest.mark.slow
def test_several_images_at_once():
    both = jnp.stack([pore_fractions(SMALL, seed) for seed in (0, 1)])

    def k(field):
        return lx.solve.permeability(field, axis="x", **TIGHT).value

    together = jax.vmap(k)(both)
    assert np.asarray(together) == pytest.approx([float(k(field)) for field in both], rel=1e-9)


@pytest.mark.slow
def test_the_permeability_of_a_phase():
    labels = np.zeros(SMALL, np.uint8)
    labels[2:, 1:3] = 1
    labels[1:3, 3, 3] = 2

    def k(number):
        return lx.solve.permeability(labels, axis="x", pore=0, permeability={1: number}, **TIGHT).value

    at = jnp.asarray(0.3)
    assert float(jax.grad(k)(at)) == pytest.approx(difference(k, at, ()), rel=1e-7)
    _, slope = jax.jvp(k, (at,), (jnp.ones(()),))
    assert slope == pytest.approx(float(jax.grad(k)(at)), rel=1e-9)


@pytest.mark.slow
def test_voxel_lengths():
    pores = np.asarray(pore_fractions(SMALL)) > 0.3

    def k(lengths):
        return lx.solve.permeability(pores, axis="x", spacing=lengths, **TIGHT).value

    lengths = jnp.asarray([1.0, 1.2, 0.9])
    gradient = jax.grad(k)(lengths)
    assert [float(g) for g in gradient] == pytest.approx([difference(k, lengths, i) for i in range(3)], rel=1e-7)
    one = jnp.asarray(2.0)  # k grows with its square
    assert float(jax.grad(k)(one)) == pytest.approx(float(k(one)), rel=1e-9)


@pytest.mark.slow
def test_a_map_of_porosities_with_its_permeability():
    labels = np.asarray(pore_fractions(SMALL))
    porosity = jnp.asarray(np.where(labels > 0.6, 1.0, np.where(labels > 0.3, labels, 0.0)))

    def k(field):
        return lx.solve.permeability(field, axis="x", permeability=lambda q: 0.5 * q**3, **TIGHT).value

    at = tuple(np.argwhere((labels > 0.3) & (labels < 0.6))[3])
    assert float(jax.grad(k)(porosity)[at]) == pytest.approx(difference(k, porosity, at), rel=1e-7)


@pytest.mark.slow
def test_the_tensor():
    fractions = pore_fractions(SMALL)

    def k(field):
        found = lx.solve.permeability(field, axis="all", ends="periodic", sides="periodic", **TIGHT).tensor
        return jnp.sum(found * jnp.asarray([[1.0, 2, 3], [0, 4, 5], [0, 0, 6]]))

    gradient = jax.grad(k)(fractions)
    for at in [(0, 0, 0), (3, 1, 2)]:
        assert gradient[at] == pytest.approx(difference(k, fractions, at), rel=1e-7)


@pytest.mark.slow
def test_through_a_soft_segmentation_of_a_filtered_scan():
    grey = 100 * pore_fractions(SMALL)

    def k(scan):
        smooth = lx.ops.gaussian(scan, sigma=0.8)
        return lx.solve.permeability(jax.nn.sigmoid((55 - smooth) / 8), axis="x", **TIGHT).value

    gradient = jax.grad(k)(grey)
    for at in [(0, 0, 0), (3, 1, 2)]:
        wide = (k(grey.at[at].add(1e-3)) - k(grey.at[at].add(-1e-3))) / 2e-3
        assert gradient[at] == pytest.approx(float(wide), rel=1e-6)


@pytest.mark.slow
def test_velocity_and_pressure_by_one_adjoint_solve():
    fractions = pore_fractions(SMALL)

    def measured(field):
        found = lx.solve.permeability(field, axis="z", fields=True, **TIGHT)
        parts = [*(v**2 for v in found.velocity), found.pressure]
        return sum(jnp.sum(jnp.cos(jnp.arange(part.size)).reshape(part.shape) * part) for part in parts)

    gradient = jax.grad(measured)(fractions)
    for at in [(0, 0, 0), (3, 1, 2)]:
        assert gradient[at] == pytest.approx(difference(measured, fractions, at), rel=1e-7)


@pytest.mark.slow
def test_gradients_at_the_default_tolerance_are_what_it_says():
    fractions = pore_fractions(SMALL).astype(jnp.float32)

    def k(field, **options):
        return lx.solve.permeability(field, axis="x", **options).value

    rough = np.asarray(jax.grad(k)(fractions))
    exact = np.asarray(jax.grad(lambda f: k(f, **TIGHT))(fractions.astype(jnp.float64)))
    assert np.linalg.norm(rough - exact) < 1e-2 * np.linalg.norm(exact)


@pytest.mark.slow
def test_penalised_solids_tend_to_the_half_voxel_rule():
    """First order in the permeability of the solid: 2e-3 at 1e-3 voxel² on spheres of 16 voxels a cell."""
    pores = SphereArray(0.343).image(16)
    sharp = lx.solve.permeability(pores, axis="x", ends="periodic", sides="periodic", wall="half_voxel", tolerance=1e-4)
    soft = lx.solve.permeability(jnp.asarray(pores, jnp.float32), axis="x", ends="periodic", sides="periodic",
                                 tolerance=1e-4)  # fmt: skip
    assert soft.value / sharp.value - 1 == pytest.approx(2.1e-3, abs=3e-4)
    assert soft.wall == "half_voxel"
