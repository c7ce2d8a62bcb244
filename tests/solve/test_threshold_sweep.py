"""A series of thresholds: each value as from a solve of its own."""

import numpy as np
import pytest
from jax import numpy as jnp

import lithax as lx
from lithax.solve._conduction_problem import (
    Drive,
    energy_and_spread,
    mixed_energy,
    right_hand_side,
    slice_currents,
    spread,
)
from lithax.solve._conduction_setup import Boundaries, plan_run, weights
from lithax.solve._face_operator import FaceOperator
from lithax.solve._medium import Medium

SHAPE = (10, 8, 9)


@pytest.fixture(scope="module")
def scan():
    """Smooth noise: seven-point means, twice."""
    field = np.random.default_rng(5).standard_normal(SHAPE).astype("f4")
    for _ in range(2):
        field = sum(np.roll(field, s, a) for a in range(3) for s in (-1, 1)) / 6 + field
    return field.astype("f4")


@pytest.fixture(scope="module")
def swept(scan):
    # Not sorted, one twice, and one where nothing joins the ends any more.
    levels = np.quantile(scan, [0.45, 0.3, 0.35, 0.35, 0.5, 0.02])
    return levels, lx.solve.threshold_sweep(scan, levels)


def test_every_value_is_that_of_its_own_solve(scan, swept):
    levels, table = swept
    for n, level in enumerate(levels[:5]):
        own = lx.solve.conductivity(scan <= level, tolerance=1e-5)
        assert table.formation_factor[n] == pytest.approx(float(own.formation_factor), rel=5e-3)  # the tolerance
        assert table.porosity[n] == pytest.approx(float(own.porosity))
        assert table.percolating_porosity[n] == pytest.approx(float(own.porosities.percolating))
        assert table.cementation_exponent[n] == pytest.approx(float(own.cementation_exponent), rel=5e-3)
    assert table.converged.all()
    assert np.max(table.solver_error) <= 5e-3
    assert np.array_equal(table.threshold, levels)


def test_later_solves_are_short_ones(swept, scan):
    levels, table = swept
    assert table.iterations[4] >= 2  # the largest pore space, from nothing
    alone = [int(lx.solve.conductivity(scan <= level).iterations) for level in levels[:4]]
    assert table.iterations[:4].sum() <= 0.7 * sum(alone)


def test_a_step_is_not_enough_for_a_tight_tolerance_and_its_error_is_said(scan):
    levels = np.quantile(scan, [0.3, 0.5])
    short = lx.solve.threshold_sweep(scan, levels, tolerance=1e-6, max_iterations=2)
    assert not short.converged.any()
    own = float(lx.solve.conductivity(scan <= levels[0], tolerance=1e-6).formation_factor)
    # The energy comes down on the value from above: F is too small, by no more than is said.
    assert 1e-6 < own / short.formation_factor[0] - 1 <= short.solver_error[0] < 1


def test_where_nothing_joins_the_ends(swept):
    _, table = swept
    assert np.isinf(table.formation_factor[5])
    assert table.percolating_porosity[5] == 0
    assert "nothing joins the two ends along x" in str(table)


def test_brighter_pores_along_another_axis_of_an_image(scan):
    """The same pore space from the other side: grey levels turned around."""
    image = lx.from_array(-scan.transpose(1, 0, 2), voxel_length=3, voxel_unit="um")
    levels = np.quantile(scan, [0.4, 0.45])
    table = lx.solve.threshold_sweep(
        image, np.nextafter(-levels.astype("f4"), np.float32(-np.inf)), axis="y", pores="brighter"
    )
    own = [lx.solve.conductivity(scan <= np.float32(v), tolerance=1e-5) for v in levels]
    assert np.allclose(table.formation_factor, [float(o.formation_factor) for o in own], rtol=5e-3)
    assert table.to_pandas().shape == (2, 10)


@pytest.mark.parametrize(
    ("given", "options", "error", "words"),
    [
        (np.zeros((4, 4, 4), bool), {}, TypeError, "booleans"),
        (np.zeros((4, 4, 4), complex), {}, TypeError, "dtype complex128"),
        (np.zeros((4, 4), "f4"), {}, ValueError, "three axes"),
        ([[[0.0, 1.0]]], {}, TypeError, "scan is a list"),
        (np.zeros((1, 4, 4), "f4"), {}, ValueError, "two voxels along x"),
        (np.ma.masked_less(np.arange(64.0).reshape(4, 4, 4), 9), {}, TypeError, "scan is a masked"),
        (np.zeros((4, 4, 4), "f4"), {"axis": "all"}, ValueError, "axis='all'"),
        (np.zeros((4, 4, 4), "f4"), {"pores": "black"}, ValueError, "pores='black'"),
        (np.zeros((4, 4, 4), "f4"), {"tolerance": 0}, ValueError, "tolerance=0"),
        (np.zeros((4, 4, 4), "f4"), {"max_iterations": 0}, ValueError, "max_iterations=0"),
        (np.zeros((4, 4, 4), "f4"), {"memory_limit": "1 kB"}, lx.errors.MemoryLimitError, "threshold_sweep"),
    ],
)
def test_what_is_refused(given, options, error, words):
    with pytest.raises(error, match=words):
        lx.solve.threshold_sweep(given, [0.5], **options)


@pytest.mark.parametrize("thresholds", [[], [np.nan], "dark"])
def test_thresholds_are_finite_numbers(thresholds):
    with pytest.raises(ValueError, match="thresholds="):
        lx.solve.threshold_sweep(np.zeros((4, 4, 4), "f4"), thresholds)


@pytest.mark.parametrize("sides", ["insulating", "periodic"])
def test_energy_and_spread_are_those_of_all_faces(scan, sides):
    """Read off the residual of any potential; the sums over all faces are the definition."""
    run = plan_run(SHAPE, 0, Boundaries("potential", sides, False), (1.0, 2.0, 1.5), 72.0, 0)
    layout = run.settings.layout
    faces, _ = weights(Medium(np.abs(scan), None, None, "", False), None, 0.0, None, layout, run.geometry, 0)
    drive = Drive(jnp.asarray(run.drives, jnp.float32)[0])
    u = layout.filled(layout.pad(jnp.asarray(0.05 * scan)))
    r = FaceOperator(layout, faces).residual(u, layout.pad(right_hand_side(layout, faces, drive)))
    energy, apart = energy_and_spread(layout, faces, drive, u, r)
    # Single precision, sums of 720 voxels.
    assert float(energy) == pytest.approx(float(mixed_energy(layout, faces, drive, u, drive, u)), rel=1e-5)
    assert float(apart) == pytest.approx(float(spread(slice_currents(layout, faces, drive, u, 0))), rel=1e-4)


def test_the_plan_and_the_refusal_say_the_same():
    scan = np.zeros((120, 120, 120), "f4")
    plan = lx.plan(lx.solve.threshold_sweep, scan, [0.5, 0.7], memory_limit="100 MB")
    assert not plan.fits
    with pytest.raises(lx.errors.MemoryLimitError, match=f"{plan.memory / 1e9:.3g} GB"):
        lx.solve.threshold_sweep(scan, [0.5, 0.7], memory_limit="100 MB")
