"""Shifts that were put in by the Fourier shift theorem come out, and are undone."""

import numpy as np
import pytest

import lithax as lx


def pair(rng, shift, shape=(48, 40, 36)):
    """A smooth random field, and the same displaced, with noise on both."""
    field = np.asarray(lx.ops.gaussian(rng.standard_normal(shape), sigma=2.0, boundary="wrap"))
    field = field / field.std()
    phase = sum(
        f.reshape(tuple(-1 if a == axis else 1 for a in range(3))) * s
        for axis, (f, s) in enumerate(zip(map(np.fft.fftfreq, shape), shift, strict=True))
    )
    moved = np.fft.ifftn(np.fft.fftn(field) * np.exp(-2j * np.pi * phase)).real
    return tuple(1000 * v + 20 * rng.standard_normal(shape) for v in (field, 0.8 * moved))


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.45), (3.4, -2.0, 1.7)])
def test_the_shift_is_found_and_undone(shift, rng):
    low, high = pair(rng, shift)
    found = lx.dect.shift_between(low, high, warn=False)
    np.testing.assert_allclose(found, shift, atol=0.05)  # windowed, and with noise of 2 %
    back = np.asarray(lx.dect.shifted(high, found))
    inner = (slice(6, -6),) * 3
    before, after = (np.std((v / 0.8 - low)[inner]) for v in (high, back))
    assert after < 80  # noise of 20 and 25, and what cubic convolution leaves
    assert after < before or not any(shift)


def test_a_large_shift_is_said(rng):
    low, high = pair(rng, (0.0, 0.8, 0.0))
    with pytest.warns(UserWarning, match="shifted against each other"):
        lx.dect.shift_between(low, high)


def test_images_and_arrays_agree(rng):
    _, high = pair(rng, (0.0, 0.8, 0.0))
    image = lx.from_array(high.astype("f4"), chunks=16)
    moved = lx.dect.shifted(image, (0.0, 0.8, -1.3), progress=False)
    whole = np.asarray(lx.dect.shifted(high.astype("f4"), (0.0, 0.8, -1.3)))
    np.testing.assert_allclose(moved, whole, rtol=0, atol=1e-3)  # values of 1000 in float32
    with pytest.raises(ValueError, match="three numbers"):
        lx.dect.shifted(image, (1.0, 2.0))
    with pytest.raises(ValueError, match="one shape"):
        lx.dect.shift_between(high, high[1:])
