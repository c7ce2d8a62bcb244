"""Operations along whole lines: against NumPy and scipy, images against arrays on every grid."""

from functools import partial

import numpy as np
import pytest
from scipy import ndimage

import lithax as lx

from .cases import EVERY_GRID, SHAPE


def steepest(lines, times=1):
    return times * np.maximum.accumulate(lines, axis=1)


OPERATIONS = {
    "sum": lx.cumulative_sum,
    "fourier": lx.fourier_lines,
    "running maximum": lambda image, **options: lx.map_lines(partial(steepest, times=2), image, left_out=-9, **options),
}


def scan(seed=0):
    return np.random.default_rng(seed).integers(-9, 9, SHAPE).astype(np.int16)


def test_arrays_follow_numpy():
    values = scan()
    for axis, name in enumerate("xyz"):
        np.testing.assert_array_equal(lx.cumulative_sum(values, axis=name), np.cumsum(values, axis=axis))
        found = lx.fourier_lines(values.astype("f4"), axis=axis)
        assert found.dtype == np.complex64
        # Single precision: a few roundings of sums of seven values up to nine.
        np.testing.assert_allclose(found, np.fft.fft(values, axis=axis), atol=1e-5)
        np.testing.assert_allclose(lx.fourier_lines(found, axis=axis, inverse=True), values, atol=1e-5)
        sorted_lines = lx.map_lines(lambda lines: np.sort(lines, axis=1), values, axis=axis)
        np.testing.assert_array_equal(sorted_lines, np.sort(values, axis=axis))
    assert lx.cumulative_sum(np.full((1, 1, 300), 255, np.uint8), axis=2).max() == 255 * 300


def test_distance_on_a_line():
    pore = scan() > -4
    for axis in range(3):
        expected = np.empty(SHAPE)
        for line in np.ndindex(tuple(np.delete(SHAPE, axis))):
            at = (*line[:axis], slice(None), *line[axis:])
            full = pore[at].all()
            expected[at] = np.inf if full else ndimage.distance_transform_edt(pore[at])
        np.testing.assert_array_equal(lx.distance_lines(pore, axis=axis), expected)
        np.testing.assert_array_equal(lx.distance_lines(np.where(pore, 3, 1), axis=axis, phases=3), expected)


@pytest.mark.parametrize("grid", EVERY_GRID[1:])
def test_images_give_what_arrays_give(grid):
    values, where = scan(1), np.random.default_rng(2).random(SHAPE) < 0.8
    for k, (name, operation) in enumerate(OPERATIONS.items()):
        some = where if k % 2 else None
        expected = operation(values, axis=k, where=some)
        found = operation(lx.from_array(values, **grid), axis=k, where=some, progress=False)
        np.testing.assert_array_equal(found[...], expected, err_msg=name)
        assert found.dtype == expected.dtype
    pore = values > 5
    for axis in range(3):
        expected = lx.first_and_last(pore, axis=axis, where=where)
        taken = pore & where
        index = np.arange(SHAPE[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
        np.testing.assert_array_equal(expected[1], np.where(taken, index, -1).max(axis=axis))
        found = lx.first_and_last(lx.from_array(pore, **grid), axis=axis, where=where, progress=False)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_memory_counts_pencils(tmp_path):
    image = lx.zeros((64, 64, 4096), "u1", chunks=32)
    plan = lx.plan(lx.cumulative_sum, image, axis="z", store=tmp_path / "sum.zarr")
    assert plan.block_shape[2] == 4096
    assert plan.memory > lx.plan(lx.cumulative_sum, image, axis="x", store=tmp_path / "sum.zarr").memory


def test_wrong_arguments_are_named(tmp_path):
    values = scan()
    with pytest.raises(ValueError, match="axis=3"):
        lx.cumulative_sum(values, axis=3)
    with pytest.raises(ValueError, match="returned shape"):
        lx.map_lines(lambda lines: lines[:, 1:], lx.from_array(values), axis=0)
    with pytest.raises(TypeError, match="function is a str"):
        lx.map_lines("sort", values, axis=0)
    lx.map_lines(steepest, lx.from_array(values), axis=0, store=tmp_path / "a.zarr", progress=False)
    with pytest.raises(lx.errors.ResumeError):
        lx.map_lines(
            partial(steepest, times=3), lx.from_array(values), axis=0, store=tmp_path / "a.zarr", resume=True,
            progress=False,
        )  # fmt: skip


def test_a_run_is_not_resumed_by_a_function_that_holds_another_array(tmp_path):
    """The arrays differ where their text has dots."""
    values, weights = scan(), np.ones(5000)
    other = weights.copy()
    other[2500] = 2
    call = partial(lx.map_lines, image=lx.from_array(values), axis=0, store=tmp_path / "a.zarr", progress=False)
    call(lambda lines: lines * weights[2500])
    with pytest.raises(lx.errors.ResumeError):
        call(lambda lines: lines * other[2500], resume=True)
    with pytest.raises(lx.errors.ResumeError):
        call(partial(lambda w, lines: lines * w[2500], weights), resume=True)


FACTORS = {"gain": 2}


def test_a_run_is_not_resumed_by_a_function_that_reads_other_values(tmp_path, monkeypatch):
    """What a function names outside itself, what its helpers name, and its defaults."""

    def helper(lines, shift=1):
        return lines * FACTORS["gain"] + shift

    def function(lines):
        return (lambda inner: helper(inner))(lines)

    image = lx.from_array(scan())
    call = partial(lx.map_lines, function, image, axis=0, store=tmp_path / "a.zarr", progress=False)
    first = call()
    np.testing.assert_array_equal(call(resume=True)[...], first[...])
    for target, name, value in ((FACTORS, "gain", 3), (helper, "__defaults__", (2,))):
        with monkeypatch.context() as changed:
            (changed.setitem if isinstance(target, dict) else changed.setattr)(target, name, value)
            with pytest.raises(lx.errors.ResumeError):
                call(resume=True)
    np.testing.assert_array_equal(call(resume=True)[...], first[...])
