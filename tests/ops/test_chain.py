"""Chains on whole arrays, and how any function becomes steps."""

from functools import partial

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from lithax import chain, ops, voxel_op
from lithax.arrays import BOUNDARIES, to_numpy
from lithax.ops import Program, as_steps

SHAPE = (6, 5, 7)


@voxel_op(halo=lambda reach=1: (reach, 0, 0), static="reach")
def ahead(block, *, reach=1, weight=1.0):
    return weight * block[2 * reach :] - block[: block.shape[0] - 2 * reach]


@voxel_op(halo=(0, 2, 0), masked=lambda block, valid, **parameters: block[:, 2:-2])
def aside(block):
    return block[:, 4:] + block[:, 2:-2]


def names(fn, **options):
    return [step.op.name for step in as_steps(fn, **options)]


@pytest.mark.parametrize("second", BOUNDARIES)
@pytest.mark.parametrize("first", BOUNDARIES)
def test_a_chain_is_one_after_another(first, second, rng):
    x = rng.random(SHAPE)
    f = partial(ahead, reach=2, boundary=first, boundary_value=1.5)
    g = partial(ahead, boundary=second, boundary_value=-2.0)
    np.testing.assert_array_equal(chain(f, g)(x), g(f(x)))
    np.testing.assert_array_equal(chain(f, lambda v: v * 2, g)(x), g(f(x) * 2))
    np.testing.assert_array_equal(chain(chain(f), chain(g, f))(x), f(g(f(x))))


def test_on_every_library(xp, rng):
    x = rng.random(SHAPE).astype(np.float32)
    fn = chain(
        partial(ops.median, boundary="mirror"), lambda v: v * 2, partial(ops.gaussian, sigma=0.7, boundary="wrap")
    )
    found = to_numpy(fn(xp.asarray(x.copy())))
    np.testing.assert_allclose(found, fn(x.astype(np.float64)), atol=2 * 27 * 2.0**-23, rtol=0)


def test_compiled_differentiated_and_batched(rng):
    x = rng.random(SHAPE).astype(np.float32)

    def smooth(v, sigma):
        return chain(partial(ops.gaussian, sigma=sigma, radius=2), lambda w: w**2, partial(aside, boundary="mirror"))(v)

    plain = smooth(x, 0.8)
    # Fused products and sums are rounded once instead of twice.
    np.testing.assert_allclose(jax.jit(smooth)(x, 0.8), plain, rtol=1e-5)
    batch = jax.vmap(smooth, in_axes=(0, None))(jnp.stack([x, x + 1]), 0.8)
    np.testing.assert_allclose(batch[0], plain, rtol=1e-5)
    with jax.enable_x64(True):
        wide = jnp.asarray(x, np.float64)
        total = jax.jit(lambda s: smooth(wide, s).sum())
        slope = jax.grad(total)(0.8)
        step = 1e-5  # the error of the difference is of order step**2
        difference = (total(0.8 + step) - total(0.8 - step)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-8)


def test_what_a_chain_is_told_of_voxels_taken_in(rng):
    x, valid = rng.random(SHAPE), rng.random(SHAPE) < 0.6
    fn = chain(partial(ops.gaussian, sigma=0.7), partial(ops.median, boundary="nearest"))
    expected = ops.median(ops.gaussian(x, sigma=0.7, valid=valid), boundary="nearest", valid=valid)
    np.testing.assert_array_equal(fn(x, valid=valid), expected)
    with pytest.raises(ValueError, match="ahead looks at neighbouring voxels and has no masked form"):
        chain(partial(ops.gaussian, sigma=0.7), ahead)(x, valid=valid)
    with pytest.raises(ValueError, match=r"valid has shape \(2, 2, 2\), the array \(6, 5, 7\)"):
        fn(x, valid=np.ones((2, 2, 2), bool))


def test_several_arrays_and_results(rng):
    x, y = rng.random(SHAPE), rng.random(SHAPE)
    fn = chain(lambda a, b: (a * b, a - b), lambda pair: pair[0] + pair[1], partial(ahead, boundary="wrap"))
    total = x * y + (x - y)
    np.testing.assert_array_equal(fn(x, y), np.roll(total, -1, 0) - np.roll(total, 1, 0))
    pair = chain(ahead, lambda v: (v, -v))(x)
    np.testing.assert_array_equal(pair[0], -pair[1])
    with pytest.raises(TypeError, match="returns 2 arrays; only the last step may"):
        chain(lambda v: (v, v), ahead)(x)


def test_halos_add():
    program = Program(as_steps(chain(partial(ahead, reach=2), lambda v: v, aside, ahead)))
    assert program.halos(1) == ((3, 2, 0),)
    assert program.halo_after(0) == (1, 2, 0)
    assert not program.elementwise
    assert Program(as_steps(chain(lambda v: v, lambda v: -v))).elementwise


def test_how_it_looks():
    fn = chain(partial(ops.median, radius=1), partial(ops.gaussian, sigma=1.5, boundary="wrap"), lambda v: v < 0.4)
    text = "median(radius=1, boundary='reflect'), gaussian(sigma=1.5, boundary='wrap'), <lambda>()"
    assert repr(fn) == f"chain({text})"


def test_every_function_becomes_steps():
    assert names(ahead) == ["ahead"]
    assert names(partial(partial(ahead, reach=1), weight=2.0)) == ["ahead"]
    assert names(chain(ahead, np.sin)) == ["ahead", "sin"]
    assert names(partial(np.power, 2)) == ["power"]
    assert names(ops.opening) == ["erosion", "dilation"]
    assert names(chain(partial(ops.closing, radius=1), ahead)) == ["dilation", "erosion", "ahead"]
    assert as_steps(partial(partial(ahead, weight=1.0), weight=2.0))[0].parameters == {"weight": 2.0}
    assert as_steps(partial(ahead, weight=1.0), {"weight": 2.0})[0].parameters == {"weight": 2.0}
    assert as_steps(np.power, halo=2)[0].halos() == ((2, 2, 2),)
    assert as_steps(np.power, halo=[1, (0, 1, 2)])[0].halos() == ((1, 1, 1), (0, 1, 2))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: chain(), ValueError, "needs at least one function"),
        (lambda: as_steps(3), TypeError, "3 is a int, not a function of arrays"),
        (
            lambda: chain(partial(ahead, wieght=1)),
            TypeError,
            r"has no parameter 'wieght'; its parameters are: reach, weight",
        ),
        (lambda: chain(ops.gaussian), TypeError, "needs the parameter 'sigma'"),
        (lambda: chain(partial(ahead, boundary="edge")), ValueError, "boundary='edge' is not a boundary rule"),
        (lambda: chain(partial(ahead, np.ones(3))), TypeError, "binds arrays by position"),
        (lambda: as_steps(ahead, halo=1), ValueError, "halo=1: ahead declares its own halo"),
        (lambda: as_steps(chain(ahead), halo=1), ValueError, "the halo of a chain is the sum of its steps'"),
        (lambda: as_steps(chain(ahead), {"reach": 2}), TypeError, r"parameters \['reach'\] were given to a chain"),
        (
            lambda: as_steps(chain(partial(ahead, boundary="wrap")), boundary="nearest"),
            ValueError,
            "boundary='nearest' contradicts boundary='wrap' of ahead in the chain",
        ),
        (
            lambda: as_steps(partial(ahead, boundary="wrap"), boundary="nearest"),
            ValueError,
            "boundary='nearest' contradicts boundary='wrap' of ahead; give it once",
        ),
        (
            lambda: as_steps(partial(ahead, boundary="constant", boundary_value=1), boundary_value=2),
            ValueError,
            "boundary_value=2 contradicts boundary_value=1 of ahead",
        ),
        (
            lambda: Program(as_steps(lambda v: v, halo=-1)).halos(1),
            ValueError,
            "halo=-1 must be a number of voxels >= 0",
        ),
        (lambda: Program(as_steps(lambda v: v, halo=1.5)).halos(1), ValueError, "halo=1.5 must be a number of voxels"),
    ],
)
def test_what_cannot_be_a_step(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_what_whole_arrays_must_be(rng):
    with pytest.raises(ValueError, match=r"shape \(3, 3\) was given.*three axes, x y z"):
        chain(ahead)(np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"arrays of shapes \(2, 2, 2\) and \(2, 2, 3\)"):
        chain(lambda a, b: a)(np.ones((2, 2, 2)), np.ones((2, 2, 3)))
    with pytest.raises(TypeError, match=r"argument 0 of ahead\(\) is a list, not an array.*lx.chunk_map"):
        ahead([1, 2])
    with pytest.raises(
        TypeError, match=r"reach=.* of ahead\(\) sets the shape of the computation and cannot be traced"
    ):
        jax.jit(lambda v, reach: ahead(v, reach=reach))(np.ones(SHAPE), 1)


def test_parameters_may_follow_the_arrays():
    x = np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE)
    np.testing.assert_array_equal(ahead(x, 2, 3.0), ahead(x, reach=2, weight=3.0))
    with pytest.raises(TypeError, match=r"both by position and by name"):
        ahead(x, 2, reach=2)
    with pytest.raises(TypeError, match=r"takes 1 array\(s\) and 2 parameter\(s\), got 4 arguments"):
        ahead(x, 1, 1.0, 3)


def test_declarations_that_cannot_be():
    with pytest.raises(ValueError, match=r"static=.* names 'radius', which is not a keyword-only parameter"):
        voxel_op(lambda block: block, static="radius")
    for scale in (0, -1, 0.3, (1, 2), "two", (2, 2, 2.5)):
        with pytest.raises(ValueError, match=r"scale=.* must be a whole number of input voxels per output voxel"):
            voxel_op(lambda block: block, scale=scale)
    with pytest.raises(ValueError, match=r"halo of .*=-1 must be a number of voxels"):
        voxel_op(lambda block: block, halo=-1)(np.ones(SHAPE))
    halved = voxel_op(lambda block: block[::2, ::2, ::2], scale=2)
    with pytest.raises(ValueError, match=r"changes the grid .scale. and can only be the last step"):
        chain(halved, ahead)(np.ones(SHAPE))
