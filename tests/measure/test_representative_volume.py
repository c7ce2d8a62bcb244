"""Cells, sub-cubes, and when a cube is representative."""

import dataclasses

import numpy as np
import pytest

from lithax.images import chunk_reduce, from_array
from lithax.measure import Cells, CellSums, RepresentativeVolume, representative_volume
from lithax.regions import Sphere


def cells_of(values, edge):
    """Cells by a loop."""
    counts = [-(-n // edge) for n in values.shape]
    total = np.zeros(counts)
    for index in np.ndindex(*counts):
        total[index] = values[tuple(slice(edge * i, edge * (i + 1)) for i in index)].sum()
    return total


@pytest.mark.parametrize("chunks", [16, 5, (4, 13, 7)])
@pytest.mark.parametrize("edge", [1, 3, 20])
def test_cells_are_those_of_the_whole_image(rng, chunks, edge):
    values = rng.random((13, 11, 9)) < 0.3
    found = chunk_reduce(CellSums(edge), from_array(values, chunks=chunks))
    np.testing.assert_array_equal(found.total, cells_of(values, edge))
    np.testing.assert_array_equal(found.count, cells_of(np.ones_like(values), edge))


def test_only_voxels_of_the_region_count(rng):
    values = rng.normal(size=(13, 11, 9))
    region = Sphere((6, 5, 4), 4)
    grid = np.meshgrid(*(np.arange(n, dtype=float) for n in values.shape), indexing="ij")
    inside = np.asarray(region.contains(*grid))
    found = chunk_reduce(CellSums(3), from_array(values, chunks=5), where=region)
    np.testing.assert_array_equal(found.count, cells_of(inside, 3))
    np.testing.assert_allclose(
        found.total, cells_of(np.where(inside, values, 0), 3), rtol=0, atol=1e-13
    )  # float64 sums
    assert np.isnan(found.mean[0, 0, 0])


def test_the_edge_of_a_cell_divides_the_shortest_axis():
    assert [CellSums.dividing(shape).edge for shape in ((256, 300, 400), (20, 30, 40))] == [8, 1]


def independent(n, edge, porosity=0.3, seed=0):
    """Cells of an image whose voxels are independent of each other."""
    total = np.random.default_rng(seed).binomial(edge**3, porosity, (n, n, n)).astype(float)
    return Cells(edge, np.full((n, n, n), edge**3), total)


def test_independent_voxels_spread_with_the_square_root_of_the_volume():
    found = RepresentativeVolume.of(independent(48, 2))
    first = found.sizes[0]
    expected = np.sqrt(0.7 / 0.3 / first.edge**3)
    assert first.relative == pytest.approx(expected, rel=0.01)  # of 10^5 cubes
    assert found.amplitude == pytest.approx(np.sqrt(0.7 / 0.3), rel=0.15)  # the larger sizes are few
    assert [s.number for s in found.sizes if s.edge in (2, 96)] == [48**3, 1]


def test_the_smallest_edge_that_keeps_to_the_limit_is_representative():
    found = RepresentativeVolume.of(independent(48, 2), limit=0.05)
    kept = [s for s in found.sizes if s.relative < 0.05 and s.number >= 8]
    assert found.edge == kept[0].edge
    # sqrt(7/3) edge^(-3/2) = 0.05 at 9.8 voxels
    assert found.edge == 10


def test_too_small_a_sample_is_not_representative():
    """With one half pore and the other not, no number of sub-cubes helps."""
    total = np.zeros((8, 8, 8))
    total[:4] = 27
    found = RepresentativeVolume.of(Cells(3, np.full((8, 8, 8), 27), total))
    assert found.edge is None
    assert found.largest == 12


def test_only_whole_sub_cubes_of_the_region_count():
    cells = independent(12, 2)
    count = cells.count.copy()
    count[0] -= 1
    found = RepresentativeVolume.of(dataclasses.replace(cells, count=count))
    assert {s.edge: s.number for s in found.sizes}[2] == 11 * 12 * 12
    assert 24 not in {s.edge for s in found.sizes}


def test_without_pores_nothing_is_representative():
    found = RepresentativeVolume.of(Cells(2, np.full((6, 6, 6), 8), np.zeros((6, 6, 6))))
    assert found.edge is None
    assert np.isnan(found.amplitude)


def test_images_arrays_and_phases_give_the_same(rng):
    pores = rng.random((26, 24, 25)) < 0.3
    labels = np.where(pores, rng.integers(3, 5, pores.shape), 1).astype("u2")
    region = Sphere((12, 12, 12), 11)
    whole = representative_volume(pores, cells=12)
    assert whole == representative_volume(from_array(labels, chunks=7), (3, 4), cells=12)
    assert whole.sizes[0].number == 13 * 12 * 12
    first = pores[:26, :24, :24].reshape(13, 2, 12, 2, 12, 2).mean((1, 3, 5))
    assert whole.sizes[0].mean == pytest.approx(first.mean(), rel=1e-12)  # two orders of one sum
    assert whole.sizes[0].deviation == pytest.approx(first.std(ddof=1), rel=1e-12)
    part = representative_volume(from_array(pores, chunks=7), where=region, cells=12)
    corners = np.stack(np.meshgrid(*(np.arange(n) for n in pores.shape), indexing="ij"))
    inside = np.asarray(region.contains(*corners.astype(float)))[:26, :24, :24]
    assert part.sizes[0].number == inside.reshape(13, 2, 12, 2, 12, 2).all((1, 3, 5)).sum()


@pytest.mark.parametrize(
    ("image", "options", "error", "words"),
    [
        (np.zeros((4, 4, 4)), {}, TypeError, "image has dtype float64; a segmentation holds"),
        (np.zeros((4, 4, 4), "u1"), {}, ValueError, "pore_phase is missing"),
        (np.zeros((4, 4, 4), bool), {"limit": 0}, ValueError, "limit=0 must be a positive share"),
        (np.zeros((4, 4, 4), bool), {"cells": 0}, ValueError, "cells=0 must be a positive number"),
    ],
)
def test_what_is_wrong_is_said(image, options, error, words):
    with pytest.raises(error, match=words):
        representative_volume(image, **options)


def test_the_fitted_edge_does_not_jump_and_knows_its_uncertainty():
    """Independent voxels: the relative deviation is sqrt((1-p)/p) edge^(-3/2), so the edge at 5 % is known."""
    found = []
    for seed in range(8):
        pores = np.random.default_rng(seed).random((96, 96, 96)) < 0.2
        volume = representative_volume(pores, limit=0.05)
        found.append((volume.fitted_edge, volume.fitted_uncertainty))
    exact = (np.sqrt(0.8 / 0.2) / 0.05) ** (2 / 3)
    edges, uncertainties = np.array(found).T
    # Eight draws: their mean is known to a third of one's uncertainty; its claim to a factor of two.
    assert abs(edges.mean() - exact) < 3 * edges.std(ddof=1) / np.sqrt(8) + 0.02 * exact
    assert 0.3 < edges.std(ddof=1) / uncertainties.mean() < 2.5
    assert uncertainties.max() < 0.2 * exact
