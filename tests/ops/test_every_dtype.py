"""Every operation and measurement, of every data type, on every array library: the same as NumPy's, or an error in words."""

import traceback
import warnings
from functools import partial

import array_api_strict
import jax
import numpy as np
import pytest

from lithax import measure, ops
from lithax.arrays import to_numpy
from lithax.ops import ARITHMETIC

DTYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
DTYPES += ["float16", "float32", "float64", "complex64", "complex128"]


def with_itself(function, x):
    return function(x, ops.coarsen("first", 1)(x))


def with_one(function, x):
    return function(x, 1)


OPS = {
    "gaussian": lambda x: ops.gaussian(x, sigma=1.0),
    "uniform": ops.uniform,
    "local standard deviation": ops.local_standard_deviation,
    "median": lambda x: ops.median(x, radius=1),
    "percentile": lambda x: ops.percentile(x, percentile=20, size=3),
    "rank": lambda x: ops.rank(x, rank=1, size=3),
    "minimum": ops.minimum,
    "maximum": ops.maximum,
    "opening": lambda x: ops.opening(x, radius=1),
    "closing": lambda x: ops.closing(x, radius=1),
    "threshold": lambda x: ops.threshold(x, value=1),
    "fractional interval": lambda x: ops.threshold(x, lower=0.5, upper=2.5),
    "interval": lambda x: ops.threshold(x, lower=1, upper=2),
    "soft threshold": lambda x: ops.soft_threshold(x, value=1.0, width=0.5),
    "clip": lambda x: ops.clip(x, lower=0, upper=1),
    "rescale": lambda x: ops.rescale(x, input_range=(0, 3), output_range=(0.0, 1.0)),
    "standardize": lambda x: ops.standardize(x, mean=1.0, standard_deviation=2.0),
    "sobel": lambda x: ops.sobel(x, axis=0),
    "laplacian": ops.laplacian,
    "non-local means": lambda x: ops.non_local_means(x, patch_size=3, patch_distance=1, h=1.0),
    "coarsen by the mean": ops.coarsen("mean"),
    "coarsen by the mode": ops.coarsen("mode"),
    "coarsen by the first": ops.coarsen("first"),
    **{f"arithmetic {name}": partial(with_itself, f) for name, f in ARITHMETIC.items()},
    **{f"arithmetic {name} 1": partial(with_one, f) for name, f in ARITHMETIC.items()},
    "mean": measure.mean,
    "sum": measure.Sum(),
    "extremes": measure.minimum_maximum,
    "histogram": lambda x: measure.histogram(x, 4).counts,
    "percentile of all": lambda x: measure.histogram(x, 4, exact=True).percentile(30),
    "otsu": measure.otsu,
    "profile": lambda x: measure.profile(x, 0).mean,
    "fractions": lambda x: measure.phase_fractions(x).counts,
    "porosity": lambda x: float(measure.porosity(x, 1)),
}


def libraries(array):
    if array.dtype != "f2":  # which the standard does not know
        yield "strict", array_api_strict.asarray(array)
    if TORCH:
        import torch

        yield "torch", torch.tensor(array)


def has_torch():
    import importlib.util

    return importlib.util.find_spec("torch") is not None


TORCH = has_torch()


def outcome(function, x):
    try:
        result = function(x)
    except Exception as error:
        # Said by lithax itself, in its own words, not by a kernel of the library.
        if "/lithax/" in traceback.extract_tb(error.__traceback__)[-1].filename and isinstance(
            error, TypeError | ValueError
        ):
            return None
        raise
    return to_numpy(result) if hasattr(result, "shape") else result


@pytest.mark.parametrize("name", OPS)
def test_right_or_refused_in_words(name, rng):
    function = OPS[name]
    values = rng.integers(0, 4, (4, 5, 6))
    large = {"uint64": 2**63, "int64": 2**62, "uint32": 2**31, "uint16": 2**15}
    compared = 0
    for dtype in DTYPES:
        for shift in (0, large.get(dtype, 0)) if "arithmetic" in name or name in EXACT else (0,):
            x = values.astype(dtype) + np.asarray(shift, dtype) if shift else values.astype(dtype)
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                expected = outcome(function, x)
                for library, array in libraries(x):
                    found = outcome(function, array)
                    if expected is None or found is None:
                        assert expected is None or dtype[:7] == "complex" or (library, dtype) in GAPS.get(name, ()), (
                            library,
                            dtype,
                        )
                        continue
                    compared += 1
                    if not isinstance(expected, np.ndarray):
                        assert found == expected or found == pytest.approx(expected, rel=1e-6), (library, dtype)
                        continue
                    assert found.dtype == expected.dtype, (library, dtype)
                    rtol = 2e-3 if dtype == "float16" else 1e-5 if expected.dtype.kind in "fc" else 0
                    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol, err_msg=f"{library} {dtype}")
    assert compared >= 4


EXACT = (
    "median",
    "percentile",
    "rank",
    "minimum",
    "maximum",
    "threshold",
    "coarsen by the mean",
    "coarsen by the mode",
    "extremes",
    "sum",
)
GAPS = {}


@pytest.mark.skipif(not TORCH, reason="LITHAX_TESTS_TORCH=1 nox -s tests installs PyTorch")
def test_lazy_views_of_torch():
    import torch

    import lithax as lx

    z = torch.tensor(np.arange(24).reshape(2, 3, 4) * (1 + 2j))
    np.testing.assert_array_equal(lx.from_array(z.conj())[...], np.conj(z.numpy()))
    np.testing.assert_array_equal(lx.from_array(z.conj().imag)[...], -z.numpy().imag)
    image = lx.zeros((2, 3, 4), "c16")
    image[...] = z.conj()
    np.testing.assert_array_equal(image[...], np.conj(z.numpy()))
    assert lx.measure.mean(z.conj().imag) == -z.numpy().imag.mean()
    assert lx.from_array(torch.ones((2, 3, 4), dtype=torch.float32, requires_grad=True))[0, 0, 0] == 1


@pytest.mark.skipif(not TORCH, reason="LITHAX_TESTS_TORCH=1 nox -s tests installs PyTorch")
def test_what_torch_lacks_is_named():
    import torch

    import lithax as lx

    x = torch.tensor(np.arange(24, dtype="u8").reshape(2, 3, 4))
    with pytest.raises(
        TypeError, match=r"PyTorch has no such operation for uint64 .* works with bool, uint8, int8 to int64"
    ):
        lx.chunk_map(lambda v: v >> 1, lx.from_array(to_numpy(x)), backend="torch", progress=False)
    with jax.enable_x64(True):
        assert int(jax.numpy.asarray(to_numpy(x)).max()) == 23
