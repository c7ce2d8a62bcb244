"""Is the declared halo enough, and is it needed; and does a block give the bits of the whole?"""

from functools import partial

import jax
import numpy as np
import pytest

from lithax import ops

from .cases import CASES, every_case

CORE = (5, 4, 6)


def core_of(x, widths):
    return x[tuple(slice(w, n - w) for w, n in zip(widths, x.shape, strict=True))]


@every_case
def test_more_padding_changes_nothing(case, rng):
    wide = tuple(h + 2 for h in case.halo)
    block = case.image(rng, tuple(n + 2 * w for n, w in zip(CORE, wide, strict=True)))
    body = partial(case.op.body, **case.parameters)
    result = body(core_of(block, (2, 2, 2)))
    assert result.shape == CORE
    np.testing.assert_array_equal(result, core_of(body(block), (2, 2, 2)))


@every_case
def test_every_layer_of_the_halo_matters(case, rng):
    halo = case.halo
    body = partial(case.op.body, **case.parameters)
    shape = tuple(n + 2 * h for n, h in zip(CORE, halo, strict=True))
    needed = np.zeros(3, dtype=bool)
    for _ in range(5):
        block = case.image(rng, shape)
        if case.kind == "binary":  # nearly all False for dilation, True for erosion: a full element answers no change
            block = np.full(shape, case.op is ops.erosion)
        before = body(block)
        for axis in range(3):
            other = np.moveaxis(block.copy(), axis, 0)
            other[0] = ~other[0] if case.kind == "binary" else 100 * other[0]  # the side that even windows reach
            needed[axis] |= halo[axis] == 0 or not np.array_equal(before, body(np.moveaxis(other, 0, axis)))
    assert needed.all()


@pytest.mark.parametrize("case", [case for case in CASES if case.kind == "real"], ids=str)  # the others do not round
def test_a_block_gives_the_bits_of_the_whole(case, rng):
    halo = case.halo
    image = case.image(rng, tuple(n + 2 * h for n, h in zip((23, 18, 29), halo, strict=True)))
    image = image.astype(np.float32)
    body = jax.jit(partial(case.op.body, **case.parameters))
    whole = np.asarray(body(image))
    start, shape = (7, 3, 10), (11, 13, 17)
    block = image[tuple(slice(s, s + n + 2 * h) for s, n, h in zip(start, shape, halo, strict=True))]
    part = whole[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))]
    # No two threads or vector lanes may sum in another order: promise 1 of the combinators.
    np.testing.assert_array_equal(np.asarray(body(block)), part)
