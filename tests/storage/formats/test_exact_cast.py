"""Casts that lose nothing, and the message where one would."""

import numpy as np
import pytest

from lithax.storage.formats import cast_exactly

REAL = ["b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def extremes(dtype):
    """Values of a type at which casts go wrong."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "ui":
        info = np.iinfo(dtype)
        values = {0, 1, 2, info.min, info.max, info.max - 1}
        values |= {v for n in range(2, 64) for v in (2**n - 1, 2**n, 2**n + 1, -(2**n)) if info.min <= v <= info.max}
        return np.array(sorted(values), dtype=dtype)
    values = [0, -0.0, 1, 0.5, -1, 1e-8, np.nan, np.inf, -np.inf, np.finfo(dtype).max]
    values += [s * 2.0**n for n in range(1, 65) for s in (1, -1) if 2.0**n < float(np.finfo(dtype).max)]
    return np.array(values, dtype=dtype)


@pytest.mark.parametrize("target", REAL)
@pytest.mark.parametrize("source", REAL)
def test_every_pair_of_types_against_python_numbers(source, target):
    target = np.dtype(target)
    for value in extremes(source):
        exact = value.item()
        number = complex(exact)
        if target.kind == "b":
            allowed = number in (0, 1)
        elif target.kind in "ui":
            whole = np.isfinite(number.real) and float(number.real).is_integer()
            allowed = bool(whole) and np.iinfo(target).min <= int(exact) <= np.iinfo(target).max
        elif value.dtype.kind == "f":
            with np.errstate(over="ignore"):
                allowed = not np.isfinite(value) or bool(np.isfinite(value.astype(target)))
        else:
            with np.errstate(over="ignore"):
                rounded = value.astype(target).item()
            allowed = np.isfinite(rounded) and int(rounded) == int(exact)
        block = np.full((1, 1, 2), value)
        if allowed:
            found = cast_exactly(block, target)
            assert found.dtype == target
            np.testing.assert_array_equal(found, block.astype(target))
        else:
            with pytest.raises(ValueError, match=f"dtype='{target}' cannot hold the value"):
                cast_exactly(block, target)


def test_the_message_names_voxel_and_limits():
    values = np.zeros((3, 4, 5), "u2")
    values[1, 2, 3] = 300
    with pytest.raises(
        ValueError, match=r"dtype='uint8' cannot hold the value 300 of voxel \(11, 22, 33\) \(0 to 255\)"
    ):
        cast_exactly(values, np.dtype("u1"), start=(10, 20, 30))


def test_complex():
    values = np.array([[[1 + 2j, np.nan]]])
    assert cast_exactly(values, np.dtype(">c8")).dtype == np.complex64
    with pytest.raises(TypeError, match="cannot hold the complex values"):
        cast_exactly(values, np.dtype("f8"))
    with pytest.raises(ValueError, match="cannot hold the value"):
        cast_exactly(values * 1e200, np.dtype("c8"))
    np.testing.assert_array_equal(cast_exactly(np.array([[[3]]]), np.dtype("c8")), [[[3 + 0j]]])
    with pytest.raises(ValueError, match="16777217"):
        cast_exactly(np.array([[[16777217]]]), np.dtype("c8"))
