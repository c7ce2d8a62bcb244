"""Porosity inside voxels from one scan and from two, and what flows through it, against closed forms."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import lithax as lx

POROSITY = np.repeat(np.array([0.1, 0.3], np.float32), 4)
"""Of two layers, four voxels each."""


def permeability_of(porosity):
    """K(φ), so small that layers of Brinkman's are thin beside a voxel [voxel²]."""
    return 1e-3 * porosity**3


def scans(porosity):
    """Grey levels of the dry rock and of the same with brine, whose minerals differ from voxel to voxel."""
    mineral = np.random.default_rng(0).uniform(100, 200, porosity.shape).astype(np.float32)
    dry = mineral * (1 - porosity)
    return dry, dry + 80 * porosity


@pytest.mark.parametrize(("axis", "shape"), [(0, (8, 8, 1)), (1, (8, 8, 1))])
def test_layers_in_series_and_in_parallel(axis, shape):
    """Across the layers the harmonic mean, along them the arithmetic one."""
    truth = np.broadcast_to(np.expand_dims(POROSITY, tuple(a for a in range(3) if a != axis)), shape)
    one = lx.solve.microporosity(200 - 120 * truth, solid=200, pore=80)
    two = lx.solve.microporosity_of_scans(*scans(truth), contrast=80)
    layers = permeability_of(POROSITY)
    mean = 1 / np.mean(1 / layers) if axis == 0 else np.mean(layers)
    for porosity in (one, two):
        assert porosity == pytest.approx(truth, abs=1e-5)
        k = lx.solve.permeability(porosity, axis="x", permeability=permeability_of, tolerance=1e-5)
        assert float(k.value) == pytest.approx(mean, rel=1e-3)
        assert k.porosities.macro == 0
        assert k.porosities.total == pytest.approx(0.2, rel=1e-5)


def test_macropores_and_micropores_add_up():
    """What helium finds is both."""
    porosity = POROSITY[:, None]
    porosity = np.repeat(porosity[None], 4, 0)
    porosity[:, 2] = 1.0
    shares = lx.solve.permeability(porosity, axis="x", permeability=permeability_of).porosities
    assert shares.macro == pytest.approx(1 / 8)
    assert shares.total == pytest.approx(porosity.mean(), rel=1e-5)


def test_every_porous_phase_has_a_porosity_or_none():
    """A phase that is left out would be missing in the total."""
    phases = np.broadcast_to(np.array([0, 1, 2, 3], np.uint8)[:, None], (4, 4, 1))
    matrix = {"pore": 0, "permeability": {1: 1e-3, 2: 1e-3}, "axis": "x"}
    with pytest.raises(ValueError, match=r"says nothing of \[2\]"):
        lx.solve.permeability(phases, porosity={1: 0.2}, **matrix)
    shares = lx.solve.permeability(phases, porosity={1: 0.2, 2: 0.1}, **matrix).porosities
    assert shares.total == pytest.approx((1 + 0.2 + 0.1) / 4)
    whole = lx.solve.permeability(phases, **matrix)
    assert whole.porosities.total == pytest.approx(3 / 4)
    assert "(porous phases counted whole)" in str(whole)


def test_an_array_of_permeabilities_is_not_printed():
    fractions = np.full((8, 8, 8), 0.5, np.float32)
    for image in (fractions, fractions > 0.2):
        with pytest.raises(TypeError, match=r"permeability=\(an array of float64\) must be"):
            lx.solve.permeability(image, permeability=np.ones((8, 8, 8)))


def test_scans_of_an_image_are_cut_to_fractions():
    dry, wet = (lx.from_array(np.full((4, 4, 4), level, "f4")) for level in (100.0, 250.0))
    assert np.asarray(lx.solve.microporosity_of_scans(dry, wet, contrast=100)).max() == 1
    assert np.asarray(lx.solve.microporosity(wet, solid=200, pore=100)).max() == 0


def test_what_says_nothing_of_porosity_is_refused():
    grey = np.zeros((2, 2, 2))
    with pytest.raises(ValueError, match="different grey levels"):
        lx.solve.microporosity(grey, solid=1, pore=1)
    with pytest.raises(ValueError, match="contrast=0"):
        lx.solve.microporosity_of_scans(grey, grey, contrast=0)
    for level, error in ((np.nan, ValueError), (np.inf, ValueError), ("200", TypeError), ([1, 2], TypeError)):
        with pytest.raises(error, match="solid="):
            lx.solve.microporosity(grey, solid=level, pore=1)
        with pytest.raises(error, match="contrast="):
            lx.solve.microporosity_of_scans(grey, grey, contrast=level)
    with pytest.raises(ValueError, match="voxel on voxel"):
        lx.solve.microporosity_of_scans(grey, grey[:1], contrast=1)


def test_levels_have_a_derivative_under_jit():
    """φ = (s − g)/(s − p), so that ∂φ/∂s = (g − p)/(s − p)²."""
    of = jax.jit(
        jax.grad(lambda solid: lx.solve.microporosity(jnp.full((1, 1, 1), 110.0), solid=solid, pore=80.0).sum())
    )
    assert float(of(200.0)) == pytest.approx(30 / 120**2, rel=1e-5)
