"""Connected, percolating and isolated parts of a phase, on images."""

import numpy as np
import pytest

from lithax.geometry import Cylinder
from lithax.images import connectivity, domain, from_array


@pytest.fixture(scope="module")
def phases():
    """A channel along x (value 1), a cavity (1), a dead end from a face (2), in matrix (0)."""
    values = np.zeros((12, 10, 8), np.uint8)
    values[:, 2, 2] = 1
    values[5:7, 5:7, 5:7] = 1
    values[4, 9, 4:6] = 2
    return values


def test_every_part_has_its_name(phases):
    found = connectivity(from_array(phases, chunks=4))
    assert found.selected == phases.size
    assert (found.components, found.total) == (3, 12 + 8 + 2)
    assert (found.connected, found.isolated) == (12 + 2, 8)
    assert found.percolating == (12, 0, 0)
    assert found.largest == 12
    assert found.fraction("isolated") == 8 / phases.size
    assert found.fraction("percolating") == (12 / phases.size, 0, 0)


def test_phases_are_named_by_value(phases):
    image = from_array(phases, chunks=(5, 4, 3))
    assert connectivity(image, phases=2).total == 2
    assert connectivity(image, phases=(1, 2)).total == 22
    assert connectivity(image, phases=0).total == phases.size - 22


def test_a_region_restricts_the_phase_and_is_the_denominator(phases):
    image = from_array(phases, chunks=4)
    core = Cylinder((0, 2, 2), (1, 0, 0), 1.1)
    found = connectivity(image, where=core)
    assert found.selected == 5 * 12  # the axis and its four neighbours
    assert (found.total, found.percolating[0]) == (12, 12)


def test_arrays_are_images_too(phases):
    assert connectivity(phases != 0) == connectivity(from_array(phases, chunks=3))


def test_grey_levels_are_refused():
    with pytest.raises(TypeError, match="dtype float32"):
        connectivity(np.zeros((2, 2, 2), np.float32))


def test_an_empty_selection_is_refused(phases):
    with pytest.raises(ValueError, match="selects no voxel"):
        connectivity(from_array(phases), where=domain(include=np.zeros(phases.shape, bool)))
