"""The map of walls against solves of images with moved walls, by the same rule."""

import numpy as np
import pytest

import lithax as lx

TIGHT = {"tolerance": 1e-5, "gradient_tolerance": 1e-4}


@pytest.fixture(scope="module")
def pores():
    x = np.stack(np.meshgrid(*[np.arange(16) + 0.5] * 3, indexing="ij"), -1)
    centres = np.random.default_rng(1).uniform(0, 16, (18, 3))
    return (np.linalg.norm(x[..., None, :] - centres, axis=-1) > 3.6).all(-1)


@pytest.fixture(scope="module")
def walls(pores):
    return lx.solve.boundary_map(pores, **TIGHT)


def moved(pores, voxels):
    changed = pores.copy()
    changed[tuple(np.transpose(voxels))] ^= True
    return changed


CASES = [
    {},
    pytest.param({"wall": "half_voxel"}, marks=pytest.mark.slow),
    pytest.param({"wall": "half_voxel", "spacing": (1.0, 1.3, 0.8)}, marks=pytest.mark.slow),
    pytest.param({"wall": "accurate", "ends": "periodic", "sides": "periodic"}, marks=pytest.mark.slow),
    pytest.param({"wall": "accurate", "sides": "no_slip"}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("options", CASES)
def test_single_voxels_change_k_as_the_map_says(pores, options, walls):
    """To 8 percent: pressures beyond the neighbours of a voxel are left as they were. Voxels at the faces of the image,
    too."""
    if options:
        walls = lx.solve.boundary_map(pores, **options, **TIGHT)
    k = lx.solve.permeability(pores, **options, tolerance=1e-5)
    assert float(walls.permeability.value) == pytest.approx(float(k.value), rel=2e-5)
    for change in ("cementation", "dissolution"):
        values = getattr(walls, change)
        assert values.shape == pores.shape
        assert not values[pores if change == "dissolution" else ~pores].any()
        voxels = [*walls.strongest(change, 1)]
        first = np.abs(values[0])
        assert first.any()
        voxels.append(np.array([0, *np.unravel_index(first.argmax(), first.shape)]))
        predicted = np.array([values[tuple(v)] for v in voxels])
        again = [lx.solve.permeability(moved(pores, [v]), **options, tolerance=1e-5).value for v in voxels]
        found = np.array(again, float) - float(k.value)
        assert np.linalg.norm(predicted - found) < 0.08 * np.linalg.norm(found)


def test_the_map_of_a_turned_image_is_the_turned_map(pores, walls):
    """What stands at lower faces of voxels and of the image, and at upper ones."""
    turned = np.ascontiguousarray(np.transpose(np.flip(pores), (2, 0, 1)))  # x became y
    there = lx.solve.boundary_map(turned, axis="y", **TIGHT)
    for change in ("cementation", "dissolution"):
        one, other = getattr(walls, change), np.flip(np.transpose(getattr(there, change), (1, 2, 0)))
        assert one == pytest.approx(other, abs=2e-3 * float(np.abs(one).max()))


def test_voxels_that_stand_apart_add_up(pores, walls):
    k = float(lx.solve.permeability(pores, tolerance=1e-5).value)
    for change in ("cementation", "dissolution"):
        voxels = walls.strongest(change, 6, apart=4)
        distances = np.abs(voxels[:, None] - voxels[None]).max(-1) + 4 * np.eye(6, dtype=int)
        assert distances.min() >= 4
        values = getattr(walls, change)[tuple(voxels.T)]
        assert (np.diff(np.abs(values)) <= 0).all()
        found = float(lx.solve.permeability(moved(pores, voxels), tolerance=1e-5).value) - k
        assert values.sum() == pytest.approx(found, rel=0.15)  # they take a seventh of k: no small change


def test_an_image_gets_maps_of_its_own_kind(pores, walls):
    plain = walls
    rock = lx.from_array(pores.astype(np.uint8), voxel_length=2.0, voxel_unit="um")
    walls = lx.solve.boundary_map(rock, pore=1, unit="mD", **TIGHT)
    assert walls.dissolution.voxel_unit == "um"
    assert walls.unit == "mD"
    told = lx.solve.boundary_map(lx.from_array(pores), unit="mD", spacing="2 um", **TIGHT)
    assert (told.dissolution.voxel_length, told.dissolution.voxel_unit) == ((2, 2, 2), "um")
    darcy = 4e-12 / 9.869233e-16
    assert np.asarray(walls.dissolution) == pytest.approx(darcy * plain.dissolution, rel=1e-4, abs=1e-6)
    assert "cementation of one voxel changes k by up to -" in str(walls)
    assert lx.plan(lx.solve.boundary_map, rock).memory == lx.plan(lx.solve.permeability, rock).memory


@pytest.mark.slow
def test_a_region_of_an_image_has_a_map_inside(pores):
    rock = lx.from_array(pores.astype(np.uint8), voxel_length=2.0, voxel_unit="um")
    inside = lx.regions.Box((0, 0, 0), (30, 30, 16))
    part = lx.solve.boundary_map(rock, pore=1, where=inside)
    assert not np.asarray(part.dissolution)[:, :, 9:].any()


def test_what_has_no_map(pores, walls):
    def refused(image, error, text, **options):
        with pytest.raises(error, match=text):
            lx.solve.boundary_map(image, **options)

    refused(pores, ValueError, "one direction", axis="all")
    refused(pores.astype("f4"), ValueError, "soft walls")
    refused(pores[:, :4], ValueError, "axis y is periodic and has 4 voxels", ends="periodic", sides="periodic")
    closed = pores.copy()
    closed[8] = False
    refused(closed, ValueError, "nothing joins the ends along x")
    for options, text in (({"change": "growth"}, "cementation"), ({"count": 0}, "count=0"), ({"apart": 0}, "apart=0")):
        with pytest.raises(ValueError, match=text):
            walls.strongest(**({"change": "dissolution", "count": 1} | options))
