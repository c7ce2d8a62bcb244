"""Labels: arrays against scipy, images against arrays in every bit, tables, periodic images, processes."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

import lithax as lx
from lithax.testing import on_threads

from .cases import EVERY_GRID, GRIDS, SHAPE, SINGLE, images

STRUCTURE = {k: ndimage.generate_binary_structure(3, r) for k, r in {6: 1, 18: 2, 26: 3, 1: 1, 2: 2, 3: 3}.items()}


def canonical(labels):
    """Number components by their first voxel in C order."""
    values, first = np.unique(labels, return_index=True)
    order = values[np.argsort(first)]
    order = order[order != 0]
    number = np.zeros(int(labels.max()) + 1, np.int64)
    number[order] = np.arange(1, len(order) + 1)
    return number[labels]


def stacked(pore, connectivity, axes):
    """Labels of an image that goes on with itself: three of it side by side, joined until nothing changes."""
    labels, count = ndimage.label(pore, STRUCTURE[connectivity])
    parent = np.arange(count + 1)
    padded = np.pad(labels, [(1, 1) if a in axes else (0, 0) for a in range(3)], "wrap")
    structure = STRUCTURE[connectivity]
    changed = True
    while changed:
        changed = False
        for step in itertools.product((-1, 0, 1), repeat=3):
            if not structure[tuple(s + 1 for s in step)]:
                continue
            a = padded[tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, padded.shape, strict=True))]
            b = padded[tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, padded.shape, strict=True))]
            for p, q in np.unique(np.stack([a, b], -1)[(a > 0) & (b > 0)], axis=0):
                low, high = sorted((parent[p], parent[q]))
                if low != high:
                    parent[parent == high] = low
                    changed = True
    return canonical(parent[labels])


@pytest.mark.parametrize("connectivity", [6, 18, 26, 1, 2, 3])
def test_arrays_are_as_in_scipy(connectivity):
    for name, pore in images():
        labels, table = lx.label(pore, connectivity=connectivity, table=True)
        expected, count = ndimage.label(pore, STRUCTURE[connectivity])
        np.testing.assert_array_equal(labels, canonical(expected), err_msg=name)
        assert len(table) == count
        assert labels.dtype == np.min_scalar_type(count)
        check_table(table, labels, pore)


def check_table(table, labels, values):
    for k in range(1, len(table) + 1):
        at = np.argwhere(labels == k)
        assert table.sizes[k - 1] == len(at)
        assert table.first[k - 1] == np.flatnonzero(labels == k)[0]
        assert table.phase[k - 1] == values[tuple(at[0])]
        np.testing.assert_array_equal(table.lower[k - 1], at.min(0))
        np.testing.assert_array_equal(table.upper[k - 1], at.max(0) + 1)
        ends = np.concatenate([at.min(0) == 0, at.max(0) == np.array(labels.shape) - 1])
        np.testing.assert_array_equal(table.touches[k - 1], ends)


def same_tables(a, b):
    for name in ("sizes", "first", "phase", "lower", "upper", "touches"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("periodic", [(), (1,), ("x", "z"), (0, 1, 2)], ids=str)
def test_images_give_what_arrays_give(connectivity, periodic):
    axes = [a if isinstance(a, int) else "xyz".index(a) for a in periodic]
    for k, (name, pore) in enumerate(images()[:: 3 if periodic else 2]):
        grid = GRIDS[(k + connectivity + len(periodic)) % len(GRIDS)]
        expected, table = lx.label(pore, connectivity=connectivity, periodic=periodic, table=True)
        np.testing.assert_array_equal(expected, stacked(pore, connectivity, axes), err_msg=name)
        image = lx.from_array(pore, **grid)
        found, own = lx.label(image, connectivity=connectivity, periodic=periodic, table=True, progress=False)
        np.testing.assert_array_equal(found[...], expected, err_msg=f"{name} {grid}")
        assert found.dtype == expected.dtype
        same_tables(own, table)


@pytest.mark.parametrize("grid", [SINGLE, *EVERY_GRID], ids=str)
def test_phases_at_once_and_voxels_left_out(grid):
    rng = np.random.default_rng(5)
    phases, where = rng.integers(0, 4, SHAPE).astype("u1"), rng.random(SHAPE) < 0.7
    where[:2] = False
    image = lx.from_array(phases, **grid)
    for options in ({}, {"where": where}, {"phases": (1, 3), "where": where}):
        expected, table = lx.label(phases, connectivity=26, table=True, **options)
        found, own = lx.label(image, connectivity=26, table=True, progress=False, **options)
        np.testing.assert_array_equal(found[...], expected)
        same_tables(own, table)
    labels, table = lx.label(phases, table=True)
    check_table(table, labels, phases)
    assert len(table) == sum(ndimage.label(phases == p)[1] for p in (1, 2, 3))
    merged = lx.label(phases, phases=(1, 3), where=where)
    np.testing.assert_array_equal(merged, canonical(ndimage.label(np.isin(phases, (1, 3)) & where)[0]))


@pytest.mark.parametrize("count", [2, 3])
def test_processes_give_the_same(count, tmp_path):
    rng = np.random.default_rng(count)
    for k, grid in enumerate(GRIDS[1:]):
        pore = rng.random(SHAPE) < 0.35
        source = lx.from_array(pore, store=tmp_path / f"p{k}.zarr", **grid)
        expected, table = lx.label(pore, connectivity=26, periodic=(2,), table=True)

        def program(world, source=source, k=k):
            image = lx.open(source.stored.directory, mode="r", world=world)
            out = tmp_path / f"l{k}.zarr"
            return lx.label(image, connectivity=26, periodic=(2,), table=True, store=out, progress=False, world=world)[
                1
            ]

        for own in on_threads(count, program):
            same_tables(own, table)
        np.testing.assert_array_equal(lx.open(tmp_path / f"l{k}.zarr")[...], expected)


def test_a_table_as_a_frame():
    pandas = pytest.importorskip("pandas")
    _, table = lx.label(np.random.default_rng(0).random(SHAPE) < 0.3, table=True)
    frame = table.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.index.tolist() == list(range(1, len(table) + 1))
    assert frame["size"].sum() == table.sizes.sum()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"connectivity": 7}, "connectivity=7 must be"),
        ({"periodic": (3,)}, "periodic=3 must be 0, 1, 2"),
        ({"phases": ()}, "phases=\\(\\) must be"),
        ({"resume": True}, "resume= is for images"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        lx.label(np.ones((3, 3, 3), bool), **options)


def test_the_plan():
    plan = lx.plan(lx.label, lx.zeros((64, 64, 64), bool, chunks=16), connectivity=26)
    assert "2 passes" in plan.function
    assert plan.bytes_read == 2 * 64**3
