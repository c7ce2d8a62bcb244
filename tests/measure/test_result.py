"""The same measurement made twice gives equal results, also where they hold NaN."""

import dataclasses
import math

import numpy as np
import pytest

import lithax as lx
from lithax.measure._result import Result


@pytest.mark.parametrize(
    "measure",
    [
        lambda x: lx.measure.moments(x),
        lambda x: lx.measure.minimum_maximum(x),
        lambda x: lx.measure.representative_volume(x > 0.5, cells=2),
    ],
)
def test_equal_with_nan(measure):
    values = np.full((4, 4, 4), math.nan)
    first, second = measure(values), measure(values.copy())
    assert any(math.isnan(v) for v in _floats(first))
    assert first == second
    assert hash(first) == hash(second)
    assert first != measure(np.ones((4, 4, 4)))


def _floats(result):
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Result):
                yield from _floats(one)
            elif isinstance(one, float | np.floating):
                yield one


def test_other_types_are_unequal():
    assert lx.measure.moments(np.ones((2, 2, 2))) != 1.0
