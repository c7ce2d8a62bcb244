"""One compilation per body, static parameters, dtypes and block shape: promise 2 of the combinators."""

from functools import partial

import equinox as eqx
import jax
import numpy as np
import pytest

from lithax import chain, chunk_map, chunk_reduce, chunk_value_and_grad, domain, plan, voxel_op
from lithax.arrays import BOUNDARIES
from lithax.images import from_array
from lithax.measure import AbstractMeasurement, MeanLoss
from lithax.regions import Sphere

SHAPE, CHUNKS = (11, 7, 10), (4, 7, 3)
"""3 x 1 x 4 blocks; the last ones stick out along x and z."""


@pytest.fixture
def image(rng):
    return from_array(rng.random(SHAPE).astype(np.float32), chunks=CHUNKS)


def once(function, traces=1):
    """Fail when JAX traces the function more often than that."""
    return eqx.debug.assert_max_traces(function, max_traces=traces)


def lopsided(block, *, weight=1.0, sharp=False):
    result = weight * block[2:, 1:-1, 1:-1] - block[:-2, 1:-1, 1:-1]
    return result * result if sharp else result


def op(**options):
    return voxel_op(once(lopsided), halo=1, **options)


def run(fn, *images, **options):
    return chunk_map(fn, *images, progress=False, **options)


def test_a_ragged_grid_with_blocks_at_every_face(image):
    run(op(), image)
    run(once(lambda v: v + 1), image)


def test_another_boundary_of_a_single_operation(image):
    stencil = op()
    for boundary in BOUNDARIES:
        run(stencil, image, boundary=boundary, boundary_value=3.0)
        run(partial(stencil, boundary=boundary), image)
    run(stencil, image, boundary="constant", boundary_value=5.0)


def test_another_boundary_under_a_selection(image):
    stencil = op(masked=lambda block, valid, **parameters: lopsided(block, **parameters))
    mask = np.arange(SHAPE[2]) % 2 == np.zeros(SHAPE, int)
    # The masked form alone is traced here; count its calls by the op's own body in where_input="keep".
    for boundary in BOUNDARIES:
        run(stencil, image, boundary=boundary, where=mask, where_input="keep")


def test_another_boundary_where_only_element_wise_steps_precede(image):
    first, stencil = once(lambda v: v * 2), op()
    for boundary in ("reflect", "nearest", "mirror", "wrap"):
        run(chain(first, partial(stencil, boundary=boundary)), image)


def test_another_image_of_another_shape_and_grid_but_the_same_blocks(image, rng):
    stencil = op()
    run(stencil, image, workers=6)  # with fewer workers, larger blocks
    other = from_array(rng.random((8, 14, 6)).astype(np.float32), chunks=CHUNKS, shards=(4, 14, 3))
    run(stencil, other, workers=4)


def test_equal_partials_and_plain_keywords(image):
    stencil = op()
    for _ in range(4):
        run(partial(stencil, weight=2.0), image)
    run(partial(partial(stencil, weight=5.0), weight=2.0), image)
    run(stencil, image, weight=2.0)
    run(stencil, image, parameters={"weight": 2.0})


def test_numbers_are_constants_and_arrays_arguments(image):
    swept = op()
    for weight in (0.5, 1.0, 2.0):
        run(swept, image, weight=np.asarray(weight, np.float32))
    two = voxel_op(once(lopsided, 2), halo=1)
    run(two, image, weight=1.0)
    run(two, image, weight=2.0)
    with pytest.raises(RuntimeError, match="traced"):
        run(two, image, weight=3.0)


def test_numbers_that_are_equal_but_of_other_kinds_are_told_apart(image):
    def kind(v, *, number):
        return v * 0 + {bool: 1.0, int: 2.0, float: 3.0}[type(number)]

    found = [run(kind, image, number=n)[0, 0, 0] for n in (True, 1, 1.0)]
    assert found == [1.0, 2.0, 3.0]


def test_a_module_with_arrays_is_an_argument(image):
    traced = []

    class Scaled(eqx.Module):
        gain: jax.Array
        power: int

        def __call__(self, v):
            traced.append(None)
            return self.gain * v**self.power

    for gain in (1.0, 2.0, 4.0):
        found = run(Scaled(np.asarray(gain, np.float32), 2), image)
        np.testing.assert_array_equal(np.asarray(found), gain * np.asarray(image) ** 2)  # powers of 2: no rounding
    assert len(traced) == 1


def test_another_region_or_mask(image, rng):
    function = once(lambda v: v + 1)
    for radius in (2.0, 3.0):
        run(function, image, where=Sphere((4.0, 3.0, 5.0), radius), fill_value=0)
    run(function, image, where=rng.random(SHAPE) < 0.5, fill_value=0)
    run(function, image, where=domain(exclude=rng.random(SHAPE) < 0.5), fill_value=0)


def test_where_the_results_go_makes_no_difference(image, tmp_path):
    function = once(lambda v: v + 1)
    run(function, image)
    run(function, image, store=tmp_path / "a.zarr")
    run(function, image, store=tmp_path / "a.zarr", overwrite=True)
    plan(chunk_map, function, image)


def test_a_plan_compiles_what_the_run_uses(image):
    stencil = op()
    assert plan(chunk_map, stencil, image).compilations == 1
    run(stencil, image)


def test_measurements(image, rng):
    traced = []

    class Largest(AbstractMeasurement):
        above: jax.Array

        def of(self, block, valid=None):
            traced.append(None)
            return {"largest": (block * valid).max() - self.above}

        def combine(self, a, b):
            return {"largest": np.maximum(a["largest"], b["largest"])}

        def finish(self, state):
            return float(state["largest"])

    for above in (0.0, 0.5):
        chunk_reduce(Largest(np.asarray(above, np.float32)), image, progress=False)
    chunk_reduce(Largest(np.asarray(0.0, np.float32)), image, where=rng.random(SHAPE) < 0.5, progress=False)
    assert len(traced) == 1


def test_gradients(image):
    loss = MeanLoss(once(lambda p, x: (p["gain"] * x + p["shift"]) ** 2))
    for gain in (1.0, 2.0, 3.0):
        chunk_value_and_grad(loss, {"gain": gain, "shift": np.ones(())}, image, progress=False, workers=3)
