"""Conduction against closed forms, a dense matrix, and itself turned, stretched and refined."""

import equinox as eqx
import jax
import numpy as np
import pytest
from jax import numpy as jnp
from scipy.ndimage import gaussian_filter

import lithax as lx
from lithax.solve._conduction_problem import Drive, typical_spread
from lithax.solve._conduction_setup import Boundaries, plan_run, weights, weights_of_pores
from lithax.solve._conduction_solve import Tolerances, advance, begin, levels_of, stats_of
from lithax.solve._medium import Medium
from lithax.testing import (
    conduction_checkerboard,
    conduction_discs,
    conduction_layers,
    conduction_spheres,
    conduction_tubes,
    conduction_uniform,
    dense_conductivity,
    spheres_formation_factor,
)

TIGHT = {"tolerance": 1e-6}
AXES = "xyz"


# Cubes of one size: one program for all of them, whatever the axis.
CUBES = [conduction_uniform((12, 12, 12)), conduction_layers(width=12)]


@pytest.mark.parametrize("case", CUBES, ids=lambda case: case.name)
@pytest.mark.parametrize("axis", AXES)
def test_closed_forms(case, axis):
    result = lx.solve.conductivity(case.voxels, axis=axis, **TIGHT)
    assert float(result.value) == pytest.approx(case.effective[AXES.index(axis)], rel=2e-6)  # float32
    assert bool(result.converged)
    assert result.formation_factor is None  # a field does not say which conductivity is the fluid's
    assert "no formation factor: the conductivity of the pore fluid was not given" in str(result)


def test_tubes_and_what_does_not_join_the_ends():
    case = conduction_tubes(12, width=12)  # the cube of the closed forms: compiled already
    rock = case.voxels.copy()
    rock[2:5, 8:11, 8:11] = True  # a pore apart
    rock[3:5, 1, 2] = True  # a dead end
    result = lx.solve.conductivity(rock, **TIGHT)
    assert float(result.value) == pytest.approx(case.effective[0], rel=0.02)  # the dead end widens a tube a little
    assert float(result.value) > case.effective[0]
    assert float(result.porosities.total) == pytest.approx(rock.mean())
    assert float(result.porosities.isolated) == pytest.approx(27 / rock.size)
    across = lx.solve.conductivity(rock, axis="y")
    assert float(across.value) == 0
    assert np.isinf(across.formation_factor)
    assert "nothing joins the two ends along y" in str(across)


def test_a_random_field_as_by_a_dense_matrix(rng):
    # A cube: one program for all axes. Gradients are compared with the matrix on three unequal ones.
    field = np.exp(rng.standard_normal((6, 6, 6)))  # float64: solved in float64
    for axis in range(3):
        result = lx.solve.conductivity(field, axis=AXES[axis], tolerance=1e-10)
        assert np.asarray(result.value).dtype == np.float64
        assert float(result.value) == pytest.approx(dense_conductivity(field, axis), rel=1e-9)


@pytest.mark.parametrize(
    ("axis", "shape", "spacing"),
    [
        ("y", (12, 12, 12), (1, 1, 1)),
        ("x", (12, 6, 24), (1, 2, 0.5)),
        pytest.param("z", (12, 6, 24), (1, 2, 0.5), marks=pytest.mark.slow),
    ],
)
def test_axes_and_spacing(rng, axis, shape, spacing):
    """Voxels joined or split are the same rock where it does not vary along them."""
    coarse = rng.random((6, 6, 6)) + 0.1
    fine = coarse
    for a, n in enumerate(shape):
        fine = np.repeat(fine, n // 6, a)
    reference = np.moveaxis(np.repeat(np.repeat(np.repeat(coarse, 2, 0), 2, 1), 2, 2), AXES.index(axis), 0)
    found = float(lx.solve.conductivity(fine, axis=axis, spacing=spacing, tolerance=1e-8).value)
    same = float(lx.solve.conductivity(reference, tolerance=1e-8).value)
    assert found == pytest.approx(
        same, rel=1e-6 if shape == (12, 12, 12) else 0.15
    )  # other shapes of voxels, other grid error


@pytest.mark.parametrize(
    ("grids", "bound"),
    [
        ((16,), 1.08),
        pytest.param((16, 32), 1.08, marks=pytest.mark.slow),
        pytest.param((32, 64), 1.04, marks=pytest.mark.slow),
    ],
)
def test_spheres_of_sangani_and_acrivos(grids, bound):
    """First order in the voxel: a few per cent at first; extrapolated from two grids within half of one (slow)."""
    found = []
    for n in grids:
        case = conduction_spheres(n, 0.343)
        f = float(
            lx.solve.conductivity(case.voxels, ends="periodic", sides="periodic", tolerance=1e-4).formation_factor
        )
        found.append(f * case.effective[0])  # relative to the published value at the fraction that the voxels have
    assert 1 < found[0] < bound
    if len(grids) == 2:
        assert 1 < found[1] < found[0]
        assert 2 * found[1] - found[0] == pytest.approx(1, abs=5e-3)
    assert spheres_formation_factor(0.343) == pytest.approx(1.7998)


def test_discs_of_perrins():
    case = conduction_discs(64, 0.3)
    along = lx.solve.conductivity(case.voxels, ends="periodic", sides="periodic", tolerance=1e-5)
    assert float(along.value) == pytest.approx(case.effective[0], rel=0.02)  # first order, 64 voxels a cell


def test_keller_and_dykhne(rng):
    """σ_x(σ₁, σ₂) σ_y(σ₂, σ₁) = σ₁ σ₂ for every periodic image of two phases that does not vary along z."""
    phase = np.kron(rng.random((8, 8)) < 0.5, np.ones((8, 8), bool))[:, :, None]
    settings = {"ends": "periodic", "sides": "periodic", "tolerance": 1e-5}
    one = lx.solve.conductivity(np.where(phase, 4.0, 1.0).astype("f4"), axis="x", **settings)
    other = lx.solve.conductivity(np.where(phase, 1.0, 4.0).astype("f4"), axis="y", **settings)
    assert float(one.value) * float(other.value) == pytest.approx(4, rel=0.02)  # grid error of the corners


def test_a_chequerboard():
    case = conduction_checkerboard(32)  # 64 by 64 voxels, as the discs
    found = lx.solve.conductivity(case.voxels, ends="periodic", sides="periodic", tolerance=1e-5)
    assert float(found.value) == pytest.approx(2.0, rel=0.02)  # singular corners: slow in the voxel


def test_what_the_numbers_mean():
    rock = np.zeros((12, 12, 12), np.uint8)
    rock[:, 6:] = 1
    pore = lx.solve.conductivity(rock, pore=0)
    assert str(pore).startswith("pore = value 0, porosity 50 %")
    assert float(pore.formation_factor) == pytest.approx(2)
    assert float(pore.tortuosity_factor) == pytest.approx(1)
    assert float(pore.cementation_exponent) == pytest.approx(1)
    both = lx.solve.conductivity(rock, values={0: 5.0, 1: 0}, fluid=5.0)
    assert float(both.value) == pytest.approx(2.5)
    assert float(both.formation_factor) == pytest.approx(2)
    clay = lx.solve.conductivity(rock, values={0: 5.0, 1: 1.0}, fluid=5.0, pore=0)
    assert float(clay.value) == pytest.approx(3.0)
    assert float(clay.porosity) == pytest.approx(0.5)
    assert "apparent F" in str(clay)


def test_a_plug_in_its_box():
    """What is outside leaves area, volume and porosity; a uniform plug has F = 1."""
    image = lx.from_array(np.ones((12, 12, 12), bool), voxel_length=(2.0, 1.0, 1.0))
    plug = lx.regions.Cylinder((0, 5.5, 5.5), (1, 0, 0), 5.6)  # touches the sides of its box
    result = lx.solve.conductivity(image, where=plug, **TIGHT)
    assert float(result.formation_factor) == pytest.approx(1, rel=1e-5)
    assert float(result.porosity) == pytest.approx(1)
    with pytest.raises(ValueError, match="cross-section of"):
        lx.solve.conductivity(image, where=plug, axis="y")
    given = lx.solve.conductivity(image, where=plug, axis="y", area=24.0 * 9, **TIGHT)
    assert 0.2 < float(given.value) < 2  # the current enters through the few voxels that touch the box


def test_reservoirs_are_taken_off_again(rng):
    rock = np.ones((12, 12, 12), bool)
    assert float(lx.solve.conductivity(rock, reservoir=4, **TIGHT).value) == pytest.approx(1, rel=1e-5)
    rock[2:5, 2:8, 2:8] = False
    bare, open_ends = (float(lx.solve.conductivity(rock, reservoir=n, **TIGHT).value) for n in (0, 4))
    assert open_ends < bare  # the current must gather from the whole section


def test_reservoirs_are_as_wide_as_the_image_whatever_the_area():
    """An area only says what to divide by: what the open ends add is that of the voxels there."""
    rock = np.ones((8, 9, 7), bool)
    rock[3, :4] = False
    rock[2:5, 1:3] = False
    sample = np.ones(rock.shape, bool)
    sample[:, :, 5:] = False
    for where in (None, sample):
        own = 9 * 7 if where is None else 9 * 5
        options = {"reservoir": 3, "where": where, **TIGHT}
        whole = lx.solve.conductivity(rock, **options)
        halved = lx.solve.conductivity(rock, area=2.0 * own, **options)
        assert float(whole.value) == pytest.approx(2 * float(halved.value), rel=1e-5)


def test_reservoirs_before_a_sample_that_nothing_passes():
    """They would carry a current of rounding, which made F ten to the thirteenth, and not converge."""
    rock = np.random.default_rng(7).random((12, 10, 8)) < 0.9
    rock[6] = False
    found = lx.solve.conductivity(rock, reservoir=3)
    assert float(found.value) == 0
    assert bool(found.converged)
    assert np.isinf(found.formation_factor)
    assert float(jax.jit(lambda v: lx.solve.conductivity(v, reservoir=3).value)(rock)) == 0
    assert not lx.solve.conductivity(rock, reservoir=3, gradient=True).gradient.any()
    assert float(lx.solve.conductivity(np.zeros((4, 4, 4), bool), reservoir=1).value) == 0


@pytest.mark.parametrize("outside", [np.nan, 0.0, 7.0, 9.97e36, -1.0])
def test_a_field_may_hold_anything_outside_of_the_sample(rng, outside):
    """Neither the value nor a note depends on it; fill values are as large as this, and it is no scale."""
    field = (rng.random((9, 8, 7), "f4") + 0.2).astype("f4")
    sample = np.ones(field.shape, bool)
    sample[:, :2], sample[:, :, 5:] = False, False
    cut = lx.solve.conductivity(field[:, 2:, :5], **TIGHT)
    found = lx.solve.conductivity(np.where(sample, field, np.float32(outside)), where=sample, **TIGHT)
    assert float(found.value) == pytest.approx(float(cut.value), rel=1e-5)
    assert found.notes == cut.notes
    assert "every voxel conducts" in found.notes[0]
    np.testing.assert_allclose(found.bounds.wiener, cut.bounds.wiener, rtol=1e-5)


def test_what_is_enclosed_by_an_insulator_is_no_scale():
    field = np.ones((9, 9, 9), "f4")
    field[3:6, 3:6, 3:6] = 0
    without = float(lx.solve.conductivity(field, **TIGHT).value)
    field[4, 4, 4] = 1e36
    assert float(lx.solve.conductivity(field, **TIGHT).value) == pytest.approx(without, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-44, 1e-37, 3e38])
def test_numbers_at_the_end_of_what_their_type_holds_are_not_called_converged(rng, scale):
    """A part of them counts as 0, or their sums are infinite: 0, 2 % too little, infinite, and each converged."""
    field = ((rng.random((6, 5, 4)) * 0.9 + 0.1) * scale).astype("f4")
    found = lx.solve.conductivity(field)
    assert not found.converged
    assert np.isinf(found.solver_error)
    assert "NOT CONVERGED" in str(found)
    assert "nothing joins" not in str(found)
    assert "in another unit" in str(found) or "a float64 field" in str(found)
    assert not jax.jit(lambda v: lx.solve.conductivity(v).converged)(field)
    double = lx.solve.conductivity(field.astype("f8"), **TIGHT)
    assert double.converged
    assert float(double.value) == pytest.approx(dense_conductivity(field / scale) * scale, rel=1e-3)
    whole = lx.solve.conductivity(field, axis="all", ends="periodic", sides="periodic")
    assert not np.any(whole.converged)


@pytest.mark.parametrize("largest", [1e20, 1e30])
def test_a_contrast_beside_which_no_error_is_seen_is_not_called_converged(rng, largest):
    """Squares of what is left were 0, and so was the error: 0.1 % wrong, or 0 where all that joins is a layer."""
    field = (rng.random((6, 5, 4)) * 0.9 + 0.1).astype("f4")
    field[2:4, 2:4, 1:3] = largest
    assert not lx.solve.conductivity(field, tolerance=1e-4).converged
    field[3] = largest
    assert not lx.solve.conductivity(field, tolerance=1e-4).converged


def test_bounds_where_the_conductivity_depends_on_the_direction():
    field = np.broadcast_to(np.reshape([10.0, 1.0, 1.0], (3, 1, 1, 1)), (3, 6, 6, 6)).astype("f4")
    for axis, value in zip(AXES, (10, 1, 1), strict=True):
        found = lx.solve.conductivity(field, axis=axis)
        assert float(found.value) == pytest.approx(value)
        np.testing.assert_allclose(found.bounds.wiener, (1, 10), rtol=1e-6)
        np.testing.assert_allclose(found.bounds.hashin_shtrikman, (1, 10), rtol=1e-5)


def test_air_around_a_plug_is_noted_for_all_axes_too():
    x, y = np.meshgrid(np.arange(12) - 5.5, np.arange(12) - 5.5, indexing="ij")
    pores = np.broadcast_to((x**2 + y**2 > 30)[..., None], (12, 12, 10)).copy()
    pores[2:10, 2:10, :3] = True  # dead ends, so that the plug does not reach the lower face
    found = lx.solve.conductivity(pores, axis="all", tolerance=0.1)
    assert next(note for note in found.notes if "air around a plug" in note).startswith("x, y, z: the pore space")
    assert lx.solve.conductivity(pores, axis="z", tolerance=0.1).notes[0].startswith("the pore space fills all four")
    around = lx.solve.conductivity(pores, axis="all", sides="periodic", tolerance=0.1)
    assert not [note for note in around.notes if "air around a plug" in note]


def test_what_may_be_done_where_a_solve_did_not_converge(rng):
    rock = rng.random((16, 16, 16)) < 0.6
    few = lx.solve.conductivity(rock, max_iterations=1, tolerance=1e-4)
    assert "1 steps did not reach the tolerance of 0.0001; ask for a larger one" in str(few)
    rounded = lx.solve.conductivity(rock, tolerance=1e-12)
    assert "rounding ended the steps before the tolerance of 1e-12" in rounded.notes[-1]
    assert not lx.solve.conductivity(rock).notes


BAD = [
    ({"image": np.zeros((4, 4, 4), int)}, "what its numbers mean"),
    ({"image": np.full((4, 4, 4), -1.0)}, "finite and >= 0"),
    ({"image": np.full((4, 4, 4), np.nan, "f4")}, "not finite"),
    ({"image": np.ones((1, 4, 4), bool)}, "one voxel thick"),
    ({"image": np.ones((4, 4), bool)}, "three axes"),
    ({"image": np.zeros((4, 4, 4), int), "values": {1: 2.0}}, "says nothing of 0"),
    ({"image": np.zeros((4, 4, 4), int), "values": {0: -2.0}}, "finite and >= 0"),
    ({"image": np.zeros((4, 4, 4), int), "pore": 3}, "is no value of the image"),
    ({"image": np.ones((4, 4, 4), "f4"), "pore": 1}, "speaks of a segmentation"),
    ({"image": np.ones((4, 4, 4), bool), "where": np.zeros((4, 4, 4), bool)}, "where= leaves no voxel"),
    ({"image": np.ones((4, 4, 4), bool), "axis": "w"}, "axis='w' must be one of"),
    ({"image": np.ones((4, 4, 4), bool), "tolerance": 2}, "between 0 and 1"),
    ({"image": np.ones((4, 4, 4), bool), "spacing": (1, 2)}, "positive voxel length"),
    ({"image": np.ones((4, 4, 4), bool), "fluid": 0}, "finite and above 0"),
    ({"image": np.ones((4, 4, 4), bool), "fluid": 5.0}, "booleans name conduct 1: F would be wrong"),
    ({"image": np.zeros((4, 4, 4), int), "pore": 0, "fluid": 5.0}, "pore=0 names conduct 1: F would be wrong"),
    ({"image": np.ones((4, 4, 4), "f4"), "reservoir": 2}, "needs fluid="),
    ({"image": np.ones((4, 4, 4), bool), "reservoir": 10**9}, "may be used"),
    ({"image": np.zeros((4, 4, 4), int), "values": {0: "5 S/m"}}, "conductivity of 0 is '5 S/m'"),
    ({"image": np.zeros((4, 4, 4), int), "values": {0: 1j}}, "conductivity of 0 is 1j"),
    ({"image": np.ones((4, 4, 4), bool), "shape": 4}, "shape=4 must be three numbers"),
    ({"image": np.ones((4, 4, 4), "f4"), "percolation_at": -1}, "percolation_at=-1"),
    ({"image": np.ones((4, 4, 4), bool), "x0": np.full((4, 4, 4), np.nan)}, "x0= holds potentials that are not finite"),
    ({"image": np.ones((4, 4, 4), bool), "checkpoint": __file__}, "is a file"),
    ({"image": np.ones((4, 4, 4), bool), "segmentation": (np.zeros((4, 4, 4)), np.nan, 1)}, "threshold nan"),
    ({"image": np.ma.masked_equal(np.eye(4, dtype="f4")[:, :, None] * np.ones(4, "f4"), 0)}, "image is a masked array"),
    ({"image": np.ones((4, 4, 4), bool), "spacing": "2 S"}, "spacing='2 S' .* unit='S' is no"),
    ({"image": np.ones((4, 4, 4), bool), "spacing": "-2 um"}, "spacing='-2 um' must be a positive length"),
    ({"image": np.ones((4, 4, 4), bool), "unit": 3}, "unit=3 must be text, .* such as 'S/m'"),
]


@pytest.mark.parametrize(("call", "text"), BAD)
def test_bad_input(call, text):
    call = dict(call)
    with pytest.raises((ValueError, TypeError, MemoryError, NotADirectoryError), match=text):
        lx.solve.conductivity(call.pop("image"), **call)


@pytest.mark.parametrize("name", ["tolerance", "spacing", "where"])
def test_what_must_be_known_before_the_solve_is_named_under_a_trace(name):
    value = jnp.ones((4, 4, 4), bool) if name == "where" else 1e-3
    with pytest.raises(TypeError, match=f"{name}= is traced"):
        jax.jit(lambda v: lx.solve.conductivity(jnp.ones((4, 4, 4)), **{name: v}).value)(value)
    with pytest.raises(ValueError, match="checkpoint= is for the host's loop"):
        jax.jit(lambda s: lx.solve.conductivity(s, checkpoint="folder").value)(np.ones((4, 4, 4), "f4"))


def test_numbers_of_any_form_are_taken(rng):
    """Byte order, half precision and an empty mask are forms of the same numbers."""
    field = rng.integers(1, 8, (6, 5, 4)).astype("f4")
    expected = float(lx.solve.conductivity(field).value)
    for form in (field.astype(">f4"), np.ma.masked_array(field), jnp.asarray(field, jnp.bfloat16), field.astype("f2")):
        assert float(lx.solve.conductivity(form).value) == expected
    assert float(lx.solve.conductivity(field, spacing="2 um").value) == pytest.approx(expected, rel=1e-6)


def test_a_truncated_solve_says_so(rng):
    rock = rng.random((24, 24, 24)) < 0.45
    short = lx.solve.conductivity(rock, max_iterations=1)
    assert not bool(short.converged)
    assert "NOT CONVERGED" in str(short)
    assert float(short.balance) > 0.1
    with pytest.raises(RuntimeError, match="did not converge"):
        lx.solve.conductivity(rock, max_iterations=1, throw=True)


def test_shares_are_of_what_conducts_where_more_than_the_pores_do():
    """Pore along one half, clay that conducts along a quarter, a grain with a drop of clay within."""
    rock = np.full((6, 8, 8), 2, np.uint8)
    rock[:, :4], rock[:, 4:6] = 0, 1
    rock[3, 7, 4] = 1
    found = lx.solve.conductivity(rock, pore=0, values={0: 5.0, 1: 1.0, 2: 0.0}, fluid=5.0)
    assert float(found.porosity) == 0.5
    shares = found.porosities
    assert float(shares.total) == pytest.approx(0.75 + 1 / 384)
    assert float(shares.percolating) == pytest.approx(0.75)
    assert float(shares.isolated) == pytest.approx(1 / 384)
    assert "porosity 50 %\n" in str(found)
    assert "left out of the solve: 0.26 %" in str(found)


def test_rods_in_a_poor_conductor_that_repeats_itself():
    """A contrast of a million, nothing held: single precision gives the value, and says which tolerance it misses."""
    x, y, _ = np.indices((16, 16, 2))
    field = np.where((x - 7.5) ** 2 + (y - 7.5) ** 2 < 30, 1, 1e-6)
    options = {"ends": "periodic", "sides": "periodic"}
    exact = float(lx.solve.conductivity(field, tolerance=1e-9, **options).value)
    found = lx.solve.conductivity(field.astype("f4"), **options)
    assert bool(found.converged)
    assert float(found.value) == pytest.approx(exact, rel=1e-5)
    found = lx.solve.conductivity(field.astype("f4"), tolerance=1e-7, **options)
    assert not bool(found.converged)
    assert float(found.balance) > 2e-7**0.5
    assert int(found.iterations) < 20  # rounding is all there is from there on
    assert float(found.value) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("name", ["gradient", "fields"])
def test_a_store_is_not_written_where_the_solve_throws(rng, tmp_path, name):
    image = lx.from_array((rng.random((24, 24, 24)) < 0.45).astype("u1"))
    options = {name: tmp_path / "store.zarr"}
    with pytest.raises(RuntimeError, match="did not converge"):
        lx.solve.conductivity(image, pore=1, max_iterations=1, throw=True, **options)
    assert not list(tmp_path.iterdir())
    lx.solve.conductivity(image, pore=1, throw=True, **options)  # the same store, with more steps
    assert list(tmp_path.iterdir())


def test_what_is_left_of_the_value_is_less_than_the_budget_says(rng):
    """The energy comes down on the value from above."""
    for share in (0.4, 0.5, 0.6, 0.7):
        smooth = gaussian_filter(rng.standard_normal((24, 24, 24)), 2)
        rock = smooth > np.quantile(smooth, 1 - share)
        quick, exact = lx.solve.conductivity(rock), lx.solve.conductivity(rock, **TIGHT)
        error = float(quick.value) / float(exact.value) - 1
        assert -2e-6 <= error <= float(quick.error_budget.solver) + 2e-6  # float32
        assert quick.iterations <= 4


def test_what_few_of_many_slices_carry_says_little_of_the_whole(rng):
    few, many = 1 + 0.01 * rng.standard_normal(30), np.ones(3000)
    many[7] = 1.1
    assert float(typical_spread(jnp.asarray(few, "f4"))) == pytest.approx(np.ptp(few) / few.mean(), rel=1e-4)  # float32
    assert float(typical_spread(jnp.asarray(many, "f4"))) == pytest.approx(20 / 3 * many.std() / many.mean(), rel=1e-3)
    assert 20 / 3 * many.std() < 0.2 * np.ptp(many)


def test_single_precision_ends_where_stretched_voxels_round_much():
    """Current and power are 2e-5 apart by rounding here; what that does to the value is of second order."""
    smooth = gaussian_filter(np.random.default_rng(1).standard_normal((96, 12, 12)), 1.5, mode="wrap")
    rock = smooth > np.quantile(smooth, 0.6)
    found = lx.solve.conductivity(rock, spacing=(1, 1, 10), tolerance=1e-6)
    exact = lx.solve.conductivity(rock.astype("f8"), spacing=(1, 1, 10), tolerance=1e-10)
    assert bool(found.converged)
    assert float(found.value) == pytest.approx(float(exact.value), rel=2e-6)  # the tolerance and float32


def test_a_potential_that_the_steps_do_not_know_of_is_not_said_to_be_right(rng):
    """A state that claims to be at its end: the error along its potential is exact for a multiple of the solution."""
    shape = (8, 6, 7)
    run = plan_run(shape, 0, Boundaries("potential", "insulating", False), (1.0, 1.0, 1.0), 42.0, 0)
    settings, drive = run.settings, Drive(jnp.asarray(run.drives, jnp.float32)[0])
    pores = jnp.asarray(rng.random(shape) < 0.8)
    cycle = levels_of(weights_of_pores(pores, None, settings.layout), settings)
    state, ends = begin(cycle, drive, None, settings), Tolerances.of(1e-12, 1.0, 40, np.float32)
    state = advance(cycle, drive, ends, state, settings, np.int32(12))
    power = stats_of(cycle, drive, state, settings, ends.balance)[1]
    wrong = eqx.tree_at(lambda s: s.u, state, 0.9 * state.u)
    stats, higher = stats_of(cycle, drive, wrong, settings, ends.balance)
    assert float(state.error) < 1e-6
    assert float(stats.error) == pytest.approx(float((higher - power) / higher), rel=1e-3)  # float32


@pytest.mark.parametrize(
    "boundaries", [Boundaries("potential", "insulating", False), Boundaries("periodic", "periodic", False)]
)
def test_weights_in_bytes_are_those_of_the_conductivities(rng, boundaries):
    shape = (5, 4, 6)
    run = plan_run(shape, 0, boundaries, (2.0, 2.0, 2.0), 24.0, 0)
    pores, keep = rng.random(shape) < 0.7, jnp.asarray(rng.random(shape) < 0.9)
    assert run.of_cubes()
    medium = Medium(jnp.asarray(pores), None, None, "", True)
    real, _ = weights(medium, keep, np.float32(0), None, run.settings.layout, run.geometry, 0)
    small = weights_of_pores(medium.data, keep, run.settings.layout)
    for c, d in zip(real, small, strict=True):
        assert d.dtype == np.int8
        assert np.allclose(c, run.geometry[0] * d, rtol=1e-6)


@pytest.mark.parametrize("seed", [6, 23, 31])
def test_a_series_that_turns_does_not_end_a_solve_too_early(seed):
    """Single voxels near percolation: by its last two decreases alone each of these ended 0.7 to 0.8 % too high."""
    rock = np.random.default_rng(seed).random((24, 24, 24)) < 0.42
    quick, exact = lx.solve.conductivity(rock), lx.solve.conductivity(rock, **TIGHT)
    assert quick.converged
    assert float(quick.value) / float(exact.value) - 1 <= 0.5 * 5e-3  # they end at 0.12 to 0.16 %


def test_images_refuse_a_trace():
    image = lx.ones((4, 4, 4), bool)
    with pytest.raises(TypeError, match="sees no files"):
        jax.jit(lambda s: lx.solve.conductivity(image, fluid=s).value)(1.0)


def test_throats_at_the_voxel_limit():
    rock = np.zeros((12, 12, 12), bool)
    rock[:6, :6, :6] = rock[6:, 6:, 6:] = True
    with pytest.warns(UserWarning, match="edges and corners"):
        result = lx.solve.conductivity(rock)
    assert float(result.value) == 0


def test_a_tolerance_beyond_single_precision_is_not_reached():
    """Steps go on to shrink what recursion says is left; the sums have seven digits."""
    pores = np.random.default_rng(3).random((8, 7, 9)) < 0.6
    single = lx.solve.conductivity(pores, tolerance=1e-9)
    double = lx.solve.conductivity(pores.astype(float), tolerance=1e-9)
    assert not bool(single.converged)
    assert bool(double.converged)
    assert abs(float(single.value) / float(double.value) - 1) <= 2 * float(single.solver_error)


@pytest.mark.parametrize("outside", [np.nan, -1.0, np.inf])
def test_what_where_leaves_out_may_hold_anything(outside):
    field = np.random.default_rng(8).uniform(0.1, 1, (6, 5, 4)).astype("f4")
    inside = np.zeros(field.shape, bool)
    inside[:, 1:4, 1:3] = True
    found = lx.solve.conductivity(np.where(inside, field, np.float32(outside)), where=inside, tolerance=1e-6)
    cut = lx.solve.conductivity(field[:, 1:4, 1:3], tolerance=1e-6)
    assert float(found.value) == pytest.approx(float(cut.value), rel=1e-5)
    with pytest.raises(ValueError, match="conductivities"):
        lx.solve.conductivity(np.where(inside, np.float32(outside), field), where=inside)


def test_grey_levels_of_a_segmentation_are_those_of_the_image():
    grey = np.random.default_rng(2).random((6, 6, 6))
    for levels in (grey, 1 - grey[::-1]):  # pores are brighter; of another scan
        with pytest.raises(ValueError, match="segmentation= says"):
            lx.solve.conductivity(grey > 0.4, segmentation=(levels, 0.4, 0.01))
