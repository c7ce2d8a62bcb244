"""Relative permeability and resistivity index against tubes whose numbers are known."""

import numpy as np
import pytest

import lithax as lx

WIDTHS = (4, 2)


@pytest.fixture(scope="module")
def tubes():
    """Slits of 4 and 2 voxels side by side: k in proportion to the cubes, conductance to widths."""
    pores = np.zeros((4, 12, 1), bool)
    wide = np.zeros_like(pores)
    wide[:, 1:5] = True
    pores[:, 1:5] = pores[:, 6:8] = True
    return pores, wide


def test_parallel_slits(tubes):
    pores, wide = tubes
    nothing = np.zeros_like(pores)
    found = lx.solve.two_fluids(pores, [nothing, wide, pores])
    cubes = np.array(WIDTHS) ** 3 / sum(w**3 for w in WIDTHS)
    assert found.converged
    assert found.permeability == pytest.approx(sum(w**3 for w in WIDTHS) / 12 / 12, rel=1e-4)  # float32
    assert found.formation_factor == pytest.approx(12 / sum(WIDTHS), rel=1e-4)
    assert found.saturation == pytest.approx([1, 1 / 3, 0])
    assert found.non_wetting == pytest.approx([0, cubes[0], 1], rel=1e-4)
    assert found.wetting == pytest.approx([1, cubes[1], 0], rel=1e-4)
    assert found.resistivity_index == pytest.approx([1, 3, np.inf], rel=1e-4)
    assert found.saturation_exponent[1] == pytest.approx(1, rel=1e-4)  # tubes side by side
    assert "no films" in str(found)


def test_voxels_of_an_image_are_as_long_as_it_says(tubes):
    pores, wide = tubes
    found = lx.solve.two_fluids(lx.from_array(pores, voxel_length=(1, 2, 1)), [wide])
    # Slits twice as wide, over the square of the mean voxel length.
    assert found.permeability == pytest.approx(sum(w**3 for w in WIDTHS) / 144 * 4 / 2 ** (2 / 3), rel=1e-4)


def test_states_of_a_drainage_reach_only_the_wide_slit(tubes):
    pores, wide = tubes
    drained = lx.drainage(pores, entry="x-")
    found = lx.solve.two_fluids(pores, [drained.state(3)])
    same = lx.solve.two_fluids(pores, [wide])
    assert found.non_wetting == pytest.approx(same.non_wetting)


def test_the_saturation_is_that_of_the_sample(tubes):
    """Half of the wide slit is drained, and the narrow one does not belong to the sample."""
    pores, _ = tubes
    sample, drained = np.zeros_like(pores), np.zeros_like(pores)
    sample[:, :6] = drained[:, 1:3] = True
    found = lx.solve.two_fluids(pores, [drained], flow={"where": sample}, current={"where": sample})
    assert found.saturation == pytest.approx([0.5])
    assert found.resistivity_index == pytest.approx([2], rel=1e-4)


def test_a_region_lies_where_the_image_says(tubes):
    pores, wide = tubes
    around = lx.regions.Box((-1, 99.5, -1), (4, 105.5, 1))  # the wide slit
    image = lx.from_array(pores, voxel_origin=(0, 100, 0))
    found = lx.solve.two_fluids(image, [wide], flow={"where": around}, current={"where": around})
    assert found.saturation == pytest.approx([0])
    assert found.non_wetting == pytest.approx([1])
    assert found.permeability == pytest.approx(4**3 / 12 / 6, rel=1e-4)  # six voxels of the box


def test_both_solves_are_of_one_sample(tubes):
    """A region and voxel lengths that one of them names: F of the sample, not of the whole array."""
    pores, wide = tubes
    sample = np.zeros_like(pores)
    sample[:, :6] = True
    both = {"where": sample, "spacing": (1, 2, 1)}
    found = lx.solve.two_fluids(pores, [wide], flow=both, current=both)
    assert found.formation_factor == pytest.approx(6 / 4, rel=1e-4)
    for options in ({"flow": both}, {"current": both}):
        again = lx.solve.two_fluids(pores, [wide], **options)
        assert again.formation_factor == pytest.approx(found.formation_factor, rel=1e-6)
        assert again.permeability == pytest.approx(found.permeability, rel=1e-6)


def test_bad_arguments_are_refused(tubes):
    pores, wide = tubes
    with pytest.raises(TypeError, match=r"states\[1\] is a NoneType"):
        lx.solve.two_fluids(pores, [wide, None])
    with pytest.raises(TypeError, match="flow='no_slip' must be a dict"):
        lx.solve.two_fluids(pores, [wide], flow="no_slip")
    with pytest.raises(ValueError, match="current= holds axis, pore: axis= is an argument of its own"):
        lx.solve.two_fluids(pores, [wide], current={"pore": 1, "axis": "y"})
    with pytest.raises(ValueError, match=r"states\[0\] has shape \(3, 12, 1\)"):
        lx.solve.two_fluids(pores, [wide[:3]])
    with pytest.raises(ValueError, match="pores holds uint8"):
        lx.solve.two_fluids(pores.astype("u1"), [wide])
    with pytest.raises(ValueError, match="axis='w'"):
        lx.solve.two_fluids(pores, [wide], axis="w")
    with pytest.raises(ValueError, match="do not join the ends"):
        lx.solve.two_fluids(pores & (np.arange(4) != 2)[:, None, None], [wide])
