"""Whether a measurement can be trusted with an image in blocks."""

import dataclasses
from typing import Any

import jax
import numpy as np

from lithax.arrays import namespace, to_numpy, wide_scope
from lithax.measure import Traits
from lithax.ops import Context
from lithax.typing import Array

_NO_PARAMETERS = object()


def assert_monoid(
    measurement: Any, *arrays: Array, parameters: Any = _NO_PARAMETERS, rtol: float = 1e-9, seed: int = 0
) -> None:
    """Assert that a measurement gives the same result however the voxels are divided.

    The voxels are divided in three at random, and in two by a plane. Asserted are:

    - of a set of voxels and another, combined, is of both together, in either grouping;
    - combining with the state of no voxel changes nothing;
    - voxels left out do not influence the state, whatever they hold (NaN, the largest integer): not
      in a single bit.

    Parameters
    ----------
    measurement
        Anything with ``of(*blocks, valid)``, ``combine(a, b)`` and ``finish(state)``.
    arrays
        Three-dimensional arrays of one shape and library, at least two voxels along the first axis.
    parameters
        For a loss: what it takes before the blocks.
    rtol
        Tolerance for floats, relative, and absolute for numbers below one: float sums depend on the
        grouping by rounding. Integers must be equal, and so must the floats of a measurement that
        says to be `exact`.
    seed
        Divides the voxels at random.

    Raises
    ------
    AssertionError
        If one of these does not hold.
    """
    rtol = 0 if Traits.of(measurement).exact else rtol
    first = arrays[0]
    shape = tuple(first.shape)
    rng = np.random.default_rng(seed)
    part = rng.integers(0, 3, size=shape)

    def of(blocks: tuple[Array, ...], valid: np.ndarray | None = None, start: int = 0) -> Any:
        before = () if parameters is _NO_PARAMETERS else (parameters,)
        keywords = {} if valid is None else {"valid": _like(blocks[0], valid)}
        if Traits.of(measurement).context:
            keywords["block"] = Context((start, 0, 0), shape)
        with wide_scope(*blocks):
            return jax.tree.map(to_numpy, measurement.of(*before, *blocks, **keywords))

    def assert_same(found: Any, expected: Any, what: str) -> None:
        _assert_same(
            measurement.finish(found), measurement.finish(expected), rtol, f"{type(measurement).__name__}: {what}"
        )

    combine = measurement.combine
    whole = of(arrays)
    a, b, c = (of(arrays, part == k) for k in range(3))
    assert_same(combine(combine(a, b), c), whole, "(a + b) + c is not the whole")
    assert_same(combine(a, combine(b, c)), whole, "a + (b + c) is not the whole")

    nothing = of(arrays, np.zeros(shape, bool))
    assert_same(combine(nothing, a), a, "no voxel + a is not a")
    assert_same(combine(a, nothing), a, "a + no voxel is not a")

    cut = shape[0] // 2
    lower, upper = tuple(x[:cut, ...] for x in arrays), tuple(x[cut:, ...] for x in arrays)
    assert_same(combine(of(lower), of(upper, start=cut)), whole, "two blocks are not the whole")

    spoilt = tuple(_like(x, _spoilt(to_numpy(x), part != 0)) for x in arrays)
    for found, expected in zip(jax.tree.leaves(of(spoilt, part == 0)), jax.tree.leaves(a), strict=True):
        assert np.array_equal(found, expected, equal_nan=np.asarray(found).dtype.kind == "f"), (
            f"{type(measurement).__name__}: voxels left out influence the state"
        )


def _like(x: Array, values: np.ndarray) -> Array:
    xp = namespace(x)
    return xp.asarray(values) if not hasattr(x, "cpu") else xp.asarray(values, device=x.device)


def _spoilt(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    values = values.copy()
    if values.dtype.kind == "b":
        values[where] ^= True
    else:
        values[where] = np.nan if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    return values


def _assert_same(found: Any, expected: Any, rtol: float, what: str) -> None:
    assert type(found) is type(expected), what
    if dataclasses.is_dataclass(found):
        for field in dataclasses.fields(found):
            _assert_same(getattr(found, field.name), getattr(expected, field.name), rtol, f"{what}: {field.name}")
    elif isinstance(found, dict):
        assert found.keys() == expected.keys(), what
        for name in found:
            _assert_same(found[name], expected[name], rtol, f"{what}: {name}")
    elif isinstance(found, tuple | list):
        assert len(found) == len(expected), what
        for one, other in zip(found, expected, strict=True):
            _assert_same(one, other, rtol, what)
    elif np.asarray(found).dtype.kind in "fc":
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol, err_msg=what)
    elif np.asarray(found).dtype.kind in "biu":
        np.testing.assert_array_equal(found, expected, err_msg=what)
