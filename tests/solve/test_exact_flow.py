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


CENTRES = {  # of the spheres in a cell, and their drag at the share that 32 and 64 voxels a cell have of them, nominally 0.343
    "body-centred": ([(0, 0, 0), (1, 1, 1)], (16.31, 16.30)),
    "face-centred": ([(0, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1)], (16.52, 16.52)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CENTRES)
def test_centred_arrays_of_spheres(name):
    """Drags by periodic Stokeslets (Hasimoto 1959) inside the spheres, no slip by least squares at their surface: to 0.1 %.
    The same gives 7.442, 15.40 and 28.03 for the simple cubic arrays of Zick and Homsy's 7.442, 15.4 and 28.1.
    """
    centres, drags = CENTRES[name]
    radius = (3 * 0.343 / (4 * np.pi * len(centres))) ** (1 / 3)
    errors = []
    for edge, drag in zip((32, 64), drags, strict=True):
        x = np.stack(np.meshgrid(*[(np.arange(edge) + 0.5) / edge] * 3, indexing="ij"), -1)
        apart = np.stack([x - np.array(centre) / 2 for centre in centres])
        image = np.all(np.sum((apart - np.round(apart)) ** 2, -1) > radius**2, axis=0)
        found = lx.solve.permeability(image, axis="x", ends="periodic", sides="periodic", tolerance=1e-3)
        own = (3 * (1 - image.mean()) / (4 * np.pi * len(centres))) ** (1 / 3)
        exact = edge**2 / (6 * np.pi * own * len(centres) * drag)
        errors.append(1 - float(found.value_voxel) / exact)
    assert 0 < errors[1] < 0.75 * errors[0] < 0.027  # first order: spheres of 11 and 22, of 9 and 18 voxels


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


def scheme_between_layers(voxels, matrix):
    """Return k of a slit between layers twice as thick, by the scheme's equations across it in float64 [voxel²]."""
    y = matrix**-0.5
    nearer = 2 * y**3 / ((y + 2) * (y + np.sqrt(4 + y**2)) * (2 + np.sqrt(4 + y**2)))
    count = 3 * voxels
    one = np.eye(count)
    system = 2 * one - np.roll(one, 1, 0) - np.roll(one, -1, 0)
    system[range(voxels, count), range(voxels, count)] += 1 / matrix
    system[[0, voxels - 1], [0, voxels - 1]] += nearer
    return np.linalg.solve(system, np.ones(count)).mean()


def test_a_slit_between_brinkman_layers():
    """The stress where they meet is that of the closed form, whether voxels resolve √K or not."""
    exact = SlitBetweenLayers(1, 2, 0.01)
    assert exact.permeability == pytest.approx(0.057778, rel=1e-5)
    for voxels, error in ((8, 3e-3), (16, 6e-4), (32, 4e-4)):  # across a slit
        image = np.ones((1, 3 * voxels, 1), np.uint8)
        image[:, :voxels] = 0
        for spacing in (1 / voxels, (0.3, 1 / voxels, 2.0)):
            found = lx.solve.permeability(
                image, axis="x", pore=0, permeability={1: 0.01}, spacing=spacing, ends="periodic", sides="periodic",
                tolerance=1e-6, max_iterations=200,
            )  # fmt: skip
            assert found.value == pytest.approx(exact.permeability, rel=error)
            assert found.value == pytest.approx(scheme_between_layers(voxels, 0.01 * voxels**2) / voxels**2, rel=2e-5)


@pytest.mark.parametrize("matrix", [1e-6, 2.5e-4, 1e-2])
def test_a_slit_between_layers_that_no_voxel_resolves(matrix):
    """Their walls are where the phases meet, as those of solids, not at the centre of the first voxel of the layer."""
    image = np.full((4, 16, 1), 2, np.uint8)
    image[:, 5:11] = 0
    found = lx.solve.permeability(image, axis="x", pore=0, permeability={2: matrix}, tolerance=1e-5)
    exact = SlitBetweenLayers(6, 10, matrix).permeability
    assert found.value == pytest.approx(exact * (1 + 2 / 6**2), rel=0.02)  # the half-voxel rule's slit of six voxels


def test_a_tight_phase_is_a_solid():
    """In all directions, at edges and corners, beside held pressures and in periodic images."""
    rng = np.random.default_rng(3)
    pores = np.kron(rng.random((5, 4, 6)) < 0.7, np.ones((2, 3, 2), bool)).astype(np.uint8)
    for boundaries in ({}, {"ends": "periodic", "sides": "periodic"}):
        options = {"axis": "all", "pore": 1, "spacing": (1.5, 1.0, 0.8), "tolerance": 1e-4} | boundaries
        solid = lx.solve.permeability(pores, wall="half_voxel", **options)
        tight = lx.solve.permeability(pores, permeability={0: 1e-7}, **options)
        np.testing.assert_allclose(tight.value, solid.value, rtol=2e-3)
