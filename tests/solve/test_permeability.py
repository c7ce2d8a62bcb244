"""Permeability of images: boundaries, regions, units, and what is refused."""

import json

import jax
import numpy as np
import pytest
from click.testing import CliRunner
from jax import numpy as jnp

import lithax as lx
from lithax.cli import main
from lithax.solve._flow_solve import Judgement, _judged

SHAPE = (16, 16, 16)


def rock(shape=SHAPE, porosity=0.45, seed=0):
    """Return a periodic noise of pores about five voxels wide; True is pore."""
    noise = np.fft.rfftn(np.random.default_rng(seed).standard_normal(shape))
    k = np.meshgrid(*[np.fft.fftfreq(n) for n in shape[:2]], np.fft.rfftfreq(shape[2]), indexing="ij")
    smooth = np.fft.irfftn(noise * np.exp(-(sum(f**2 for f in k)) * 60), s=shape, axes=(0, 1, 2))
    return smooth < np.quantile(smooth, porosity)


@pytest.fixture(scope="module")
def pores():
    return rock()


@pytest.fixture(scope="module")
def along_x(pores):
    return lx.solve.permeability(pores, axis="x", wall="half_voxel", tolerance=1e-4)


def test_tight_rock_takes_no_more_iterations():
    """The pressure of tight rock is a matter of its coarsest levels: ten iterations where each is visited but twice."""
    k = lx.solve.permeability(rock(porosity=0.3, seed=3), axis="x", tolerance=1e-3)
    assert k.converged
    assert k.iterations <= 9


def test_the_three_values_agree_and_every_slice_carries_the_same(along_x):
    k = along_x
    assert k.converged
    assert k.iterations >= 4
    assert k.value_from_flux == pytest.approx(k.value_voxel, rel=1e-4)
    assert k.value_from_dissipation == pytest.approx(k.value_voxel, rel=1e-4)
    assert np.asarray(k.flux) == pytest.approx(1, rel=2e-4)
    assert k.flux.shape == (17,)
    assert k.error_budget.solver <= 1e-4


@pytest.mark.parametrize("wall", ["accurate", pytest.param("half_voxel", marks=pytest.mark.slow)])
def test_symmetric_sides_and_pressure_ends_are_the_mirrored_image(wall):
    """By either rule for walls: runs of voxels go on in the mirror."""
    pores = rock((8, 8, 8), 0.6)
    half = lx.solve.permeability(pores, axis="x", wall=wall, tolerance=1e-5)
    mirrored = pores
    for axis in range(3):
        mirrored = np.concatenate([mirrored, np.flip(mirrored, axis)], axis)
    full = lx.solve.permeability(mirrored, axis="x", ends="periodic", sides="periodic", wall=wall, tolerance=1e-5)
    assert half.value_voxel == pytest.approx(float(full.value_voxel), rel=1e-4)


@pytest.mark.parametrize("axis", "xy")
def test_soft_walls_go_on_in_the_mirror(axis):
    """Solved in float64, so that a wall that is missing beside a mirror shows."""
    fractions = np.random.default_rng(3).uniform(0.2, 1, (4, 4, 4))
    half = lx.solve.permeability(fractions, axis=axis, tolerance=1e-8)
    mirrored = fractions
    for along in range(3):
        mirrored = np.concatenate([mirrored, np.flip(mirrored, along)], along)
    full = lx.solve.permeability(mirrored, axis=axis, ends="periodic", sides="periodic", tolerance=1e-8)
    assert half.value_voxel == pytest.approx(float(full.value_voxel), rel=1e-7)


def test_axes_are_those_of_the_image(pores, along_x):
    turned = np.ascontiguousarray(np.transpose(pores, (2, 0, 1)))  # x became y
    found = lx.solve.permeability(turned, axis="y", wall="half_voxel", tolerance=1e-4)
    assert found.value_voxel == pytest.approx(float(along_x.value_voxel), rel=2e-4)
    every = lx.solve.permeability(pores, axis="all", wall="half_voxel")
    assert every.value_voxel.shape == (3,)
    assert every.value_voxel[0] == pytest.approx(float(along_x.value_voxel), rel=5e-3)
    assert every.tensor is None
    assert "off-diagonals not determined" in str(every)
    assert every.vertical_to_horizontal("z") > 0


def test_no_slip_sides_and_a_reservoir_change_k(pores, along_x):
    jacketed = lx.solve.permeability(pores, axis="x", wall="half_voxel", sides="no_slip")
    assert jacketed.value_voxel < along_x.value_voxel
    assert "jacketed" in str(jacketed)
    slit = np.zeros((4, 8, 1), bool)  # few cells: compiled soon
    slit[:, 2:6] = True
    slit[1, 0] = True  # joins no end
    entered = lx.solve.permeability(slit, axis="x", reservoir=2)
    assert entered.converged
    assert np.isfinite(entered.value_voxel)
    # Its voxels are not the sample's.
    assert entered.porosities.accessible == entered.porosities.percolating == 16 / 32
    assert entered.porosities.isolated == 1 / 32


@pytest.mark.slow
def test_a_reservoir_adds_no_length():
    """Open space along a tube with slip sides costs nothing: k rises by the length that resists no more."""
    slit = np.zeros((16, 8, 1), bool)
    slit[:, 2:6] = True
    alone = lx.solve.permeability(slit, axis="x", tolerance=1e-4)
    entered = lx.solve.permeability(slit, axis="x", reservoir=8, tolerance=1e-4)
    assert entered.value_voxel == pytest.approx(float(alone.value_voxel), rel=0.15)  # entrance losses


def test_the_tensor_of_a_periodic_image(pores):
    k = lx.solve.permeability(pores, axis="all", ends="periodic", sides="periodic", wall="half_voxel", tolerance=1e-3)
    tensor = np.asarray(k.tensor)
    assert np.diag(tensor) == pytest.approx(np.asarray(k.value))
    assert np.array_equal(tensor, tensor.T)
    assert k.asymmetry < 5e-3
    assert np.all(k.principal_values > 0)
    assert k.principal_directions @ np.diag(k.principal_values) @ k.principal_directions.T == pytest.approx(
        tensor, abs=1e-6 * float(tensor.max())
    )
    said = str(k)
    assert f"tensor [voxel²], row by row: {tensor[0, 0]:.4g} {tensor[0, 1]:.4g} {tensor[0, 2]:.4g}; " in said
    assert f"{k.principal_values[2]:.4g} along (" in said
    assert f"anisotropy {k.principal_values[2] / k.principal_values[0]:.4g}" in said
    # A mirrored image flips the signs of the off-diagonals with x.
    other = lx.solve.permeability(
        np.flip(pores, 0).copy(), axis="all", ends="periodic", sides="periodic", wall="half_voxel", tolerance=1e-3
    )
    sign = np.diag([-1.0, 1, 1])
    assert np.asarray(other.tensor) == pytest.approx(sign @ tensor @ sign, abs=2e-3 * float(tensor.max()))


def test_units(pores):
    image = lx.from_array(pores, voxel_length=(2, 2, 2), voxel_unit="um")
    k = lx.solve.permeability(image, axis="x", wall="half_voxel")
    assert k.unit == "m²"
    assert k.value == pytest.approx(float(k.value_voxel) * 4e-12)
    assert k.millidarcy == pytest.approx(float(k.value) / 9.869233e-16)
    assert lx.solve.permeability(pores, axis="x", wall="half_voxel", spacing="2 um", unit="mD").value == pytest.approx(
        float(k.millidarcy), rel=1e-5
    )
    assert "mD" in str(k)
    assert "half_voxel" in str(k)
    assert "unstressed: compare with brine or Klinkenberg-corrected permeability" in str(k)
    # By hand: Amaefule's index and Winland's radius [µm] of k in mD and the porosity, in percent for the latter.
    darcy, porosity = float(k.millidarcy), pores.mean()
    quality = 0.0314 * (darcy / porosity) ** 0.5
    assert k.rock_quality_index == pytest.approx(quality)
    assert k.flow_zone_indicator == pytest.approx(quality / (porosity / (1 - porosity)))
    assert k.winland_r35 == pytest.approx(10**0.732 * darcy**0.588 / (100 * porosity) ** 0.864)
    plain = lx.solve.permeability(pores, axis="x", wall="half_voxel")
    assert plain.unit == "voxel²"
    assert "no unit of length" in str(plain)
    with pytest.raises(ValueError, match="no voxel_unit"):
        _ = plain.millidarcy
    closed = lx.solve.permeability(pores & (np.arange(len(pores)) != 4)[:, None, None], axis="x", spacing="2 um")
    assert closed.winland_r35 == closed.rock_quality_index == 0  # and warns of no logarithm


def test_spacing_is_that_of_the_resampled_image():
    """A slit of 4 voxels that are twice as long along the flow and twice as wide."""
    slit = np.zeros((8, 8, 8), bool)
    slit[:, 2:6] = True
    along = lx.solve.permeability(slit, axis="x", spacing=(2, 1, 1), tolerance=1e-4)
    same = lx.solve.permeability(slit, axis="x", tolerance=1e-4)  # a longer slit is as permeable
    assert along.value == pytest.approx(float(same.value), rel=1e-3)
    wide = lx.solve.permeability(slit, axis="x", spacing=(1, 2, 1), tolerance=1e-4)
    assert wide.value == pytest.approx(4 * float(along.value), rel=1e-3)
    # Two walls, of which faces count two thirds, in eight voxels: φ³/(5 S²), by the width of a voxel squared.
    rule = 0.5**3 / (5 * (2 / 3 * 2 / 8) ** 2)
    assert [one.kozeny_carman for one in (same, along, wide)] == pytest.approx([rule, rule, 4 * rule])


def test_a_cylinder_is_a_jacketed_plug_with_its_own_section():
    image = lx.from_array(np.ones(SHAPE, bool))
    plug = lx.regions.Cylinder((0, 7.5, 7.5), (1, 0, 0), 7.5)
    k = lx.solve.permeability(image, axis="x", where=plug, tolerance=1e-3)
    inside = np.asarray(lx.regions.inside(image, plug))
    assert k.porosity == 1
    # Poiseuille in a tube: R²/8 at the radius that has the area of its voxels.
    assert k.value_voxel == pytest.approx(inside[0].sum() / np.pi / 8, rel=0.03)
    with pytest.raises(ValueError, match="cross-section that varies"):
        lx.solve.permeability(image, axis="y", where=plug)
    given = lx.solve.permeability(image, axis="x", where=plug, area=16 * 16, tolerance=1e-3)
    assert given.value_voxel == pytest.approx(float(k.value_voxel) * inside[0].mean(), rel=1e-4)


def test_air_around_a_plug_is_said():
    """Along all four edges of the box there is air, and nearly all of the flow is there."""
    plug = lx.regions.Cylinder((0, 7.5, 7.5), (1, 0, 0), 7)
    image = lx.from_array(rock())
    inside = np.asarray(lx.regions.inside(image, plug))
    boxed = np.where(inside, rock(), True)
    along = lx.solve.permeability(boxed, axis="x", tolerance=0.1)
    note = "all four edges of the image along the axis, and may be the air around a plug; pass where=lx.regions.Cyl"
    assert f"x: the pore space fills {note}" in str(along)
    assert f"x, y, z: the pore space fills {note}" in str(lx.solve.permeability(boxed, axis="all", tolerance=0.1))
    for changed, options in (
        (boxed, {"where": plug}),  # what is asked for
        (boxed, {"sides": "periodic"}),  # grains of a lattice
        (np.ones(SHAPE, bool), {"sides": "no_slip"}),
        (np.where(np.arange(16) == 15, rock(), boxed), {}),  # solid on an edge
    ):
        assert note not in str(lx.solve.permeability(changed, axis="x", tolerance=0.1, **options))


def test_porosities_and_clusters():
    image = np.zeros((8, 8, 8), bool)
    image[:, 2:4, 2:4] = True  # a tube
    image[:3, 6, 6] = True  # a dead end
    image[4, 6, 6] = True  # a bubble
    k = lx.solve.permeability(image, axis="x")
    assert k.porosity == pytest.approx((32 + 4) / 512)
    assert k.porosities.percolating == pytest.approx(32 / 512)
    assert k.porosities.accessible == pytest.approx(35 / 512)
    assert k.porosities.isolated == pytest.approx(1 / 512)
    assert "2 clusters of 4 voxels" in str(k)
    # Across the tube nothing joins the ends; it touches none of them there, as the bubble and the dead end.
    every = lx.solve.permeability(image, axis="all").porosities
    assert every.percolating * 512 == pytest.approx([32, 0, 0])
    assert every.accessible * 512 == pytest.approx([35, 0, 0])
    assert every.isolated * 512 == pytest.approx([1, 36, 36])
    said = str(lx.solve.permeability(image, axis="all"))
    assert "6.25, 0.00, 0.00 % of the volume joins the ends, 0.20, 7.03, 7.03 % is isolated" in said
    whole = lx.solve.permeability(image, axis="all", ends="periodic", sides="periodic")
    assert whole.porosities.percolating == pytest.approx(32 / 512)
    assert "6.25 % of the volume joins the ends" in str(whole)


def test_nothing_joins_the_ends():
    image = np.zeros((8, 8, 8), bool)
    image[:4, 2, 2] = image[4:, 3, 3] = True
    k = lx.solve.permeability(image, axis="x")
    assert k.value == 0
    assert k.converged
    assert "no path joins the ends" in str(k)
    assert "through edges and corners one does" in str(k)
    metres = lx.solve.permeability(image, axis="x", spacing="2 um")
    assert k.kozeny_carman > 0
    assert metres.kozeny_carman == pytest.approx(4e-12 * k.kozeny_carman)


def test_faces_that_do_not_match_are_those_of_an_image_that_was_not_made_to_repeat_itself():
    """Neighbouring layers of any structure differ, and the two faces of a periodic one are neighbours."""

    def said(image):
        k = lx.solve.permeability(image, axis="x", ends="periodic", sides="periodic", tolerance=0.1)
        return [note for note in k.notes if "do not match" in note]

    i, j, k = np.indices(SHAPE)
    oblique = (3 * j - i) % 16 < 8
    assert np.mean(oblique[0] ^ oblique[-1]) > 0.1
    assert not said(oblique & (k > 2))
    assert not said(rock())
    assert not said(np.random.default_rng(0).random(SHAPE) < 0.7)
    (note,) = said(rock((32, 16, 16))[:16])
    assert note.startswith("the faces across x do not match: they differ by more")


def test_periodic_clusters_must_meet_themselves():
    image = np.zeros((8, 8, 8), bool)
    image[:, 2, 2] = True
    image[3:5] = False
    image[3:5, 6, 6] = True
    assert lx.solve.permeability(image, axis="x", ends="periodic", sides="periodic").value == 0
    step = np.zeros((8, 8, 8), bool)
    step[:4, 2, :] = step[4:, 3, :] = True  # joins at x = 4 through edges only, across y
    step[:, 2, 2] = True
    assert lx.solve.permeability(step, axis="x", ends="periodic", sides="periodic").value > 0


BAD = [
    (dict(axis="w"), ValueError, "axis='w'"),
    (dict(ends="open"), ValueError, "ends='open'"),
    (dict(sides="slip"), ValueError, "sides='slip'"),
    (dict(wall="smooth"), ValueError, "wall='smooth'"),
    (dict(reservoir=-1), ValueError, "reservoir=-1"),
    (dict(tolerance=0), ValueError, "tolerance=0"),
    (dict(unit="mD"), ValueError, "no voxel_unit"),
    (dict(unit=3), TypeError, "unit=3 must be text, .* such as 'mD'"),
    (dict(spacing="2 s"), ValueError, "spacing='2 s' .*it measures .time."),
    (dict(spacing="0 um"), ValueError, "spacing='0 um' must be a positive length"),
    (dict(spacing=-1), ValueError, "spacing=-1"),
    (dict(spacing=("2 um",) * 3), ValueError, "the unit goes with one"),
    (dict(where=np.zeros(SHAPE, bool)), ValueError, "selects no voxel"),
    (dict(where=np.ones((2, 2, 2), bool)), ValueError, "shape"),
    (dict(memory_limit=1000), MemoryError, "GB"),
    (dict(segmentation=(np.zeros(SHAPE), 50.0)), TypeError, "must be .grey levels, threshold, uncertainty."),
    (dict(segmentation=(np.zeros((2, 2, 2)), 50.0, 5.0)), ValueError, "grey levels of shape"),
    (dict(segmentation=(np.zeros(SHAPE), 50.0, np.nan)), ValueError, "uncertainty nan"),
    (dict(segmentation=(np.zeros(SHAPE), 50.0, 5.0)), ValueError, "pores are brighter"),
    (dict(tolerance="1%"), ValueError, "tolerance='1%'"),
    (dict(area="1 mm2"), ValueError, "area='1 mm2'"),
    (
        dict(area=40.0, axis="all", ends="periodic", sides="periodic"),
        ValueError,
        "the tensor of a whole image needs none",
    ),
    (dict(fields="k.zarr"), ValueError, "fields='k.zarr' must be True or False"),
    (dict(permeability={"2": 1.0}), TypeError, "names phase '2', which must be a value of the segmentation"),
    (dict(reservoir=True), ValueError, "reservoir=True"),
    (dict(reservoir=10**9), MemoryError, "GB"),
    (dict(shape=4), ValueError, "shape=4"),
    (dict(porosity={2: 0.1}), ValueError, "porosity.2.=0.1"),
    (dict(porosity=[0.1]), TypeError, "porosity=.0.1."),
    (dict(pore="1"), TypeError, "pore='1'"),
    (dict(budget="grid"), ValueError, "in a tuple"),
]


@pytest.mark.parametrize(("options", "error", "text"), BAD, ids=lambda v: str(v)[:30])
def test_bad_arguments_are_refused(pores, options, error, text):
    with pytest.raises(error, match=text):
        lx.solve.permeability(pores, **options)


def test_bad_images_are_refused(pores):
    labels = pores.astype(np.uint8)
    with pytest.raises(ValueError, match="pore is missing"):
        lx.solve.permeability(labels)
    with pytest.raises(ValueError, match="no pores"):
        lx.solve.permeability(np.zeros(SHAPE, bool))
    for everything in (np.ones(SHAPE, bool), np.ones(SHAPE, "f4")):
        with pytest.raises(ValueError, match="all pores"):
            lx.solve.permeability(everything)
    with pytest.raises(ValueError, match="holds 0, 1; which"):
        lx.solve.permeability(labels, pore=7)
    with pytest.raises(TypeError, match=r"permeability.0.=None"):
        lx.solve.permeability(labels, pore=1, permeability={0: None})
    with pytest.raises(ValueError, match="without porous phases"):
        lx.solve.permeability(labels, pore=1, permeability={0: 0.1}, segmentation=(1 - pores, 0.5, 0.1))
    with pytest.raises(TypeError, match="masked array"):
        lx.solve.permeability(np.ma.masked_array(pores * 0.5, pores))
    with pytest.raises(ValueError, match="must be positive"):
        lx.solve.permeability(labels, pore=1, permeability={0: -1.0})
    with pytest.raises(ValueError, match="no voxel_unit"):
        lx.solve.permeability(labels, pore=1, permeability={0: "1.5 mD"})
    with pytest.raises(ValueError, match="does not hold"):
        lx.solve.permeability(labels, pore=1, permeability={7: 1.0})
    with pytest.raises(ValueError, match="wall='accurate'"):
        lx.solve.permeability(labels, pore=1, permeability={0: 1.0}, wall="accurate")
    with pytest.raises(ValueError, match="lie between 0"):
        lx.solve.permeability(pores * 7.0)
    with pytest.raises(ValueError, match="three axes"):
        lx.solve.permeability(pores[0])
    with pytest.raises(TypeError, match="complex"):
        lx.solve.permeability(pores * 1j)


def test_an_open_channel_in_a_jacket_is_a_duct():
    """All pore, held back by no-slip sides alone."""
    duct = lx.solve.permeability(np.ones((4, 16, 16), bool), sides="no_slip")
    assert float(duct.value) == pytest.approx(0.0351443 * 16**2, rel=0.01)
    assert np.isinf(duct.breakthrough_diameter)  # of which JSON knows nothing
    assert json.loads(json.dumps(duct.numbers(), allow_nan=False))["breakthrough_diameter"] is None
    table = lx.solve.subvolumes(np.ones((16, 16, 16), bool), edge=16, axis="x", flow={"sides": "no_slip"})
    assert table.permeability[0] == pytest.approx(float(duct.value), rel=0.01)


def test_what_lies_outside_of_a_region_may_be_anything(pores):
    """NaN where a soft segmentation has no data; inside it is named."""
    inside = np.ones(SHAPE, bool)
    inside[:, :3] = False
    soft = pores.astype("f4")
    expected = lx.solve.permeability(soft, where=inside, tolerance=1e-3)
    soft[~inside] = np.nan
    found = lx.solve.permeability(soft, where=inside, tolerance=1e-3)
    assert found.value == expected.value
    with pytest.raises(ValueError, match="not finite"):
        lx.solve.permeability(soft)


def test_what_float32_cannot_reach_is_said(pores):
    k = lx.solve.permeability(pores, axis="x", tolerance=1e-9)
    assert not k.converged
    assert k.error_budget.solver < 1e-4
    assert "NOT converged" in str(k)
    reached = max(k.residual, k.balance)
    assert f"slices agree to {reached:.1g} and come no closer" in str(k)
    few = lx.solve.permeability(pores, axis="x", tolerance=1e-9, max_iterations=5)
    assert "come no closer" not in str(few)  # not rounding ended it
    with pytest.raises(RuntimeError, match=r"did not converge; ask for a larger tolerance, (?s:.*)come no closer"):
        lx.solve.permeability(pores, axis="x", tolerance=1e-9, throw=True)


def test_sums_that_agree_by_chance_have_no_more_digits():
    """All of a state's numbers may be the same in float32, which knows seven digits of them."""
    one, nothing = jnp.float32(1), jnp.float32(0)
    before = Judgement(one, one, jnp.int32(0), jnp.bool_(False), jnp.bool_(True))
    for tolerance, enough in ((1e-9, False), (2e-7, True)):
        judged = _judged((one, one, one, nothing, jnp.int32(9)), nothing, before, tolerance, 1.0, 60)
        assert bool(judged.finished) == enough
        assert bool(judged.goes_on) != enough


def test_pore_fractions_in_float64_are_solved_for_in_float64():
    """As NumPy makes them; JAX's setting stays as it is, and its warnings are errors here."""
    fractions = np.full((6, 9, 1), 0.02)
    fractions[:, 3:6] = 0.98
    options = {"where": np.ones((6, 9, 1), bool), "spacing": "2 um"}
    double = lx.solve.permeability(fractions, tolerance=1e-11, **options)
    assert double.converged
    assert double.residual < 1e-11
    single = lx.solve.permeability(fractions.astype(np.float32), **options)
    assert single.value == pytest.approx(double.value, rel=1e-4)
    mapped = lx.solve.permeability(fractions, permeability=lambda share: 0.01 * share**3)
    assert mapped.converged
    image = lx.from_array(fractions, voxel_length=2, voxel_unit="um")
    assert lx.solve.permeability(image, fields=True).pressure.dtype == np.float64
    assert jnp.asarray(fractions).dtype == jnp.float32
    large = np.broadcast_to(np.zeros(()), (400, 400, 400))
    half = np.broadcast_to(np.zeros((), np.float32), large.shape)
    needed = [lx.plan(lx.solve.permeability, voxels).memory for voxels in (half, large)]
    assert needed[1] > 1.9 * needed[0]


@pytest.mark.slow
def test_arrays_under_transformations(pores, along_x):
    def k(image):
        return lx.solve.permeability(image, axis="x", wall="half_voxel").value

    inside = jax.jit(k)(jnp.asarray(pores))
    assert float(inside) == pytest.approx(float(along_x.value), rel=5e-3)
    assert jax.jit(k)(jnp.zeros(SHAPE, bool)) == 0
    image = lx.from_array(pores)
    with pytest.raises(TypeError, match="sees no files"):
        jax.jit(lambda length: lx.solve.permeability(image, axis="x", spacing=length).value)(jnp.asarray(1.0))


def test_fields(pores, along_x):
    k = lx.solve.permeability(pores, axis="x", wall="half_voxel", tolerance=1e-4, fields=True)
    assert [v.shape for v in k.velocity] == [SHAPE] * 3
    assert float(np.mean(k.velocity[0])) == pytest.approx(float(along_x.value_voxel), rel=1e-3)
    assert np.all(np.asarray(k.velocity[0])[~pores] == 0)
    axes = lx.viz.flow_slice(k, across="y", position=1)
    speed = np.sqrt(sum(np.asarray(v)[:, 1] ** 2 for v in k.velocity)) / np.mean(k.velocity[0])
    assert axes.images[0].get_array().filled(0) == pytest.approx(np.asarray(speed.T), rel=1e-5)  # float32
    with pytest.raises(ValueError, match="position=99"):
        lx.viz.flow_slice(k, position=99)
    image = lx.from_array(np.ascontiguousarray(pores.transpose(1, 2, 0)), voxel_length=(2, 2, 2), voxel_unit="um")
    turned = lx.solve.permeability(image, axis="z", wall="half_voxel", tolerance=1e-4, fields=True)
    assert turned.velocity[2].field_unit == "um**2"
    # x became z, y became x, z became y.
    for mine, theirs in ((0, 2), (1, 0), (2, 1)):
        found = np.asarray(turned.velocity[theirs]).transpose(2, 0, 1) / 4
        assert found == pytest.approx(np.asarray(k.velocity[mine]), abs=1e-3)
    assert np.asarray(turned.pressure).transpose(2, 0, 1) / 2 == pytest.approx(np.asarray(k.pressure), abs=2e-2)


def test_fields_have_the_voxel_length_that_was_solved_for(pores):
    """Whether the image has it or the call."""
    image = lx.from_array(pores, voxel_length=3, voxel_unit="mm")
    given = lx.solve.permeability(lx.from_array(pores), axis="x", fields=True, spacing="3 mm")
    own = lx.solve.permeability(image, axis="x", fields=True)
    for mine, theirs in zip((*own.velocity, own.pressure), (*given.velocity, given.pressure), strict=True):
        assert (theirs.voxel_length, theirs.voxel_unit, theirs.field_unit) == ((3, 3, 3), "mm", mine.field_unit)
        np.testing.assert_array_equal(np.asarray(theirs), np.asarray(mine))


def test_how_wide_the_widest_way_through_is(pores):
    channel = np.zeros(SHAPE, bool)
    channel[:, 2:13, 2:13] = True  # 11 voxels: a ball of as many
    wide = lx.solve.permeability(channel, axis="x", tolerance=1e-2)
    assert wide.breakthrough_diameter == 11
    assert not any("coarsened image" in note for note in wide.notes)
    narrow = lx.solve.permeability(pores, axis="x")
    drained = lx.drainage(pores, entry="x-").breakthrough_diameter[0]
    assert narrow.breakthrough_diameter == pytest.approx(drained, rel=1e-6)  # of float32
    assert any("coarsened image" in note for note in narrow.notes)


@pytest.mark.parametrize("sides", ["periodic", "symmetric"])
def test_throats_of_a_periodic_image_go_on_around_it(sides):
    """Wherever the image is cut: a channel that the faces of the image divide is as wide as one in its middle."""
    channel = np.zeros(SHAPE, bool)
    channel[:, 3:8, 5:8] = True
    channel[6, 3:8, 5] = False
    options = {"axis": "x", "ends": "periodic", "sides": sides, "tolerance": 1e-3}
    middle = lx.solve.permeability(channel, **options)
    assert middle.breakthrough_diameter == 1  # the ball in the middle of two voxels would lie between them
    by = (11, 10, 9) if sides == "periodic" else (11, 0, 0)
    divided = lx.solve.permeability(np.roll(channel, by, (0, 1, 2)), **options)
    assert divided.breakthrough_diameter == middle.breakthrough_diameter
    assert float(divided.narrow_share) == pytest.approx(float(middle.narrow_share), rel=1e-2)
    for name in ("breakthrough_diameter", "narrow_share"):
        rolled = lx.solve.permeability(np.roll(rock(seed=1), by, (0, 1, 2)), **options)
        assert getattr(rolled, name) == pytest.approx(
            getattr(lx.solve.permeability(rock(seed=1), **options), name), rel=1e-2
        )


def test_an_area_does_not_change_the_trend_of_the_resolution():
    """What is no whole coarse voxel is left out, of the section as well."""
    image = np.zeros((4, 9, 9), bool)
    image[:, 2:6, 2:6] = True
    options = {"axis": "x", "budget": ("resolution",), "spacing": "1 um"}
    plain, given = (
        lx.solve.permeability(image, **options, **more).error_budget.resolution[2] for more in ({}, {"area": 40.0})
    )
    assert given == pytest.approx(plain, rel=1e-5)


@pytest.mark.slow
def test_the_error_budget(pores):
    image = np.zeros((4, 12, 12), bool)
    image[:, 2:8, 2:8] = True
    k = lx.solve.permeability(image, axis="x", budget=("grid", "resolution"), tolerance=1e-4)
    # The half-voxel rule from 6 to 12 voxels a duct: 1.0265 / 1.1028 of the exact one.
    assert k.error_budget.grid == pytest.approx(1.0265 / 1.1028 - 1, abs=2e-3)
    # By the accurate rule the same duct of 3 voxels has 1.1045 of it, against 1.0307.
    assert k.error_budget.resolution[2] == pytest.approx(1.1045 / 1.0307 - 1, abs=1e-3)
    assert k.error_budget.segmentation is None
    assert "segmentation (threshold): not estimated" in str(k)
    assert json.loads(json.dumps(k.numbers()))["error_budget"]["grid"] == k.error_budget.grid
    with pytest.raises(ValueError, match="budget='all'"):
        lx.solve.permeability(pores, budget="all")


def test_the_budget_of_what_does_not_flow_is_not_estimated():
    shut = np.zeros((8, 8, 8), bool)
    shut[:, :2, :2] = True
    shut[3, :2, :2] = [[False, True], [True, False]]  # the tube is pinched off, but not once it is coarse
    shut[4, :2, :2] = [[True, False], [False, True]]
    k = lx.solve.permeability(shut, budget=("grid", "resolution"))
    assert k.value == 0
    assert "grid (same shapes on split voxels): not estimated" in str(k)
    assert "2×: not estimated" in str(k)


def test_reservoirs_of_split_and_of_coarse_voxels_are_as_long():
    image = np.zeros((6, 6, 6), bool)
    image[:, 2:6, 2:4] = True
    options = {"reservoir": 4, "wall": "half_voxel", "tolerance": 1e-4}
    k = lx.solve.permeability(image, budget=("grid", "resolution"), **options)
    split = image.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    coarse = image.reshape(3, 2, 3, 2, 3, 2).sum((1, 3, 5)) >= 4
    finer = lx.solve.permeability(split, spacing=0.5, **options | {"reservoir": 8})
    coarser = lx.solve.permeability(coarse, spacing=2.0, **options | {"reservoir": 2})
    assert k.error_budget.grid == pytest.approx(finer.value / k.value - 1, abs=1e-4)
    assert k.error_budget.resolution[2] == pytest.approx(coarser.value / k.value - 1, abs=1e-4)


def test_the_threshold_of_a_sample_whose_section_varies():
    """By the area it was solved with; what it divides the flux by has no part in the derivative."""
    y = np.abs(np.arange(12) - 5.5)
    grey = np.broadcast_to((10 * y)[None, :, None], (4, 12, 1)).astype(np.float32)
    sample = np.ones(grey.shape, bool)
    sample[1, 0] = False
    k = lx.solve.permeability(grey <= 30, where=sample, area=12.0, segmentation=(grey, 30.0, 5.0))
    whole = lx.solve.permeability(grey <= 30, segmentation=(grey, 30.0, 5.0))
    assert k.error_budget.segmentation == pytest.approx(whole.error_budget.segmentation, rel=0.02)


@pytest.mark.slow
def test_the_threshold_in_the_budget():
    """A slit whose walls are ramps of grey: moving the threshold moves the walls."""
    y = np.abs(np.arange(20) - 9.5)
    grey = np.broadcast_to((10 * y)[None, :, None], (4, 20, 1)).astype(np.float32)
    slope = lx.solve.threshold_sensitivity(grey, 50.0, width=10.0, axis="x", tolerance=1e-3)
    up, down = (
        float(np.log(lx.solve.permeability(1 / (1 + np.exp((grey - t) / 10)), axis="x", tolerance=1e-4).value))
        for t in (np.float32(51), np.float32(49))
    )
    assert slope == pytest.approx((up - down) / 2, rel=0.02)
    k = lx.solve.permeability(grey <= 50, axis="x", segmentation=(grey, 50.0, 10.0))
    assert k.error_budget.segmentation == pytest.approx(10 * slope, rel=0.05)


def test_the_command_line(tmp_path):
    slit = np.zeros((4, 20, 1), np.uint8)
    slit[:, 2:10] = 1
    lx.from_array(slit, store=tmp_path / "slit.zarr", voxel_length=(2, 2, 2), voxel_unit="um")
    command = ["solve", "permeability", str(tmp_path / "slit.zarr"), "--pore", "1", "--axis", "x", "--quiet"]
    ran = CliRunner().invoke(main, [*command, "--json", str(tmp_path / "new/k.json")])
    assert ran.exit_code == 0, ran.output
    assert "wall rule accurate" in ran.output
    assert "see how it changes on a coarsened image (--budget)" in ran.output
    found = json.loads((tmp_path / "new/k.json").read_text(encoding="utf-8"))
    assert found["value"] == pytest.approx(8**2 / 12 * 8 / 20 * 4e-12, rel=1e-3)
    units = found["units"]
    in_metres = {"m²": 1, "voxel²": 4e-12, "mD": 9.869233e-16}
    for name in ("value", "value_voxel", "value_stationary", "value_from_flux", "millidarcy"):
        assert found[name] * in_metres[units[name]] == pytest.approx(found["value"], rel=1e-3), name
    numbers = {name for name, value in found.items() if isinstance(value, float | dict)} - {"units"}
    assert numbers <= set(units)
    assert CliRunner().invoke(main, command[:3]).exit_code == 1  # which value is pore?
    matrix = CliRunner().invoke(main, [*command, "--permeability", "0=5mD"])
    assert "half_voxel" in matrix.output
    in_area = CliRunner().invoke(main, [*command, "--permeability", "0=4.9346165e-3um2"])  # 1 mD = 9.869233e-16 m²
    assert in_area.output == matrix.output
    split = CliRunner().invoke(main, [*command, "--permeability", "0=5mD", "--budget"])
    assert (
        "grid (same shapes on split voxels): +" in split.output
        or "grid (same shapes on split voxels): -" in split.output
    )
    assert "resolution (image coarsened): not estimated" in split.output
    absent = CliRunner().invoke(main, [*command, "--permeability", "7=5mD"])
    assert "--permeability names phase 7, which the image does not hold: it holds 0, 1" in absent.output
