"""Which voxels take part: nothing that is left out is seen, in values or derivatives, and the rest keep what they had."""

import os
from functools import partial

import jax
import numpy as np
import pytest

from lithax import chain, chunk_map, chunk_reduce, chunk_value_and_grad, domain, ops, voxel_op, where
from lithax.images import create, from_array
from lithax.measure import MeanLoss, Moments
from lithax.regions import Box, Sphere
from lithax.testing import assert_same_bits, assert_same_result

SHAPE, CHUNKS = (8, 7, 9), (4, 7, 5)
HIDDEN = [np.nan, np.inf, -np.inf, 1e300, 0.0]


@pytest.fixture
def x(rng):
    return rng.uniform(0.5, 2.0, SHAPE)


@pytest.fixture
def valid(rng):
    """A third of the voxels taken in, none at all in one of the blocks."""
    chosen = rng.random(SHAPE) < 0.3
    chosen[:4, :, :5] = False
    return chosen


def image(values, chunks=CHUNKS, **options):
    return from_array(values, chunks=chunks, **options)


def run(fn, *images, **options):
    return chunk_map(fn, *images, progress=False, **options)


FUNCTIONS = {
    "logarithm": lambda v: np.log(v) if isinstance(v, np.ndarray) else jax.numpy.log(v),
    "gaussian": partial(ops.gaussian, sigma=0.7),
    "median": partial(ops.median, radius=1, boundary="mirror"),
    "chain": chain(
        partial(ops.gaussian, sigma=0.6, boundary="constant", boundary_value=1.0),
        lambda v: 1 / v,
        partial(ops.median, radius=(1, 0, 1), boundary="wrap"),
    ),
}


@pytest.mark.parametrize("backend", ["jax", "numpy"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_hidden_changes_no_bit(name, backend, x, valid):
    fn = FUNCTIONS[name]
    results = [
        np.asarray(run(fn, image(np.where(valid, x, hidden)), where=valid, backend=backend)) for hidden in HIDDEN
    ]
    assert np.isfinite(results[0][valid]).all()
    assert np.isnan(results[0][~valid]).all()
    for other in results[1:]:
        assert_same_bits(other, results[0])


@pytest.mark.parametrize("boundary", ["reflect", "constant", "wrap"])
def test_a_masked_stencil_is_that_of_the_whole_array(boundary, x, valid):
    spoiled = np.where(valid, x, np.nan)
    fn = partial(ops.gaussian, sigma=0.7, boundary=boundary, boundary_value=2.0)
    with jax.enable_x64(True):
        whole = np.asarray(jax.jit(lambda v, m: fn(v, valid=m))(spoiled, valid))
    found = np.asarray(run(fn, image(spoiled), where=valid, fill_value=-1))
    # The quotient of two sums and the choice of what is kept are fused with the last pass: that may be rounded otherwise.
    assert_same_bits(found, np.where(valid, whole, -1.0), ulp=4)
    with jax.enable_x64(True):
        median = jax.jit(lambda v, m: ops.median(v, boundary=boundary, boundary_value=2.0, valid=m))(spoiled, valid)
    found = run(ops.median, image(spoiled), where=valid, boundary=boundary, boundary_value=2.0)
    assert_same_bits(np.asarray(found), np.where(valid, median, np.nan))


def test_every_way_to_say_it(x, rng):
    phases = rng.integers(0, 4, SHAPE).astype(np.uint8)
    mask, other = rng.random(SHAPE) < 0.3, rng.random(SHAPE) < 0.2
    region, box = Sphere((3.5, 3.0, 4.0), 3.2), Box((0, 0, 0), (5.0, 6.0, 8.0))
    picture = image(x)
    coordinates = np.meshgrid(*(np.arange(n, dtype=float) for n in SHAPE), indexing="ij")
    inside, in_box = region.contains(*coordinates), box.contains(*coordinates)
    cases = [
        (domain(exclude=mask), ~mask),
        (domain(mask=image(mask, (3, 3, 3))), ~mask),
        (domain(exclude=[mask, image(other)]), ~mask & ~other),
        (domain(include=mask), mask),
        (mask, mask),
        (image(mask, (8, 2, 9)), mask),
        ({"include": mask, "region": region}, mask & inside),
        (domain(segmentation=phases), phases != 0),
        (domain(segmentation=image(phases), phases=2), phases == 2),
        (domain(segmentation=phases, phases={0, 3, 77}), np.isin(phases, [0, 3])),
        (domain(segmentation=mask), mask),
        (region, inside),
        (region & ~box, inside & ~in_box),
        (domain(include=[region, mask, box]), mask & inside & in_box),
        (
            domain(exclude=other, include=mask, segmentation=phases, phases=[1, 2], region=region),
            ~other & mask & np.isin(phases, [1, 2]) & inside,
        ),
    ]
    for chosen, taken in cases:
        found = np.asarray(run(lambda v: v * 2, picture, where=chosen, backend="numpy"))
        assert_same_bits(found, np.where(taken, x * 2, np.nan))
        count = chunk_reduce(Moments(), picture, where=chosen, progress=False, backend="numpy").count
        assert count == taken.sum()
    assert where is domain


def test_a_region_in_the_units_and_at_the_place_of_the_image(x):
    place = {"voxel_length": (0.5, 1.0, 2.0), "voxel_origin": (10.0, 0.0, -3.0), "voxel_unit": "mm"}
    picture = image(x, **place)
    region = Sphere((11.5, 3.0, 4.0), 2.5)
    inside = region.contains(*picture.index_to_coordinate(*np.indices(SHAPE)))
    assert 0 < inside.sum() < inside.size
    assert_same_bits(np.asarray(run(lambda v: v, picture, where=region)), np.where(inside, x, np.nan))


def test_every_step_of_a_chain_is_restricted(x, valid):
    fn = chain(partial(ops.gaussian, sigma=0.6), partial(ops.median, radius=1))
    spoiled = np.where(valid, x, np.nan)
    smooth = ops.gaussian(spoiled, sigma=0.6, valid=valid)
    expected = ops.median(smooth, radius=1, valid=valid)
    found = np.asarray(run(fn, image(spoiled), where=valid, backend="numpy"))
    assert_same_bits(found, np.where(valid, expected, np.nan))


@voxel_op(halo=1)
def without_masked_form(block):
    return block[2:, 1:-1, 1:-1] - block[:-2, 1:-1, 1:-1]


def test_a_stencil_without_masked_form_is_refused(x, valid, tmp_path):
    for fn in (without_masked_form, chain(lambda v: v + 1, without_masked_form)):
        with pytest.raises(ValueError, match=r"without_masked_form looks at neighbouring voxels.*where_input='keep'"):
            run(fn, image(x), where=valid, store=tmp_path / "out.zarr")
    with pytest.raises(ValueError, match="has no masked form"):
        run(lambda v: v[1:-1, 1:-1, 1:-1], image(x), halo=1, where=valid, store=tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()


def test_keeping_the_input_restricts_the_output_only(x, valid):
    found = np.asarray(run(without_masked_form, image(x), where=valid, where_input="keep", boundary="wrap"))
    assert_same_bits(found, np.where(valid, np.roll(x, -1, 0) - np.roll(x, 1, 0), np.nan))
    smooth = partial(ops.gaussian, sigma=0.7)
    contracted = 0 if os.environ.get("LITHAX_TESTS_OPTIMISED") == "1" else 2  # sums, by the plain compiler of the suite
    for backend, ulp in (("numpy", 0), ("jax", contracted)):
        kept = np.asarray(run(smooth, image(x), where=valid, where_input="keep", backend=backend))
        whole = np.asarray(run(smooth, image(x), backend=backend))
        assert_same_bits(kept, np.where(valid, whole, np.nan), ulp=ulp)
    with pytest.raises(ValueError, match="where_input='drop' must be 'exclude' or 'keep'"):
        run(without_masked_form, image(x), where=valid, where_input="drop")


def test_values_of_what_is_left_out(x, valid):
    for backend in ("jax", "numpy"):
        truth = run(lambda v: v > 1, image(x), where=valid, backend=backend)
        assert_same_bits(np.asarray(truth), (x > 1) & valid)
        counts = run(lambda v: (v * 10).astype("int16"), image(x), where=valid, backend=backend, fill_value=-7)
        assert_same_bits(np.asarray(counts), np.where(valid, (x * 10).astype(np.int16), np.int16(-7)))
        both = run(lambda v: (v, v > 1), image(x), where=valid, backend=backend, fill_value=(0.5, True))
        assert_same_bits(np.asarray(both[0]), np.where(valid, x, 0.5))
        assert_same_bits(np.asarray(both[1]), np.where(valid, x > 1, True))
    with pytest.raises(ValueError, match=r"fill_value=3 is for voxels left out by where="):
        run(lambda v: v, image(x), fill_value=3)


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_what_is_left_out_keeps_its_value_in_an_image_that_is_given(backend, x, valid, rng):
    before = rng.random(SHAPE).astype(np.float32)
    target = image(before, (8, 3, 5), shards=(8, 6, 10))
    made = run(partial(ops.median, radius=1), image(x), where=valid, out=target, backend=backend)
    assert made is target
    expected = ops.median(x, radius=1, valid=valid).astype(np.float32)
    assert_same_bits(np.asarray(target), np.where(valid, expected, before))
    itself = image(before, (8, 3, 5), shards=(8, 6, 10))
    run(lambda v: v * 2, itself, where=valid, out=itself, backend=backend)
    assert_same_bits(np.asarray(itself), np.where(valid, before * 2, before))


def test_a_mask_may_be_changed_by_itself(valid):
    mask = image(valid)
    run(lambda v: ~v, mask, where=mask, out=mask)
    assert not np.asarray(mask).any()


def test_no_voxel_at_all(x):
    nothing = np.zeros(SHAPE, bool)
    assert np.isnan(np.asarray(run(lambda v: v, image(x), where=nothing))).all()
    target = image(x)
    run(lambda v: v * 0, target, where=nothing, out=target)
    assert_same_bits(np.asarray(target), x)
    with pytest.raises(ValueError, match="selects no voxel, so there is nothing to measure"):
        chunk_reduce(Moments(), image(x), where=nothing, progress=False)


def test_reductions_do_not_see_what_is_hidden(x, valid):
    found = [
        chunk_reduce(Moments(), image(np.where(valid, x, hidden)), where=valid, progress=False) for hidden in HIDDEN
    ]
    for other in found[1:]:
        assert_same_result(other, found[0], rtol=0)
    np.testing.assert_allclose(found[0].mean, x[valid].mean(), rtol=1e-12)


def test_gradients_do_not_see_what_is_hidden(x, valid):
    """A NaN that a later `where` hides would still poison a gradient: it must be gone before the function runs."""
    loss = MeanLoss(lambda p, v: jax.numpy.log(p * v) ** 2)
    smoothed = partial(ops.gaussian, radius=2)
    for model in (None, lambda p: partial(smoothed, sigma=p)):
        found = [
            chunk_value_and_grad(loss, 0.8, image(np.where(valid, x, h)), where=valid, model=model, progress=False)
            for h in HIDDEN
        ]
        assert np.isfinite(found[0][1])
        for value, gradient in found[1:]:
            assert (value, gradient) == found[0]


def test_selections_that_cannot_be(x, valid, tmp_path):
    picture = image(x, voxel_length=(1, 1, 1), voxel_unit="mm")
    far = image(valid, voxel_origin=(1, 0, 0), voxel_unit="mm")
    small = np.ones((4, 7, 9), bool)
    phases = np.ones(SHAPE, np.uint8)
    cases = [
        (lambda: small, ValueError, r"where has shape \(4, 7, 9\), the image \(8, 7, 9\)"),
        (lambda: domain(exclude=small), ValueError, r"exclude has shape \(4, 7, 9\)"),
        (lambda: domain(segmentation=phases[:4]), ValueError, r"segmentation has shape \(4, 7, 9\)"),
        (lambda: far, ValueError, r"where has its first voxel at \(1.0, 0.0, 0.0\).*image.update"),
        (lambda: image(valid), ValueError, r"where has its first voxel at .*image.update"),
        (lambda: domain(exclude=phases), TypeError, r"exclude has dtype uint8; it must be boolean"),
        (lambda: domain(include=small), ValueError, r"include has shape \(4, 7, 9\), the image \(8, 7, 9\)"),
        (lambda: domain(include=phases), TypeError, r"include has dtype uint8; it must be boolean"),
        (lambda: phases, TypeError, r"where has dtype uint8; it must be boolean"),
        (lambda: domain(segmentation=x), TypeError, r"segmentation has dtype float64; it must be unsigned integers"),
        (lambda: domain(segmentation=phases.astype("i2")), TypeError, r"segmentation has dtype int16"),
        (lambda: domain(phases=3), ValueError, r"phases=3 are values of a segmentation; give segmentation="),
        (lambda: domain(segmentation=phases, phases=()), ValueError, r"phases=\(\) selects no voxel"),
        (lambda: domain(segmentation=phases, phases=-1), ValueError, r"must be whole numbers >= 0"),
        (lambda: domain(segmentation=phases, phases=1.5), ValueError, r"must be whole numbers >= 0"),
        (lambda: domain(exclude=valid, mask=valid), ValueError, r"mask= is another name for exclude="),
        (lambda: domain(region=valid), TypeError, r"region is a ndarray; give a region"),
        (lambda: "all", TypeError, r"where is a str; give lx.domain"),
        (lambda: domain(exclude=[1, 2]), TypeError, r"exclude is a int"),
    ]
    for make, error, message in cases:
        with pytest.raises(error, match=message):
            run(lambda v: v, picture, where=make(), store=tmp_path / "out.zarr")
        with pytest.raises(error, match=message):
            chunk_reduce(Moments(), picture, where=make(), progress=False)
    assert not (tmp_path / "out.zarr").exists()


def test_another_grid_cannot_be_selected_from(x, valid):
    @voxel_op(scale=2)
    def halved(block):
        return block[::2, ::2, ::2]

    with pytest.raises(ValueError, match="whose result is on another grid"):
        run(halved, image(x), where=valid)


def test_an_image_that_holds_nothing_yet_can_be_selected_into(valid):
    target = create(SHAPE, "u2", chunks=CHUNKS, fill_value=9)
    run(lambda v: v.astype("uint16"), image(valid), where=valid, out=target)
    assert_same_bits(np.asarray(target), np.where(valid, 1, 9).astype(np.uint16))
