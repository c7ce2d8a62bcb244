"""The same bytes for every number of processes; the processes are played by threads."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

import lithax as lx
from lithax.errors import IncompleteImageError, ProcessFailure
from lithax.images import _collective
from lithax.runtime import SerialWorld
from lithax.storage._journal import Journal
from lithax.storage.formats import RawSink
from lithax.testing import on_threads

SHAPE = (11, 9, 13)
STENCILS = lx.chain(partial(lx.ops.gaussian, sigma=0.7), lambda v: v * 2)


def values(rng, dtype="f4"):
    return rng.integers(0, 200, SHAPE).astype(dtype)


def stored_files(folder):
    """Return every stored chunk by its name; metadata tells when it was written, chunks do not."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(Path(folder).rglob("*"))
        if p.is_file() and p.name != "zarr.json" and ".lithax" not in p.parts
    }


def succeeded(results):
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@settings(max_examples=10)
@given(
    chunk=st.tuples(*[st.integers(2, 6)] * 3),
    ratio=st.sampled_from([None, (1, 2, 1), (2, 2, 2)]),
    count=st.integers(2, 5),
)
def test_a_filter_writes_the_same_bytes(tmp_path_factory, chunk, ratio, count):
    folder = tmp_path_factory.mktemp("map")
    shards = None if ratio is None else tuple(c * r for c, r in zip(chunk, ratio, strict=True))
    data = values(np.random.default_rng(1))
    lx.from_array(data, 4, folder / "in")
    serial = lx.chunk_map(
        STENCILS, lx.open(folder / "in"), store=folder / "one", chunks=chunk, shards=shards, progress=False
    )

    def work(world):
        image = lx.open(folder / "in", world=world)
        out = lx.chunk_map(STENCILS, image, store=folder / "many", chunks=chunk, shards=shards, progress=False)
        assert out.metadata.state == "complete"
        return out.content_hash()

    assert set(succeeded(on_threads(count, work))) == {serial.content_hash()}
    assert stored_files(folder / "one") == stored_files(folder / "many")
    assert [p.name for p in (folder / "many" / ".lithax").iterdir() if p.name != "locks"] == ["ledger"]


def test_several_outputs_selections_and_changes_in_place(tmp_path, rng):
    data = values(rng)
    region = lx.regions.Sphere((5, 4, 6), 4)

    def both(v):
        return v + 1, v > 90

    def steps(folder, world=None):
        image = lx.from_array(data, 4, folder / "a", world=world)
        one, two = lx.chunk_map(both, image, store=(folder / "b", folder / "c"), where=region, progress=False)
        image.apply("add", 3, where=region, progress=False)
        inside = lx.regions.inside(image, region, store=folder / "d")
        coarse = one.copy(folder / "e", chunks=5, shards=10)
        return [i.content_hash() for i in (image, one, two, inside, coarse)]

    (tmp_path / "serial").mkdir()
    (tmp_path / "three").mkdir()
    expected = steps(tmp_path / "serial")
    for found in succeeded(on_threads(3, lambda world: steps(tmp_path / "three", world))):
        assert found == expected
    assert stored_files(tmp_path / "serial") == stored_files(tmp_path / "three")


def test_raw_files(tmp_path, rng):
    data = values(rng, "u2")
    data.T.tofile(tmp_path / "rock.raw")
    serial = lx.import_raw(tmp_path / "rock.raw", SHAPE, "u2", chunks=4)

    def work(world):
        image = lx.import_raw(tmp_path / "rock.raw", SHAPE, "u2", chunks=4, store=tmp_path / "a", world=world)
        image.export_raw(tmp_path / "again.raw")
        return image.content_hash()

    assert set(succeeded(on_threads(2, work))) == {serial.content_hash()}
    assert (tmp_path / "again.raw").read_bytes() == (tmp_path / "rock.raw").read_bytes()


@pytest.mark.parametrize("order", "FC")
@pytest.mark.parametrize(("count", "shards"), [(2, None), (3, (4, 8, 4)), (7, None)])
def test_each_process_writes_its_part_of_a_raw_file(tmp_path, rng, order, count, shards):
    """One file, the bytes of NumPy's; every process writes some of them."""
    data = values(rng, "u2")
    lx.from_array(data, 4, tmp_path / "a", shards=shards)
    written = {}

    def work(world):
        image = lx.open(tmp_path / "a", world=world)
        image.export_raw(tmp_path / "rock.raw", order=order, byteorder=">", fiji_macro=True)
        halves = lx.open(tmp_path / "a", world=world).export_raw(tmp_path / "c.raw", "<c8", order, split_complex=True)
        assert halves == tmp_path / "c.raw"

    write = RawSink.write_stored

    def noting(self, box, stored):
        written.setdefault(self.file.name, []).append(self._own)
        write(self, box, stored)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RawSink, "write_stored", noting)
        succeeded(on_threads(count, work))
    assert (tmp_path / "rock.raw").read_bytes() == data.astype(">u2").tobytes(order)
    assert (tmp_path / "c_real.raw").read_bytes() == data.astype("<f4").tobytes(order)
    assert (tmp_path / "c_imag.raw").read_bytes() == bytes(4 * data.size)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted(
        ["rock.raw", "rock.raw.json", "rock.raw.ijm", "c_real.raw", "c_imag.raw", "c.raw.json"]
    )
    for name in ("rock.raw", "c_real.raw"):
        assert 0 < sum(written[name]) < len(written[name])


@pytest.mark.parametrize("failing", [0, 1])
def test_a_raw_export_that_fails_on_one_leaves_nothing(tmp_path, rng, failing, monkeypatch):
    lx.from_array(values(rng), 4, tmp_path / "a")
    (tmp_path / "rock.raw").write_bytes(b"before")
    write = RawSink.write_stored

    def disk_full(self, box, stored):
        if self._own == (failing == 0):
            raise OSError(28, "No space left on device")
        write(self, box, stored)

    def work(world):
        lx.open(tmp_path / "a", world=world).export_raw(tmp_path / "rock.raw", overwrite=True)

    monkeypatch.setattr(RawSink, "write_stored", disk_full)
    results = on_threads(2, work)
    assert isinstance(results[failing], OSError)
    assert isinstance(results[1 - failing], ProcessFailure)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["rock.raw"]
    assert (tmp_path / "rock.raw").read_bytes() == b"before"


def test_a_raw_file_that_one_process_does_not_see(tmp_path, rng, monkeypatch):
    lx.from_array(values(rng), 4, tmp_path / "a")
    init = RawSink.__init__

    def blind(self, *args, part_of=None, **options):
        init(self, *args, part_of=None if part_of is None else tmp_path / "elsewhere" / part_of.name, **options)

    monkeypatch.setattr(RawSink, "__init__", blind)
    first, second = on_threads(2, lambda world: lx.open(tmp_path / "a", world=world).export_raw(tmp_path / "rock.raw"))
    assert isinstance(first, ProcessFailure)
    assert "was begun by process 0, but process 1 does not see it" in str(second)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


class SpreadOfResidual:
    """Standard deviation of a residual: a loss whose states (count, mean, squared deviations) do not add up."""

    def of(self, parameters, image, valid=None):
        inside = jnp.ones(image.shape, bool) if valid is None else valid
        residual = jnp.where(inside, image.astype(jnp.float64) ** 2 - parameters["offset"] * image, 0)
        count = jnp.sum(inside)
        mean = jnp.sum(residual) / jnp.maximum(count, 1)
        return {"count": count, "mean": mean, "squares": jnp.sum(jnp.where(inside, (residual - mean) ** 2, 0))}

    def combine(self, a, b):
        count = a["count"] + b["count"]
        share = b["count"] / count
        step = b["mean"] - a["mean"]
        return {
            "count": count,
            "mean": a["mean"] + share * step,
            "squares": a["squares"] + b["squares"] + a["count"] * share * step**2,
        }

    def finish(self, state):
        return jnp.sqrt(state["squares"] / state["count"])


@pytest.mark.parametrize("count", [2, 7])
def test_reductions_have_the_same_bits(tmp_path, rng, count):
    """Sums of float64 in the order of the blocks: the same rounding however blocks are dealt out."""
    data = rng.normal(size=SHAPE)
    phases = rng.integers(0, 2, SHAPE).astype("u1")
    lx.from_array(data, 3, tmp_path / "a")
    lx.from_array(phases, 3, tmp_path / "p")
    region = lx.regions.Sphere((5, 4, 6), 4)
    loss = lx.measure.MeanSquaredError(model=lambda p, v: p["gain"] * v)

    def work(world=None):
        image, phase = (lx.open(tmp_path / name, world=world) for name in "ap")
        moments = lx.chunk_reduce(lx.measure.Moments(), image, where=region, progress=False)
        value, gradient = lx.chunk_value_and_grad(loss, {"gain": 1.5}, image, image, progress=False)
        twice = lx.chunk_value_and_grad(SpreadOfResidual(), {"offset": 0.5}, image, where=region, progress=False)
        connected = lx.connectivity(phase, phases=1, progress=False)
        inside = lx.connectivity(phase, phases=1, where=region, progress=False)
        spread = float(twice[0]), float(twice[1]["offset"])
        return [repr(moments), float(value), float(gradient["gain"]), spread, connected, inside]

    expected = work()
    of = np.where(region.contains(*np.indices(SHAPE)), data, np.nan)
    assert expected[3][0] == pytest.approx(
        np.nanstd(of**2 - 0.5 * of), rel=1e-12
    )  # sums of 300 numbers in another order
    for found in succeeded(on_threads(count, work)):
        assert found == expected


@pytest.mark.parametrize("count", [2, 3])
def test_what_is_told_does_not_grow_with_the_number_of_blocks(tmp_path, rng, count):
    """Of a long state each process tells one, if any grouping gives the same bits; otherwise one for each node of a tree."""
    data = values(rng, "u2")
    lx.from_array(data, 2, tmp_path / "a")
    long = lx.measure.ValueCounts(0, 9_999)
    length = 8 * 10_000

    class Grouped:
        of, combine, finish = long.of, long.combine, long.finish

    def told(world, measurement):
        image, before = lx.open(tmp_path / "a", world=world), world.sent
        found = lx.chunk_reduce(measurement, image, progress=False)
        np.testing.assert_array_equal(found.counts[:200], np.bincount(data.ravel(), minlength=200))
        return world.sent - before

    def planned(world, measurement):
        return lx.plan(lx.chunk_reduce, measurement, lx.open(tmp_path / "a", world=world))

    for measurement, exact in ((long, True), (Grouped(), False)):
        (plan, *_) = succeeded(on_threads(count, partial(planned, measurement=measurement)))
        nodes = plan.bytes_exchanged / count / plan.state_bytes
        assert nodes == 1 if exact else 2 < nodes < plan.blocks / count
        for sent in succeeded(on_threads(count, partial(told, measurement=measurement))):
            assert length < sent <= nodes * length + 4000  # what is agreed on before, and counters beside the bins


def test_no_process_waits_for_another_between_blocks(tmp_path, rng):
    """The number of meetings does not grow with the number of blocks."""
    lx.from_array(values(rng), 4, tmp_path / "in")

    def meetings(world, chunks, name):
        image = lx.open(tmp_path / "in", world=world)
        before = world.exchanges
        lx.chunk_map(STENCILS, image, store=tmp_path / name, chunks=chunks, workers=1, progress=False)
        return world.exchanges - before

    few = succeeded(on_threads(2, lambda world: meetings(world, 8, "few")))
    many = succeeded(on_threads(2, lambda world: meetings(world, 2, "many")))
    assert few == many


def test_what_one_calls_alone_is_told_to_all(tmp_path, rng):
    """A histogram under `if world.first:` meets the others where they are, and all are told; opened by one alone it works."""
    lx.from_array(values(rng), 4, tmp_path / "a")

    def work(world):
        image = lx.open(tmp_path / "a", world=world)
        if world.first:
            assert lx.measure.histogram(lx.open(tmp_path / "a", world=SerialWorld())).counts.sum() == image.size
            return lx.measure.histogram(image)
        return image.copy(tmp_path / "b")

    for index, error in enumerate(on_threads(2, work)):
        assert isinstance(error, RuntimeError)
        assert f"process {index} came to " in str(error) or "different arguments: function is" in str(error)
    assert not (tmp_path / "b").exists()


@settings(max_examples=15)
@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    chunk=st.tuples(*[st.integers(1, 5)] * 3),
    count=st.integers(2, 6),
    inside=st.booleans(),
    seed=st.integers(0, 9),
)
def test_components_are_the_same_for_any_number_of_processes(tmp_path_factory, shape, chunk, count, inside, seed):
    """Against one process on one chunk, where nothing is joined across faces."""
    folder = tmp_path_factory.mktemp("connected")
    data = np.random.default_rng(seed).random(shape) < 0.4
    # About a voxel, so that it holds one in the smallest images, too.
    region = lx.regions.Sphere(tuple(n // 2 for n in shape), 0.6 * max(shape)) if inside else None
    lx.from_array(data, tuple(map(min, chunk, shape)), folder / "a")

    def work(world):
        return lx.connectivity(lx.open(folder / "a", world=world), where=region, progress=False)

    expected = lx.connectivity(lx.from_array(data, shape), where=region, progress=False)
    assert succeeded(on_threads(count, work)) == [expected] * count


def test_faces_go_to_the_process_behind_them_only(tmp_path, rng):
    """Each of eight processes has a layer of the image; all it tells is shorter than the numbers on one face of it in 64 bits."""
    coarse = rng.random((32, 8, 8)) < 0.31
    image = lx.from_array(np.kron(coarse, np.ones((4, 4, 4), bool)), 16, tmp_path / "a")
    assert lx.plan(lx.chunk_reduce, lx.measure.Moments(), image).blocks == 8 * 4

    def work(world):
        before = world.sent
        return lx.connectivity(lx.open(tmp_path / "a", world=world), progress=False), world.sent - before

    expected = lx.connectivity(image, progress=False)
    for found, sent in succeeded(on_threads(8, work)):
        assert found == expected
        assert sent < 8 * 32 * 32


def test_a_report_is_the_work_of_one_process(monkeypatch, tmp_path):
    from lithax.runtime import _connect

    def work(world):
        monkeypatch.setattr(_connect._Connection, "world", world)
        return lx.report(np.zeros((4, 4, 4), "u2"), tmp_path / "report")

    for error in on_threads(2, work):
        assert "report() is the work of one process, and 2 work together here" in str(error)
    assert not (tmp_path / "report").exists()


def test_more_processes_than_units(tmp_path, rng):
    data = values(rng)

    def work(world):
        image = lx.from_array(data, 16, tmp_path / "a", world=world)
        return lx.chunk_map(lambda v: v + 1, image, store=tmp_path / "b", progress=False).content_hash()

    assert set(succeeded(on_threads(4, work))) == {lx.from_array(data + 1).content_hash()}


def test_memory_of_one_process_is_refused(tmp_path, rng):
    data = values(rng)
    lx.from_array(data, 4, tmp_path / "a")
    for result in on_threads(2, lambda world: lx.chunk_map(abs, lx.open(tmp_path / "a", world=world))):
        assert isinstance(result, ValueError)
        assert "store=memory is the memory of one process, and 2 work together" in str(result)
    for result in on_threads(2, lambda world: lx.zeros((4, 4, 4), "u1", store="memory://shared", world=world)):
        assert isinstance(result, ValueError)
        assert "store=memory://shared is the memory of one process" in str(result)


def test_a_store_that_one_process_does_not_see(tmp_path, rng, monkeypatch):
    """As on a local disk of another machine: only the first process opens what it made itself."""

    def blind(place):
        raise FileNotFoundError(f"{place.label} does not exist")

    lx.from_array(values(rng), 4, tmp_path / "a")
    monkeypatch.setattr(_collective, "open_array", blind)
    for name, make in {
        "b": lambda world: lx.zeros(SHAPE, "u1", store=tmp_path / "b", world=world),
        "c": lambda world: lx.chunk_map(lambda v: v + 1, lx.open(tmp_path / "a", world=world), store=tmp_path / "c"),
    }.items():
        first, second = on_threads(2, make)
        assert isinstance(first, ProcessFailure)
        assert isinstance(second, FileNotFoundError)
        for error in (first, second):
            assert "was made by process 0, but process 1 does not see it" in str(error), name


def test_different_arguments_are_named(tmp_path, rng):
    lx.from_array(values(rng), 4, tmp_path / "a")

    def filtered(world):
        image = lx.open(tmp_path / "a", world=world)
        return lx.chunk_map(
            lx.ops.gaussian, image, sigma=1.0 + world.index, radius=2, store=tmp_path / "b", progress=False
        )

    def elsewhere(world):
        image = lx.open(tmp_path / "a", world=world)
        return lx.chunk_map(lambda v: v + 1, image, store=tmp_path / f"b{world.index}", progress=False)

    def measured(world):
        image = lx.open(tmp_path / "a", world=world)
        return lx.chunk_reduce(lx.measure.Moments(), image, where=image[:] > world.index, progress=False)

    def refused(world):
        image = lx.open(tmp_path / "a", world=world)
        return lx.chunk_map(lambda v: v + 1, image, store=tmp_path / "b", halo=0 if world.first else "all")

    def made(world):
        return lx.zeros((4, 4, 4 + world.index), "u1", store=tmp_path / "b", world=world)

    def exported(world):
        return lx.open(tmp_path / "a", world=world).export_raw(tmp_path / "b", order="FC"[world.index])

    def updated(world):
        return lx.open(tmp_path / "a", world=world).update(description=f"of {world.index}", voxel_length=2)

    def packed(world):
        return lx.sphere_pack((9, 9, 9), sphere_radius=1 + world.index / 8, store=tmp_path / "b", world=world)

    def filled(world):
        return lx.full((4, 4, 4), "u1", 3 + world.index, store=tmp_path / "b", world=world)

    def coarser(world):
        return lx.pyramid(lx.open(tmp_path / "a", world=world), smallest=4 + 4 * world.index, progress=False)

    def connected(world):
        return lx.connectivity(lx.open(tmp_path / "p", world=world), phases=world.index, progress=False)

    def restricted(world):
        image = lx.open(tmp_path / "a", world=world)
        return lx.measure.moments(image, where=lx.regions.Sphere((world.index, 0, 0), 3))

    lx.from_array(values(rng, "u1"), 4, tmp_path / "p")
    for call, told in {
        updated: "update() was called with different arguments: changes.description is 'of 0' in process 0 and 'of 1'",
        packed: "sphere_pack() was called with different arguments: sphere_radius is 1.0 in process 0 and 1.125",
        filled: "create() was called with different arguments: fill_value is '3' in process 0 and '4' in process 1",
        coarser: "pyramid() was called with different arguments: scales is [[2, 2, 2], [2, 2, 2]] in process 0 and [[2, 2, 2]]",
        connected: "connectivity() was called with different arguments: phases is 0 in process 0 and 1",
        restricted: "chunk_reduce() was called with different arguments: where.region is '",
    }.items():
        for result in on_threads(2, call):
            assert isinstance(result, ValueError), call
            assert told in str(result)
    assert lx.open(tmp_path / "a").description == ""
    for result in on_threads(2, made):
        assert "create() was called with different arguments: shape is (4, 4, 4) in process 0 and (4, 4, 5)" in str(
            result
        )
    for result in on_threads(2, exported):
        assert "export_raw() was called with different arguments: order is 'F' in process 0 and 'C'" in str(result)
    for result in on_threads(2, filtered):
        assert isinstance(result, ValueError)
        assert "different arguments: parameters.sigma is '1.0' in process 0 and '2.0'" in str(result)
    for result in on_threads(2, elsewhere):
        assert "different arguments: store is " in str(result)
    first, second = on_threads(2, refused)
    assert isinstance(first, ProcessFailure)
    assert isinstance(second, ValueError | TypeError)
    assert not (tmp_path / "b").exists()
    succeeded(on_threads(2, measured))  # what lies in memory cannot be compared


@pytest.mark.parametrize("failing", [0, 1])
def test_a_failure_is_everyones_and_another_number_of_processes_goes_on(tmp_path, rng, failing, monkeypatch):
    data = values(rng)
    lx.from_array(data, 4, tmp_path / "in")
    expected = lx.chunk_map(STENCILS, lx.open(tmp_path / "in"), store=tmp_path / "one", chunks=3, progress=False)
    record = Journal.record
    left = [4]

    def disk_full(self, unit, *digests):
        if self._process == failing:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
        record(self, unit, *digests)

    def work(world, resume=False):
        image = lx.open(tmp_path / "in", world=world)
        return lx.chunk_map(
            STENCILS, image, store=tmp_path / "out", chunks=3, workers=1, progress=False, resume=resume
        ).content_hash()

    monkeypatch.setattr(Journal, "record", disk_full)
    results = on_threads(2, work)
    assert isinstance(results[failing], OSError)
    assert isinstance(results[1 - failing], ProcessFailure)
    assert "No space left on device" in str(results[1 - failing])
    assert "in disk_full" in str(results[1 - failing])  # the traceback of the process that failed
    assert "resume=True" in results[1 - failing].__notes__[0]
    written = []
    monkeypatch.setattr(Journal, "record", lambda self, unit, *d: (written.append(unit), record(self, unit, *d)))
    for result in on_threads(2, work):
        assert isinstance(result, IncompleteImageError)
    assert set(succeeded(on_threads(3, lambda world: work(world, resume=True)))) == {expected.content_hash()}
    assert stored_files(tmp_path / "one") == stored_files(tmp_path / "out")
    assert 0 < len(written) < expected.nchunks
    assert len(set(written)) == len(written)
