"""Voxel arithmetic is NumPy's, in every type: never a silent wrap, cast or truncation that NumPy would not make."""

import operator

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given, settings

import lithax as lx
from lithax.images import from_array
from lithax.ops import ARITHMETIC
from lithax.testing import assert_same_bits

SHAPE, CHUNKS = (3, 2, 5), (2, 2, 3)
DTYPES = [np.dtype(d) for d in ("?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16")]
NUMPY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.true_divide,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}
"""Operations that are one function of NumPy."""


def numbers(dtype, seed):
    """Voxels that try the limits of a type, and zeros."""
    rng = np.random.default_rng(seed)
    if dtype.kind == "b":
        return rng.random(SHAPE) < 0.5
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        edges = [limits.min, limits.max, 0, 1, 7]
        picked = rng.choice(np.array(edges, dtype), SHAPE)
        return np.where(rng.random(SHAPE) < 0.5, picked, rng.integers(0, 100, SHAPE).astype(dtype))
    values = rng.standard_normal(SHAPE) * 10
    if dtype.kind == "c":
        values = values + 1j * rng.standard_normal(SHAPE)
    return values.astype(dtype)


def expected_of(name, a, b):
    """What the operation means, in NumPy; raises what NumPy raises."""
    with np.errstate(all="ignore"):
        if name == "set":
            return np.broadcast_to(np.asarray(b), a.shape)
        if name in NUMPY:
            return NUMPY[name](a, b)
        if name == "average":  # of the two as real numbers: in the type of a quotient
            left, right, _ = np.true_divide.resolve_dtypes((a.dtype, np.asarray(b).dtype, None))
            half = left.type(0.5)
            return a.astype(left) * half + np.asarray(b).astype(right) * half
        if a.dtype.kind == "c" or np.asarray(b).dtype.kind == "c":
            return np.abs(np.subtract(a, b))
        if a.dtype == np.asarray(b).dtype == np.bool_:
            return a ^ b
        return np.maximum(a, b) - np.minimum(a, b)


def in_place(name, a, b):
    """Return what NumPy leaves in `a`, or raise TypeError as it does where that is not safe."""
    result = expected_of(name, a, b)
    if not np.can_cast(result.dtype, a.dtype, "same_kind"):
        raise TypeError
    with np.errstate(all="ignore"):
        return result.astype(a.dtype)


def image(values, chunks=CHUNKS):
    return from_array(values, chunks=chunks)


@pytest.mark.filterwarnings("ignore:(overflow|invalid|divide):RuntimeWarning")  # NumPy's own words on these voxels
@pytest.mark.parametrize("name", ARITHMETIC)
@settings(max_examples=8)
@given(left=st.sampled_from(DTYPES), right=st.sampled_from(DTYPES), seed=st.integers(0, 2**32 - 1))
def test_two_images_of_any_types(name, left, right, seed):
    a, b = numbers(left, seed), numbers(right, seed + 1)
    options = {"backend": "numpy", "progress": False}
    try:
        expected = expected_of(name, a, b)
    except TypeError:
        with pytest.raises(TypeError):
            getattr(lx.arith, name)(image(a), image(b), **options)
        with pytest.raises(TypeError):
            image(a).apply(name, image(b), **options)
        return
    found = getattr(lx.arith, name)(image(a), image(b, (3, 1, 4)), **options)
    assert_same_bits(np.asarray(found), np.ascontiguousarray(expected))
    assert_same_bits(np.asarray(getattr(lx.arith, name)(a, b)), np.ascontiguousarray(expected))
    target = image(a)
    try:
        expected = in_place(name, a, b)
    except TypeError:
        with pytest.raises(TypeError, match="without loss; write to a new image"):
            target.apply(name, image(b), **options)
        assert_same_bits(np.asarray(target), a)
    else:
        assert target.apply(name, image(b, (1, 2, 5)), **options) is target
        assert_same_bits(np.asarray(target), expected)


@pytest.mark.filterwarnings("ignore:(overflow|invalid|divide):RuntimeWarning")
@pytest.mark.parametrize("name", [n for n in ARITHMETIC if n not in ("set", "average", "absolute_difference")])
@settings(max_examples=8)
@given(
    dtype=st.sampled_from(DTYPES),
    value=st.one_of(
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.integers(-300, 300),
        st.floats(allow_nan=False),
        st.complex_numbers(max_magnitude=1e3, allow_nan=False),
        st.sampled_from(DTYPES[:12]).map(lambda d: d.type(3)),
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_image_and_a_number(name, dtype, value, seed):
    """Python numbers are weak, as NumPy 2 has it, and must fit; NumPy's own have their type."""
    a = numbers(dtype, seed)
    options = {"backend": "numpy", "progress": False}
    try:
        expected = expected_of(name, a, value)
    except (TypeError, OverflowError) as error:
        if name.startswith("logical"):
            return  # NumPy makes objects of huge numbers; here any number is true or false
        with pytest.raises(type(error)):
            getattr(lx.arith, name)(image(a), value, **options)
        with pytest.raises(type(error)):
            image(a).apply(name, value, **options)
        return
    found = getattr(lx.arith, name)(image(a), value, **options)
    assert_same_bits(np.asarray(found), np.ascontiguousarray(expected))
    target = image(a)
    if np.can_cast(expected.dtype, dtype, "same_kind"):
        target.apply(name, value, **options)
        with np.errstate(all="ignore"):
            assert_same_bits(np.asarray(target), np.ascontiguousarray(expected.astype(dtype)))
    else:
        with pytest.raises(TypeError, match="without loss"):
            target.apply(name, value, **options)


PAIRS = [("u1", "f4"), ("u8", "i8"), pytest.param("i8", "i8", marks=pytest.mark.slow), ("c16", "f8"), ("?", "u2")]
PAIRS.append(pytest.param("f8", "f4", marks=pytest.mark.slow))


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=lambda d: np.dtype(d).name)
def test_compiled(left, right, seed):
    """The same on JAX: 64 bits stay 64 bits."""
    a, b = numbers(np.dtype(left), seed), numbers(np.dtype(right), seed + 1)
    if np.dtype(right).kind in "iu":
        b[b == 0] = 3  # what integers give divided by zero is not agreed on
    names = [n for n in ARITHMETIC if (a.dtype, b.dtype, n) != (np.dtype(bool), b.dtype, "subtract")]
    for name in names:
        try:
            expected = expected_of(name, a, b)
        except TypeError:
            with pytest.raises(TypeError):
                getattr(lx.arith, name)(image(a), image(b), progress=False)
            continue
        if a.dtype.kind == "c" and name in ("minimum", "maximum"):
            continue  # complex numbers have no order on JAX
        found = np.asarray(getattr(lx.arith, name)(image(a), image(b), progress=False))
        # A quotient or a modulus of complex numbers is computed by another formula; a product may be joined with a sum.
        assert_same_bits(found, np.ascontiguousarray(expected), ulp=4 if expected.dtype.kind in "fc" else 0)


def test_filters_of_wide_integers_are_real_in_double_precision():
    a = np.arange(30, dtype="i4").reshape(SHAPE) + 2**30
    found = lx.chunk_map(lx.ops.uniform, image(a), progress=False)
    assert found.dtype == np.float64
    # Sums of three numbers three times, each rounded to 53 bits.
    np.testing.assert_allclose(np.asarray(found), lx.ops.uniform(a.astype("f8")), rtol=9 * 2.0**-52)


@pytest.mark.parametrize("dtype", ["i8", "u8", "f8", "c16"])
@pytest.mark.parametrize("backend", ["jax", "numpy", "torch"])
def test_64_bits_are_never_narrowed(dtype, backend):
    if backend == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
        if dtype == "u8":
            pytest.skip("PyTorch has no arithmetic of uint64")
    big = {"i8": 2**62 + 1, "u8": 2**63 + 3, "f8": 1.0 + 2.0**-50, "c16": 1.0 + 2.0**-50 - 1j * 2.0**-50}[dtype]
    a = np.full(SHAPE, big, dtype)
    options = {"backend": backend, "progress": False}
    before = jax.config.jax_enable_x64
    assert_same_bits(np.asarray(lx.chunk_map(lambda v: v, image(a), **options)), a)
    picture = image(a)
    picture.apply("subtract", 1, **options)
    assert_same_bits(np.asarray(picture), a - 1)
    wide = lx.chunk_map(lambda v: v * 2, image(np.ones(SHAPE, "f4")), dtype=dtype, **options)
    assert wide.dtype == np.dtype(dtype)
    assert jax.config.jax_enable_x64 == before


def test_the_x64_scope_is_that_of_the_call_alone():
    import threading

    seen = []

    def function(v):
        seen.append((threading.current_thread() is threading.main_thread(), jax.config.jax_enable_x64, v.dtype))
        return v

    assert not jax.config.jax_enable_x64
    lx.chunk_map(function, image(np.zeros(SHAPE)), progress=False)
    assert {dtype for _, _, dtype in seen} == {np.dtype("f8")}
    assert all(enabled for _, enabled, _ in seen)
    assert not jax.config.jax_enable_x64
    seen.clear()
    lx.chunk_map(function, image(np.zeros(SHAPE, "f4")), progress=False)
    assert not any(enabled for _, enabled, _ in seen)


def test_operators():
    a = numbers(np.dtype("f4"), 1)
    for operation, name in [
        (operator.iadd, "add"),
        (operator.isub, "subtract"),
        (operator.imul, "multiply"),
        (operator.itruediv, "divide"),
    ]:
        picture = image(a)
        assert operation(picture, np.float32(3)) is picture
        with np.errstate(all="ignore"):
            # XLA turns the division by a number into a product where that is exact, and only there.
            assert_same_bits(np.asarray(picture), NUMPY[name](a, np.float32(3)), ulp=1)
    picture = image(a)
    picture += image(a)
    assert_same_bits(np.asarray(picture), a + a)
    picture = image(np.zeros(SHAPE, "u1"))
    picture += 1
    picture *= 7
    picture -= np.uint8(2)
    assert_same_bits(np.asarray(picture), np.full(SHAPE, 5, "u1"))


def test_in_place_stays_on_the_disk_and_the_handle(tmp_path):
    lx.create(SHAPE, "u2", chunks=CHUNKS, store=tmp_path / "a.zarr", field_name="CT")
    picture = lx.open(tmp_path / "a.zarr")
    picture += 3
    again = lx.open(tmp_path / "a.zarr")
    assert_same_bits(np.asarray(again), np.full(SHAPE, 3, "u2"))
    assert again.field_name == "CT"
    assert again.metadata.provenance["in_place"] is True
    assert [p.name for p in (tmp_path / "a.zarr/.lithax").iterdir() if p.name != "locks"] == ["ledger"]


def test_fill():
    mask = np.zeros(SHAPE, bool)
    mask[1] = True
    picture = image(numbers(np.dtype("i2"), 4))
    before = np.asarray(picture)
    assert picture.fill(-5, where=mask) is picture
    assert_same_bits(np.asarray(picture), np.where(mask, np.int16(-5), before))
    picture.fill(True)
    assert (np.asarray(picture) == 1).all()
    truth = image(np.zeros(SHAPE, bool))
    truth.fill(True, where=lx.domain(exclude=mask))
    assert_same_bits(np.asarray(truth), ~mask)
    real = image(np.zeros(SHAPE, "f4"))
    real.fill(np.nan, where=mask)
    assert_same_bits(np.asarray(real), np.where(mask, np.float32("nan"), np.float32(0)))
    real.fill(2)
    assert (np.asarray(real) == 2).all()


def test_a_content_hash_goes_with_the_voxels():
    picture = image(numbers(np.dtype("f4"), 5))
    first = picture.content_hash()
    picture += 1
    assert picture.metadata.content_hash is None
    assert picture.content_hash() != first


@pytest.mark.parametrize(
    ("dtype", "operation", "value", "error", "message"),
    [
        ("u1", "set", 300, OverflowError, r"value=300 does not fit into an image of uint8 \(0 to 255\)"),
        ("u1", "set", -1, OverflowError, "value=-1 does not fit"),
        ("u1", "set", 1.5, TypeError, "value=1.5 cannot be written into an image of uint8 without loss"),
        ("f4", "set", 1j, TypeError, "cannot be written into an image of float32 without loss"),
        ("?", "set", 2, TypeError, "cannot be written into an image of bool without loss"),
        ("u1", "add", 300, OverflowError, r"300 does not fit into uint8 \(0 to 255\).*numpy.int64\(300\)"),
        ("u1", "add", 1.0, TypeError, r"gives float64, which\s+cannot be written into an image of uint8 without loss"),
        ("u1", "add", np.int16(1), TypeError, "gives int16"),
        ("i2", "divide", 2, TypeError, "divide of int16 voxels and 2 gives float"),
        ("?", "subtract", True, TypeError, "NumPy has no subtract of bool and bool"),
        ("f4", "plus", 1, ValueError, "operation='plus' is not known; use one of 'set', 'add'"),
        ("f4", "add", "1", TypeError, "other is a str; give a number, an image or an array"),
        ("f4", "add", None, TypeError, "other is a NoneType"),
    ],
)
def test_what_has_no_safe_place_is_refused(dtype, operation, value, error, message):
    a = numbers(np.dtype(dtype), 6)
    picture = image(a)
    with pytest.raises(error, match=message):
        picture.apply(operation, value)
    assert_same_bits(np.asarray(picture), a)
    assert picture.metadata.state == "complete"


def test_images_that_do_not_fit_each_other():
    picture = image(np.zeros(SHAPE, "f4"))
    with pytest.raises(ValueError, match=r"image 1 has shape \(2, 2, 2\), the first \(3, 2, 5\)"):
        picture.apply("add", image(np.zeros((2, 2, 2), "f4")))
    moved = from_array(np.zeros(SHAPE, "f4"), voxel_origin=(1, 0, 0))
    with pytest.raises(ValueError, match="image 1 has its first voxel at"):
        picture.apply("add", moved)
    with pytest.raises(ValueError, match="image 1 has its first voxel at"):
        lx.arith.add(picture, moved)
    with pytest.raises(TypeError, match="give the image first"):
        lx.arith.add(np.zeros(SHAPE), picture)
    with pytest.raises(TypeError, match="are for images; add was given arrays"):
        lx.arith.add(np.zeros(SHAPE), np.zeros(SHAPE), progress=False)


def test_what_the_earlier_tool_got_wrong():
    """Each row of its list of defects, as NumPy has it."""
    ten, half = np.full(SHAPE, 10, "u1"), np.full(SHAPE, 0.5, "f4")
    assert (np.asarray(lx.arith.multiply(image(ten), image(half))) == 5.0).all()
    large = lx.arith.maximum(image(ten), image(np.full(SHAPE, 300, "u2")))
    assert large.dtype == np.uint16
    assert (np.asarray(large) == 300).all()
    apart = lx.arith.absolute_difference(image(np.full(SHAPE, 10, "u2")), image(np.full(SHAPE, 20, "u2")))
    assert (np.asarray(apart) == 10).all()
    with pytest.raises(TypeError, match="without loss"):
        image(ten).apply("divide", 2)
    mask = np.zeros(SHAPE, bool)
    mask[0] = True
    picture = image(ten)
    picture.apply("add", 2, where=lx.domain(mask=mask))
    assert_same_bits(np.asarray(picture), np.where(mask, 10, 12).astype("u1"))
    picture = image(np.full(SHAPE, 1, "f4"))
    picture += np.float32(1)
    swapped = from_array(np.full(SHAPE, 258, ">u2"))
    swapped += 1
    assert (np.asarray(swapped) == 259).all()
    small = image(np.full(SHAPE, 1.5, "f2"))
    small *= 2
    assert_same_bits(np.asarray(small), np.full(SHAPE, 3, "f2"))
    zeros = image(np.zeros(SHAPE, "f4"))
    zeros.apply("divide", 0)
    assert np.isnan(np.asarray(zeros)).all()
    # 10 - 20 wraps in NumPy, too; a signed type, or a real one, is asked for by name.
    less = lx.arith.subtract(image(ten), np.int16(20))
    assert (np.asarray(less) == -10).all()


def test_the_result_of_a_function_must_fit_an_image_that_is_given(rng):
    x = rng.random(SHAPE).astype("f4")
    for backend in ("jax", "numpy"):
        options = {"backend": backend, "progress": False}
        for dtype, function in [
            ("u1", lambda v: v),
            ("?", lambda v: v),
            ("i2", lambda v: v > 1e9),
            ("f4", lambda v: v > 0),
        ]:
            target = image(np.ones(SHAPE, dtype))
            if np.can_cast(np.dtype("f4") if function(x).dtype.kind == "f" else np.dtype(bool), dtype, "same_kind"):
                lx.chunk_map(function, image(x), out=target, **options)
                assert_same_bits(np.asarray(target), function(x).astype(dtype))
                continue
            with pytest.raises(TypeError, match=r"cannot be written into out of .* without loss"):
                lx.chunk_map(function, image(x), out=target, **options)
            assert (np.asarray(target) == 1).all()
            assert target.metadata.state == "complete"
        narrow = image(np.zeros(SHAPE, "f2"))
        lx.chunk_map(lambda v: v * 2, image(x), out=narrow, **options)
        assert_same_bits(np.asarray(narrow), (x * 2).astype("f2"))


def test_a_type_may_be_asked_for(rng):
    x = rng.uniform(0, 200, SHAPE).astype("f4")
    for backend in ("jax", "numpy"):
        options = {"backend": backend, "progress": False}
        assert_same_bits(np.asarray(lx.chunk_map(lambda v: v, image(x), dtype="u1", **options)), x.astype("u1"))
        two = lx.chunk_map(lambda v: (v, v), image(x), dtype=("f8", "i4"), **options)
        assert [t.dtype for t in two] == [np.float64, np.int32]
        with pytest.raises(ValueError, match="dtype='u1' is that of out; leave it out"):
            lx.chunk_map(lambda v: v, image(x), out=image(x), dtype="u1", **options)
        with pytest.raises(ValueError, match="3 dtypes"):
            lx.chunk_map(lambda v: (v, v), image(x), dtype=("f8", "i4", "u1"), **options)
