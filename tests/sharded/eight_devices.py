"""Sharded arrays against whole ones; run by `test_eight_devices` where JAX has eight devices."""

import itertools
from functools import partial

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import Mesh

import lithax as lx
from lithax import arrays, runtime
from lithax.sharded import exchange_halo, filled_shape, make_mesh, stencil, valid

BOUNDARIES = ["reflect", "nearest", "mirror", "wrap", "constant"]
CASES = [  # counts, shape, halo
    ((2, 2, 2), (8, 6, 10), 1),
    ((2, 2, 2), (8, 6, 10), (0, 2, 3)),
    ((8, 1, 1), (16, 5, 4), 2),
    ((8, 1, 1), (16, 5, 4), (5, 1, 0)),  # wider than a part
    ((2, 2, 2), (7, 5, 9), 2),  # filler
    ((8, 1, 1), (9, 4, 5), (3, 0, 1)),  # parts that hold filler only
]


def blocks_of(padded, counts, halo, filled):
    """Cut what `exchange_halo` returned into the padded blocks, with the place of each."""
    halo = (halo,) * 3 if isinstance(halo, int) else halo
    lengths = [f // c for f, c in zip(filled, counts, strict=True)]
    for index in itertools.product(*map(range, counts)):
        there = tuple(
            slice(i * (n + 2 * h), (i + 1) * (n + 2 * h)) for i, n, h in zip(index, lengths, halo, strict=True)
        )
        yield [i * n for i, n in zip(index, lengths, strict=True)], padded[there]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("counts", "shape", "halo"), CASES)
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


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("shape", "halo"), [((8, 6, 4), 1), ((7, 5, 4), 2)])
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


def test_blocks_are_dealt_out_to_the_chosen_devices(monkeypatch):
    from lithax.chunked import _kernel

    used = []
    call = _kernel._JaxKernel.__call__
    monkeypatch.setattr(
        _kernel._JaxKernel, "__call__", lambda self, *a: (used.append(str(self.device)), call(self, *a))[1]
    )
    image = lx.from_array(np.random.default_rng(3).normal(size=(16, 16, 16)).astype("f4"), 4)
    expected = lx.chunk_map(partial(lx.ops.gaussian, sigma=1.0), image, progress=False).content_hash()
    assert len(runtime.devices()) == 8
    with runtime.using(devices=[1, 5]) as chosen:
        assert runtime.devices() == chosen == (jax.local_devices()[1], jax.local_devices()[5])
        assert lx.chunk_map(partial(lx.ops.gaussian, sigma=1.0), image, progress=False).content_hash() == expected
        assert {device: used.count(device) >= 16 for device in map(str, chosen)} == dict.fromkeys(
            map(str, chosen), True
        )
        assert dict(make_mesh().shape) == {"x": 2, "y": 1, "z": 1}
    with runtime.using(devices=[]) as chosen:
        assert [d.platform for d in chosen] == ["cpu"]
    with pytest.raises(ValueError, match="devices 0 to 7"), runtime.using(devices=[8]):
        pass
    with pytest.raises(ValueError, match="twice"), runtime.using(devices=[1, 1]):
        pass
    assert "process 0 of 1" in runtime.report()
