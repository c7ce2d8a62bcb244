"""Derivatives through the masked forms that are not sums over a window: right, zero where a voxel is left out, and NaN poisons none."""

from functools import partial

import jax
import numpy as np
import pytest

import lithax as lx
from lithax import ops

SHAPE = (4, 5, 6)
STEP = 1e-6


OPS = {
    "gradient magnitude": partial(ops.gradient_magnitude, sigma=0.8),
    "Hessian": partial(ops.hessian_eigenvalues, sigma=0.8, truncate=2.0),
    "structure tensor": partial(ops.structure_tensor_eigenvalues, sigma=0.8),
    "features": partial(ops.features, sigmas=(0.6,), kinds=("gaussian", "gradient_magnitude")),
    "unsharp mask": partial(ops.unsharp_mask, radius=0.6),
    "guided": lambda x, valid: ops.guided(x, x, epsilon=0.3, radius=1, valid=valid),
    "diffusion": partial(ops.anisotropic_diffusion, kappa=1.0, iterations=3),
    "total variation": partial(ops.total_variation, weight=0.4, iterations=4),
    "total variation of a field": lambda x, valid: lx.total_variation(x, weight=0.4, iterations=4, where=valid),
    "tensor diffusion": partial(ops.tensor_diffusion, contrast=1.0, iterations=2, sigma=0.4, rho=0.4),
}
HEAVY = ("Hessian", "structure tensor", "tensor diffusion", "unsharp mask", "guided", "total variation")
"""Seconds to compile, or the code of another line."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in HEAVY)) for n in OPS])
def test_derivative_of_the_voxels_taken_in(name, rng):
    valid = rng.random(SHAPE) < 0.7
    x, direction = rng.standard_normal((2, *SHAPE))
    direction = np.where(valid, direction, 0.0)
    weights = rng.standard_normal((5, *SHAPE))

    def value(x):
        found = OPS[name](x, valid=valid)
        fields = found if isinstance(found, tuple) else (found,)
        return sum(jax.numpy.sum(jax.numpy.where(valid, w * f, 0.0)) for w, f in zip(weights, fields, strict=False))

    with jax.enable_x64(True):
        both = jax.jit(jax.value_and_grad(value))
        above, below = (both(x + s * direction)[0] for s in (STEP, -STEP))
        _, slope = both(x)
        for other in (np.nan, np.inf):
            np.testing.assert_array_equal(both(np.where(valid, x, other))[1], slope)
    assert (np.asarray(slope)[~valid] == 0).all()
    # Central differences: STEP squared times third derivatives, of the order of 100, and rounding over STEP, 1e-9.
    assert float(np.vdot(slope, direction)) == pytest.approx(float(above - below) / (2 * STEP), rel=1e-5, abs=1e-7)
