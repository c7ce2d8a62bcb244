"""Is the result the same for every chunk, shard, halo, boundary and library? Promise 1 of the combinators."""

import importlib.util
from functools import partial

import array_api_strict
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given, settings

from lithax import chain, chunk_map, chunk_reduce, ops
from lithax.arrays import BOUNDARIES, pad
from lithax.images import from_array
from lithax.testing import (
    assert_chunk_invariant,
    assert_same_bits,
    assert_same_result,
    boundary_rules,
    grids,
    image_shapes,
    voxels,
)

from ..measure import cases as measurements  # noqa: TID252 (one table, asked by the tests of several rooms)
from ..ops.cases import CASES, every_case  # noqa: TID252
from .operations import STENCILS, ahead, doubled, downstream, uphill

JAX_SHAPE, JAX_CHUNKS = (9, 7, 10), (4, 5, 4)
"""No axis divides; blocks at all faces, and one in the middle of an axis only."""


HAS_TORCH = importlib.util.find_spec("torch") is not None
LIBRARIES = [
    pytest.param("torch", marks=pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")),
    pytest.param(array_api_strict, id="array_api_strict"),
]


@every_case
@settings(max_examples=4)
@given(data=st.data())
def test_every_operation_on_numpy(case, data):
    shape, (chunks, shards) = data.draw(image_shapes()), data.draw(grids())
    dtype = {"real": np.float64, "rank": np.float64, "binary": np.bool_}[case.kind]
    x = data.draw(voxels(shape, dtype))
    boundary = data.draw(boundary_rules())
    value = bool(data.draw(st.booleans())) if case.kind == "binary" else data.draw(st.integers(-3, 3))
    rule = {"boundary": boundary, "boundary_value": value, **case.parameters}
    assert_chunk_invariant(case.op, x, chunks=[chunks], shards=shards, backend="numpy", **rule)


@pytest.mark.parametrize("case", [case for case in CASES if case.masked], ids=str)
@settings(max_examples=3)
@given(data=st.data())
def test_every_masked_form_on_numpy(case, data):
    shape, (chunks, shards) = data.draw(image_shapes()), data.draw(grids())
    x = data.draw(voxels(shape, np.bool_ if case.kind == "binary" else np.float64))
    valid = data.draw(voxels(shape, bool))
    valid.flat[0] = True  # a selection of nothing has no answer to compare with
    if case.kind != "binary":
        x = np.where(valid, x, data.draw(st.sampled_from([np.nan, np.inf, 1e300])))
    rule = {"boundary": data.draw(boundary_rules()), **case.parameters}
    assert_chunk_invariant(case.op, x, chunks=[chunks], shards=shards, where=valid, backend="numpy", **rule)


@pytest.mark.slow  # CI asks for all of this file, compiled as users compile
@every_case
def test_every_operation_compiled(case, rng):
    """On JAX: every bit; the whole array is padded by NumPy and given to the compiled body. Of the boundaries three take
    turns, since each compiles a program for each operation."""
    x = case.image(rng, JAX_SHAPE, np.float32 if case.kind != "binary" else np.bool_)
    image = from_array(x, chunks=JAX_CHUNKS)
    body = jax.jit(partial(case.op.body, **case.parameters))
    for k in range(3):
        boundary = BOUNDARIES[(CASES.index(case) + 2 * k) % 5]
        rule = {"boundary": boundary, "boundary_value": True, **case.parameters}
        found = chunk_map(case.op, image, progress=False, **rule)
        assert_same_bits(np.asarray(found), np.asarray(body(pad(x, case.halo, boundary, True))), label=boundary)


def test_the_reference_is_the_compiled_function_itself(rng):
    x = rng.standard_normal(JAX_SHAPE).astype(np.float32)
    for boundary in ("reflect", "wrap"):
        assert_chunk_invariant(ops.gaussian, x, sigma=1.0, boundary=boundary, chunks=[JAX_CHUNKS])


@every_case
@pytest.mark.parametrize("library", LIBRARIES)
def test_every_operation_on_other_libraries(case, library, rng):
    x = case.image(rng, (7, 6, 5), np.bool_ if case.kind == "binary" else np.float32)
    boundary = BOUNDARIES[CASES.index(case) % 5]
    # PyTorch may take rows of another length with other instructions, and joins a product and a sum or does not.
    assert_chunk_invariant(
        case.op,
        x,
        chunks=[(3, 4, 5)],
        backend=library,
        boundary=boundary,
        ulp=4 if library == "torch" else 0,
        **case.parameters,
    )


@settings(max_examples=20)
@given(data=st.data())
def test_chains_on_numpy(data):
    """Up to three steps, each with a rule of its own, some masked: the chain means one after another on the whole."""
    shape, (chunks, shards) = data.draw(image_shapes(7)), data.draw(grids())
    steps = data.draw(st.lists(st.sampled_from([*STENCILS.values(), doubled]), min_size=1, max_size=3))
    chained = chain(
        *(s if s is doubled else partial(s, boundary=data.draw(boundary_rules()), boundary_value=2.0) for s in steps)
    )
    x = data.draw(voxels(shape))
    valid = None
    if downstream not in steps and STENCILS["derivative"] not in steps and data.draw(st.booleans()):
        valid = data.draw(voxels(shape, bool))
        valid.flat[-1] = True
        x = np.where(valid, x, np.nan)
    assert_chunk_invariant(chained, x, chunks=[chunks], shards=shards, where=valid, backend="numpy", workers=2)


PAIRS = [
    pytest.param(first, second, marks=[pytest.mark.slow] * ((i + j) % 2))
    for i, first in enumerate(BOUNDARIES)
    for j, second in enumerate(BOUNDARIES)
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_lopsided_steps_with_every_pair_of_rules(first, second, rng):
    x = rng.standard_normal((6, 5, 7))
    pair = chain(
        partial(uphill, boundary=first, boundary_value=-1.5), partial(downstream, boundary=second, boundary_value=3.0)
    )
    back = chain(
        partial(downstream, boundary=first, boundary_value=-1.5), partial(uphill, boundary=second, boundary_value=3.0)
    )
    same = chain(partial(uphill, boundary=first), partial(uphill, boundary=second, boundary_value=0.5))
    for fn, chunks in ((pair, (3, 3, 4)), (pair, (1, 5, 7)), (back, (4, 2, 7)), (same, (3, 3, 4))):
        assert_chunk_invariant(fn, x, chunks=[chunks], backend="numpy")
    if first == second or "wrap" in (first, second):  # each pair compiles a program; the others differ in one constant
        compiled = chain(partial(ahead, boundary=first), partial(ahead, boundary=second, boundary_value=0.5))
        assert_chunk_invariant(compiled, x.astype(np.float32), chunks=[(4, 3, 5)])


def test_a_longer_chain_compiled(rng):
    x = rng.standard_normal(JAX_SHAPE).astype(np.float32)
    fn = chain(
        partial(ops.median, radius=1, boundary="nearest"),
        lambda v: v * 3 - 0.5,
        partial(ops.gaussian, sigma=0.6, boundary="mirror"),
        partial(ops.derivative, axis=0, boundary="constant", boundary_value=1.0),
        lambda v: v < 0.1,
    )
    assert_chunk_invariant(fn, x, chunks=[JAX_CHUNKS])


def test_padding_once_would_be_another_thing(rng):
    """What the chain's own rules are for: the same bodies on a block padded once differ at the faces."""
    x = rng.standard_normal((6, 6, 6))
    steps = [partial(uphill, boundary="nearest"), partial(uphill, boundary="nearest")]
    once = uphill.body(uphill.body(pad(x, (4, 2, 0), "nearest")))
    literal = np.asarray(chunk_map(chain(*steps), from_array(x, chunks=3), backend="numpy", progress=False))
    assert_same_bits(literal, steps[1](steps[0](x)))
    assert not np.allclose(literal, once)


@settings(max_examples=15)
@given(data=st.data())
def test_several_inputs_and_results(data):
    """Every input on a chunk grid of its own, with a halo of its own; every result in chunks of its own."""
    shape = data.draw(image_shapes())
    a, b = data.draw(voxels(shape)), data.draw(voxels(shape, np.uint8))
    (grid_a, _), (grid_b, _) = data.draw(grids()), data.draw(grids())
    results = [data.draw(grids())[0] for _ in range(2)]
    boundary = data.draw(boundary_rules())

    def compare(x, y):
        core = x[:, 2:-2, :]
        return core - x[:, :-4, :], core * y[1:-1, :, 1:-1] + y[2:, :, :-2]

    found = chunk_map(
        compare,
        from_array(a, chunks=grid_a),
        from_array(b, chunks=grid_b),
        halo=[(0, 2, 0), (1, 0, 1)],
        boundary=boundary,
        boundary_value=7,
        chunks=results,
        backend="numpy",
        progress=False,
        workers=2,
    )
    expected = compare(pad(a, (0, 2, 0), boundary, 7), pad(b, (1, 0, 1), boundary, 7))
    for image, values, chunks in zip(found, expected, results, strict=True):
        assert_same_bits(np.asarray(image), values)
        assert image.chunks == chunks


def test_several_inputs_and_results_compiled(rng):
    a, b = rng.random(JAX_SHAPE).astype(np.float32), rng.integers(0, 9, JAX_SHAPE).astype(np.int16)
    images = from_array(a, chunks=(2, 7, 5)), from_array(b, chunks=(9, 3, 4))

    def compare(x, y):
        return x[1:-1, 1:-1, 1:-1] * y, y - 3

    found = chunk_map(compare, *images, halo=[1, 0], boundary="mirror", progress=False)
    expected = jax.jit(compare)(pad(a, (1, 1, 1), "mirror"), b)
    for image, values in zip(found, expected, strict=True):
        assert_same_bits(np.asarray(image), np.asarray(values))


def test_a_plain_function_may_return_the_padded_shape(rng):
    x = rng.random((7, 5, 6))
    image = from_array(x, chunks=(3, 5, 2))

    def shifted(v):
        return np.roll(v, 1, axis=0)

    for boundary in BOUNDARIES:
        found = chunk_map(shifted, image, halo=(1, 0, 0), boundary=boundary, backend="numpy", progress=False)
        assert_same_bits(np.asarray(found), pad(x, (1, 0, 0), boundary)[:-2])


@settings(max_examples=6)
@given(data=st.data())
@pytest.mark.parametrize("case", measurements.CASES[::3], ids=str)
def test_measurements_on_numpy(case, data):
    if case.parameters:
        pytest.skip("a loss; see test_gradients")
    shape, (chunks, _) = data.draw(image_shapes(7)), data.draw(grids())
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    arrays = case.arrays(rng, shape)
    where = None
    if data.draw(st.booleans()):
        where = data.draw(voxels(shape, bool))
        where.flat[0] = True
    with np.errstate(all="ignore"):
        # n voxels summed in another order: n * 2**-53, and what a variance magnifies.
        assert_chunk_invariant(case.measurement, *arrays, chunks=[chunks], where=where, backend="numpy", rtol=1e-9)


@pytest.mark.slow
@measurements.every_case
def test_measurements_compiled(case, rng):
    if case.parameters:
        pytest.skip("a loss; see test_gradients")
    arrays = case.arrays(rng, JAX_SHAPE)
    where = rng.random(JAX_SHAPE) < 0.7
    with np.errstate(all="ignore"):
        assert_chunk_invariant(case.measurement, *arrays, chunks=[JAX_CHUNKS], where=where, rtol=1e-9)


def test_sums_have_the_same_bits_for_any_number_of_workers(rng):
    from lithax.measure import Moments

    image = from_array(rng.standard_normal((12, 10, 8)) * 10.0 ** rng.integers(-8, 8, (12, 10, 8)), chunks=3)
    found = [chunk_reduce(Moments(), image, workers=n, progress=False) for n in (1, 2, 5)]
    for other in found[1:]:
        assert_same_result(other, found[0], rtol=0)
