"""Denoising along structures: diffusion whose direction the structure tensor decides."""

import itertools
import math
from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, fence, namespace, put_inside, repeat_times
from lithax.grid import Halo
from lithax.ops._derivative import central_difference
from lithax.ops._gaussian import gaussian, gaussian_radius
from lithax.ops._iterated import check_time_step, inside, iterated_halo
from lithax.ops._masked_derivatives import difference_within
from lithax.ops._parameters import cast, is_number
from lithax.ops._separable import shifted
from lithax.ops._step import crop
from lithax.ops._symmetric_eigenvalues import PAIRS
from lithax.ops._symmetric_rotations import eigen_decomposition
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array

ALONG = ("coherence", "edges")
LEAST = 0.01
"""Diffusivity across a structure, beside 1 along it [-]."""
STEEPEST = 3.31488
"""Weickert's constant, with which the flux across an edge is largest at `contrast`."""


def tensor_halo(iterations: int = 5, sigma: Any = 0.7, rho: Any = 1.5) -> Halo:
    """Return the reach of the tensor, two Gaussians and a difference, and a voxel per iteration."""
    for name, width in (("sigma", sigma), ("rho", rho)):
        if not (is_number(width) and width >= 0 and math.isfinite(width)):
            raise ValueError(f"{name}={width!r} must be a number of voxels >= 0; it sets the width of the window.")
    tensor = gaussian_radius(sigma)[0] + 1 + gaussian_radius(rho)[0]
    return iterated_halo(iterations, tensor + iterated_halo(iterations)[0])


def _products(x: Array, valid: Array | None, sigma: float, rho: float, contrast: Any) -> list[Array]:
    # The structure tensor on all voxels but those that its windows use up.
    inner = lambda field, axis: crop(field, [int(a != axis) for a in range(3)])  # noqa: E731
    scale = 1.0 / cast(contrast, x.dtype, "contrast")
    if valid is None:
        smooth = fence(gaussian.body(x, sigma=sigma))
        slopes = [fence(central_difference(inner(smooth, axis), axis, 1.0)) * scale for axis in range(3)]
        return [fence(gaussian.body(slopes[p] * slopes[q], sigma=rho)) for p, q in PAIRS]
    xp = namespace(x)
    smooth, reach = fence(gaussian.masked(x, valid=valid, sigma=sigma)), gaussian_radius(sigma)
    counted = crop(valid, reach)
    smooth = xp.where(counted, smooth, xp.zeros_like(smooth))
    slopes = [fence(difference_within(inner(smooth, a), inner(counted, a), a)) * scale for a in range(3)]
    counted = crop(counted, (1, 1, 1))
    products = [fence(gaussian.masked(slopes[p] * slopes[q], valid=counted, sigma=rho)) for p, q in PAIRS]
    counted = crop(counted, gaussian_radius(rho))
    return [xp.where(counted, product, xp.zeros_like(product)) for product in products]


def _diffusivity(
    x: Array, valid: Array | None, sigma: float, rho: float, contrast: Any, enhance: str
) -> dict[tuple[int, int], Array]:
    xp = namespace(x)
    products = _products(x, valid, sigma, rho, contrast)
    values, vectors = eigen_decomposition(products)
    largest = values[0]
    for value in values[1:]:
        largest = xp.where(value > largest, value, largest)
    found = []
    for value in values:
        # The squared slope that decides, in squares of the contrast.
        size = largest - value if enhance == "coherence" else value
        some = size > 1e-3
        size = xp.where(some, size, xp.ones_like(size))
        if enhance == "coherence":
            open_part = (1.0 - LEAST) * xp.exp(-1.0 / (size * size))
            found.append(LEAST + xp.where(some, open_part, xp.zeros_like(size)))
        else:
            shut = xp.exp(-STEEPEST / size**4)
            found.append(1.0 - (1.0 - LEAST) * xp.where(some, shut, xp.zeros_like(size)))
    return {
        (p, q): fence(sum((f * v[p] * v[q] for f, v in zip(found, vectors, strict=True)), xp.zeros_like(largest)))
        for p, q in PAIRS
    }


def _open(tensor: dict[tuple[int, int], Array], valid: Array) -> tuple[dict[tuple[int, int], Array], list[Array]]:
    """Return the tensor with fluxes across the axes only where all that they look at is taken in,
    and the bonds along the axes; `valid` has a voxel more on every face.
    """
    xp = namespace(valid)
    here = inside(valid)
    found = {}
    for (p, q), d in tensor.items():
        whole = here
        if p != q:
            for axis, step in itertools.product((p, q), (1, -1)):
                whole = whole & inside(valid, axis, step)
        found[p, q] = fence(xp.where(whole, d, xp.zeros_like(d)))
    return found, [here & inside(valid, axis, 1) for axis in range(3)]


def _diffused(
    block: Array, valid: Array | None, contrast: Any, enhance: str, iterations: int, sigma: Any, rho: Any, step: Any
) -> Array:
    if is_number(contrast) and not (contrast > 0 and math.isfinite(contrast)):
        raise ValueError(
            f"contrast={contrast!r} must be positive: the difference of neighbours beyond which there is a structure."
        )
    check_time_step(step)
    if enhance not in ALONG:
        raise ValueError(f"enhance={enhance!r} is not known; use 'coherence' or 'edges'.")
    x = as_real(block)
    xp = namespace(x)
    tensor = _diffusivity(x, valid, float(sigma), float(rho), contrast, enhance)
    step = cast(step, x.dtype, "step")
    outer = [h - iterations for h in tensor_halo(iterations, sigma, rho)]
    start = crop(x, outer)
    bonds: list[Array] = []
    if valid is not None:
        start = xp.where(crop(valid, outer), start, xp.zeros_like(start))
        tensor, bonds = _open(tensor, crop(valid, [w - 1 for w in outer]))
    length = [n - 2 for n in start.shape]

    def at(field: Array, **moved: int) -> Array:
        for axis in range(3):
            field = shifted(field, axis, 1 + moved.get("xyz"[axis], 0), length[axis])
        return field

    def turn(now: Array) -> Array:
        change: Any = None
        here = at(now)
        for p, q in PAIRS:
            d = tensor[p, q]
            a, b = "xyz"[p], "xyz"[q]
            if p == q:
                up = (at(d) + at(d, **{a: 1})) * (at(now, **{a: 1}) - here)
                down = (at(d) + at(d, **{a: -1})) * (here - at(now, **{a: -1}))
                if bonds:
                    zero = xp.zeros_like(up)
                    up, down = xp.where(at(bonds[p]), up, zero), xp.where(at(bonds[p], **{a: -1}), down, zero)
                part = 0.5 * (up - down)
            else:
                part = 0.25 * sum(
                    i * j * (at(d, **{a: i}) + at(d, **{b: j})) * at(now, **{a: i, b: j})
                    for i in (-1, 1)
                    for j in (-1, 1)
                )
            change = part if change is None else change + part
        return put_inside(now, here + step * change)

    found = crop(repeat_times(iterations, turn, start), [iterations] * 3)
    if valid is None:
        return found
    halo = tensor_halo(iterations, sigma, rho)
    return xp.where(crop(valid, halo), found, crop(x, halo))


def _tensor_diffusion_masked(
    block: Shaped[Any, "x y z"],
    valid: Bool[Any, "x y z"],
    *,
    contrast: Any,
    enhance: str = "coherence",
    iterations: int = 5,
    sigma: Any = 0.7,
    rho: Any = 1.5,
    step: Any = 1.0 / 7.0,
) -> Float[Any, "_ _ _"]:
    return _diffused(block, valid, contrast, enhance, iterations, sigma, rho, step)


@voxel_op(
    halo=tensor_halo,
    static=("iterations", "sigma", "rho", "enhance"),
    masked=_tensor_diffusion_masked,
    lengths={"sigma": "ball", "rho": "ball"},
)
def tensor_diffusion(
    block: Shaped[Any, "x y z"],
    *,
    contrast: Any,
    enhance: str = "coherence",
    iterations: int = 5,
    sigma: Any = 0.7,
    rho: Any = 1.5,
    step: Any = 1.0 / 7.0,
) -> Float[Any, "_ _ _"]:
    """Let grey levels diffuse along structures and not across them (Weickert); scikit-image has no
    counterpart.

    The structure tensor, products of the gradient smoothed by `rho`, has the eigenvalues μ and the
    directions v. Grey levels diffuse by the tensor ``D = Σ f(μ) v vᵀ``:

    - "coherence": ``f = a + (1 - a) exp(-(contrast² / (largest μ - μ))²)``, which closes gaps along
      fractures and layers (both directions in a sheet), lines along a tube, and leaves the rest;
    - "edges": ``f = 1 - (1 - a) exp(-3.31488 (contrast² / μ)⁴)``, which smooths everywhere but
      across edges, and along them as well.

    In both ``a = 0.01``. The tensor is that of the given voxels during all iterations:
    ``lx.ops.repeat(partial(lx.ops.tensor_diffusion, ...), n)`` takes it anew n times. With
    boundary="reflect" the sum of all grey levels stays. Integers and booleans are smoothed as
    floats. NaN reaches every voxel whose window contains it.

    Parameters
    ----------
    block
        Grey levels, one per voxel; padded by the reach of the tensor and a voxel per iteration.
    contrast
        Difference of neighbours beyond which there is a structure, in the unit of `block`; two to
        three times what of the noise `sigma` leaves. May be traced.
    enhance
        "coherence" or "edges".
    iterations
        Steps with one tensor, from 1 to 200.
    sigma
        Standard deviation of the Gaussian before the gradient [voxel]: about the noise's grain.
    rho
        Standard deviation of the Gaussian over the products [voxel]: the size of the structures; 0
        for edges.
    step
        Length of the time step [-], at most 1/6.

    Returns
    -------
        The smoothed field, in the unit of `block`. Masked: the tensor is that of differences
        between voxels taken in, smoothed over these, and nothing flows to or from others. Along the
        axes grey levels flow wherever two voxels taken in touch, obliquely where all neighbours
        that the flux looks at are taken in; the sum over the voxels taken in stays.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    Weickert, Anisotropic Diffusion in Image Processing, Teubner (1998), sections 5.1 and 5.2, and
    eq. 3.8 for the differences. Coherence-enhancing diffusion in three dimensions by differences of
    eigenvalues: Mirebeau, Fehrenbach, Risser and Tobji, Anisotropic diffusion in ITK, Insight
    Journal (2014). arXiv:1503.00992
    """
    return _diffused(block, None, contrast, enhance, iterations, sigma, rho, step)
