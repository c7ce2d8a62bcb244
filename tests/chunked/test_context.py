"""Operations that know where their block lies, and operations whose result is on another grid."""

from fractions import Fraction
from functools import partial

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given, settings

from lithax import chain, chunk_map, domain, ops, voxel_op
from lithax.arrays import namespace
from lithax.images import from_array
from lithax.regions import Sphere
from lithax.testing import assert_chunk_invariant, assert_same_bits, boundary_rules, grids, image_shapes, voxels

from .operations import uphill

SHAPE, CHUNKS = (7, 6, 9), (3, 4, 4)


def run(fn, *images, **options):
    return chunk_map(fn, *images, progress=False, **options)


@voxel_op(context=True)
def place(x, *, block):
    """The index of every voxel as one number."""
    i, j, k = block.index(x)
    _, ny, nz = block.shape
    return (i * ny + j) * nz + k


@voxel_op(context=True)
def where_it_is(x, *, block):
    a, b, c = block.coordinates(x)
    return x * 0 + a + 100 * b + 10_000 * c


@voxel_op(context=True)
def noise(x, *, block, amplitude=1.0):
    """A hash of seed and index: no state, so that the chunks cannot matter."""
    xp = namespace(x)
    i, j, k = (xp.astype(v, xp.uint64) for v in block.index(x))
    mixed = xp.astype(xp.asarray(block.seed), xp.uint64)
    for number in (i, j, k):
        mixed = (mixed ^ number) * xp.asarray(0x9E3779B97F4A7C15, dtype=xp.uint64)
        mixed = mixed ^ (mixed >> xp.asarray(31, dtype=xp.uint64))
    return x + amplitude * xp.astype(mixed >> xp.asarray(40, dtype=xp.uint64), x.dtype)


@voxel_op(context=True, halo=1, masked=lambda x, *, valid, block: count_valid.body(x, block=block))
def count_valid(x, *, block):
    """How many of the 7 nearest voxels are there, at the faces of the image and of a selection."""
    xp = namespace(x)
    there = xp.astype(block.valid, xp.int32)
    core = there[1:-1, 1:-1, 1:-1]
    return (
        core + there[2:, 1:-1, 1:-1] + there[:-2, 1:-1, 1:-1] + there[1:-1, 2:, 1:-1] + there[1:-1, :-2, 1:-1]
        + there[1:-1, 1:-1, 2:] + there[1:-1, 1:-1, :-2]
    )  # fmt: skip


def neighbours(taken):
    padded = np.pad(taken.astype(np.int32), 1)
    core = padded[1:-1, 1:-1, 1:-1]
    total = core.copy()
    for axis in range(3):
        for shift in (-1, 1):
            total += np.roll(padded, shift, axis)[1:-1, 1:-1, 1:-1]
    return total


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_the_index_of_every_voxel(backend):
    found = run(place, from_array(np.zeros(SHAPE), chunks=CHUNKS), backend=backend)
    np.testing.assert_array_equal(np.asarray(found), np.arange(np.prod(SHAPE)).reshape(SHAPE))


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_coordinates_are_those_of_the_image(backend):
    geometry = {"voxel_length": (0.5, 2.0, 1.0), "voxel_origin": (-3.0, 1.0, 7.0), "voxel_unit": "um"}
    image = from_array(np.zeros(SHAPE), chunks=CHUNKS, **geometry)
    x, y, z = image.index_to_coordinate(*np.indices(SHAPE))
    found = run(where_it_is, image, backend=backend)
    np.testing.assert_array_equal(np.asarray(found), x + 100 * y + 10_000 * z)  # small whole and half numbers: exact


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_noise_is_the_same_for_every_chunking(backend):
    x = np.zeros(SHAPE)
    found = [np.asarray(run(noise, from_array(x, chunks=c), seed=5, backend=backend)) for c in (9, 4, (1, 6, 2))]
    for other in found[1:]:
        assert_same_bits(other, found[0])
    assert_same_bits(found[0], noise(x, seed=5))
    assert len(np.unique(found[0])) == x.size
    assert not np.array_equal(found[0], noise(x, seed=6))
    once = run(noise, from_array(x, chunks=4), seed=5, backend=backend, amplitude=0.0)
    assert_same_bits(np.asarray(once), x)


def test_noise_within_a_chain(rng):
    x = rng.random(SHAPE)
    for boundary in ("reflect", "wrap"):
        fn = chain(noise, partial(ops.median, radius=1, boundary=boundary), noise)
        assert_chunk_invariant(fn, x, chunks=[CHUNKS, (7, 2, 3)], seed=3, backend="numpy")
    assert_chunk_invariant(chain(noise, partial(ops.median, boundary="mirror")), x, chunks=[CHUNKS], seed=3)


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_valid_is_false_on_filler(backend, rng):
    x = rng.random(SHAPE)
    image = from_array(x, chunks=CHUNKS)
    everywhere = np.ones(SHAPE, bool)
    np.testing.assert_array_equal(np.asarray(run(count_valid, image, backend=backend)), neighbours(everywhere))
    region = Sphere((3.0, 3.0, 4.0), 2.5)
    inside = region.contains(*np.indices(SHAPE).astype(float))
    found = run(count_valid, image, where=domain(region=region), backend=backend)
    np.testing.assert_array_equal(np.asarray(found), np.where(inside, neighbours(inside), 0))


@pytest.mark.parametrize("seed", [-1, 2**31, 1.5, True, None])
def test_seeds_that_cannot_be(seed):
    with pytest.raises(ValueError, match=r"must be a whole number from 0 to 2\*\*31 - 1"):
        run(noise, from_array(np.zeros(SHAPE)), seed=seed)


# Another grid


@voxel_op(scale=(2, 3, 1))
def coarse(block):
    pairs = block[::2] + 2 * block[1::2]
    return pairs[:, ::3] + 3 * pairs[:, 1::3] - pairs[:, 2::3]


@voxel_op(scale=2, halo=(1, 0, 2))
def coarse_with_halo(block):
    x, y, z = (block.shape[0] - 2) // 2, block.shape[1] // 2, (block.shape[2] - 4) // 2
    rows = block[: 2 * x : 2] - 2 * block[3 : 3 + 2 * x : 2]
    return rows[:, : 2 * y : 2, 4 : 4 + 2 * z : 2] + 0.5 * rows[:, 1 : 2 * y : 2, : 2 * z : 2]


def _split(xp, block, axis, weights):
    shape = list(block.shape)
    shape[axis] *= len(weights)
    return xp.reshape(xp.stack([w * block for w in weights], axis=axis + 1), tuple(shape))


@voxel_op(scale=(Fraction(1, 2), 1, Fraction(1, 3)))
def fine(block):
    xp = namespace(block)
    return _split(xp, _split(xp, block, 0, (1.0, 2.0)), 2, (1.0, -1.0, 3.0))


@voxel_op(scale=(Fraction(1, 2), 1, 1), halo=1)
def fine_with_halo(block):
    core = block[1:-1, 1:-1, 1:-1]
    low, high = 0.25 * block[:-2, 1:-1, 1:-1] + 0.75 * core, 0.75 * core + 0.25 * block[2:, 1:-1, 1:-1]
    xp = namespace(block)
    return xp.reshape(xp.stack([low, high], axis=1), (2 * core.shape[0], *core.shape[1:]))


@settings(max_examples=40)
@given(data=st.data())
def test_coarser_and_finer_grids_on_numpy(data):
    """Chunks of the result need not divide by the scale, the image need not divide by the coarser voxel."""
    shape, (chunks, shards) = data.draw(image_shapes()), data.draw(grids())
    x = data.draw(voxels(shape))
    fn = partial(
        data.draw(st.sampled_from([coarse, coarse_with_halo, fine, fine_with_halo])),
        boundary=data.draw(boundary_rules()),
        boundary_value=2.0,
    )
    if data.draw(st.booleans()):
        fn = chain(partial(uphill, boundary=data.draw(boundary_rules())), fn)
    image = from_array(x, chunks=data.draw(grids())[0])
    found = run(fn, image, chunks=chunks, shards=shards, backend="numpy", workers=2)
    assert_same_bits(np.asarray(found), fn(x))


@pytest.mark.parametrize("fn", [coarse, coarse_with_halo, fine, fine_with_halo])
def test_coarser_and_finer_grids_compiled(fn, rng):
    x = rng.random((7, 6, 9)).astype(np.float32)
    found = run(fn, from_array(x, chunks=4), chunks=(3, 2, 5), boundary="mirror")
    assert_same_bits(np.asarray(found), np.asarray(jax.jit(partial(fn, boundary="mirror"))(x)))


def test_geometry_follows_the_grid(rng):
    geometry = {"voxel_length": (1.0, 2.0, 3.0), "voxel_origin": (10.0, 20.0, 30.0), "voxel_unit": "mm"}
    image = from_array(rng.random((6, 6, 4)), chunks=4, **geometry)
    small = run(coarse, image)
    assert small.shape == (3, 2, 4)
    assert small.voxel_length == (2.0, 6.0, 3.0)
    assert small.voxel_origin == (10.5, 22.0, 30.0)
    assert small.extent == image.extent
    large = run(fine, image)
    assert large.shape == (12, 6, 12)
    assert large.extent[0] == pytest.approx(image.extent[0])
    assert large.extent[1] == pytest.approx(image.extent[1])
    ragged = run(coarse, from_array(rng.random((5, 4, 4)), **geometry))
    assert ragged.shape == (3, 2, 4)
    assert ragged.voxel_origin == small.voxel_origin


def test_a_body_that_does_not_keep_its_word(rng, tmp_path):
    @voxel_op(scale=2)
    def wrong(block):
        return block

    @voxel_op(halo=1)
    def narrow(block):
        return block[2:]

    for fn, backend in [(wrong, "jax"), (wrong, "numpy"), (narrow, "jax"), (narrow, "numpy")]:
        with pytest.raises(ValueError, match="a function of voxels returns one value per voxel of the core"):
            run(fn, from_array(rng.random((4, 4, 4))), store=tmp_path / "out.zarr", backend=backend)
    assert not (tmp_path / "out.zarr").exists()
