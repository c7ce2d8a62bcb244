"""Is every operation what scipy.ndimage says, for every boundary rule and at the edges of what can be asked?"""

import numpy as np
import pytest

from lithax.arrays import BOUNDARIES

from .cases import CASES, every_case

EPS64 = 2.0**-52
SHAPES = [(7, 5, 6), (1, 5, 4), (3, 1, 1)]  # the last two are thinner than most halos
DTYPES = [np.bool_, np.uint8, np.int16, np.uint32, np.int64, np.float32, np.float64]


def reference(case, x, boundary, value):
    if not (case.recentred and boundary == "constant" and value):
        return case.reference(x, mode=boundary, cval=value)
    # scipy pads again between passes, with `value` where a derivative is 0; here the image is padded, once.
    halo = case.halo
    padded = np.pad(x, [(h, h) for h in halo], constant_values=value)
    return case.reference(padded)[tuple(slice(h, n - h) for h, n in zip(halo, padded.shape, strict=True))]


@every_case
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_boundary(case, boundary, shape, rng):
    x = case.image(rng, shape)
    value = 1 if case.kind == "binary" else 0.75
    ours = case.op(x, boundary=boundary, boundary_value=value, **case.parameters)
    theirs = reference(case, x, boundary, value)
    assert ours.shape == shape
    assert ours.dtype == theirs.dtype
    # Rounding only: the passes run in another order than scipy's.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=case.tolerance(np.append(x, value), EPS64))


@pytest.mark.parametrize("case", [case for case in CASES if case.kind != "binary"], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
def test_every_dtype(case, dtype, rng):
    x = case.image(rng, (6, 5, 7), dtype)
    ours = case.op(x, **case.parameters)
    theirs = reference(case, x if case.kind == "rank" else x.astype(np.float64), "reflect", 0)
    if case.kind == "rank":
        assert ours.dtype == dtype
        np.testing.assert_array_equal(ours, theirs)
        return
    narrow = np.dtype(dtype).itemsize < 4 or dtype == np.float32
    assert ours.dtype == (np.float32 if narrow else np.float64)
    # scipy sums in float64 whatever it is given.
    tolerance = case.tolerance(x.astype(np.float64), 2.0**-23 if narrow else EPS64)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
