"""Signatures tell the truth: a call that they show is one that works."""

import inspect
from functools import partial

import numpy as np
import pytest

import lithax as lx
from lithax.testing import assert_same_bits


def operations():
    kinds = (lx.ops.VoxelOp, type(lx.ops.opening))
    return [op for op in vars(lx.ops).values() if isinstance(op, kinds)]


@pytest.mark.parametrize("op", operations(), ids=lambda op: op.name)
def test_an_operation_shows_that_it_takes_an_array(op):
    """And nothing that it refuses."""
    signature = inspect.signature(op)
    first = next(iter(signature.parameters.values()))
    assert first.kind in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD, first.VAR_POSITIONAL)
    options = {n: p.default for n, p in signature.parameters.items() if p.default is not p.empty}
    for name in options:
        assert name not in ("block", "blocks")
    assert {"boundary", "boundary_value", "valid"} <= options.keys()


@pytest.mark.parametrize("op", [lx.ops.opening, lx.ops.closing])
def test_the_call_that_help_shows_works(op):
    x = np.arange(60, dtype="f4").reshape(3, 4, 5)
    options = {n: p.default for n, p in inspect.signature(op).parameters.items() if p.default is not p.empty}
    assert_same_bits(op(x, **options), op(x))
    with pytest.raises(TypeError, match="has no parameter 'radios'"):
        op(x, radios=2)


def test_coarsen_goes_through_the_combinators_as_other_operations_do():
    x = np.arange(6 * 4 * 8, dtype="u1").reshape(6, 4, 8)
    image = lx.from_array(x, chunks=4, voxel_length=2.0)
    wanted = lx.ops.coarsen("mean", 2)(x)
    for made in (
        lx.chunk_map(lx.ops.coarsen, image),
        lx.chunk_map(lx.ops.coarsen, image, method="mean", scale=2),
        lx.chunk_map(partial(lx.ops.coarsen, "mean"), image, scale=2),
        lx.chunk_map(lx.chain(lambda v: v, lx.ops.coarsen), image),
    ):
        assert_same_bits(made[...], wanted)
        assert made.voxel_length == (4.0, 4.0, 4.0)
    assert_same_bits(lx.ops.coarsen(x, method="mode", scale=(1, 2, 1)), lx.ops.coarsen("mode", (1, 2, 1))(x))
    assert lx.plan(lx.chunk_map, lx.ops.coarsen, image, scale=2).blocks >= 1
    with pytest.raises(ValueError, match="method='median' must be one of"):
        lx.chunk_map(lx.ops.coarsen, image, method="median")


def test_what_is_loaded_late_is_listed():
    assert {"dect", "chunk_map", "__version__"} <= set(dir(lx))


def test_a_measurement_that_is_no_loss_is_told_so():
    image = lx.from_array(np.ones((3, 4, 5), "f4"))
    with pytest.raises(
        TypeError, match=r"loss is a Moments.*does not take \(parameters, one image, valid=.*lx\.measure\.Match"
    ):
        lx.chunk_value_and_grad(lx.measure.Moments(), 1.0, image)
    with pytest.raises(TypeError, match=r"loss is a Porosity.*does not take \(parameters, 2 images"):
        lx.chunk_loss(lx.measure.Porosity(), image, image)(1.0)


def test_axes_have_letters():
    x = np.arange(60, dtype="f4").reshape(3, 4, 5)
    for number, letter in enumerate("xyz"):
        assert_same_bits(lx.measure.profile(x, letter).mean, lx.measure.profile(x, number).mean)
    with pytest.raises(ValueError, match="use 0, 1, 2 or 'x', 'y', 'z'"):
        lx.measure.profile(x, "w")


@pytest.mark.parametrize("values", [[["a"]], [[None]], [[np.datetime64(0, "s")]]])
def test_what_is_no_number_is_refused_by_name(values):
    array = np.array([values])
    for op, options in ((lx.ops.gaussian, {"sigma": 1}), (lx.ops.threshold, {"value": 1}), (lx.ops.median, {})):
        with pytest.raises(TypeError, match=rf"argument 0 of {op.name}\(\) has dtype .*voxels are booleans or numbers"):
            op(array, **options)
