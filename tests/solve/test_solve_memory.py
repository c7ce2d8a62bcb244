"""Memory of a solve: planned before it, refused before anything is read or labelled."""

import re

import numpy as np
import pytest

import lithax as lx
from lithax.errors import MemoryLimitError


def test_a_solve_that_does_not_fit_is_refused_before_it_labels(monkeypatch):
    monkeypatch.setattr("lithax.solve._conduction_solver.percolation", None)  # whoever calls it fails otherwise
    rock = np.ones((200, 200, 200), bool)
    plan = lx.plan(lx.solve.conductivity, rock, memory_limit="100 MiB")
    assert not plan.fits
    with pytest.raises(MemoryLimitError) as caught:
        lx.solve.conductivity(rock, memory_limit="100 MiB")
    needed, allowed = re.findall(r"([0-9.]+) GB", str(caught.value))
    assert float(needed) == pytest.approx(plan.memory / 1e9, abs=0.01)
    assert float(allowed) == pytest.approx(100 * 2**20 / 1e9, abs=0.01)
    with lx.runtime.using(memory_limit="100 MiB"), pytest.raises(MemoryLimitError, match=r"0\.105 GB"):
        lx.solve.conductivity(rock)


def test_a_solve_that_does_not_fit_onto_its_device_is_refused():
    rock = np.ones((100, 100, 100), bool)
    with lx.runtime.using([0], memory="80 MiB"):
        assert not lx.plan(lx.solve.conductivity, rock).fits
        with pytest.raises(MemoryLimitError, match=r"0\.0839 GB"):
            lx.solve.conductivity(rock)


def test_the_plan_counts_what_is_asked_for():
    rock = np.ones((100, 100, 100), np.uint8)
    least = lx.plan(lx.solve.conductivity, rock, pore=1).memory
    image = lx.plan(lx.solve.conductivity, lx.from_array(rock), pore=1)
    assert image.memory == least + 10**6
    assert image.bytes_read == 10**6
    for more in ({"fields": True}, {"gradient": True}, {"axis": "all", "ends": "periodic", "sides": "periodic"}):
        assert lx.plan(lx.solve.conductivity, rock, pore=1, **more).memory > least
    assert lx.plan(lx.solve.conductivity, np.ones((3, 100, 100, 100), "f8")).memory > least + 10**8  # twice as wide
    assert lx.plan(lx.solve.permeability, rock, pore=1).memory >= 100 * rock.size


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"axis": "w"}, "axis='w' must be one of"),
        ({"shape": 5}, "shape=5 must be three numbers"),
        ({"ends": "open"}, "ends='open' must be one of"),
        ({"sides": "mirror"}, "sides='mirror' must be one of"),
        ({"tolerance": 2}, "tolerance=2 must lie between 0 and 1"),
        ({"reservoir": -1}, "reservoir=-1 must be a whole number"),
        ({"max_iterations": 0}, "max_iterations=0 must be"),
        ({"area": -1.0}, "area=-1.0 must be a positive number"),
    ],
    ids=str,
)
@pytest.mark.parametrize("solve", [lx.solve.conductivity, lx.solve.permeability])
def test_a_plan_refuses_what_the_solve_refuses(solve, options, text):
    rock = np.ones((6, 6, 6), bool)
    for call in (solve, lambda *a, **k: lx.plan(solve, *a, **k)):
        with pytest.raises(ValueError, match=re.escape(text)):
            call(rock, **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"loading": "quadratic"}, "loading='quadratic' must be one of"),
        ({"loading": "linear", "ends": "periodic"}, "takes the place of ends='periodic'"),
        ({"ends": "periodic", "reservoir": 2}, "reservoir=2 needs ends='potential'"),
        ({"budget": ("time",)}, "budget=('time',) must name some of"),
        ({"axis": "all", "gradient": True}, "gradient= is that of one value"),
        ({"gradient": "slopes.zarr"}, "gradient= names a store, but image is an array"),
        ({"axis": "z"}, "one voxel thick along z"),
    ],
    ids=str,
)
def test_a_plan_of_conduction_refuses_what_the_solve_refuses(options, text):
    rock = np.ones((6, 6, 1), bool)
    for call in (lx.solve.conductivity, lambda *a, **k: lx.plan(lx.solve.conductivity, *a, **k)):
        with pytest.raises(ValueError, match=re.escape(text)):
            call(rock, **options)


def test_a_plan_knows_the_names_of_the_arguments():
    rock = np.ones((6, 6, 6), bool)
    with pytest.raises(TypeError, match="axes"):
        lx.plan(lx.solve.conductivity, rock, axes="x")
    with pytest.raises(TypeError, match="tol"):
        lx.plan(lx.solve.permeability, rock, tol=0.1)
    with pytest.raises(ValueError, match="axis='w' must be one of"):
        lx.plan(lx.solve.subvolumes, rock, edge=3, axis="w")


def test_sub_volumes_need_what_the_largest_cube_needs():
    rock = np.ones((120, 100, 100), bool)
    plan = lx.plan(lx.solve.subvolumes, lx.from_array(rock), edge=[50, 40], flow=True)
    cube = lx.plan(lx.solve.permeability, rock[:50, :50, :50], axis="all")
    assert cube.memory < plan.memory < 2 * cube.memory
    assert (plan.blocks, plan.block_shape) == (8 + 12, (50, 50, 50))
    assert plan.bytes_read == 8 * 50**3 + 12 * 40**3
    with pytest.raises(ValueError, match="edge=200"):
        lx.plan(lx.solve.subvolumes, rock, edge=200)


def test_directions_of_a_flow_keep_only_what_is_wanted_again():
    rock = np.ones((100, 100, 100), bool)
    one, three, fields, tensor = (
        lx.plan(lx.solve.permeability, rock, **options).memory
        for options in (
            {},
            {"axis": "all"},
            {"axis": "all", "fields": True},
            {"axis": "all", "ends": "periodic", "sides": "periodic"},
        )
    )
    assert one == three < tensor == fields < 2 * one


def test_arrays_of_another_library_have_the_same_plans():
    torch = pytest.importorskip("torch")
    here = np.zeros((8, 8, 8), np.uint8)
    there = torch.tensor(here)
    for solve, options in ((lx.solve.subvolumes, {"edge": 4}), (lx.solve.upscaled_permeability, {"edge": 4})):
        limit = {"memory_limit": "1 GiB"}
        assert lx.plan(solve, there, **options, **limit) == lx.plan(solve, here, **options, **limit)


def test_layers_of_a_reservoir_are_counted():
    image = np.broadcast_to(False, (100, 200, 200))
    for solve in (lx.solve.conductivity, lx.solve.permeability):
        alone = lx.plan(solve, image, axis="y").memory
        longer = lx.plan(solve, np.broadcast_to(False, (100, 220, 200)), axis="y").memory
        assert alone < lx.plan(solve, image, axis="y", reservoir=10).memory == longer
