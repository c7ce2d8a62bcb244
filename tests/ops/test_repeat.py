"""An operation repeated in a loop gives what as many copies of it in a chain give, on arrays and over blocks."""

from functools import partial

import jax
import numpy as np
import pytest

import lithax as lx
from lithax.arrays import BOUNDARIES
from lithax.ops import repeat
from lithax.testing import assert_chunk_invariant, assert_same_bits

SHAPE = (9, 7, 10)


@lx.voxel_op(halo=1)
def diffuse(block, *, rate=0.1):
    """One step of explicit diffusion, lopsided so that mirrored blocks would show."""
    core = block[1:-1, 1:-1, 1:-1]
    total = 0.5 * block[2:, 1:-1, 1:-1] + 1.5 * block[:-2, 1:-1, 1:-1] - 2 * core
    total = total + block[1:-1, 2:, 1:-1] + block[1:-1, :-2, 1:-1] - 2 * core
    return core + rate * total


@lx.voxel_op(halo=[1, (1, 0, 0)])
def react(u, v, *, feed=0.04):
    """Two fields in and out, with halos of their own."""
    core, other = u[1:-1, 1:-1, 1:-1], v[1:-1]
    diffused = core + 0.1 * (u[2:, 1:-1, 1:-1] + u[:-2, 1:-1, 1:-1] - 2 * core)
    reacted = core * other * other
    return diffused - reacted + feed * (1 - core), other + reacted + 0.1 * (v[2:] - v[:-2])


@lx.voxel_op(halo=[1, 0])
def weighted(u, conductivity):
    """A field that changes, beside one that stays."""
    core = u[1:-1, 1:-1, 1:-1]
    return core + 0.1 * conductivity * (u[2:, 1:-1, 1:-1] - 2 * core + u[:-2, 1:-1, 1:-1])


@pytest.fixture
def field(rng):
    return rng.random(SHAPE).astype(np.float32)


# The other rules stand between other steps, below.
@pytest.mark.parametrize(
    "boundary", [pytest.param(b, marks=[pytest.mark.slow] * (b not in ("reflect", "wrap"))) for b in BOUNDARIES]
)
def test_over_chunks_it_is_the_chain_of_copies(field, boundary):
    step = partial(diffuse, boundary=boundary, boundary_value=0.3)
    expected = np.asarray(jax.jit(lx.chain(*[step] * 3))(field))
    found = lx.chunk_map(repeat(step, 3), lx.from_array(field, chunks=(4, 7, 3)), progress=False)
    assert_same_bits(np.asarray(found), expected)


@pytest.mark.parametrize("boundary", ["reflect", "wrap"])
def test_on_arrays_of_every_library(field, boundary, xp):
    step = partial(diffuse, boundary=boundary)
    found = repeat(step, 3)(xp.asarray(field))
    np.testing.assert_allclose(np.asarray(found), lx.chain(step, step, step)(field), rtol=1e-5)


def test_a_halo_wider_than_the_image(rng):
    small = rng.random((3, 2, 4)).astype(np.float32)
    expected = np.asarray(jax.jit(lx.chain(*[diffuse] * 4))(small))
    found = lx.chunk_map(repeat(diffuse, 4), lx.from_array(small, chunks=(2, 2, 2)), progress=False)
    assert_same_bits(np.asarray(found), expected)


def test_between_other_steps_with_rules_of_their_own(field):
    steps = [
        lambda v: v + 1,
        partial(lx.ops.uniform, size=3, boundary="nearest"),
        repeat(lx.chain(partial(diffuse, boundary="mirror"), lambda v: v * 0.5), 3),
        partial(diffuse, boundary="constant", boundary_value=2.0),
    ]
    assert_chunk_invariant(lx.chain(*steps), field, chunks=[(4, 7, 3)])
    # And before one that wraps, where each period has faces of its own.
    assert_chunk_invariant(lx.chain(repeat(diffuse, 2), partial(diffuse, boundary="wrap")), field, chunks=[(4, 7, 3)])


def test_integers_become_floats_once(field):
    image = (field * 200).astype(np.uint8)
    step = partial(lx.ops.uniform, size=3)
    expected = np.asarray(jax.jit(lx.chain(step, step, step))(image))
    found = lx.chunk_map(repeat(step, 3), lx.from_array(image, chunks=(4, 7, 3)), progress=False)
    assert found.dtype == np.float32
    assert_same_bits(np.asarray(found), expected)


def test_a_type_that_changes_each_time_is_refused(field):
    def widen(v):
        return v.astype({2: np.float32, 4: np.float64, 8: np.float16}[v.dtype.itemsize])

    with pytest.raises(TypeError, match="another type each time"):
        repeat(widen, 6)(field)


def test_several_fields(field, rng):
    other = rng.random(SHAPE).astype(np.float32)
    images = [lx.from_array(v, chunks=(4, 7, 3)) for v in (field, other)]
    u, v = field, other
    for _ in range(3):
        u, v = jax.jit(react)(u, v)
    made = lx.chunk_map(repeat(react, 3), *images, progress=False)
    for found, expected in zip(made, (u, v), strict=True):
        assert_same_bits(np.asarray(found), np.asarray(expected))


def test_several_fields_through_the_steps_of_a_chain(field, rng):
    other = rng.random(SHAPE).astype(np.float32)
    whole = lx.chain(react, partial(react, boundary="nearest"), lambda pair: pair[0] - pair[1])
    u, v = react.body(*(np.pad(a, h, "symmetric") for a, h in ((field, 1), (other, ((1, 1), (0, 0), (0, 0))))))
    u, v = react.body(*(np.pad(a, h, "edge") for a, h in ((u, 1), (v, ((1, 1), (0, 0), (0, 0))))))
    np.testing.assert_allclose(np.asarray(whole(field, other)), u - v, rtol=2e-5, atol=1e-6)
    assert_chunk_invariant(whole, field, other, chunks=[(4, 7, 3)])


def test_one_field_changes_and_one_stays(field, rng):
    conductivity = rng.random(SHAPE).astype(np.float32)
    expected = field
    for _ in range(4):
        expected = jax.jit(weighted)(expected, conductivity)
    images = [lx.from_array(v, chunks=(4, 7, 3)) for v in (field, conductivity)]
    found = lx.chunk_map(repeat(weighted, 4), *images, progress=False)
    assert_same_bits(np.asarray(found), np.asarray(expected))


def test_voxels_left_out_influence_nothing(field):
    where = np.arange(SHAPE[2]) % 3 > 0
    where = np.broadcast_to(where, SHAPE).copy()
    step = partial(lx.ops.gaussian, sigma=0.5)
    spoilt = np.where(where, field, np.nan)
    expected = np.asarray(jax.jit(lambda x, valid: lx.chain(step, step, step)(x, valid=valid))(field, where))
    found = lx.chunk_map(repeat(step, 3), lx.from_array(spoilt, chunks=(4, 7, 3)), where=where, progress=False)
    assert_same_bits(np.asarray(found)[where], expected[where])


def test_a_step_that_knows_where_it_is(field):
    @lx.voxel_op(halo=1, context=True)
    def ramp(values, *, block):
        x, _, _ = block.index(values)
        return (values + x.astype(values.dtype))[1:-1, 1:-1, 1:-1]

    expected = field + 3 * np.arange(SHAPE[0], dtype=np.float32)[:, None, None]
    found = lx.chunk_map(repeat(ramp, 3), lx.from_array(field, chunks=(4, 7, 3)), progress=False)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-6)


def test_the_program_does_not_grow_with_the_number_of_steps(field):
    def equations(steps):
        return str(jax.make_jaxpr(lambda x: steps(x))(field)).count("\n")

    assert equations(repeat(diffuse, 50)) == equations(repeat(diffuse, 5))


def test_a_gradient_through_the_loop(field):
    def looped(rate):
        return (repeat(partial(diffuse, rate=rate), 3)(field) ** 2).sum()

    def copied(rate):
        return (lx.chain(*[partial(diffuse, rate=rate)] * 3)(field) ** 2).sum()

    rate = np.float32(0.1)
    assert float(jax.grad(looped)(rate)) == pytest.approx(float(jax.grad(copied)(rate)), rel=1e-5)


def test_a_user_function_inside_is_checked(field):
    image = lx.from_array(field, chunks=(4, 7, 3))
    np.testing.assert_allclose(np.asarray(lx.chunk_map(repeat(lambda v: v * 2, 3), image, progress=False)), field * 8)
    with pytest.raises(lx.errors.NotElementwiseError):
        lx.chunk_map(repeat(lambda v: v - v.mean(), 3), image, progress=False)


@pytest.mark.parametrize(
    ("op", "times", "error", "says"),
    [
        (diffuse, 0, ValueError, "times=0 must be"),
        (diffuse, 2.5, ValueError, "times=2.5 must be"),
        (diffuse, True, ValueError, "times=True must be"),
        (lx.chain(diffuse, partial(diffuse, boundary="wrap")), 2, ValueError, "mixes boundary='wrap'"),
        (lx.voxel_op(lambda block: block[::2, ::2, ::2], scale=2), 2, ValueError, "changes the grid"),
        ("diffuse", 2, TypeError, "not a function"),
    ],
)
def test_what_cannot_be_repeated(op, times, error, says):
    with pytest.raises(error, match=says):
        repeat(op, times)


def test_it_says_what_it_does():
    assert repr(repeat(partial(lx.ops.uniform, size=3), 4)) == "repeat(uniform(size=3, boundary='reflect'), 4)"
