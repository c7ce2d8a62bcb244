"""Permeability against closed forms and published tables."""

import numpy as np
import pytest

import lithax as lx
from lithax.testing import (
    BrinkmanChannel,
    CylinderArray,
    EllipticTube,
    RectangularDuct,
    Slit,
    SlitBetweenLayers,
    SphereArray,
    TriangularTube,
    Tube,
)

EDGE = 20
"""One shape of section for all openings: compiling takes longer than solving."""


def opening(section, **options):
    """Return k of a straight opening over its share of the section [voxel²]."""
    image = np.repeat(section[None], 4, axis=0)
    result = lx.solve.permeability(image, axis="x", tolerance=1e-5, **options)
    assert result.converged
    return float(result.value_voxel) / section.mean()


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
def test_slits_are_exact_by_the_accurate_rule_and_as_derived_by_the_other(width):
    section = np.zeros((EDGE, 1), bool)
    section[2 : 2 + width] = True
    exact = Slit(width).permeability
    assert opening(section) == pytest.approx(exact, rel=2e-5)  # float32
    assert opening(section, wall="half_voxel") == pytest.approx(exact * (width**2 + 2) / width**2, rel=2e-5)


# k / exact of square ducts, as the discretisation has it: to its last digit.
DUCTS = {2: (1.7784, 1.1856), 3: (1.3788, 1.1045), 4: (1.2226, 1.0643), 6: (1.1028, 1.0307), 8: (1.0588, 1.0178)}


@pytest.mark.parametrize("width", [*DUCTS, pytest.param(16, marks=pytest.mark.slow)])
def test_square_ducts(width):
    section = np.zeros((EDGE, EDGE), bool)
    section[2 : 2 + width, 2 : 2 + width] = True
    exact = RectangularDuct(width, width).permeability
    assert exact == pytest.approx(0.0351443 * width**2, rel=1e-5)
    found = opening(section, wall="half_voxel") / exact, opening(section) / exact
    assert found == pytest.approx(DUCTS.get(width, (1.0150, 1.0046)), abs=1.1e-4)


SECTIONS = {  # opening, its area, and how far voxels of this size are from it, at the area they have
    "2:1 duct": (RectangularDuct(8, 16), 128.0, 0.02),
    "tube": (Tube(8), np.pi * 64, 0.03),
    "ellipse": (EllipticTube(8, 4), np.pi * 32, 0.03),
    "triangle": (TriangularTube(18), np.sqrt(3) / 4 * 18**2, 0.06),
}


def section_of(name):
    y, z = np.meshgrid(*[np.arange(EDGE) + 0.5 - EDGE / 2] * 2, indexing="ij")
    return {
        "2:1 duct": (np.abs(y) < 4) & (np.abs(z) < 8),
        "tube": y**2 + z**2 < 64,
        "ellipse": (y / 8) ** 2 + (z / 4) ** 2 < 1,
        "triangle": (y > -8) & (y + 8 < np.sqrt(3) * (9 - np.abs(z))),
    }[name]


@pytest.mark.parametrize("name", SECTIONS)
def test_other_sections(name):
    exact, area, near = SECTIONS[name]
    section = section_of(name)
    assert opening(section) == pytest.approx(exact.permeability * section.sum() / area, rel=near)


def test_spheres_of_zick_and_homsy():
    """Coarse cells: the slow test below has the published size."""
    array = SphereArray(0.343)
    assert array.permeability == pytest.approx(0.042070 * array.radius**2, rel=1e-4)
    image = array.image(16)
    found = lx.solve.permeability(image, axis="x", ends="periodic", sides="periodic", tolerance=1e-3)
    voxelised = SphereArray(1 - image.mean(), 16)
    assert found.converged
    assert found.value_voxel == pytest.approx(voxelised.permeability, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "ratio"), [(0.216, 0.987), (0.343, 0.992), (np.pi / 6, 0.987)])
def test_spheres_are_as_far_from_the_table_as_another_code_finds_them(share, ratio):
    """At 64 voxels a cell a staircase of voxels takes about one per cent; the ratio to Zick and Homsy is a prototype's."""
    found = lx.solve.permeability(
        SphereArray(share).image(64), axis="x", ends="periodic", sides="periodic", tolerance=1e-3
    )
    assert found.value_voxel / SphereArray(share, 64).permeability == pytest.approx(ratio, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.216, 0.343, 0.45])
def test_spheres_converge_to_the_table(share):
    errors = []
    for edge in (32, 64):
        image = SphereArray(share).image(edge)
        found = lx.solve.permeability(image, axis="x", ends="periodic", sides="periodic", tolerance=1e-3)
        errors.append(abs(float(found.value_voxel) / SphereArray(1 - image.mean(), edge).permeability - 1))
    # First order in the voxel, scattered by how the voxels of a sphere happen to lie: 1.4 to 2.0, then 0.9 to 1.1 %.
    assert errors[1] < 0.012
    assert errors[1] < 0.8 * errors[0]


def test_few_spheres_in_a_wide_pore_take_few_iterations():
    """Eight where divergences weigh as much as what is left of the push."""
    image = SphereArray(0.06).image(16)
    found = lx.solve.permeability(image, axis="x", ends="periodic", sides="periodic", tolerance=1e-4)
    assert found.converged
    assert found.iterations <= 6


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.343, np.pi / 6])
def test_a_pore_a_hundred_voxels_wide_is_no_harder(share):
    """Where divergences weigh as much as what is left of the push, the first ends as not converged, the other after 17."""
    image = SphereArray(share).image(128)
    found = lx.solve.permeability(image, axis="x", ends="periodic", sides="periodic", tolerance=1e-3)
    assert found.converged
    assert found.iterations <= 7
    assert found.value_from_dissipation == pytest.approx(found.value_stationary, rel=1e-3)
    voxelised = SphereArray(1 - image.mean(), 128)
    assert found.value_voxel == pytest.approx(voxelised.permeability, rel=0.01)  # one at 64 voxels, and first order


@pytest.mark.slow
def test_spheres_by_the_half_voxel_rule_as_other_codes_have_them():
    array = SphereArray(0.343, 64)
    found = lx.solve.permeability(array.image(64), axis="x", ends="periodic", sides="periodic", wall="half_voxel")
    assert found.value_voxel / array.permeability == pytest.approx(0.9635, abs=5e-4)


@pytest.mark.slow
def test_cylinders_of_sangani_and_acrivos():
    image = CylinderArray(0.3).image(64)
    found = lx.solve.permeability(image, axis="x", ends="periodic", sides="periodic", tolerance=1e-3)
    assert found.value_voxel == pytest.approx(CylinderArray(0.3, 64).permeability, rel=0.02)


def test_a_brinkman_channel():
    """Walls half a voxel off: second order, 2 / h² at h voxels and less in a medium."""
    image = np.full((4, EDGE, 1), 2, np.uint8)
    image[:, :2] = image[:, -2:] = 1
    for matrix in (100.0, 4.0):
        found = lx.solve.permeability(image, axis="x", permeability={2: matrix}, tolerance=1e-5)
        exact = BrinkmanChannel((EDGE - 4) / 2, matrix).permeability * (EDGE - 4) / EDGE
        assert found.wall == "half_voxel"
        assert found.value_voxel == pytest.approx(exact, rel=0.01)


def test_a_slit_between_brinkman_layers():
    exact = SlitBetweenLayers(1, 2, 0.01)
    assert exact.permeability == pytest.approx(0.057778, rel=1e-5)
    errors = []
    for voxels in (16, 32):  # across a slit
        image = np.ones((1, 3 * voxels, 1), np.uint8)
        image[:, :voxels] = 0
        found = lx.solve.permeability(
            image, axis="x", pore=0, permeability={1: 0.01}, spacing=1 / voxels, ends="periodic", sides="periodic",
            tolerance=1e-6, max_iterations=200,
        )  # fmt: skip
        errors.append(found.value / exact.permeability - 1)
    assert errors[1] == pytest.approx(
        4.44e-3, rel=0.01
    )  # solving the scheme's linear equations in float64 gives the same
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.03)  # second order
