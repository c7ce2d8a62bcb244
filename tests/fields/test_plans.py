"""`lx.plan` knows every algorithm on whole images, and says what a run then reads and writes."""

import numpy as np
import pytest

import lithax as lx
from lithax import fields

GRID = {"chunks": 8}
EXAMPLES = {
    "clear_border": lambda pore: ((pore,), {}),
    "cumulative_sum": lambda pore: ((pore,), {"axis": "y"}),
    "distance": lambda pore: ((pore,), {"nearest": True}),
    "distance_lines": lambda pore: ((pore,), {"axis": "x"}),
    "drainage": lambda pore: ((pore,), {"preset": "porous_plate"}),
    "fill_holes": lambda pore: ((pore,), {}),
    "first_and_last": lambda pore: ((pore,), {"axis": "z"}),
    "fourier_lines": lambda pore: ((pore,), {"axis": "z"}),
    "geodesic_distance": lambda pore: ((pore, "x-"), {}),
    "grain_sizes": lambda pore: ((pore,), {}),
    "h_maxima": lambda pore: ((lx.zeros(pore.shape, "f4", **GRID), 1.0), {}),
    "h_minima": lambda pore: ((lx.zeros(pore.shape, "f4", **GRID), 1.0), {}),
    "hysteresis": lambda pore: ((lx.zeros(pore.shape, "f4", **GRID), 1.0, 2.0), {}),
    "keep_largest": lambda pore: ((pore,), {}),
    "keep_percolating": lambda pore: ((pore,), {"axis": "z"}),
    "label": lambda pore: ((pore,), {"connectivity": 26, "table": True}),
    "label_table": lambda pore: ((pore,), {}),
    "local_thickness": lambda pore: ((pore,), {"bins": [1.0, 3.0]}),
    "map_lines": lambda pore: ((np.sort, pore), {"axis": 0}),
    "pore_sizes": lambda pore: ((pore,), {"bins": [1.0, 3.0]}),
    "reconstruct": lambda pore: ((pore, pore), {}),
    "regional_maxima": lambda pore: ((lx.zeros(pore.shape, "f4", **GRID),), {}),
    "regional_minima": lambda pore: ((lx.zeros(pore.shape, "f4", **GRID),), {}),
    "remove_small": lambda pore: ((pore, 3), {}),
    "total_variation": lambda pore: ((lx.zeros(pore.shape, "f4", **GRID),), {"iterations": 3}),
    "watershed": lambda pore: ((lx.zeros(pore.shape, "f4", **GRID),), {"where": pore}),
}


def test_every_function_has_an_example():
    functions = {n for n in dir(fields) if not n.startswith("_") and type(getattr(fields, n)) is type(lx.label)}
    assert functions == set(EXAMPLES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_plan_takes_the_arguments_of_the_call(name):
    pore = lx.zeros((20, 16, 16), bool, **GRID)
    arguments, options = EXAMPLES[name](pore)
    plan = lx.plan(getattr(fields, name), *arguments, **options)
    assert plan.function.startswith(f"{name} in ")
    assert plan.image_shape == pore.shape
    assert plan.bytes_read >= pore.nbytes
    # What is written: scratch and results; nothing by those that return tables.
    tables = ("first_and_last", "grain_sizes", "label_table")
    assert (plan.bytes_written == 0) == (name in tables)
    assert plan.memory > 0
    with pytest.raises((TypeError, ValueError)):
        lx.plan(getattr(fields, name), *arguments, **options, worker=2)


def test_pore_sizes_plans_the_count_after_the_map(tmp_path):
    pore = lx.zeros((32, 32, 32), bool, chunks=16)
    thickness = lx.plan(lx.local_thickness, pore, store=tmp_path / "a")
    sizes = lx.plan(lx.pore_sizes, pore, store=tmp_path / "a")
    assert sizes.bytes_read == thickness.bytes_read + 4 * 32**3
    assert sizes.bytes_written == thickness.bytes_written
    with pytest.raises(ValueError, match="outside="):
        lx.plan(lx.pore_sizes, pore, outside="nothing")


def test_what_is_not_stored_keeps_no_components(tmp_path):
    """An image beyond 2³¹ voxels with few objects has a plan that fits; a dense one is planned in full."""
    image = lx.zeros((4096, 4096, 4096), bool, chunks=128, store=tmp_path / "sparse")
    image[120:130, 120:130, 120:130] = True
    sparse = lx.plan(lx.label, image, connectivity=26, store=tmp_path / "labels")
    assert sparse.memory < 2**30
    for store in (None, tmp_path / "dense"):
        dense, empty = (
            lx.zeros((512, 512, 512), bool, chunks=64, store=None if store is None else tmp_path / name)
            for name in ("dense", "empty")
        )
        dense[...] = True
        plans = [lx.plan(fields.label_table, i).memory for i in (dense, empty)]
        assert plans[0] > plans[1]


def test_more_components_than_the_plan_counts_end_the_run_within_its_limit(tmp_path):
    noise = lx.from_array(np.indices((20, 16, 16)).sum(0) % 2 == 0, **GRID)  # every second voxel alone
    plan = lx.plan(lx.label, noise, store=tmp_path / "labels.zarr")
    with pytest.raises(lx.errors.MemoryLimitError, match=r"so many parts by block .* more than a rock"):
        lx.label(noise, store=tmp_path / "labels.zarr", memory_limit=plan.memory)
    slabs = lx.from_array(np.indices((20, 16, 16))[0] % 4 < 2, **GRID)
    labels = lx.label(slabs, store=tmp_path / "slabs.zarr", memory_limit=plan.memory + 2**14)
    assert int(np.asarray(labels).max()) == 5
    # More memory, and the unfinished labels are complete.
    labels = lx.label(noise, store=tmp_path / "labels.zarr", resume=True)
    assert int(np.asarray(labels).max()) == 20 * 16 * 16 // 2


def test_more_basins_than_the_plan_counts_end_the_run_within_its_limit(tmp_path):
    relief = lx.from_array(np.indices((20, 16, 16)).sum(0) % 2, **GRID)  # every second voxel a basin
    plan = lx.plan(lx.watershed, relief, store=tmp_path / "labels.zarr")
    with pytest.raises(lx.errors.MemoryLimitError, match=r"'find basins' has found so many parts by block"):
        lx.watershed(relief, store=tmp_path / "labels.zarr", memory_limit=plan.memory)
