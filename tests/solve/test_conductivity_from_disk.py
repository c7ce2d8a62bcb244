"""Conduction of images larger than memory: the same as in memory, within bounds, and nothing left
behind.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, label

import lithax as lx
from lithax.errors import MemoryLimitError
from lithax.solve._conduction_setup import Boundaries
from lithax.solve._part_percolation import JoinedPieces, joined_planes, label_piece
from lithax.solve._scratch import ScratchVolume
from lithax.solve._slab_sweep import Sweeper
from lithax.solve._streamed_memory import plan_streaming

SAME = 1e-6  # single precision, summed in another order
ROCK = (13, 12, 16)  # odd along x: its last plane is an aggregate of its own


def noise(rng, shape, porosity=0.5, length=1.0):
    field = gaussian_filter(rng.standard_normal(shape), length)
    return field > np.quantile(field, 1 - porosity)


def check_same(found, whole):
    np.testing.assert_allclose(np.asarray(found.value), np.asarray(whole.value), rtol=SAME)
    assert np.array_equal(found.iterations, whole.iterations)
    assert np.array_equal(found.converged, whole.converged)
    # Estimates are differences of what agrees to rounding.
    np.testing.assert_allclose(np.asarray(found.solver_error), np.asarray(whole.solver_error), rtol=5e-3)
    np.testing.assert_allclose(np.asarray(found.balance), np.asarray(whole.balance), rtol=5e-3, atol=1e-5)
    # All words and numbers as they are printed, but for the last digits of estimates; the last line says that it came
    # from the disk.
    assert [_said(line) for line in str(found).splitlines()[:-1]] == [_said(line) for line in str(whole).splitlines()]


def _said(line):
    return re.sub(r"[\d.e-]+ %", "%", line) if line.lstrip().startswith("solver (") else line


@pytest.mark.parametrize(
    ("options", "planes"),
    [
        ({"axis": "x"}, 4),
        pytest.param({"axis": "all"}, 6, marks=pytest.mark.slow),
        pytest.param({"axis": "y", "sides": "periodic", "tolerance": 1e-5}, 4, marks=pytest.mark.slow),
        pytest.param({"ends": "periodic"}, 4, marks=pytest.mark.slow),
        pytest.param({"ends": "periodic", "axis": "y"}, 4, marks=pytest.mark.slow),
        pytest.param({"loading": "linear"}, 4, marks=pytest.mark.slow),
        pytest.param({"reservoir": 3}, 4, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_the_same_as_in_memory(from_disk, rng, options, planes):
    rock = noise(rng, ROCK)
    image = lx.from_array(rock.astype("u1"), chunks=8)
    check_same(from_disk(image, planes, pore=1, **options), lx.solve.conductivity(image, pore=1, **options))


@pytest.mark.parametrize(
    ("shape", "levels", "options"),
    [
        (ROCK, 2, {"axis": "x"}),
        pytest.param((26, 23, 21), 3, {"axis": "y", "tolerance": 1e-5}, marks=pytest.mark.slow),
        pytest.param((26, 23, 21), 3, {"ends": "periodic", "sides": "periodic"}, marks=pytest.mark.slow),
        pytest.param((21, 23, 26), 3, {"loading": "linear"}, marks=pytest.mark.slow),
        pytest.param((21, 23, 26), 2, {"reservoir": 3, "axis": "z"}, marks=pytest.mark.slow),
        pytest.param((20, 20, 26), 3, {"spacing": (3, 3, 1), "axis": "z"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_levels_on_disk(from_disk, rng, shape, levels, options):
    image = lx.from_array(noise(rng, shape).astype("u1"), chunks=8)
    found = from_disk(image, 8 if "spacing" in options else 4, levels, pore=1, **options)
    check_same(found, lx.solve.conductivity(image, pore=1, **options))


@pytest.mark.parametrize(
    ("edge", "limit", "levels"),
    [(1000, "2 GiB", 3), (1000, "4 GiB", 2), (1000, "12 GiB", 1), (2000, "8 GiB", 4), (2000, "16 GiB", 2)],
)
def test_the_levels_that_do_not_fit_are_on_disk(edge, limit, levels):
    image = np.broadcast_to(np.zeros((), bool), (edge, edge, edge))
    plan = lx.plan(lx.solve.conductivity, image, memory_limit=limit)
    cut = plan_streaming(
        image, "x", Boundaries("potential", "insulating", False), None, 0, None, False, False, plan.memory_limit
    )
    assert plan.fits
    assert len(cut.cuts[0].thicknesses) == levels
    # Weights, request and two solutions of the levels below add an eighth of 24 bytes, and an eighth of that, …
    assert 17 * edge**3 <= plan.scratch <= 20.5 * edge**3


@pytest.mark.parametrize("axis", ["x", pytest.param("z", marks=pytest.mark.slow)])
def test_the_derivative_for_every_voxel(from_disk, rng, tmp_path, axis):
    rock = noise(rng, ROCK)
    image = lx.from_array(np.where(rock, 2, 7).astype("u1"), voxel_length=2.0, voxel_unit="um")
    options = {"values": {2: 1.5, 7: 0.02}, "axis": axis}
    whole = lx.solve.conductivity(image, gradient=True, **options)
    found = from_disk(image, gradient=tmp_path / "slopes.zarr", **options)
    check_same(found, whole)
    assert found.gradient.frame == image.frame
    assert found.gradient.field_name == whole.gradient.field_name
    slopes = whole.gradient[...]
    np.testing.assert_allclose(lx.open(tmp_path / "slopes.zarr")[...], slopes, atol=1e-6 * np.abs(slopes).max())


@pytest.mark.parametrize(
    "options",
    [
        {"axis": "x"},
        pytest.param({"axis": "z", "reservoir": 3}, marks=pytest.mark.slow),
        pytest.param({"ends": "periodic", "sides": "periodic", "axis": "y"}, marks=pytest.mark.slow),
        pytest.param({"loading": "linear"}, marks=pytest.mark.slow),
        pytest.param({"values": {0: 0.01, 1: 3.0}, "spacing": (1.0, 1.5, 2.0)}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_potential_and_flux(from_disk, rng, tmp_path, options):
    image = lx.from_array(noise(rng, ROCK).astype("u1"), voxel_length=2.0, voxel_unit="um")
    options = {"unit": "S/m"} | ({} if "values" in options else {"pore": 1}) | options
    whole = lx.solve.conductivity(image, fields=True, **options)
    found = from_disk(image, 8 if "spacing" in options else 4, fields=tmp_path / "fields.zarr", **options)
    check_same(found, whole)
    for name, field, expected in [
        ("potential", found.potential, whole.potential),
        *(
            (f"flux_{along}", *pair)
            for along, pair in zip("xyz", zip(found.flux, whole.flux, strict=True), strict=True)
        ),
    ]:
        assert field.frame == expected.frame
        assert (field.field_name, field.field_unit) == (expected.field_name, expected.field_unit)
        # The fields are of first order where the value is of second: rounding grows from 1e-7.
        stored = lx.open(tmp_path / "fields.zarr", path=name)[...]
        np.testing.assert_allclose(stored, expected[...], atol=1e-5 * np.abs(expected[...]).max())
    np.testing.assert_allclose(
        found.currents, whole.currents, atol=2e-5
    )  # float32: rounding of both, in seventeen steps of a smoother


def test_fields_of_a_solve_in_memory_go_to_a_store_as_well(rng, tmp_path):
    image = lx.from_array(noise(rng, ROCK))
    whole = lx.solve.conductivity(image, fields=True)
    found = lx.solve.conductivity(image, fields=tmp_path / "fields.zarr")
    assert np.array_equal(lx.open(tmp_path / "fields.zarr", path="potential")[...], whole.potential[...])
    assert np.array_equal(lx.open(tmp_path / "fields.zarr", path="flux_z")[...], whole.flux[2][...])
    assert np.array_equal(found.currents, whole.currents)
    with pytest.raises(FileExistsError, match=r"fields\.zarr/flux_z exist already; remove them, or name another store"):
        lx.solve.conductivity(image, fields=tmp_path / "fields.zarr")
    with pytest.raises(ValueError, match=r"names a store for the fields of one axis"):
        lx.solve.conductivity(image, axis="all", fields=tmp_path / "others.zarr")
    with pytest.raises(ValueError, match=r"names a store, but image is an array"):
        lx.solve.conductivity(image[...], fields=tmp_path / "others.zarr")
    with pytest.raises(FileExistsError, match=r"gradient=\S+: \S+fields\.zarr exists already; remove it"):
        lx.solve.conductivity(image, gradient=tmp_path / "fields.zarr")


KILLED = """
import os, sys, numpy as np, lithax as lx
from lithax.images import _create
write = _create.write_own_units
_create.write_own_units = lambda stored, *more: write(stored, *more) if stored.in_memory else os._exit(9)
lx.solve.conductivity(lx.from_array(np.ones((4, 4, 4), bool)), fields=sys.argv[1])
"""


@pytest.mark.slow
def test_a_store_that_a_killed_call_left_behind(tmp_path):
    store, image = tmp_path / "fields.zarr", lx.from_array(np.ones((4, 4, 4), bool))
    assert subprocess.run([sys.executable, "-c", KILLED, str(store)], check=False).returncode == 9
    for call in (lx.solve.conductivity, lambda *a, **k: lx.plan(lx.solve.conductivity, *a, **k)):
        with pytest.raises(
            FileExistsError, match=r"potential exists already \(\S+potential: unfinished, by a call that was"
        ):
            call(image, fields=store)
    shutil.rmtree(store)
    assert lx.solve.conductivity(image, fields=store).potential.shape == image.shape


@pytest.mark.parametrize(
    ("factor", "options"),
    [(1, {}), pytest.param(2, {"axis": "z", "reservoir": 3, "ends": "potential"}, marks=pytest.mark.slow)],
    ids=str,
)
def test_a_first_guess(from_disk, rng, factor, options):
    shape = ROCK if factor == 1 else (12, 10, 16)
    rock = noise(rng, shape)
    coarse = rock[::factor, ::factor, ::factor] if factor > 1 else rock
    guess = lx.solve.conductivity(coarse, tolerance=0.2, fields=True, **options)
    image = lx.from_array(rock)
    options = {"tolerance": 1e-4, "x0": guess, **options}
    found = from_disk(image, **options)
    check_same(found, lx.solve.conductivity(image, **options))
    if factor == 1:
        assert int(found.iterations) < int(from_disk(image, **{**options, "x0": None}).iterations)
    with pytest.raises(ValueError, match="whole multiple"):
        from_disk(image, x0=np.zeros((5, 5, 5)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"axis": "all", "reservoir": 2, "where": lx.regions.Sphere((6, 6, 8), 9)}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_the_line_of_the_threshold(from_disk, rng, options):
    scan = lx.from_array(gaussian_filter(rng.standard_normal(ROCK), 1).astype("f4"), chunks=8)
    threshold = float(np.quantile(scan[...], 0.6))
    image = lx.from_array((scan[...] <= threshold).astype("u1"))
    options = {"pore": 1, "segmentation": (scan, threshold, 0.05), "gradient_tolerance": 1e-3, **options}
    if "where" in options:
        options["area"] = 100.0  # it varies along the axis
    whole, found = lx.solve.conductivity(image, **options), from_disk(image, **options)
    check_same(found, whole)
    assert np.all(np.asarray(whole.error_budget.segmentation) > 0.01)
    # Of first order in the potential, as the fields.
    np.testing.assert_allclose(found.error_budget.segmentation, whole.error_budget.segmentation, rtol=1e-4)
    with pytest.raises(ValueError, match="pores are not above"):
        from_disk(image, **{**options, "segmentation": (scan, threshold + 10, 0.05)})
    with pytest.raises(ValueError, match="one conducting phase and grains that insulate"):
        from_disk(image, **{**options, "pore": None, "values": {0: 0.1, 1: 1.0}, "fluid": 1.0})


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"loading": "linear"}, marks=pytest.mark.slow),
        {"ends": "periodic", "sides": "periodic"},
        pytest.param(
            {"ends": "periodic", "sides": "periodic", "pore": None, "values": {0: 0.03, 1: 2.0}, "fluid": 2.0,
             "spacing": (1.0, 1.5, 2.0), "segmentation": None}, marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)  # fmt: skip
def test_the_tensor(from_disk, rng, options):
    """A field of inclined layers, so that the entries beside the diagonal are no rounding."""
    x, y, z = np.indices((14, 12, 16))
    layers = (x + 2 * y + z) % 12 if options.get("ends") else x + 2 * y + z
    rock = noise(rng, (14, 12, 16), 0.7) & (layers % 6 > 1)
    image = lx.from_array(rock.astype("u1"), chunks=8)
    options = {"pore": 1, "axis": "all", "tolerance": 1e-5, **options}
    whole = lx.solve.conductivity(image, **options)
    planes = 8 if "spacing" in options else 4
    found = from_disk(image, planes, **options)
    tensor = np.asarray(whole.tensor)
    assert np.abs(tensor[np.triu_indices(3, 1)]).max() > 0.01 * tensor.max()
    # Each solve has its axis first, so that sums come in another order, and the errors of two
    # potentials, each of at most the root of the tolerance, are not the same.
    np.testing.assert_allclose(np.asarray(found.tensor), tensor, atol=1e-5 * tensor.max())
    assert np.array_equal(np.asarray(found.tensor), np.asarray(found.tensor).T)
    np.testing.assert_allclose(found.value, np.diagonal(np.asarray(found.tensor)))
    assert np.all(np.abs(found.iterations - whole.iterations) <= 1)
    assert found.porosities == whole.porosities
    assert len(found.notes) == len(whole.notes) + 1
    with pytest.raises(ValueError, match="area= is a cross-section"):
        from_disk(image, planes, area=3.0, **options)


@pytest.mark.slow
def test_the_tensor_of_what_joins_the_ends_along_one_axis(from_disk):
    """A rod along y: across it a current of rounding is none."""
    x, _, z = np.indices((14, 12, 16))
    rod = (x - 6.5) ** 2 + (z - 7.5) ** 2 < 12
    image = lx.from_array(rod.astype("u1"), chunks=8)
    found = from_disk(image, 4, pore=1, axis="all", ends="periodic", sides="periodic")
    np.testing.assert_allclose(found.tensor, np.diag([0, np.count_nonzero(rod) / rod.size, 0]), rtol=1e-6)
    assert np.all(found.converged)
    assert str(found).count("F is infinite; nothing joins") == 2


@pytest.mark.parametrize(
    "options",
    [
        {"pore": 1},
        pytest.param({"values": {0: 0.1, 1: 2.0, 2: 1.0}, "axis": "all", "fluid": 2.0}, marks=pytest.mark.slow),
        pytest.param({"pore": [1, 2], "where": "plug", "axis": "z", "reservoir": 3}, marks=pytest.mark.slow),
        pytest.param({"field": True, "where": "plug", "axis": "z", "fluid": 1.0}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_lines_of_the_budget(from_disk, rng, options):
    shape, options = ROCK, dict(options)
    rock = noise(rng, shape, 0.6).astype("u1")
    rock[(rng.random(shape) < 0.3) & (rock == 1)] = 2
    if options.get("pore") == 1:
        rock[rock == 2] = 1
    x, y, _ = np.indices(shape)
    plug = (x - 6) ** 2 + (y - 5.5) ** 2 < 40
    if options.get("where") == "plug":
        options["where"] = plug
    if options.pop("field", False):
        rock = np.where(plug, np.exp(rng.standard_normal(shape)), np.nan).astype("f4")
    image = lx.from_array(rock, chunks=8)
    options["budget"] = ("resolution", "sample_size")
    whole, found = lx.solve.conductivity(image, **options), from_disk(image, **options)
    check_same(found, whole)
    assert set(found.error_budget.resolution) == {2, 3}
    for factor, change in whole.error_budget.resolution.items():
        assert np.all(np.abs(change) > 0.01)
        np.testing.assert_allclose(found.error_budget.resolution[factor], change, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        np.asarray(found.error_budget.sample_size, float), np.asarray(whole.error_budget.sample_size, float), rtol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize(("spacing", "planes"), [(1, 4), ((10, 1, 1), 8)])
def test_a_field_in_double_precision(from_disk, rng, spacing, planes):
    """Stretched voxels are smoothed twice as often, and not halved along the axis."""
    field = np.exp(rng.standard_normal((17, 8, 8)))
    options = {"tolerance": 1e-9, "spacing": spacing}
    whole = lx.solve.conductivity(field, **options)
    found = from_disk(field, planes, **options)
    assert float(found.value) == pytest.approx(float(whole.value), rel=1e-12)
    assert int(found.iterations) == int(whole.iterations)
    assert bool(found.converged)
    # The inverse of the last level is of single precision, and not quite symmetric.
    assert float(found.balance) == pytest.approx(float(whole.balance), rel=1e-3)


@pytest.mark.slow
def test_a_plug(from_disk, rng):
    x, y = np.meshgrid(np.arange(13) - 6, np.arange(13) - 6, indexing="ij")
    plug = np.broadcast_to((x**2 + y**2 < 36)[..., None], (13, 13, 12)).copy()
    field = np.where(plug, rng.random(plug.shape) + 0.1, np.nan).astype("f4")
    options = {"axis": "z", "where": plug, "fluid": 2.0}
    check_same(from_disk(field, **options), lx.solve.conductivity(field, **options))


def test_nothing_joins_the_ends(from_disk):
    rock = np.zeros(ROCK, bool)
    rock[:7, 5, 5] = rock[7:, 5, 6] = True
    with pytest.warns(UserWarning, match="through edges and corners"):
        found = from_disk(rock)
    with pytest.warns(UserWarning, match="through edges and corners"):
        whole = lx.solve.conductivity(rock)
    assert float(found.value) == 0
    assert np.isinf(found.formation_factor)
    assert str(found).splitlines()[:-1] == str(whole).splitlines()


@pytest.mark.parametrize("options", [{}, {"axis": "z", "reservoir": 2}], ids=str)
def test_fields_of_a_sample_that_nothing_passes(from_disk, rng, tmp_path, options):
    """The ramp of the potential, as beside the pores of any other sample; on disk it was 1 throughout."""
    rock = noise(rng, ROCK, 0.9)
    rock[7], rock[:, :, 5] = False, False
    image = lx.from_array(rock)
    whole = lx.solve.conductivity(image, fields=True, **options)
    found = from_disk(image, fields=tmp_path / "fields.zarr", **options)
    for one, expected in zip((found.potential, *found.flux), (whole.potential, *whole.flux), strict=True):
        np.testing.assert_allclose(one[...], expected[...], atol=1e-6)
    assert not found.flux[0][...].any()
    axis = "xyz".index(options.get("axis", "x"))
    n, r = ROCK[axis], options.get("reservoir", 0)
    ramp = 1 - (np.arange(n) + r + 0.5) / (n + 2 * r)
    np.testing.assert_allclose(np.moveaxis(found.potential[...], axis, -1)[0, 0], ramp, atol=1e-6)
    assert bool(found.converged)


def test_reservoirs_before_a_sample_that_nothing_passes(from_disk, rng):
    rock = noise(rng, ROCK, 0.9)
    rock[7] = False
    found = from_disk(rock, reservoir=3)
    assert float(found.value) == 0
    assert bool(found.converged)


@pytest.mark.parametrize("outside", [np.nan, 50.0])
def test_what_lies_outside_of_a_plug(from_disk, rng, outside):
    """Neither a note nor what reservoirs take off depends on it."""
    field = (rng.random(ROCK, "f4") + 0.1).astype("f4")
    sample = np.ones(ROCK, bool)
    sample[:, :2] = False
    field = np.where(sample, field, np.float32(outside))
    options = {"where": sample, "fluid": 1.0, "reservoir": 2, "area": 500.0, "tolerance": 1e-5}
    found, whole = from_disk(field, **options), lx.solve.conductivity(field, **options)
    assert float(found.value) == pytest.approx(float(whole.value), rel=1e-5)
    assert found.notes[:-1] == whole.notes
    assert "every voxel conducts; of at least 0.5" in whole.notes[0]


@pytest.mark.parametrize("thickness", [1, 3, 5])
def test_parts_that_join_the_ends_as_labelled_at_once(rng, thickness):
    rock = noise(rng, (17, 14, 12), 0.42)
    labels = np.zeros(rock.shape, int)
    label(rock, output=labels)
    first, last = set(np.unique(labels[0])) - {0}, set(np.unique(labels[-1])) - {0}
    begins = range(0, len(rock), thickness)
    pieces = [label_piece((begin, 0, 0), rock[begin : begin + thickness]) for begin in begins]
    found = JoinedPieces([faces for *_, faces in pieces], rock.shape)
    joined = found.counts(*found.joining(0, "potential", (False, False, False)))
    keep = [joined.joins[begin, 0, 0][number][part] for begin, (part, number, _) in zip(begins, pieces, strict=True)]
    assert first & last
    assert first ^ last
    assert np.array_equal(np.concatenate(keep), np.isin(labels, list(first & last)))
    assert joined.percolating == np.isin(labels, list(first & last)).sum()
    assert joined.accessible == np.isin(labels, list(first | last)).sum()
    assert joined.total == rock.sum()


@pytest.mark.parametrize("connectivity", [6, 26])
@pytest.mark.parametrize("thickness", [1, 4, 17])
def test_planes_are_joined_as_they_come(rng, thickness, connectivity):
    rock = noise(rng, (17, 14, 12), 0.4 if connectivity == 6 else 0.25, 0.7)
    told = [
        label_piece((begin, 0, 0), rock[begin : begin + thickness], connectivity)[2]
        for begin in range(0, len(rock), thickness)
    ]
    kept, planes = JoinedPieces(told, rock.shape, connectivity), joined_planes(iter(told), rock.shape, connectivity)
    assert sum((0, end) in piece.labels for piece in planes.everyone for end in (0, -1)) == 2
    for ends, periodic in [
        ("potential", (False, False, False)),
        *([("periodic", (True, False, True)), ("linear", (False, False, False))] if connectivity == 6 else []),
    ]:
        one, other = (found.counts(*found.joining(0, ends, periodic)) for found in (planes, kept))
        assert 0 < one.percolating < one.total
        assert (one.total, one.accessible, one.percolating, one.removed) == (
            other.total, other.accessible, other.percolating, other.removed,
        )  # fmt: skip
        assert one.joins.keys() == other.joins.keys()
        assert all(np.array_equal(one.joins[start], other.joins[start]) for start in one.joins)


def test_a_slab_is_written_after_the_next_one_has_been_read():
    values = np.arange(12.0)
    sums = np.convolve(np.pad(values, 2), np.ones(5), "valid")

    def read(begin):
        places = np.arange(begin - 2, begin + 5)
        return np.where((places >= 0) & (places < 12), values[np.clip(places, 0, 11)], 0)

    def write(begin, made):
        values[begin : begin + 3] = made

    with contextlib.closing(Sweeper()) as sweeper:
        sweeper.sweep(range(0, 12, 3), read, lambda _, given: np.convolve(given, np.ones(5), "valid"), write)
    assert np.array_equal(values, sums)


def test_planes_of_a_scratch_volume(rng, tmp_path):
    volume = ScratchVolume(tmp_path, (5, 3, 4), "f4")
    values = rng.random((5, 3, 4)).astype("f4")
    values[0] = 0
    volume.write(1, values[1:])
    assert np.array_equal(volume.read([4, 0, -1, 2, 3]), np.stack([values[4], values[0], 0 * values[0], *values[2:4]]))
    box = (slice(1, 4), slice(0, 2), slice(2, 4))
    assert np.array_equal(volume.box(box), values[box])
    assert not list(tmp_path.iterdir())  # nothing that a killed process would leave behind
    volume.close()


def test_nothing_is_left_behind_by_an_error(from_disk, monkeypatch, rng, tmp_path):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lithax.solve._slab_stages.finish", fail)
    image = lx.from_array(noise(rng, ROCK).astype("u1"))
    with pytest.raises(KeyboardInterrupt):
        from_disk(image, pore=1, gradient=tmp_path / "slopes.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["scratch"]
    assert not list((tmp_path / "scratch").iterdir())
    assert not [t for t in threading.enumerate() if t.name.startswith("lithax-")]


def test_a_store_is_not_written_where_the_solve_throws(from_disk, rng, tmp_path):
    image = lx.from_array(noise(rng, ROCK).astype("u1"))
    with pytest.raises(RuntimeError, match="did not converge"):
        from_disk(image, pore=1, max_iterations=1, throw=True, gradient=tmp_path / "slopes.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["scratch"]


def test_refusals(from_disk, monkeypatch, rng, tmp_path):
    image = lx.from_array(noise(rng, ROCK).astype("u1"))
    for options, named in [
        ({"fields": True}, "fields=True"), ({"gradient": True}, "gradient=True"),
        ({"budget": ("resolution", "grid")}, "'grid' of budget="),
        ({"axis": "all", "loading": "linear", "checkpoint": tmp_path}, "checkpoint="),
    ]:  # fmt: skip
        limit = lx.plan(lx.solve.conductivity, image, pore=1).memory - 1
        with pytest.raises(MemoryLimitError, match=f"leave out {re.escape(named)}"):
            lx.solve.conductivity(image, pore=1, memory_limit=limit, **options)
        assert not lx.plan(lx.solve.conductivity, image, pore=1, memory_limit=limit, **options).fits
    monkeypatch.setattr("lithax.solve._conduction_streamed.copied", None)  # whoever calls it fails otherwise
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=10_000))
    with pytest.raises(MemoryLimitError, match=r"needs 4\.24e-05 GB there while it runs, and 1e-05 GB are free"):
        from_disk(image, pore=1)
    with pytest.raises(ValueError, match="scratch='/nowhere' must be a folder"):
        lx.solve.conductivity(image, pore=1, memory_limit=limit, scratch="/nowhere")
    with pytest.raises(TypeError, match="scratch=3 must be a folder"):
        lx.solve.conductivity(image, pore=1, memory_limit=limit, scratch=3)
    for module in ("_streamed_memory", "_solve_memory"):  # the error says the lesser of the two
        monkeypatch.setattr(f"lithax.solve.{module}.PROGRAMS", 10**9)
    with pytest.raises(MemoryLimitError, match="needs up to 1 GB"):
        lx.solve.conductivity(image, pore=1, memory_limit=limit)


PEAK = """
import sys, numpy as np, psutil, lithax as lx
def now(key): return int(next(l for l in open("/proc/self/status") if l.startswith(key)).split()[1]) * 1024
rock = lx.open(sys.argv[1], mode="r")
lx.solve.conductivity(np.ones((8, 8, 8), bool))
limit = int(sys.argv[2])
open("/proc/self/clear_refs", "w").write("5")
before = now("VmRSS")
found = lx.solve.conductivity(rock, pore=1, memory_limit=limit)
assert found.notes, "in memory"
print(now("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_the_peak_stays_below_the_limit(rng, tmp_path):
    rock = noise(rng, (256, 160, 160), 0.3, 3.0)
    lx.from_array(rock.astype("u1"), store=tmp_path / "rock.zarr")
    limit = 350 * 10**6
    assert lx.plan(lx.solve.conductivity, rock, memory_limit="8 GiB").memory > 1.5 * limit
    # Compiled as users compile: without optimisations programs take more memory.
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "rock.zarr"), str(limit)],
        capture_output=True,
        text=True,
        check=True,
        env=plain,
    )
    assert int(done.stdout) < limit
