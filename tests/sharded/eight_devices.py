"""Sharded arrays against whole ones; run by `test_eight_devices` where JAX has eight devices."""

import contextlib
import itertools
import math
import queue
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import Mesh

import lithax as lx
from lithax import arrays, runtime
from lithax.chunked._device_turns import DeviceTurns
from lithax.errors import MemoryLimitError
from lithax.sharded import ShardedGrid, exchange_faces, exchange_halo, filled_shape, make_mesh, stencil, valid
from lithax.solve import _checkpoint
from lithax.solve import _mac as mac
from lithax.solve import _parts as parts_of
from lithax.solve import _stokes as stokes
from lithax.solve._face_operator import face_operator
from lithax.solve._field_arithmetic import summed_in_planes
from lithax.solve._flow_levels_over_devices import (
    aggregated_over_devices,
    corrected_over_devices,
    levels_over_devices,
    plan_over_devices,
)
from lithax.solve._flow_medium import walls_of
from lithax.solve._flow_resolution import breakthrough_diameter
from lithax.solve._mac_walls import HostLines
from lithax.solve._multigrid import (
    Multigrid,
    aggregated_excess,
    aggregated_faces,
    chebyshev_weights,
    coarser_levels,
    doubled,
    pseudo_inverse,
    summed,
    visits_of,
)
from lithax.solve._one_voxel_further import PartedAxis, neighbours, on_each_device, shifted
from lithax.solve._part_layout import PartLayout
from lithax.solve._part_levels import plan_levels
from lithax.solve._part_percolation import percolation_of_parts
from lithax.solve._percolation import percolation
from lithax.solve._permeability_over_devices import walls_over_devices
from lithax.solve._widest_way_over_devices import WaysOverDevices

BOUNDARIES = ["reflect", "nearest", "mirror", "wrap", "constant"]
CASES = {  # counts, shape, halo; every rule goes through slabs once, and once through windows of the ring of parts
    ((2, 2, 2), (8, 6, 10), 1): BOUNDARIES,
    ((2, 2, 2), (8, 6, 10), (0, 2, 3)): ["reflect", "wrap", "constant"],
    ((8, 1, 1), (16, 5, 4), 2): ["nearest", "mirror", "wrap"],
    ((8, 1, 1), (16, 5, 4), (5, 1, 0)): BOUNDARIES,  # wider than a part
    ((2, 2, 2), (7, 5, 9), 2): ["reflect", "wrap", "constant"],  # filler
    ((8, 1, 1), (9, 4, 5), (3, 0, 1)): ["nearest", "mirror", "wrap"],  # parts that hold filler only
}
RULES_OF_CASES = [(*case, boundary) for case, boundaries in CASES.items() for boundary in boundaries]


def blocks_of(padded, counts, halo, filled):
    """Cut what `exchange_halo` returned into the padded blocks, with the place of each."""
    halo = (halo,) * 3 if isinstance(halo, int) else halo
    lengths = [f // c for f, c in zip(filled, counts, strict=True)]
    for index in itertools.product(*map(range, counts)):
        there = tuple(
            slice(i * (n + 2 * h), (i + 1) * (n + 2 * h)) for i, n, h in zip(index, lengths, halo, strict=True)
        )
        yield [i * n for i, n in zip(index, lengths, strict=True)], padded[there]


@pytest.mark.parametrize(("counts", "shape", "halo", "boundary"), RULES_OF_CASES)
def test_halos_are_those_of_the_whole_array(counts, shape, halo, boundary):
    widths = (halo,) * 3 if isinstance(halo, int) else halo
    mesh = make_mesh(counts)
    values = np.random.default_rng(0).normal(size=shape).astype("f4")
    x = lx.shard(lx.from_array(values), mesh, pad=np.nan)
    exchange = jax.jit(partial(exchange_halo, halo=halo, mesh=mesh, boundary=boundary, boundary_value=7.0, shape=shape))
    padded = np.asarray(exchange(x))
    whole = np.asarray(arrays.pad(values, widths, boundary, 7.0))
    for start, block in blocks_of(padded, counts, halo, filled_shape(shape, mesh)):
        # What a voxel of the image sees; beyond it, blocks hold filler.
        inside = tuple(slice(s, min(s + b, n)) for s, b, n in zip(start, block.shape, whole.shape, strict=True))
        seen = tuple(slice(0, max(0, i.stop - i.start)) for i in inside)
        if all(s < n for s, n in zip(start, shape, strict=True)):
            np.testing.assert_array_equal(block[seen], whole[inside])


@pytest.mark.parametrize(("counts", "shape", "halo", "boundary"), RULES_OF_CASES[:8])
def test_faces_are_those_of_the_padded_parts(counts, shape, halo, boundary):
    """The layers alone hold what `exchange_halo` puts around a part."""
    widths = (halo,) * 3 if isinstance(halo, int) else halo
    mesh = make_mesh(counts)
    x = lx.shard(lx.from_array(np.random.default_rng(0).normal(size=shape).astype("f4")), mesh)
    options = {"halo": halo, "mesh": mesh, "boundary": boundary, "boundary_value": 7.0}
    faces = jax.jit(partial(exchange_faces, **options))(x)
    padded = np.asarray(jax.jit(partial(exchange_halo, **options))(x))
    for axis, (pair, width) in enumerate(zip(faces, widths, strict=True)):
        if width == 0:
            assert pair is None
            continue
        for slab, at in zip(pair, (slice(0, width), slice(-width, None)), strict=True):
            # Extended along the axes before, not along those that follow.
            slab, lengths = np.asarray(slab), [n // c for n, c in zip(slab.shape, counts, strict=True)]
            for index, (_, block) in zip(
                itertools.product(*map(range, counts)), blocks_of(padded, counts, halo, shape), strict=True
            ):
                own = tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, lengths, strict=True))
                around = [
                    at if a == axis else slice(None) if a < axis else slice(w, n - w)
                    for a, (w, n) in enumerate(zip(widths, block.shape, strict=True))
                ]
                np.testing.assert_array_equal(slab[own], block[tuple(around)])
    with pytest.raises(ValueError, match="must be less than the length of a part"):
        exchange_faces(x, 8, mesh)


@pytest.mark.parametrize(
    ("shape", "halo", "boundary"),
    [((8, 6, 4), 1, rule) for rule in BOUNDARIES] + [((7, 5, 4), 2, rule) for rule in ("reflect", "wrap", "constant")],
)
def test_gradients_are_those_of_the_whole_array(shape, halo, boundary):
    mesh = make_mesh((2, 2, 2))
    image = lx.from_array(np.random.default_rng(0).normal(size=shape).astype("f4"))
    # Corners of the halo and voxels between; few, because XLA compiles every one of them.
    offsets = [(0, 0, 0), (2 * halo,) * 3, (0, halo, 2 * halo), (2 * halo, 0, halo), (1, halo, 1)]
    weights = [1.0, -0.5, 0.25, 2.0, -1.5]
    inside = valid(mesh, shape)

    def body(block):
        return sum(
            weight * block[tuple(slice(k, n - 2 * halo + k) for k, n in zip(offset, block.shape, strict=True))]
            for weight, offset in zip(weights, offsets, strict=True)
        )

    def sharded(x):
        return jnp.where(inside, stencil(body, halo, mesh, boundary, 0.5, shape=shape)(x) ** 2, 0).sum()

    def whole(x):
        return (body(arrays.pad(x, (halo,) * 3, boundary, 0.5)) ** 2).sum()

    value, gradient = jax.jit(jax.value_and_grad(sharded))(lx.shard(image, mesh))
    expected, expected_gradient = jax.jit(jax.value_and_grad(whole))(image[...])
    nx, ny, nz = shape
    # The same products, added in another order: a few units in the last place.
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(gradient)[:nx, :ny, :nz], expected_gradient, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "i8", "?"])
@pytest.mark.parametrize("shape", [(8, 6, 10), (9, 5, 3)])
def test_there_and_back(tmp_path, dtype, shape):
    values = np.random.default_rng(2).integers(0, 2, shape).astype(dtype)
    image = lx.from_array(values, 4, tmp_path / "a", voxel_length=2.0, voxel_unit="um")
    x = lx.shard(image, make_mesh())
    assert isinstance(x, jax.Array)
    assert x.dtype == image.dtype
    assert len(x.sharding.device_set) == 8
    assert x.shape == filled_shape(shape, make_mesh())
    back = lx.save(x, tmp_path / "b", like=image, chunks=3)
    assert back.content_hash() == image.content_hash()
    assert (back.voxel_length, back.voxel_unit) == (image.voxel_length, image.voxel_unit)
    assert int(valid(make_mesh(), shape).sum()) == values.size


def test_each_part_is_read_once(tmp_path, monkeypatch):
    from lithax.storage import StoredArray

    image = lx.from_array(np.ones((8, 8, 8), "u1"), 4, tmp_path / "a")
    boxes = []
    read = StoredArray.read_parallel
    monkeypatch.setattr(StoredArray, "read_parallel", lambda self, box, *a: (boxes.append(box), read(self, box, *a))[1])
    lx.shard(image, make_mesh((2, 2, 2)))
    assert len(boxes) == 8
    assert all(s.stop - s.start == 4 for box in boxes for s in box)


def test_meshes_of_other_names_and_axes():
    image = lx.from_array(np.arange(64, dtype="f4").reshape(4, 4, 4))
    by_name = lx.shard(image, Mesh(np.array(jax.devices()[:2]), ("z",)))
    assert by_name.sharding.shard_shape(by_name.shape) == (4, 4, 2)
    in_order = lx.shard(image, Mesh(np.array(jax.devices()).reshape(4, 2), ("rows", "columns")))
    assert in_order.sharding.shard_shape(in_order.shape) == (1, 2, 4)
    with pytest.raises(ValueError, match="divided along x, y and z"):
        lx.shard(image, Mesh(np.array(jax.devices()).reshape(2, 2, 2, 1), tuple("abcd")))
    with pytest.raises(ValueError, match="product is the number of devices, which is 8"):
        make_mesh((3, 3, 1))
    with pytest.raises(ValueError, match=r"does not divide into \(8, 1, 1\) parts"):
        exchange_halo(jnp.ones((4, 4, 4)), 1, make_mesh((8, 1, 1)))


@pytest.fixture
def turns(monkeypatch):
    """Note on which devices blocks are computed, and how many are there at a time."""
    noted = {"used": [], "now": Counter(), "most": Counter()}
    lock, take = threading.Lock(), DeviceTurns.take

    @contextlib.contextmanager
    def noting(self):
        with take(self) as device:
            with lock:
                noted["used"].append(device)
                noted["now"][device] += 1
                noted["most"][device] = max(noted["most"][device], noted["now"][device])
            try:
                yield device
            finally:
                with lock:
                    noted["now"][device] -= 1

    monkeypatch.setattr(DeviceTurns, "take", noting)
    return noted


def smoothed(image, **options):
    return lx.chunk_map(partial(lx.ops.gaussian, sigma=1.0), image, progress=False, **options).content_hash()


def reduced(image, **options):
    return repr(lx.chunk_reduce(lx.measure.Moments(), image, fn=partial(lx.ops.gaussian, sigma=1.0), progress=False))


SQUARES = lx.measure.MeanSquaredError(model=lambda p, v: p["gain"] * v)


class Passes:
    """The same loss, without saying that its states add up."""

    of, combine, finish = SQUARES.of, SQUARES.combine, SQUARES.finish


LOSSES = {"one pass": SQUARES, "two passes": Passes()}


def differentiated(image, name):
    value, gradient = lx.chunk_value_and_grad(LOSSES[name], {"gain": 1.5}, image, image, progress=False)
    return float(value).hex(), float(gradient["gain"]).hex()


def counted(image):
    return lx.measure.histogram(image, 16).counts.tolist()


WORK = {
    "map": smoothed,
    "reduce": reduced,
    "histogram": counted,
    **{name: partial(differentiated, name=name) for name in LOSSES},
}


@pytest.fixture
def noise():
    return lx.from_array(np.random.default_rng(3).normal(size=(16, 16, 16)).astype("f4"), 4)


@pytest.mark.parametrize("name", WORK)
def test_blocks_are_dealt_out_to_the_chosen_devices(noise, turns, name):
    expected = WORK[name](noise)
    assert set(turns["used"]) <= {None}  # the devices of a CPU are used only if they are chosen
    turns["used"].clear()
    with runtime.using(devices=[1, 5]) as chosen:
        assert runtime.devices() == chosen == (jax.local_devices()[1], jax.local_devices()[5])
        assert WORK[name](noise) == expected
    assert set(turns["used"]) == set(chosen)
    passes = 2 if name in ("two passes", "histogram") else 1  # the extremes first
    assert len(turns["used"]) == passes * lx.plan(lx.chunk_map, abs, noise).blocks


def test_a_mesh_of_the_chosen_devices():
    with runtime.using(devices=[1, 5]):
        assert dict(make_mesh().shape) == {"x": 2, "y": 1, "z": 1}
    with runtime.using(devices=[]) as chosen:
        assert [d.platform for d in chosen] == ["cpu"]
    with pytest.raises(ValueError, match="devices 0 to 7"), runtime.using(devices=[8]):
        pass
    with pytest.raises(ValueError, match="twice"), runtime.using(devices=[1, 1]):
        pass
    assert "process 0 of 1" in runtime.report()


@pytest.mark.parametrize("name", [name for name in WORK if name != "histogram"])  # which is two reductions
def test_a_memory_budget_limits_the_blocks_on_a_device(noise, turns, name):
    expected = WORK[name](noise)
    refused = pytest.raises(
        MemoryLimitError, match=r"a block needs .* MiB on .*, whose memory budget is 6.1e-05 MiB; use smaller"
    )
    with runtime.using(devices=[2, 3], memory=64), refused:
        WORK[name](noise)
    turns["most"].clear()
    with runtime.using(devices=[2, 3], memory="16 MiB"):
        assert lx.plan(lx.chunk_map, abs, noise).blocks_on_devices > 100
        assert WORK[name](noise) == expected
    block = needs(name, noise)
    with runtime.using(devices=[2, 3], memory=int(1.6 * block)) as chosen:
        turns["most"].clear()
        assert WORK[name](noise) == expected
    assert dict(turns["most"]) == dict.fromkeys(chosen, 1)


def needs(name, image):
    """Find by halving how much a block needs [byte]."""
    low, high = 64, 2**20
    while high > 1.2 * low:
        middle = (low + high) // 2
        try:
            with runtime.using(devices=[2], memory=middle):
                WORK[name](image)
            high = middle
        except MemoryLimitError:
            low = middle
    return high


def test_a_budget_lets_just_so_many_work_at_once():
    """Six meet inside, three on each device; a seventh waits until one of them leaves."""
    with runtime.using(devices=[0, 1], memory=350) as chosen:
        shared = DeviceTurns(chosen, 100)
    assert shared.at_once == 6
    meeting, leave = threading.Barrier(7, timeout=60), threading.Event()
    entered = queue.Queue()

    def work(k):
        with shared.take() as device:
            entered.put((k, device))
            if k < 6:
                meeting.wait()
                leave.wait(60)

    with ThreadPoolExecutor(7) as pool:
        waiting = [pool.submit(work, k) for k in range(6)]
        meeting.wait()
        assert Counter(entered.get()[1] for _ in range(6)) == dict.fromkeys(chosen, 3)
        seventh = pool.submit(work, 6)
        assert entered.empty()
        leave.set()
        for future in (*waiting, seventh):
            future.result(60)
    assert entered.get()[0] == 6


@pytest.fixture
def ragged():
    """A grid with filler along every axis, parts of a multiple of four, and two images on it with NaN in the filler."""
    grid = ShardedGrid((13, 9, 11), make_mesh((2, 2, 2)), multiple=4)
    rng = np.random.default_rng(1)
    values = [rng.random(grid.shape).astype("f4") + 0.5 for _ in range(2)]
    return grid, values, [grid.load(v, filler=np.nan) for v in values]


def divergence(k, u):
    """A stencil of two arrays, which divides: NaN where filler reaches it."""
    core = (slice(1, -1),) * 3
    out = jnp.zeros_like(u[core])
    for axis in range(3):
        for way in (slice(None, -2), slice(2, None)):
            there = tuple(way if a == axis else slice(1, -1) for a in range(3))
            out = out + 2 / (1 / k[core] + 1 / k[there]) * (u[there] - u[core])
    return out


def whole_divergence(k, u):
    return divergence(jnp.pad(k, 1, "symmetric"), jnp.pad(u, 1, "symmetric"))


def test_a_grid_knows_its_parts(ragged):
    grid, values, (x, _) = ragged
    assert grid.filled == (16, 16, 16)
    assert grid.part == (8, 8, 8)
    assert x.sharding.shard_shape(x.shape) == grid.part
    assert int(grid.valid().sum()) == np.prod(grid.shape)
    coarse = grid.coarser().coarser()
    assert coarse.shape == (4, 3, 3)
    assert coarse.part == (2, 2, 2)
    with pytest.raises(ValueError, match="does not divide"):
        coarse.coarser()
    back = np.zeros(grid.shape, "f4")
    grid.save(x, back.__setitem__)
    np.testing.assert_array_equal(back, values[0])
    with pytest.raises(ValueError, match="they must agree"):
        grid.load(values[0][1:])


def test_stencils_of_several_arrays_and_their_gradients(ragged):
    grid, (k, u), (sharded_k, sharded_u) = ragged
    apply = grid.stencil(divergence, 1)
    inside = tuple(slice(0, n) for n in grid.shape)
    found = jax.jit(apply)(sharded_k, sharded_u)
    np.testing.assert_allclose(np.asarray(found)[inside], whole_divergence(k, u), rtol=1e-5, atol=1e-5)
    assert not np.any(
        np.asarray(found)
        - np.pad(np.asarray(found)[inside], [(0, f - n) for f, n in zip(grid.filled, grid.shape, strict=True)])
    )

    def loss(k, u):
        return grid.dot(apply(k, u), apply(k, u))

    slopes = jax.jit(jax.grad(loss, argnums=(0, 1)))(sharded_k, sharded_u)
    expected = jax.grad(lambda k, u: jnp.sum(whole_divergence(k, u) ** 2), argnums=(0, 1))(k, u)
    for one, other in zip(slopes, expected, strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(np.asarray(one)[inside], other, atol=1e-5 * scale)
        assert np.all(np.isfinite(one))


def test_products_leave_filler_out(ragged):
    grid, (k, u), sharded = ragged
    product = jax.jit(grid.dot)(*sharded)
    assert float(product) == pytest.approx(float((k.astype(float) * u).sum()), rel=1e-6)
    assert np.asarray(product).tobytes() == np.asarray(jax.jit(grid.dot)(*sharded)).tobytes()


@pytest.mark.parametrize(
    "options",
    [
        {"axis": "x", "gradient": True, "fields": True},
        pytest.param({"axis": "all", "ends": "periodic", "sides": "periodic", "fields": True}, marks=pytest.mark.slow),
        pytest.param({"axis": "all", "fields": True}, marks=pytest.mark.slow),
    ],
)
def test_conduction_on_eight_devices_is_that_of_one(options, monkeypatch):
    """Filler on every axis, NaN in it, two levels over the devices."""
    monkeypatch.setattr("lithax.solve._part_levels.REPLICATED", 100)
    shape = (9, 13, 11)
    field = np.random.default_rng(5).random(shape, "f4") + 0.05
    field[2:4, 3:7, 1:9] = 0
    x = lx.shard(lx.from_array(field), make_mesh((2, 2, 2)), pad=np.nan)
    alone = lx.solve.conductivity(field, tolerance=1e-6, **options)
    found = lx.solve.conductivity(x, shape=shape, tolerance=1e-6, **options)
    np.testing.assert_allclose(found.value, alone.value, rtol=1e-6)  # sums in another order
    np.testing.assert_array_equal(found.iterations, alone.iterations)
    np.testing.assert_allclose(found.bounds.wiener, alone.bounds.wiener, rtol=1e-5)
    assert found.porosities.percolating == pytest.approx(alone.porosities.percolating)
    assert found.notes == alone.notes
    same_fields(found, alone, field > 0, x.sharding)


def test_pore_spaces_on_eight_devices_have_weights_in_bytes(monkeypatch):
    """Four devices in a row, of which only the ends lack a neighbour; filler along x and y."""
    monkeypatch.setattr("lithax.solve._part_levels.REPLICATED", 100)
    shape = (13, 11, 8)
    rock = np.random.default_rng(6).random(shape) < 0.6
    x = lx.shard(lx.from_array(rock), make_mesh((4, 2, 1)))
    levels_of, kinds = parts_of.levels_of, []

    def noted(parts, fields):
        kinds.append(fields[0].dtype)
        return levels_of(parts, fields)

    monkeypatch.setattr(parts_of, "levels_of", noted)
    for options in ({}, {"gradient": True}):
        alone = lx.solve.conductivity(rock, spacing=2.5, tolerance=1e-6, **options)
        found = lx.solve.conductivity(x, spacing=2.5, shape=shape, tolerance=1e-6, **options)
        np.testing.assert_allclose(found.value, alone.value, rtol=1e-6)  # sums in another order
        np.testing.assert_array_equal(found.iterations, alone.iterations)
    assert kinds == [np.int8, np.float32]


def test_nothing_joins_the_ends_along_two_of_three_axes_on_eight_devices():
    """A rod along y: across it a current of rounding is none."""
    shape = (9, 8, 10)
    x, _, z = np.indices(shape)
    rod = (x - 4.5) ** 2 + (z - 4.5) ** 2 < 10
    rock = lx.shard(lx.from_array(rod), make_mesh((2, 2, 2)))
    found = lx.solve.conductivity(rock, shape=shape, axis="all", ends="periodic", sides="periodic")
    np.testing.assert_allclose(found.tensor, np.diag([0, np.count_nonzero(rod) / rod.size, 0]), rtol=1e-6)
    assert np.all(found.converged)
    assert not found.tensor[0, 0]
    assert str(found).count("F is infinite; nothing joins") == 2


def same_fields(found, alone, conducts, sharding):
    """Numbers for a drop of one, to single precision; where nothing conducts there is no potential."""
    for name, atol in (("gradient", 1e-6), ("potential", 1e-5), ("flux", 1e-5), ("currents", 1e-5)):
        ours, others = (jax.tree.leaves(getattr(result, name)) for result in (found, alone))
        for one, other in zip(ours, others, strict=True):
            one, other = np.asarray(one), np.asarray(other)
            assert not np.isnan(one).any()
            if one.ndim == 3:
                one = one[tuple(slice(0, n) for n in other.shape)]
                one, other = (one[conducts], other[conducts]) if name == "potential" else (one, other)
            np.testing.assert_allclose(one, other, atol=atol)
    fields = jax.tree.leaves((found.gradient, found.potential, found.flux))
    assert {field.sharding for field in fields} == ({sharding} if fields else set())


def test_reservoirs_before_a_sample_that_nothing_passes_on_eight_devices():
    rock = np.random.default_rng(4).random((9, 13, 11)) < 0.9
    rock[5] = False
    x = lx.shard(lx.from_array(rock), make_mesh((2, 2, 2)))
    found = lx.solve.conductivity(x, shape=rock.shape, reservoir=2)
    assert float(found.value) == 0
    assert bool(found.converged)


@pytest.mark.parametrize("outside", [np.nan, 9.97e36, 7.0])
def test_what_lies_outside_of_a_plug_on_eight_devices(outside):
    """Neither value nor notes depend on it, and a given area does not change what reservoirs take off."""
    field = (np.random.default_rng(5).random((9, 13, 11), "f4") + 0.1).astype("f4")
    sample = np.ones(field.shape, bool)
    sample[:, :3] = False
    field = np.where(sample, field, np.float32(outside))
    x = lx.shard(lx.from_array(field), make_mesh((2, 2, 2)))
    options = {"where": sample, "fluid": 1.0, "reservoir": 2, "area": 500.0, "tolerance": 1e-6}
    alone, found = lx.solve.conductivity(field, **options), lx.solve.conductivity(x, shape=field.shape, **options)
    assert float(found.value) == pytest.approx(float(alone.value), rel=1e-5)
    assert found.notes == alone.notes
    assert "every voxel conducts" in found.notes[0]


def test_what_is_noted_of_the_voxels_on_eight_devices(monkeypatch):
    """Paths through corners of devices, what percolates in a field, and air around a plug; programs of the test above."""
    monkeypatch.setattr("lithax.solve._part_levels.REPLICATED", 100)
    shape, mesh = (9, 13, 11), make_mesh((2, 2, 2))
    diagonal = np.zeros(shape, "f4")
    diagonal[np.arange(9), np.arange(9) + 1, np.arange(9)] = 1
    with pytest.warns(UserWarning, match="edges and corners"):
        found = lx.solve.conductivity(lx.shard(lx.from_array(diagonal), mesh), shape=shape)
    assert float(found.value) == 0
    assert "edges and corners" in found.notes[0]
    around = np.ones(shape, "f4")
    around[:, 2:6, 2:6] = 0
    rock = np.random.default_rng(0).random(shape, "f4") + 0.1
    for image, options in ((around, {}), (rock, {}), (rock, {"percolation_at": 0.4})):
        alone = lx.solve.conductivity(image, tolerance=0.1, **options)
        found = lx.solve.conductivity(lx.shard(lx.from_array(image), mesh), shape=shape, tolerance=0.1, **options)
        assert found.notes == alone.notes
        assert len(found.notes) == 1


def test_derivatives_on_eight_devices_are_those_of_one(monkeypatch):
    """Through what the field was made of, with NaN in the filler; the solver's programs are those of the tests above."""
    monkeypatch.setattr("lithax.solve._part_levels.REPLICATED", 100)
    shape = (9, 13, 11)
    field = np.random.default_rng(5).random(shape, "f4") + 0.2
    field[2:4, 3:7, 1:9] = 0
    x = lx.shard(lx.from_array(field), make_mesh((2, 2, 2)), pad=np.nan)

    def factor(v, **options):
        return lx.solve.conductivity(v**2, fluid=1.0, **options).formation_factor

    on_devices = partial(factor, shape=shape)
    value, slope = jax.value_and_grad(on_devices)(x)
    expected, expected_slope = jax.value_and_grad(factor)(field)
    np.testing.assert_allclose(value, expected, rtol=1e-6)  # sums in another order
    assert slope.sharding == x.sharding
    inside = tuple(slice(0, n) for n in shape)
    np.testing.assert_allclose(np.asarray(slope)[inside], expected_slope, atol=1e-6 * np.abs(expected_slope).max())
    _, rate = jax.jvp(on_devices, (x,), (jnp.full_like(x, np.nan).at[inside].set(0.5),))
    np.testing.assert_allclose(rate, 0.5 * expected_slope.sum(dtype=float), rtol=1e-5)
    with pytest.raises(NotImplementedError, match="second derivatives"):
        jax.jvp(jax.grad(on_devices), (x,), (x,))
    with pytest.raises(ValueError, match=r"fields= is not available where an image over several devices is diff"):
        jax.grad(partial(on_devices, fields=True))(x)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"ends": "periodic", "sides": "periodic"}, {"reservoir": 1}])
def test_derivatives_along_all_axes_on_eight_devices(options, monkeypatch):
    monkeypatch.setattr("lithax.solve._part_levels.REPLICATED", 100)
    shape = (9, 13, 11)
    field = np.random.default_rng(5).random(shape, "f4") + 0.2
    x = lx.shard(lx.from_array(field), make_mesh((2, 2, 2)), pad=np.nan)

    def total(v, **more):
        found = lx.solve.conductivity(v, axis="all", fluid=1.0, **options, **more)
        return (jnp.arange(9.0).reshape(3, 3) * (jnp.diag(found.value) if found.tensor is None else found.tensor)).sum()

    slope, expected = jax.grad(partial(total, shape=shape))(x), jax.grad(total)(field)
    assert slope.sharding == x.sharding
    assert not np.isnan(slope).any()
    np.testing.assert_allclose(
        np.asarray(slope)[tuple(slice(0, n) for n in shape)], expected, atol=1e-6 * np.abs(expected).max()
    )


def test_derivatives_over_devices_that_are_refused():
    x = lx.shard(lx.from_array(np.eye(8, dtype="u1")[None].repeat(8, 0)), make_mesh((2, 2, 2)))
    with pytest.raises(ValueError, match="values= are differentiated"):
        jax.grad(lambda s: lx.solve.conductivity(x, values={0: 1.0, 1: s}).value)(0.5)
    with pytest.raises(ValueError, match="fluid= is differentiated, and with reservoir=2"):
        jax.grad(lambda s: lx.solve.conductivity(x, pore=0, fluid=s, reservoir=2).value)(0.5)
    with pytest.raises(ValueError, match="budget= is not available over several devices"):
        lx.solve.conductivity(x, pore=0, budget=("grid",))
    with pytest.raises(ValueError, match="move conductivities along x, y and z to one device"):
        lx.solve.conductivity(jnp.stack([x.astype("f4")] * 3))


def test_reservoirs_and_first_guesses_on_eight_devices(monkeypatch):
    """A plug between open ends, with NaN around it and in the filler; guesses that lie in memory, over devices, and coarser."""
    monkeypatch.setattr("lithax.solve._part_levels.REPLICATED", 100)
    shape = (12, 13, 11)
    plug = lx.regions.Cylinder((5.5, 6, 5), (0, 1, 0), 5)
    y, x, z = np.meshgrid(np.arange(12), np.arange(13), np.arange(11), indexing="ij")
    field = np.random.default_rng(5).random(shape, "f4") + 0.05
    field[3:6, 3:7, 1:9] = 0
    field[~np.asarray(plug.contains(y, x, z))] = np.nan
    mesh = make_mesh((2, 2, 2))
    parts = lx.shard(lx.from_array(field), mesh, pad=np.nan)
    options = {"axis": "y", "reservoir": 2, "fluid": 1.5, "where": plug, "tolerance": 1e-6}
    alone = lx.solve.conductivity(field, gradient=True, fields=True, **options)
    found = lx.solve.conductivity(parts, shape=shape, gradient=True, fields=True, **options)
    np.testing.assert_allclose(found.value, alone.value, rtol=1e-6)
    assert (int(found.iterations), found.porosity) == (int(alone.iterations), alone.porosity)
    same_fields(found, alone, field > 0, parts.sharding)

    coarse = np.nan_to_num(alone.potential)[1::3]
    over_devices = jax.device_put(coarse, jax.NamedSharding(mesh, jax.P("x")))
    alone = lx.solve.conductivity(field, x0=coarse, **options)
    for x0 in (coarse, over_devices, lx.from_array(coarse)):
        again = lx.solve.conductivity(parts, shape=shape, x0=x0, **options)
        np.testing.assert_allclose(again.value, alone.value, rtol=1e-6)
        assert int(again.iterations) == int(alone.iterations)
    again = lx.solve.conductivity(parts, shape=shape, x0=found, **options)
    assert int(again.iterations) < int(found.iterations)
    with pytest.raises(ValueError, match=r"x0= has shape \(4, 13, 10\), the image \(12, 13, 11\)"):
        lx.solve.conductivity(parts, shape=shape, x0=coarse[:, :, 1:], **options)


@pytest.mark.parametrize(
    "options",
    [
        {"axis": "y", "fields": True, "reservoir": 2, "where": lx.regions.Cylinder((4, 6, 5), (0, 1, 0), 4)},
        pytest.param({"axis": "x", "fields": True}, marks=pytest.mark.slow),
        pytest.param({"axis": "all", "ends": "periodic", "sides": "periodic"}, marks=pytest.mark.slow),
        pytest.param({"axis": "z", "ends": "periodic", "reservoir": 1}, marks=pytest.mark.slow),
        pytest.param({"wall": "half_voxel", "sides": "no_slip"}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.mpi
def test_permeability_on_eight_devices_is_that_of_one(options, monkeypatch):
    """Filler on every axis, levels over the devices and below; walls of rows that cross devices."""
    monkeypatch.setattr("lithax.solve._part_levels.REPLICATED", 100)
    if "sides" in options:  # as where parts are large
        monkeypatch.setattr("lithax.solve._spares._SMALL", 0)
    shape = (9, 13, 11)
    rock = (np.random.default_rng(5).random(shape) < 0.6).astype("u1")
    x = lx.shard(lx.from_array(rock), make_mesh((2, 2, 2)), pad=1)
    alone = lx.solve.permeability(rock, pore=1, **options)
    found = lx.solve.permeability(x, shape=shape, pore=1, **options)
    # Sums in another order, in float32, and what a few iterations make of them.
    np.testing.assert_allclose(found.value, alone.value, rtol=1e-5)
    np.testing.assert_array_equal(found.iterations, alone.iterations)
    np.testing.assert_allclose(found.narrow_share, alone.narrow_share, rtol=1e-4)
    assert found.porosities == alone.porosities
    assert found.surface == pytest.approx(alone.surface)
    assert found.notes == alone.notes
    np.testing.assert_array_equal(found.breakthrough_diameter, alone.breakthrough_diameter)
    if alone.tensor is not None:
        np.testing.assert_allclose(found.tensor, alone.tensor, atol=1e-5 * np.max(alone.value))
    if "fields" in options:
        inside = tuple(slice(0, n) for n in shape)
        for one, other in zip((*found.velocity, found.pressure), (*alone.velocity, alone.pressure), strict=True):
            assert one.sharding == x.sharding
            np.testing.assert_allclose(np.asarray(one)[inside], other, atol=1e-4 * np.max(np.abs(other)))


def test_air_around_a_plug_is_noted_on_eight_devices(monkeypatch):
    """Along edges that lie on several devices each, one of which has a voxel of solid at last."""
    monkeypatch.setattr("lithax.solve._part_levels.REPLICATED", 100)
    shape, mesh = (9, 13, 11), make_mesh((2, 2, 2))
    around = np.ones(shape, bool)
    around[:, 2:6, 2:6] = False
    broken = around.copy()
    broken[8, 12, 10] = False
    for image, said in ((around, True), (broken, False)):
        alone = lx.solve.permeability(image, tolerance=0.1)
        found = lx.solve.permeability(lx.shard(lx.from_array(image), mesh), shape=shape, tolerance=0.1)
        assert found.notes == alone.notes
        assert any("air around a plug" in note for note in found.notes) == said


def test_faces_that_do_not_match_are_noted_on_eight_devices(monkeypatch):
    monkeypatch.setattr("lithax.solve._part_levels.REPLICATED", 100)
    shape, mesh = (9, 13, 11), make_mesh((2, 2, 2))
    i, j, k = np.indices(shape)
    oblique = ((j - i) % 9 < 5) & (k > 2) & (j < 9)
    cut = (2 * j - i < 8) & (k > 2)
    for image, said in ((oblique, False), (cut, True)):
        options = {"axis": "x", "ends": "periodic", "tolerance": 0.1}
        alone = lx.solve.permeability(image, **options)
        found = lx.solve.permeability(lx.shard(lx.from_array(image), mesh), shape=shape, **options)
        assert found.notes == alone.notes
        assert any("do not match" in note for note in found.notes) == said


SOFT = [
    ({"axis": "y"}, None),
    ({"axis": "y", "reservoir": 1, "permeability": lambda porosity: 0.01 * porosity**3}, None),
    ({"axis": "all", "ends": "periodic", "sides": "periodic"}, np.arange(9.0).reshape(3, 3)),
]


@pytest.mark.parametrize(
    ("options", "weights"), [SOFT[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in SOFT[1:])]
)
@pytest.mark.mpi
def test_soft_walls_and_their_derivative_on_eight_devices(options, weights, monkeypatch):
    """Planes of pressure next to the filler, which has no drag, and NaN in it."""
    monkeypatch.setattr("lithax.solve._part_levels.REPLICATED", 100)
    shape = (9, 13, 11)
    pores = np.clip(np.random.default_rng(5).random(shape, "f4") * 1.4 - 0.2, 0, 1)
    x = lx.shard(lx.from_array(pores), make_mesh((2, 2, 2)), pad=np.nan)

    def k(v, **more):
        found = lx.solve.permeability(v, **options, **more)
        return found.value if weights is None else (found.tensor * weights).sum()

    on_devices = partial(k, shape=shape)
    value, slope = jax.value_and_grad(on_devices)(x)
    expected, expected_slope = jax.value_and_grad(k)(pores)
    np.testing.assert_allclose(value, expected, rtol=1e-5)  # sums in another order, and some iterations
    assert slope.sharding == x.sharding
    inside = tuple(slice(0, n) for n in shape)
    np.testing.assert_allclose(np.asarray(slope)[inside], expected_slope, atol=1e-5 * np.abs(expected_slope).max())
    assert not np.isnan(slope).any()
    if weights is None and "reservoir" not in options:
        assert lx.solve.permeability(x, shape=shape, **options).value == pytest.approx(float(value), rel=5e-3)
        with pytest.raises(NotImplementedError, match="second derivatives"):
            jax.jvp(jax.grad(on_devices), (x,), (x,))
        with pytest.raises(ValueError, match="fields= is not available where an image over several devices is diff"):
            jax.grad(partial(on_devices, fields=True))(x)


def test_permeability_over_devices_refuses_what_it_lacks():
    x = lx.shard(lx.from_array(np.eye(6, dtype="u1")[None].repeat(6, 0)))
    with pytest.raises(ValueError, match="budget= is not available over several devices"):
        lx.solve.permeability(x, pore=1, budget=("grid",))
    with pytest.raises(ValueError, match="permeability= is differentiated, and image lies over several devices"):
        jax.grad(lambda k: lx.solve.permeability(x, pore=1, permeability={0: k}).value)(0.1)
    with pytest.raises(MemoryLimitError, match=r"needs up to 0\.294 GB, and 1e-06 GB"):
        lx.solve.permeability(x, pore=1, memory_limit=1000)
    with pytest.raises(ValueError, match="pore is missing"):
        lx.solve.permeability(x)


def test_permeability_over_devices_goes_on_from_what_it_kept(tmp_path, monkeypatch):
    rock, options = np.random.default_rng(4).random((13, 12, 11)) < 0.6, {"axis": "y", "tolerance": 1e-4}
    image = lx.shard(lx.from_array(rock))
    whole, step, taken = lx.solve.permeability(image, **options), stokes.step, []
    monkeypatch.setattr(_checkpoint, "LEAST", 0.0)
    monkeypatch.setattr(_checkpoint, "REST", 0)

    def interrupted(*arguments):
        taken.append(0)
        if len(taken) == 5:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(stokes, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lx.solve.permeability(image, checkpoint=tmp_path, **options)
    assert {path.name for path in tmp_path.iterdir()} == {"solve-y-0-3.npz", "solve-y-0-4.npz"}
    again = lx.solve.permeability(image, checkpoint=tmp_path, **options)
    assert len(taken) - 5 == int(whole.iterations) - 4 > 0
    assert float(again.value) == float(whole.value)
    assert not list(tmp_path.iterdir())
    soft = lx.shard(lx.from_array(np.full((6, 6, 8), 0.5, "f4")))
    with pytest.raises(ValueError, match="checkpoint= is for the host's loop"):
        jax.grad(lambda v: lx.solve.permeability(v, checkpoint=tmp_path).value)(soft)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize(
    ("n", "devices"), [(8, (8, 1, 1)), (9, (8, 1, 1)), (13, (8, 1, 1)), (6, (2, 2, 2)), (5, (2, 2, 2))]
)
def test_one_voxel_further_is_that_of_the_whole(n, devices, periodic):
    """With filler, within a part and in parts of its own; what stands in the filler means nothing."""
    grid = ShardedGrid((n, 2, 3), make_mesh(devices))
    values = np.random.default_rng(n).random(grid.shape).astype("f4")
    placed, wrap = grid.load(values), PartedAxis(grid, 0, periodic)
    both = jax.jit(partial(neighbours, axis=0, wrap=wrap))(placed)
    for step, found in zip((-1, 1), both, strict=True):
        further = jax.jit(partial(shifted, axis=0, step=step, wrap=wrap))(placed)
        expected = np.roll(values, -step, 0)
        if not periodic:
            expected[-1 if step == 1 else 0] = 0
        inside = tuple(slice(0, k) for k in grid.shape)
        np.testing.assert_array_equal(np.asarray(further)[inside], expected)
        np.testing.assert_array_equal(np.asarray(found)[inside], expected)


@pytest.mark.parametrize(
    ("counts", "shape"),
    [((2, 1, 1), (9, 4, 5)), ((8, 1, 1), (7, 3, 4)), ((1, 4, 1), (3, 10, 4)), ((1, 1, 2), (4, 3, 7))],
)
def test_stencils_of_a_row_of_devices_are_those_of_the_whole(counts, shape):
    """Outermost layers are computed apart there; parts of a single layer and filler among them."""
    grid = ShardedGrid(shape, Mesh(np.array(jax.devices()[: np.prod(counts)]).reshape(counts), ("x", "y", "z")))
    rng = np.random.default_rng(0)
    whole = [rng.normal(size=shape).astype("f4") for _ in range(4)]
    diagonal, fluid = rng.uniform(-2, 6, shape).astype("f4"), rng.random(shape) < 0.7
    half = np.where(rng.random((shape[0], 1, 1)) < 0.5, 0.5, 1).astype("f4")
    filled_half = np.ones((grid.filled[0], 1, 1), "f4")
    filled_half[: shape[0]] = half
    parts, flags = [grid.load(v) for v in whole], [grid.load(diagonal), grid.load(fluid)]
    over = tuple(PartedAxis(grid, axis, False) for axis in range(3))
    weights, alone, inside = (1.0, 0.5, 2.0), (False,) * 3, tuple(slice(0, n) for n in shape)
    for c in range(3):
        found = mac.momentum(parts[c], parts[3], flags[0], jnp.asarray(filled_half), weights, 0.7, c, over)
        expected = mac.momentum(whole[c], whole[3], diagonal, half, weights, 0.7, c, alone)
        # The compiler may join a product and a sum in one rounding and not in the other.
        np.testing.assert_allclose(np.asarray(found)[inside], expected, rtol=0, atol=1e-5)
    found = mac.divergence(tuple(parts[:3]), flags[1], weights, over)
    expected = mac.divergence(tuple(whole[:3]), fluid, weights, alone)
    np.testing.assert_allclose(np.asarray(found)[inside], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("counts", "replicated", "overlaps"), [((8, 1, 1), 2500, [0, 3]), ((2, 2, 2), 1000, [0, 3, 3])]
)
def test_cycles_of_parts_that_overlap_are_those_of_the_whole(counts, replicated, overlaps, monkeypatch):
    """A linear function: once for random weights and a random right-hand side. Odd numbers of cells, filler, and
    devices that hold nothing else.
    """
    monkeypatch.setattr("lithax.solve._part_levels.REPLICATED", replicated)
    monkeypatch.setattr("lithax.solve._part_levels.THICK", 4)
    shape, strengths, rng = (70, 37, 41), (1.0, 1.0, 1.0), np.random.default_rng(5)
    grid = ShardedGrid(shape, make_mesh(counts), plan_levels(shape, strengths)[3])
    plan = plan_over_devices(grid, (False,) * 3, strengths)
    assert [layout.overlap for layout in plan.layouts if isinstance(layout, PartLayout)] == overlaps
    fine = [rng.random(shape, "f4") for _ in range(4)]
    for axis in range(3):
        np.moveaxis(fine[axis], axis, 0)[0] = 0  # nothing is joined beyond the ends
    step, weights, visits = (
        plan.steps[0],
        tuple(chebyshev_weights(2) for _ in plan.steps[1:]),
        visits_of(plan.steps)[1:],
    )
    aggregates = tuple(
        aggregated_over_devices(grid.load(v), plan, a) for v, a in zip(fine, (0, 1, 2, None), strict=True)
    )
    over = levels_over_devices(plan, aggregates, weights, visits)
    rest = rng.normal(size=shape).astype("f4")
    everywhere = grid.load(np.ones(shape, bool))
    found = corrected_over_devices(over, grid.load(rest), grid.load(np.zeros(shape, "f4")), everywhere)

    x, y, z = (aggregated_faces(jnp.asarray(v), a, step) for a, v in enumerate(fine[:3]))
    top = face_operator(x, y, z, excess=aggregated_excess(jnp.asarray(fine[3]), shape, step))
    levels = (top, *coarser_levels(top, plan.shapes[1:], plan.steps[1:]))
    alone = Multigrid(levels, pseudo_inverse(levels[-1]), plan.steps[1:], weights, visits)
    e = top.layout.cells(alone.visited(top.layout.pad(summed(jnp.asarray(rest), step))))
    expected = np.asarray(doubled(e, step))[: shape[0], : shape[1], : shape[2]]
    inside = np.asarray(found)[: shape[0], : shape[1], : shape[2]]
    np.testing.assert_allclose(inside, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("axis", ["x", "z"])
def test_conduction_between_parts_that_overlap(axis, monkeypatch):
    """Cells beyond held ends are computed by nobody, along a divided axis or another one."""
    monkeypatch.setattr("lithax.solve._part_levels.REPLICATED", 2000)
    monkeypatch.setattr("lithax.solve._part_levels.THICK", 4)
    field = np.random.default_rng(7).random((37, 23, 41), "f4") + 0.01
    x = lx.shard(lx.from_array(field), make_mesh((4, 2, 1)))
    alone = lx.solve.conductivity(field, axis=axis, tolerance=1e-6)
    found = lx.solve.conductivity(x, shape=field.shape, axis=axis, tolerance=1e-6)
    np.testing.assert_allclose(found.value, alone.value, rtol=1e-6)  # sums in another order
    assert found.iterations == alone.iterations


@pytest.mark.parametrize("counts", [(8, 1, 1), (1, 4, 1), (2, 1, 4), (2, 2, 2)])
def test_sums_in_planes_over_devices_are_those_of_the_whole(counts):
    """Each device sums its own planes. Filler holds zeros."""
    grid = ShardedGrid((9, 6, 7), Mesh(np.array(jax.devices()[: np.prod(counts)]).reshape(counts), ("x", "y", "z")))
    over = tuple(PartedAxis(grid, a, False) for a in range(3))
    a, b, c = np.random.default_rng(5).normal(size=(3, *grid.shape)).astype("f4")
    of = lambda a, b, c: a * (b + c)  # noqa: E731
    run = jax.jit(lambda *arrays: on_each_device(partial(summed_in_planes, of), over, *arrays))
    found = run(grid.load(a), grid.load(b), grid.load(c))
    assert found.shape == (math.prod(counts) * grid.part[1],)
    np.testing.assert_allclose(found.sum(), np.sum(of(*np.float64([a, b, c]))), atol=1e-3)  # float32


def test_walls_over_devices_are_those_in_memory():
    """Runs of active faces cross devices, meet a mirror, a plane of pressure, and themselves around a period."""
    grid = ShardedGrid((10, 9, 7), make_mesh((2, 2, 2)), multiple=2)
    lengths, boundaries = (9, 9, 7), ("pressure", "mirror", "periodic")
    rock = np.random.default_rng(3).random(grid.shape) < 0.8
    rock[-1] = False  # the layer beyond the end, for the last plane of faces
    alone = walls_of(HostLines(grid.shape, lengths), rock, boundaries, "accurate", (1.0, 1.0, 2.0), np.float32)
    found = walls_over_devices(grid.load(rock), grid, lengths, boundaries, "accurate", (1.0, 1.0, 2.0))
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_allclose(np.asarray(one)[:10, :9, :7], other, rtol=1e-6)


@pytest.mark.parametrize("shape", [(11, 9, 13), (5, 17, 4)])
def test_the_widest_way_through_pieces_is_that_of_the_whole(shape):
    """Channels and noise, lines without a solid, and axes shorter than there are devices."""
    random, grid = np.random.default_rng(2), ShardedGrid(shape, make_mesh((2, 2, 2)))
    found = set()
    for share in (0.5, 0.8, 0.97, 1):
        pores = random.random(shape) < share
        pores[:, 2:5, 1:3] = True
        for periodic in ((False, False, False), (True, False, True)):
            ways = WaysOverDevices(grid.load(pores), grid, runtime.connected(), periodic)
            for axis in range(3):
                found.add(ways.diameter(axis))
                assert ways.diameter(axis) == breakthrough_diameter(pores, axis, periodic)
    assert len(found) > 3


@pytest.mark.parametrize("ends", ["potential", "periodic", "linear"])
def test_clusters_of_pieces_are_those_of_the_whole(ends):
    random = np.random.default_rng(11)
    shape, lengths = (9, 8, 7), (4, 8, 3)
    for _ in range(20):
        rock = random.random(shape) < 0.35
        sides = (ends == "periodic", bool(random.integers(2)) and ends != "linear", False)
        whole = percolation(rock, 0, ends, sides)
        starts = itertools.product(*(range(0, n, m) for n, m in zip(shape, lengths, strict=True)))
        boxes = {s: tuple(slice(a, min(a + m, n)) for a, m, n in zip(s, lengths, shape, strict=True)) for s in starts}
        pieces = {start: rock[box] for start, box in boxes.items()}
        parts = percolation_of_parts(pieces, shape, 0, ends, sides, runtime.connected())
        counts = [(p.total, p.accessible, p.percolating, p.corners_only) for p in (parts, whole)]
        assert counts[0] == counts[1]
        for start, box in boxes.items():
            np.testing.assert_array_equal(parts.keep[start], whole.keep[box])
