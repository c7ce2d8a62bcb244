"""Operators of images give what NumPy gives for whole arrays, in one pass, for every grid."""

import operator
from collections import Counter
from functools import partial

import numpy as np
import pytest

import lithax as lx
from lithax.errors import ResumeError
from lithax.images import Expression
from lithax.testing import assert_same_bits

SHAPE = (9, 10, 11)
BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
]  # fmt: skip
LOGIC = [operator.and_, operator.or_, operator.xor]


@pytest.fixture
def grey(rng):
    return rng.integers(0, 9, SHAPE).astype("u1")


@pytest.fixture
def real(rng):
    return rng.normal(1, 1, SHAPE).astype("f4")


def image_of(array, chunks=4, **options):
    return lx.from_array(array, chunks=chunks, voxel_length=2.0, voxel_unit="um", **options)


@pytest.mark.parametrize("operation", BINARY + LOGIC, ids=lambda f: f.__name__)
def test_every_operator_is_numpys(operation, grey, real):
    integers = operation in LOGIC
    other = (grey // 2) if integers else real
    left, right = image_of(grey), image_of(other, chunks=5)
    with np.errstate(all="ignore"):
        for a, b, x, y in [
            (left, right, grey, other),
            (right, left, other, grey),
            (left, other, grey, other),  # arrays on either side
            (grey, right, grey, other),
            (left, 3, grey, 3),  # numbers, reflected, of Python and of NumPy
            (3, left, 3, grey),
            (left, np.int16(3), grey, np.int16(3)),
            (np.int16(3), left, np.int16(3), grey),
        ]:
            found, wanted = operation(a, b), operation(x, y)
            assert isinstance(found, Expression)
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
            assert_same_bits(np.asarray(found), wanted)


def test_unary_operators_casts_and_choices(grey, real):
    image, other = image_of(grey), image_of(real, chunks=5)
    assert_same_bits((~(image <= 3))[...], ~(grey <= 3))
    assert_same_bits((~image)[...], ~grey)
    assert_same_bits((-other)[2:, 1], -real[2:, 1])
    assert_same_bits((+other)[...], real)
    assert_same_bits(abs(other)[...], abs(real))
    assert_same_bits(other.astype("i2")[...], real.astype("i2"))
    assert_same_bits(lx.where(image < 4, other, 0)[...], np.where(grey < 4, real, 0))
    assert_same_bits(lx.where(grey < 4, image, other)[...], np.where(grey < 4, grey, real))
    assert_same_bits(lx.where(grey < 4, real, 0), np.where(grey < 4, real, 0))
    assert repr(lx.where(include=image < 4)) == "domain(include=image < 4)"
    with pytest.raises(TypeError, match=r"where\(\) was given 2 values"):
        lx.where(image < 4, image)


def test_long_and_shared_expressions(grey):
    image = image_of(grey)
    total, wanted = image, grey
    for _ in range(300):
        total, wanted = total + 1, wanted + np.uint8(1)
    assert_same_bits(total[...], wanted)
    twice = image - 1
    for _ in range(30):  # as a tree it would have 2**30 leaves
        twice = twice + twice
    assert_same_bits(twice[...], ((grey - 1).astype("u8") << 30).astype("u1"))


class Counting(lx.VoxelImage):
    """An image that counts what is decoded."""

    def __init__(self, image):
        stored, self.reads = image.stored, Counter()
        read = stored.read_chunk

        def counted(index):
            self.reads[index] += 1
            return read(index)

        stored.read_chunk = counted
        super().__init__(stored)


def test_one_pass_reads_every_chunk_once(real):
    image = Counting(image_of(real, chunks=5))
    inside = (image > 0) & (image < 2)
    share = lx.measure.porosity(inside)
    assert float(share) == np.mean((real > 0) & (real < 2))
    assert set(image.reads.values()) == {1}
    assert len(image.reads) == image.nchunks

    image.reads.clear()
    # The image itself, a function of it, and a condition on it.
    made = lx.chunk_map(lambda v, w: v + w, image, image * 2, where=image > 0.5, fill_value=0)
    assert_same_bits(made[...], np.where(real > 0.5, real + real * 2, np.float32(0)))
    assert set(image.reads.values()) == {1}

    image.reads.clear()
    assert lx.plan(lx.chunk_map, lambda v: v, inside).blocks == image.nchunks
    assert lx.plan(lx.chunk_reduce, lx.measure.Moments(), inside, where=inside).fits
    assert not image.reads


@pytest.mark.parametrize("boundary", ["reflect", "nearest", "mirror", "wrap", "constant"])
@pytest.mark.parametrize("chunks", [3, 16])
def test_a_stencil_sees_the_expression_continued(boundary, chunks, grey):
    """The faces are those of the expression: a constant outside is compared with nothing."""
    image = image_of(grey, chunks=chunks)
    op = partial(lx.ops.uniform, size=3, boundary=boundary, boundary_value=0.5)
    found = lx.chunk_map(op, (image <= 3).astype("f4"))
    whole = (grey <= 3).astype("f4")
    assert_same_bits(found[...], lx.chunk_map(op, image_of(whole, chunks=chunks))[...])
    padded = np.pad(whole, 1, mode="constant", constant_values=0.5)
    if boundary == "constant":
        assert found[0, 0, 0] == pytest.approx(padded[:3, :3, :3].mean(), rel=1e-6)  # a sum of 27 float32


def test_accepted_wherever_an_image_is(grey, real, tmp_path):
    image, other = image_of(grey), image_of(real)
    chosen = image <= 3
    assert lx.measure.histogram(other, bins=4, where=chosen).total == np.count_nonzero(grey <= 3)
    assert lx.measure.phase_fractions(image % 3, where=other > 0)
    assert lx.connectivity(chosen).total == np.count_nonzero(grey <= 3)
    assert lx.measure.moments(abs(other)).mean == pytest.approx(abs(real.astype("f8")).mean(), rel=1e-6)
    made = chosen.copy(tmp_path / "pores.zarr", chunks=5)
    assert_same_bits(made[...], grey <= 3)
    assert (made.voxel_length, made.voxel_unit) == ((2.0, 2.0, 2.0), "um")
    assert made.content_hash() == chosen.content_hash()
    assert_same_bits(lx.from_array(image + 1)[...], grey + np.uint8(1))
    assert lx.regions.inside(chosen, lx.regions.Sphere((8, 8, 8), 5)).shape == SHAPE
    assert "Expression" in repr(chosen)
    assert "image &lt;= 3" in chosen._repr_html_()
    assert chosen.levels == ()
    assert dict(chosen.attrs) == {}
    assert chosen.to_xarray().shape == SHAPE
    loss = lx.measure.MeanSquaredError(model=lambda p, x: p * x)
    value, slope = lx.chunk_value_and_grad(loss, 2.0, other, other * 3)
    assert float(value) == pytest.approx(np.mean(real.astype("f8") ** 2), rel=1e-5)  # voxels are float32
    assert float(slope) == pytest.approx(-2 * np.mean(real.astype("f8") ** 2), rel=1e-5)


def test_what_stays_known_of_an_image(grey):
    image = image_of(grey, field_name="attenuation", field_unit="1/m", chunks=(4, 5, 6), shards=(8, 10, 12))
    assert (abs(-image).field_name, abs(-image).field_unit) == ("attenuation", "1/m")
    assert (image / 2).field_unit == ""  # of a quotient nobody knows
    assert (image * image).voxel_unit == "um"
    assert (image <= 3).shards == image.shards
    assert repr(image <= 3).startswith("<Expression attenuation <= 3 ")


def test_assigning_is_in_place_for_images_and_rebinds_expressions(grey, tmp_path):
    image = lx.from_array(grey, chunks=4, store=tmp_path / "a.zarr")
    same, view = image, image <= 4
    image += 1
    image *= np.uint8(2)
    image //= 3
    image &= 5
    image |= 8
    image ^= view  # of its own voxels
    assert image is same
    wanted = ((grey + 1) * 2) // 3 & 5 | 8
    wanted ^= wanted <= 4
    assert_same_bits(lx.open(tmp_path / "a.zarr")[...], wanted)
    assert_same_bits(view[...], wanted <= 4)  # a view sees what was written later

    total = image + 1
    before = total
    total += 1
    total &= 3
    assert isinstance(total, Expression)
    assert total is not before
    assert_same_bits(total[...], (wanted + 2) & 3)
    assert_same_bits(image[...], wanted)
    with pytest.raises(TypeError, match="cannot be written"):
        image **= 0.5


def test_equal_voxels_and_the_same_image(grey):
    image, other = image_of(grey), image_of(grey)
    assert_same_bits((image == 3)[...], grey == 3)
    assert (image == other)[...].all()
    assert len({image, other, image}) == 2
    assert image in [other, image][1:]
    assert (image == None) is False  # noqa: E711
    assert (image != "scan") is True


@pytest.mark.parametrize(
    "ask",
    [
        bool,
        lambda image: image and True,
        lambda image: 2 < image < 5,
        lambda image: 3 in image,
        lambda image: not image,
        lambda image: bool(image <= 3),
    ],
)
def test_the_truth_of_many_voxels_is_refused_with_the_remedy(ask, grey):
    with pytest.raises(ValueError, match=r"\[\.\.\.\]\.any\(\)|& \| ~"):
        ask(image_of(grey))


def test_what_cannot_be_combined_is_refused_at_once(grey, real):
    import jax

    image = image_of(grey)
    with pytest.raises(OverflowError, match=r"image \+ 300.*numpy.int64"):
        _ = image + 300
    assert (image < 300)[...].all()  # as in NumPy
    with pytest.raises(TypeError, match="NumPy has no negative of bool; use ~"):
        _ = -(image < 3)
    with pytest.raises(TypeError, match="NumPy has no bitwise_and of uint8 and float32; convert one with astype"):
        _ = image & image_of(real)
    with pytest.raises(ValueError, match=r"shape \(2, 2, 2\), the image \(9, 10, 11\)"):
        _ = image + np.ones((2, 2, 2))
    with pytest.raises(ValueError, match=r"correct one with image.update"):
        _ = image + lx.from_array(grey)
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = image + "3"
    with pytest.raises(TypeError, match="imaginary part"):
        (image * 1j).astype("f4")
    with pytest.raises(TypeError, match=r"JAX is tracing.*parameter of lx.chunk_map"):
        jax.jit(lambda t: image <= t)(3)
    for change in (lambda e: e.fill(True), lambda e: e.update(field_name="x"), lambda e: e.__setitem__(..., 1)):
        with pytest.raises(PermissionError, match=r"image <= 3 cannot be written to.*copy\(store\)"):
            change(image <= 3)
    with pytest.raises(AttributeError, match="has no array of its own"):
        (image <= 3).zarray  # noqa: B018


def test_the_output_may_not_be_what_is_read(grey, tmp_path):
    image = lx.from_array(grey, chunks=4, store=tmp_path / "a.zarr")
    lx.chunk_map(lambda v: v, image + 1, out=image)  # voxel by voxel: in place
    assert_same_bits(image[...], grey + np.uint8(1))
    with pytest.raises(ValueError, match="looks at neighbouring voxels"):
        lx.chunk_map(partial(lx.ops.minimum, size=3), image + 1, out=image)
    with pytest.raises(ValueError, match="holds one of the inputs"):
        lx.chunk_map(lambda v: v, image + 1, store=tmp_path / "a.zarr", overwrite=True)
    with pytest.raises(ValueError, match="holds the image itself"):
        (image + 1).copy(tmp_path / "a.zarr", overwrite=True)
    assert_same_bits(lx.open(tmp_path / "a.zarr")[...], grey + np.uint8(1))


def test_a_resumed_run_knows_the_expression_and_its_images(grey, real, tmp_path):
    first = lx.from_array(grey, store=tmp_path / "a.zarr")
    second = lx.from_array(grey, store=tmp_path / "b.zarr")

    def run(expression, **options):
        return lx.chunk_map(lambda v: v, expression, store=tmp_path / "out.zarr", **options)

    run(first + real)
    run(lx.open(tmp_path / "a.zarr") + real.copy(), resume=True)  # the same, put together anew
    for other in (first - real, second + real, first + 1, first + (real + 1), (first + 0) + real, real + first):
        with pytest.raises(ResumeError, match="inputs"):
            run(other, resume=True)
    run(first + 1, overwrite=True)
    with pytest.raises(ResumeError, match="inputs"):
        run(first + np.uint8(1), resume=True)
    provenance = lx.open(tmp_path / "out.zarr").metadata.provenance
    assert provenance["inputs"][0]["expression"] == [["add", "", [0], "int 1"]]
    assert provenance["inputs"][0]["of"][0]["store"].endswith("a.zarr")


def test_incomplete_images_are_refused_in_expressions(grey, tmp_path):
    image = lx.from_array(grey, store=tmp_path / "a.zarr")
    total = image + 1
    image.stored.update_metadata(state="writing")
    with pytest.raises(lx.errors.IncompleteImageError):
        lx.chunk_map(lambda v: v, total)
