"""The specific surface of shapes that have a known one."""

import numpy as np
import pytest

from lithax.images import from_array
from lithax.measure import specific_surface
from lithax.regions import Box


def faces(pore, inside=None):
    inside = np.ones_like(pore) if inside is None else inside
    total = 0
    for axis in range(3):
        here = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        after = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        total += np.count_nonzero((pore[here] != pore[after]) & inside[here] & inside[after])
    return total


@pytest.mark.parametrize("chunks", [32, 7])
def test_faces_are_counted_once_whatever_the_chunks(rng, chunks):
    pore = rng.random((17, 15, 12)) < 0.4
    assert specific_surface(from_array(pore, chunks=chunks)).faces == faces(pore)


def test_only_faces_inside_the_region_count(rng):
    pore = rng.random((17, 15, 12)) < 0.4
    inside = np.zeros_like(pore)
    inside[3:12, 2:13, 4:9] = True
    found = specific_surface(from_array(pore, chunks=6), Box((3, 2, 4), (11, 12, 8)))
    assert found.faces == faces(pore, inside)


@pytest.mark.parametrize("length", [(1.0, 1.0, 1.0), (0.5, 0.5, 0.5), (1.0, 0.8, 1.25)])
def test_a_sphere_has_its_surface(length):
    """Its surface has all directions alike, for which the three axes stand."""
    shape, radius = (64, 80, 51), 22.0
    grid = np.meshgrid(*((np.arange(n) - n / 2 + 0.3) * h for n, h in zip(shape, length, strict=True)), indexing="ij")
    radius *= min(length)
    pore = sum(x * x for x in grid) <= radius**2
    image = from_array(pore, voxel_length=length, chunks=64)
    volume = np.prod([(n - 1 / 3) * h for n, h in zip(shape, length, strict=True)])
    # Pairs of voxels, a few per cent fewer than voxels, are the denominator; lattice points in a ball: a per cent.
    assert specific_surface(image).value == pytest.approx(4 * np.pi * radius**2 / volume, rel=0.03)


def test_without_pores_there_is_no_surface():
    found = specific_surface(from_array(np.zeros((5, 5, 5), bool)))
    assert (found.value, found.faces) == (0.0, 0)


def test_the_text_names_the_unit():
    pore = np.zeros((4, 4, 4), bool)
    pore[1:3] = True
    image = from_array(pore, voxel_length=0.5, voxel_unit="um")
    assert str(specific_surface(image)) == "0.888889 1/um (32 voxel faces)"
    assert str(specific_surface(from_array(pore))) == "0.444444 1/voxel (32 voxel faces)"
    unnamed = from_array(pore, voxel_length=0.5)
    assert str(specific_surface(unnamed)) == "0.888889 1/length unit (32 voxel faces)"
