"""What a voxel looks like among its neighbours: several filters of several widths in one pass."""

import math
from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, fence
from lithax.grid import Halo
from lithax.ops._gaussian import gaussian
from lithax.ops._gradient_magnitude import gradient_magnitude
from lithax.ops._masked import where_present
from lithax.ops._parameters import is_number
from lithax.ops._step import crop, widest_halo
from lithax.ops._structure import hessian_eigenvalues, structure_tensor_eigenvalues
from lithax.ops._voxel_op import VoxelOp, voxel_op
from lithax.typing import Array

KINDS: dict[str, tuple[VoxelOp, dict[str, Any], tuple[str, ...]]] = {
    "gaussian": (gaussian, {}, ("gaussian",)),
    "gradient_magnitude": (gradient_magnitude, {}, ("gradient_magnitude",)),
    # Cut off like the others: the halo is that of the widest.
    "hessian_eigenvalues": (hessian_eigenvalues, {"truncate": 4.0}, tuple(f"hessian_{k}" for k in (1, 2, 3))),
    "structure_tensor_eigenvalues": (structure_tensor_eigenvalues, {}, tuple(f"structure_{k}" for k in (1, 2, 3))),
}
"""For each kind the operation, what it is given besides its width, and the names of its results."""

SIGMAS = (1.0, 2.0, 4.0)
USUAL = ("gaussian", "gradient_magnitude", "hessian_eigenvalues")


def features_halo(sigmas: Any = SIGMAS, kinds: Any = USUAL) -> Halo:
    """Return the halo of the widest filter.

    Raises
    ------
    ValueError
        If `sigmas` are not positive numbers, or a kind is not known.
    """
    if not isinstance(sigmas, tuple | list) or not all(
        is_number(s) and not isinstance(s, bool) and s > 0 and math.isfinite(s) for s in sigmas
    ):
        raise ValueError(f"sigmas={sigmas!r} must be positive numbers of voxels, such as (1, 2, 4).")
    if not isinstance(kinds, tuple | list) or any(kind not in KINDS for kind in kinds):
        raise ValueError(f"kinds={kinds!r} must be some of {', '.join(map(repr, KINDS))}, as a tuple.")
    return widest_halo([(0, 0, 0), *(_halo(kind, sigma) for sigma in sigmas for kind in kinds)])


def _halo(kind: str, sigma: float) -> Halo:
    op, more, _ = KINDS[kind]
    return op.halos({"sigma": sigma, **more}, 1)[0]


def feature_names(sigmas: Any = SIGMAS, kinds: Any = USUAL, channels: int = 1) -> tuple[str, ...]:
    """Return the names of the features, in the order in which `features` gives them."""
    widths = [sigma if isinstance(sigma, str) else f"{sigma:g}" for sigma in sigmas]
    of_one = ["grey", *(f"{name}, {width}" for width in widths for kind in kinds for name in KINDS[kind][2])]
    return tuple(name if channels == 1 else f"{name}, channel {c}" for c in range(channels) for name in of_one)


def _features_masked(
    *blocks: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], sigmas: Any = SIGMAS, kinds: Any = USUAL
) -> tuple[Float[Any, "_ _ _"], ...]:
    return _features(blocks, valid, sigmas, kinds)


def _features(blocks: tuple[Array, ...], valid: Array | None, sigmas: Any, kinds: Any) -> tuple[Array, ...]:
    halo = features_halo(sigmas, kinds)
    found: list[Array] = []
    for block in map(as_real, blocks):
        grey = crop(block, halo)
        found.append(grey if valid is None else where_present(crop(valid, halo), grey))
        for sigma in sigmas:
            for kind in kinds:
                op, more, _ = KINDS[kind]
                inner = [h - o for h, o in zip(halo, _halo(kind, sigma), strict=True)]
                own = crop(block, inner)
                if valid is None:
                    made = op.body(own, sigma=sigma, **more)
                else:
                    made = op.masked(own, valid=crop(valid, inner), sigma=sigma, **more)
                found += map(fence, made if isinstance(made, tuple) else (made,))
    return tuple(found)


@voxel_op(halo=features_halo, static=("sigmas", "kinds"), masked=_features_masked, lengths={"sigmas": "scales"})
def features(
    *blocks: Shaped[Any, "x y z"], sigmas: Any = SIGMAS, kinds: Any = USUAL
) -> tuple[Float[Any, "_ _ _"], ...]:
    """Give each voxel the numbers by which a classifier tells phases apart: its grey level, and
    several filters of several widths.

    For each channel the grey level itself, and for each of `sigmas` the filters of `kinds`, each
    with the numbers of the operation of its name: a Gaussian, the magnitude of the gradient, the
    three eigenvalues of the Hessian (cut off at four standard deviations), the three of the
    structure tensor. `skimage.feature.multiscale_basic_features` gives intensity, edges and texture
    in the same sense, by other derivatives.

    Differentiable in the voxels. NaN reaches every voxel whose window contains it. Masked, each
    filter is the masked form of its operation.

    Parameters
    ----------
    *blocks
        One array per channel, padded by the reach of the widest filter.
    sigmas
        Standard deviations [voxel], positive; none leaves the grey levels alone.
    kinds
        Some of "gaussian", "gradient_magnitude", "hessian_eigenvalues" and
        "structure_tensor_eigenvalues".

    Returns
    -------
        One array per feature, in the order of `lithax.ops.feature_names`.

    Raises
    ------
    ValueError
        If `sigmas` are not positive numbers, or a kind is not known.
    """
    return _features(blocks, None, sigmas, kinds)
