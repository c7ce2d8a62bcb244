"""Which plain functions without halo are let through, and what the others are told."""

import equinox as eqx
import jax
import numpy as np
import pytest
from jax import lax
from jax import numpy as jnp

from lithax import chain, chunk_map
from lithax.chunked._elementwise import check_jaxpr
from lithax.errors import NotElementwiseError
from lithax.images import from_array
from lithax.testing import assert_chunk_invariant

TABLE = np.linspace(0, 3, 20, dtype=np.float32) ** 2
EVEN = np.arange(4.0, dtype=np.float32)


@jax.custom_jvp
def with_own_derivative(v):
    return 3 * v


with_own_derivative.defjvp(lambda primals, tangents: (3 * primals[0], 3 * tangents[0]))


class Affine(eqx.Module):
    gain: jax.Array
    shift: float

    def __call__(self, v):
        return self.gain * v + self.shift


ELEMENTWISE = {
    "product": lambda v: v * 2,
    "where": lambda v: jnp.where(v > 1, v, 0),
    "clip": lambda v: jnp.clip(v, 0, 1),
    "rounding": lambda v: jnp.round(v, 1) + v // 2 + v % 2,
    "special functions": lambda v: jax.scipy.special.gammaln(v) + jax.nn.softplus(v) + jax.nn.sigmoid(v),
    "complex": lambda v: jnp.abs(jnp.exp(1j * v)),
    "nan_to_num": jnp.nan_to_num,
    "bits": lambda v: lax.bitcast_convert_type(v, jnp.int32) & 0xFF,
    "constant": lambda v: jnp.full_like(v, 3),
    "size one": lambda v: v * jnp.ones((1, 1, 1)),
    "select": lambda v: jnp.select([v > 1, v > 0], [v, 2 * v], 0),
    "nested jit": lambda v: jax.jit(lambda w: jax.jit(jnp.sin)(w) + 1)(v),
    "custom derivative": with_own_derivative,
    "checkpoint": jax.checkpoint(lambda v: jnp.sin(v) * v),
    "module": Affine(jnp.asarray(2.0), 1.0),
    "cond on a table": lambda v: lax.cond(jnp.asarray(TABLE)[2] > 1, jnp.sin, jnp.cos, v),
    "fori_loop": lambda v: lax.fori_loop(0, 3, lambda i, s: s * v + i, v),
    "fori_loop over a table": lambda v: lax.fori_loop(
        0, 3, lambda i, s: s * v + jnp.asarray(TABLE)[i], jnp.zeros_like(v)
    ),
    "Newton steps": lambda v: lax.while_loop(
        lambda s: s[0] < 4, lambda s: (s[0] + 1, s[1] - (s[1] ** 2 - v) / (2 * s[1])), (0, v + 1)
    )[1],
    "scan": lambda v: lax.scan(lambda c, r: (c + v * r, c), v, jnp.asarray(EVEN))[1].sum(axis=0),
    "polynomial": lambda v: jnp.polyval(jnp.asarray(EVEN), v),
    "table": lambda v: jnp.asarray(TABLE)[v.astype(jnp.int32)],
    "take": lambda v: jnp.take(jnp.asarray(TABLE), v.astype(jnp.int32), mode="clip"),
    "interpolation": lambda v: jnp.interp(v, np.arange(20.0), TABLE),
    "bins": lambda v: jnp.digitize(v, np.arange(3.0)),
    "largest of several": lambda v: jnp.stack([v, 2 * v, 1 - v]).max(axis=0),
    "median of three": lambda v: jnp.sort(jnp.stack([v, -v, 1 + 0 * v], -1), -1)[..., 1],
    "log-sum-exp": lambda v: jax.nn.logsumexp(jnp.stack([v, -v]), axis=0),
    "vmap": lambda v: jax.vmap(jax.vmap(jax.vmap(lambda s: s**2 + 1)))(v),
    "derivative": lambda v: jax.vmap(jax.vmap(jax.vmap(jax.grad(lambda s: jnp.sin(s) * s**2))))(v),
    "there and back": lambda v: v.transpose(2, 1, 0).transpose(2, 1, 0) + v,
    "an axis more": lambda v: v[..., None].reshape((*v.shape, 1))[..., 0],
    "mixing that nobody uses": lambda v: (v.mean(), v * 2)[1],
    "two results": lambda v: (v, v > 1),
}
MIXING = {
    "mean": (lambda v: v - v.mean(), "reduce_sum"),
    "maximum": (lambda v: v / v.max(), "reduce_max"),
    "row mean": (lambda v: v - v.mean(axis=2, keepdims=True), "reduce_sum"),
    "row maximum in vmap": (lambda v: jax.vmap(lambda s: s - s.max())(v), "reduce_max"),
    "cumulative sum": (lambda v: jnp.cumsum(v, 0), "cumsum"),
    "sort": (lambda v: jnp.sort(v, -1), "sort"),
    "flattening": (lambda v: v.reshape(-1).reshape(v.shape), "reshape"),
    "roll": (lambda v: jnp.roll(v, 1, 0), "slice"),
    "shift": (lambda v: v - v[:1], "slice"),
    "one voxel": (lambda v: v - v[0, 0, 0], "slice"),
    "difference": (lambda v: jnp.diff(v, axis=0, prepend=0), "concatenate"),
    "padding": (lambda v: jnp.pad(v, 1)[1:-1, 1:-1, 1:-1] + jnp.pad(v, 1)[:-2, 1:-1, 1:-1], "pad"),
    "flip": (lambda v: v[::-1], "rev"),
    "transposition": (lambda v: v.transpose(2, 1, 0), "transpose"),
    "with its transpose": (lambda v: v + v.transpose(2, 1, 0), "transpose"),
    "fft": (lambda v: jnp.fft.fftn(v).real, "fft"),
    "matrix product": (lambda v: v @ jnp.ones((4, 4)), "dot_general"),
    "convolution": (
        lambda v: lax.conv_general_dilated(v[None, None], jnp.ones((1, 1, 3, 3, 3)), (1, 1, 1), "SAME")[0, 0],
        "conv_general_dilated",
    ),
    "scan over voxels": (lambda v: lax.scan(lambda c, r: (c + r, c + r), jnp.zeros(v.shape[1:]), v)[1], "scan"),
    "loop until all": (lambda v: lax.while_loop(lambda s: (s > 1).any(), lambda s: s / 2, v), "reduce_or"),
    "branch on all": (lambda v: lax.cond(v.sum() > 0, jnp.sin, jnp.cos, v), "reduce_sum"),
    "transposing loop": (lambda v: lax.fori_loop(0, 3, lambda i, s: s.transpose(2, 1, 0), v), "transpose"),
    "table of voxels": (lambda v: jnp.take(v, jnp.zeros(4, jnp.int32), axis=0), "gather"),
    "callback": (
        lambda v: jax.pure_callback(np.asarray, jax.ShapeDtypeStruct(v.shape, v.dtype), v),
        "pure_callback",
    ),
    "place in the block": (lambda v: v * jnp.arange(v.shape[2]), "iota"),
    "only the place": (lambda v: jnp.broadcast_to(jnp.arange(v.shape[2]), v.shape), "iota"),
    "first row": (lambda v: jnp.where(jnp.arange(4)[:, None, None] == 0, 0, v), "iota"),
    "constants per place": (lambda v: v * EVEN, "an array of constants"),
    "random numbers": (lambda v: v + jax.random.uniform(jax.random.key(0), v.shape), "random_bits"),
    "only random numbers": (lambda v: jax.random.normal(jax.random.key(1), v.shape), "random_bits"),
}


def check(function, *parameters):
    block = jax.ShapeDtypeStruct((4, 4, 4), np.float32)
    check_jaxpr(jax.make_jaxpr(function)(block, *parameters).jaxpr, "it", 1)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_let_through(name):
    check(ELEMENTWISE[name])


@pytest.mark.parametrize("name", MIXING)
def test_refused_by_name(name):
    function, primitive = MIXING[name]
    with pytest.raises(NotElementwiseError, match=primitive):
        check(function)


def test_blocks_of_one_voxel_are_no_way_around():
    one = jax.make_jaxpr(lambda v: v - v.mean())(jax.ShapeDtypeStruct((1, 1, 1), np.float32))
    with pytest.raises(NotElementwiseError, match="reduce_sum"):
        check_jaxpr(one.jaxpr, "it", 1)


def test_arrays_among_the_parameters():
    table = jax.ShapeDtypeStruct((20,), np.float32)
    check(lambda v, t: t[0] * v + t[1], table)
    check(lambda v, t: t[v.astype(jnp.int32)] - t.mean(), table)
    with pytest.raises(NotElementwiseError, match="an array among the parameters"):
        check(lambda v, t: v * t[:4], table)


@pytest.mark.parametrize("name", ["table", "interpolation", "module", "scan", "mixing that nobody uses", "two results"])
def test_what_is_let_through_is_the_same_on_chunks(name, rng):
    x = rng.uniform(0, 5, (5, 4, 6)).astype(np.float32)
    function = ELEMENTWISE[name]
    assert_chunk_invariant(lambda v: function(v), x, chunks=[(3, 4, 4)])


def test_the_message_says_what_to_do_and_nothing_is_made(rng, tmp_path):
    image = from_array(rng.random((4, 4, 4)), chunks=2)

    def centred(v):
        return v - v.mean()

    for backend in ("jax", "numpy"):
        with pytest.raises(NotElementwiseError, match=r"centred .*use lx.chunk_reduce and pass it in.*give halo="):
            chunk_map(centred, image, store=tmp_path / "out.zarr", backend=backend)
    for step in (chain(lambda v: v * 2, centred), chain(centred, lambda v: v * 2)):
        for backend in ("jax", "numpy"):
            with pytest.raises(NotElementwiseError, match="centred"):
                chunk_map(step, image, store=tmp_path / "out.zarr", backend=backend)
    assert not (tmp_path / "out.zarr").exists()
    with pytest.raises(ValueError, match=r"lx\.chunk_reduce"):
        chunk_map(lambda v: v.mean(), image)


def test_a_function_with_halo_may_look_around(rng):
    x = rng.random((5, 4, 6))
    found = chunk_map(lambda v: v - jnp.roll(v, 1, 0), from_array(x, chunks=3), halo=1, boundary="wrap", progress=False)
    np.testing.assert_array_equal(np.asarray(found), x - np.roll(x, 1, 0))


def test_numbers_and_words_among_the_parameters_are_python_objects(rng):
    x = rng.random((5, 4, 3)).astype(np.float32)

    def power(v, kind, *, exponent, names):
        assert isinstance(exponent, int)
        assert isinstance(kind, str)
        for _ in range(exponent):  # a traced number could not be counted to
            v = v * names["factor"]
        return v

    image = from_array(x, chunks=3)
    found = chunk_map(
        lambda v, **parameters: power(v, "word", **parameters), image, exponent=3, names={"factor": 2.0}, progress=False
    )
    np.testing.assert_array_equal(np.asarray(found), 8 * x)
