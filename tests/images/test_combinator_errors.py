"""One clear error each, naming argument, value, rule and way out, before anything is written; no stray store behind."""

from functools import partial

import numpy as np
import pytest
from zarr.storage import LocalStore

import lithax as lx
from lithax import chunk_map, chunk_reduce, ops, plan, voxel_op
from lithax.errors import MemoryLimitError
from lithax.images import create, from_array
from lithax.testing import assert_same_bits

SHAPE, CHUNKS = (8, 6, 7), (4, 3, 7)


@pytest.fixture
def x(rng):
    return rng.random(SHAPE).astype("f4")


@pytest.fixture
def image(x):
    return from_array(x, chunks=CHUNKS)


@voxel_op
def of_two(a, b, *, weight=1.0):
    return a + weight * b


def plain(v):
    return v + 1


CALLS = {
    "no image": (lambda i: chunk_map(plain), TypeError, r"chunk_map\(\) needs at least one image after the function"),
    "not an image": (lambda i: chunk_map(plain, 3), TypeError, r"image 0 of chunk_map\(\) is a int; give an image"),
    "a path": (
        lambda i: chunk_map(plain, "a.zarr"),
        TypeError,
        r"image 0 of chunk_map\(\) is a str; give an image .lx.open",
    ),
    "image first": (lambda i: chunk_map(i, plain), TypeError, "image 0 .* is a function; give an image"),
    "not a function": (lambda i: chunk_map("median", i), TypeError, "'median' is a str, not a function of arrays"),
    "four axes": (
        lambda i: chunk_map(plain, np.ones((2, 2, 2, 2))),
        ValueError,
        "must be three positive integers|three axes",
    ),
    "another shape": (
        lambda i: chunk_map(plain, i, np.ones((8, 6, 6))),
        ValueError,
        r"image 1 has shape \(8, 6, 6\), the first \(8, 6, 7\); images of one call must agree",
    ),
    "too few images": (lambda i: chunk_map(of_two, i), TypeError, r"of_two takes 2 image\(s\), 1 were given"),
    "too many images": (lambda i: chunk_map(ops.median, i, i), TypeError, r"median takes 1 image\(s\), 2 were given"),
    "unknown keyword": (
        lambda i: chunk_map(ops.median, i, raduis=1),
        TypeError,
        r"median\(\) has no parameter 'raduis'; its parameters are: radius, footprint",
    ),
    "a parameter twice": (
        lambda i: chunk_map(ops.median, i, parameters={"radius": 1}, radius=1),
        TypeError,
        r"\['radius'\] are given both in parameters= and as keywords",
    ),
    "parameters in a list": (
        lambda i: chunk_map(ops.median, i, parameters=[1]),
        TypeError,
        "parameters is a list; give a mapping",
    ),
    "halo of an operation": (
        lambda i: chunk_map(ops.median, i, halo=1),
        ValueError,
        "halo=1: median declares its own halo",
    ),
    "negative halo": (lambda i: chunk_map(plain, i, halo=-1), ValueError, "halo=-1 must be a number of voxels >= 0"),
    "halo of two": (
        lambda i: chunk_map(plain, i, halo=(1, 2)),
        ValueError,
        r"halo=\(1, 2\) must be a number of voxels",
    ),
    "halos of other images": (
        lambda i: chunk_map(plain, i, halo=[1, 2]),
        ValueError,
        r"halo=\[1, 2\] lists 2 halos for 1 images; give one per image",
    ),
    "unknown boundary": (
        lambda i: chunk_map(ops.median, i, boundary="symmetric"),
        ValueError,
        "boundary='symmetric' is not a boundary rule; use one of 'reflect'",
    ),
    "two boundaries": (
        lambda i: chunk_map(partial(ops.median, boundary="wrap"), i, boundary="mirror"),
        ValueError,
        "boundary='mirror' contradicts boundary='wrap' of median; give it once",
    ),
    "unknown backend": (
        lambda i: chunk_map(plain, i, backend="tensorflow"),
        ValueError,
        "backend='tensorflow' is not known; use 'jax', 'numpy', 'torch', 'cupy', or an array-API namespace",
    ),
    "no workers": (lambda i: chunk_map(plain, i, workers=0), ValueError, "workers=0 must be a whole number >= 1"),
    "half a worker": (lambda i: chunk_map(plain, i, workers=1.5), ValueError, "workers=1.5 must be a whole number"),
    "negative memory": (
        lambda i: chunk_map(plain, i, memory_limit=-1),
        ValueError,
        "memory_limit=-1 must be a positive number",
    ),
    "memory in words": (
        lambda i: chunk_map(plain, i, memory_limit="much"),
        ValueError,
        "memory_limit='much' is not a size; write for example 2 \\* 2\\*\\*30 or '2 GiB'",
    ),
    "resume by name": (
        lambda i: chunk_map(plain, i, resume="yes"),
        ValueError,
        "resume='yes' must be True, False or 'force'",
    ),
    "bad chunks": (lambda i: chunk_map(plain, i, chunks=(4, 3)), ValueError, r"chunks=\(4, 3\) must be an edge length"),
    "chunks of nothing": (lambda i: chunk_map(plain, i, chunks=0), ValueError, "chunks=0 must be positive"),
    "chunks and shards": (
        lambda i: chunk_map(plain, i, chunks=4, shards=6),
        ValueError,
        r"chunks=\(4, 4, 4\) must divide shards=\(6, 6, 6\)",
    ),
    "chunks of two results": (
        lambda i: chunk_map(plain, i, chunks=[4, 3]),
        ValueError,
        "chunks are given for 2 results, plain.* returns 1 arrays",
    ),
    "bad dtype": (lambda i: chunk_map(plain, i, dtype="f3"), TypeError, "f3"),
    "text": (
        lambda i: chunk_map(plain, i, dtype="U8"),
        TypeError,
        "dtype='U8' must be boolean, integer, float or complex",
    ),
    "stores of two results": (
        lambda i: chunk_map(plain, i, store=("a", "b")),
        ValueError,
        "store has 2 values for 1 results; give one each",
    ),
    "a name that is no text": (lambda i: chunk_map(plain, i, field_name=3), TypeError, "field_name=3 must be text"),
    "result of another shape": (
        lambda i: chunk_map(lambda v: v[1:], i),
        ValueError,
        r"<lambda> returned shape .* return the core .* or the padded shape",
    ),
    "a number": (
        lambda i: chunk_map(lambda v: v.mean(), i),
        ValueError,
        "returned a single value .* use lx.chunk_reduce",
    ),
    "nothing": (lambda i: chunk_map(lambda v: None, i, backend="numpy"), ValueError, "<lambda> returned a NoneType"),
    "not a measurement": (
        lambda i: chunk_reduce(np.mean, i),
        TypeError,
        "measure is a .* without the method 'of'; give a measurement such as lx.measure.Moments",
    ),
    "plan of something else": (
        lambda i: plan(lx.open, plain, i),
        TypeError,
        r"plan\(\) knows the functions of lx.measure, .* chunk_map, chunk_reduce",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_said_at_once(name, image):
    call, error, message = CALLS[name]
    with pytest.raises(error, match=message):
        call(image)


@pytest.mark.parametrize(
    "name",
    [n for n in CALLS if "store" not in n and n not in ("no image", "plan of something else", "not a measurement")],
)
def test_nothing_is_left_behind(name, image, tmp_path, monkeypatch):
    """The same calls with a store to write to."""
    call, error, _ = CALLS[name]
    made = lx.images._chunk_map.chunk_map

    def with_store(*arguments, **options):
        return made(*arguments, store=tmp_path / "out.zarr", **options)

    monkeypatch.setitem(globals(), "chunk_map", with_store)
    with pytest.raises(error):
        call(image)
    assert not list(tmp_path.iterdir())


def test_geometries_that_differ(image, x, tmp_path):
    other = from_array(x, chunks=CHUNKS, voxel_length=(1, 1, 2))
    with pytest.raises(ValueError, match=r"image 1 has its first voxel at .*correct one of them with image.update"):
        chunk_map(of_two, image, other, store=tmp_path / "out.zarr")
    other.update(voxel_length=1.0)
    chunk_map(of_two, image, other, store=tmp_path / "out.zarr", progress=False)


def test_places_that_are_taken(image, x, tmp_path):
    store = tmp_path / "a.zarr"
    from_array(x, store=store)
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    with pytest.raises(FileExistsError, match="holds an image already; pass overwrite=True to replace it"):
        chunk_map(plain, image, store=store)
    (tmp_path / "text.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="is a file, not a Zarr store"):
        chunk_map(plain, image, store=tmp_path / "text.txt", overwrite=True)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes").write_text("precious")
    with pytest.raises(FileExistsError, match="is a directory that holds something else"):
        chunk_map(plain, image, store=tmp_path / "folder", overwrite=True)
    assert before == sorted(p.relative_to(tmp_path) for p in store.parent.rglob("*") if "a.zarr" in str(p))
    with pytest.raises(ValueError, match="holds one of the inputs; for a change in place pass out=image"):
        chunk_map(plain, lx.open(store), store=store, overwrite=True)
    mask = from_array(x > 0.5, store=tmp_path / "mask.zarr")
    with pytest.raises(ValueError, match="holds one of the inputs"):
        chunk_map(plain, image, where=mask, store=tmp_path / "mask.zarr", overwrite=True)
    assert_same_bits(np.asarray(lx.open(store)), x)


def test_read_only(image, x, tmp_path):
    store = tmp_path / "a.zarr"
    from_array(x, store=store)
    readable = lx.open(store, mode="r")
    with pytest.raises(PermissionError, match="is read-only"):
        chunk_map(plain, readable, out=readable)
    with pytest.raises(PermissionError, match="is read-only"):
        readable += 1
    with pytest.raises(PermissionError, match="is read-only; an image cannot be made there"):
        chunk_map(plain, image, store=LocalStore(tmp_path / "new", read_only=True))
    assert not (tmp_path / "new").exists()
    assert_same_bits(np.asarray(readable), x)


def test_images_to_write_into(image, x, tmp_path):
    target = create(SHAPE, "f4", chunks=CHUNKS)
    cases = [
        ({"out": "a.zarr"}, TypeError, "out is a str; give an image to write into"),
        ({"out": np.zeros(SHAPE)}, TypeError, "out is a ndarray; give an image"),
        ({"out": create((8, 6, 6), "f4")}, ValueError, r"out has shape \(8, 6, 6\), the result \(8, 6, 7\)"),
        ({"out": create(SHAPE, "f4", voxel_length=2)}, ValueError, "out has its first voxel at"),
        (
            {"out": create(SHAPE, "u1")},
            TypeError,
            "returns float32, which cannot be written into out of uint8 without loss",
        ),
        ({"out": (target, target)}, ValueError, "2 dtypes .or images in out.|out has 2 images"),
        ({"out": target, "chunks": 4}, ValueError, "chunks= and shards= are those of out; leave them out"),
        ({"out": target, "dtype": "f4"}, ValueError, "dtype='f4' is that of out"),
        ({"out": target, "store": tmp_path / "out.zarr"}, ValueError, "leave store= and path= out"),
    ]
    for options, error, message in cases:
        for backend in ("jax", "numpy"):
            with pytest.raises(error, match=message):
                chunk_map(plain, image, backend=backend, **options)
    with pytest.raises(ValueError, match=r"out is one of the inputs, but median.* looks at neighbouring voxels"):
        chunk_map(ops.median, image, out=image)
    assert not np.asarray(target).any()
    assert_same_bits(np.asarray(image), x)
    assert not list(tmp_path.iterdir())


def test_several_outputs_all_or_none(image, x, tmp_path):
    first, second = tmp_path / "a.zarr", tmp_path / "b.zarr"
    from_array(x, store=second)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def two(v):
        return v, v + 1

    for backend in ("jax", "numpy"):
        with pytest.raises(FileExistsError, match=r"b\.zarr holds an image already"):
            chunk_map(two, image, store=(first, second), backend=backend)
        with pytest.raises(ValueError, match="must name one place for each of the 2 results"):
            chunk_map(two, image, store=first, backend=backend)
        with pytest.raises(ValueError, match="must name one place for each of the 2 results"):
            chunk_map(two, image, store=(first, f"{tmp_path}/./a.zarr"), backend=backend)
        with pytest.raises(ValueError, match="store has 3 values for 2 results"):
            chunk_map(two, image, store=(first, second, None), backend=backend)
        with pytest.raises(TypeError, match="field_name=5 must be text"):
            chunk_map(two, image, store=(first, None), field_name=("a", 5), backend=backend)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    made = chunk_map(two, image, store=(first, None), path=("inside", None), field_name=("a", "b"), progress=False)
    assert_same_bits(np.asarray(lx.open(first, path="inside")), x)
    assert [m.field_name for m in made] == ["a", "b"]
    one = chunk_map(two, image, store=tmp_path / "c.zarr", path=("p", "q"), progress=False)
    assert_same_bits(np.asarray(lx.open(tmp_path / "c.zarr", path="q")), np.asarray(one[1]))


def test_a_second_output_that_cannot_be_made_takes_the_first_along(image, tmp_path, monkeypatch):
    from lithax.storage import _objects

    write = _objects.DirectoryObjects.write

    def failing(self, key, payload):
        if "b.zarr" in str(self.root):
            raise OSError("no room")
        write(self, key, payload)

    monkeypatch.setattr(_objects.DirectoryObjects, "write", failing)
    with pytest.raises(OSError, match="no room"):
        chunk_map(lambda v: (v, v), image, store=(tmp_path / "a.zarr", tmp_path / "b.zarr"))
    assert not list(tmp_path.iterdir())


def test_more_memory_than_may_be_used(rng, tmp_path):
    image = from_array(rng.random((64, 64, 64)), chunks=32)
    with pytest.raises(
        MemoryLimitError, match=r"the call needs up to .* for results in memory.*memory_limit is 1.0 MiB; give store="
    ):
        chunk_map(plain, image, memory_limit=2**20)
    with pytest.raises(
        MemoryLimitError, match=r"blocks in flight.*memory_limit is 1.0 MiB; use smaller chunks .*or fewer workers"
    ):
        chunk_map(plain, image, memory_limit="1 MiB", store=tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()
    with pytest.raises(MemoryError):
        chunk_map(plain, image, memory_limit=1)


def test_a_package_that_is_missing(image, monkeypatch):
    import importlib

    real = importlib.import_module

    def without_cupy(name, *rest):
        if name.endswith("cupy"):
            raise ImportError("No module named 'cupy'")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without_cupy)
    with pytest.raises(ImportError, match="backend='cupy' needs the package cupy, which is not installed"):
        chunk_map(plain, image, backend="cupy")


def test_a_function_that_fails_while_it_is_traced(image, tmp_path):
    def wrong(v):
        raise ZeroDivisionError("of the user's own")

    for backend in ("jax", "numpy"):
        with pytest.raises(ZeroDivisionError, match="of the user's own"):
            chunk_map(wrong, image, store=tmp_path / "out.zarr", backend=backend)
    with pytest.raises(TypeError, match="positional argument"):
        chunk_map(lambda a, b: a, image, store=tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()


def test_a_plan_makes_nothing_and_says_what_a_call_would_do(image, x, tmp_path):
    made = plan(chunk_map, ops.median, image, radius=1, store=tmp_path / "out.zarr", workers=3)
    assert made.blocks * np.prod(made.block_shape) >= image.size
    assert made.halos == ((1, 1, 1),)
    assert made.compilations == 1
    assert made.bytes_written == x.nbytes
    assert made.bytes_read > x.nbytes
    assert made.fits
    assert not plan(chunk_map, ops.median, image, memory_limit=1).fits
    assert "median" in str(made)
    assert not list(tmp_path.iterdir())
    reduced = plan(chunk_reduce, lx.measure.Moments(), image)
    assert reduced.bytes_read == x.nbytes
    assert reduced.bytes_written == 0
    with pytest.raises(ValueError, match="boundary='edge'"):
        plan(chunk_map, ops.median, image, boundary="edge")
