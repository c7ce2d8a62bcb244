"""The table of voxel operations that have a twin in scipy.ndimage; the tests beside it each ask one question of all.

A new operation joins by adding a line.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from lithax import ops
from lithax.arrays import pad
from lithax.testing import ball_offsets, box_offsets, gaussian_mean, neighbourhood

EPS32 = 2.0**-23


@dataclass(frozen=True)
class Case:
    """One operation with parameters, and the trusted answers.

    `reference(x, **rule)` is scipy.ndimage's answer, with ``rule = {"mode": ..., "cval": ...}``. `taps` bounds the number of
    additions per voxel, and `gain` the largest sum of absolute weights; together they bound rounding. `kind`: "real" filters
    work in floating point, "rank" filters keep the dtype, "binary" ones take booleans.
    """

    name: str
    op: Any
    parameters: Mapping[str, Any]
    reference: Callable[..., np.ndarray]
    kind: str = "real"
    taps: int = 1
    gain: float = 1.0
    power: float = 1.0  # below 1 for a root: rounding near zero is magnified
    recentred: bool = False  # scipy pads between its passes, with the constant where the derivative is 0
    masked: tuple[list, Callable] | None = None  # offsets, reduce: see lithax.testing.neighbourhood
    traced: Mapping[str, Any] = field(default_factory=dict)  # parameters to differentiate in, beside the static ones

    def __str__(self) -> str:
        return self.name

    @property
    def halo(self) -> tuple[int, int, int]:
        return self.op.halos(self.parameters, 1)[0]

    def image(self, rng: np.random.Generator, shape: tuple[int, int, int], dtype: Any = None) -> np.ndarray:
        """Return random voxels: of `dtype`, or of the type that the operation is at home with."""
        dtype = np.dtype(dtype or {"real": np.float64, "rank": np.float64, "binary": np.bool_}[self.kind])
        if dtype == np.bool_:
            return rng.random(shape) < 0.5
        if np.issubdtype(dtype, np.integer):
            return rng.integers(0, 100, shape).astype(dtype)
        return rng.standard_normal(shape).astype(dtype)

    def tolerance(self, x: np.ndarray, eps: float) -> float:
        """Return how far rounding may carry a voxel: eps/2 for each product and sum, on values up to gain * max."""
        if self.kind != "real":
            return 0.0
        return self.gain * float(np.abs(x).max()) * (2 * self.taps * eps) ** self.power


def gaussian(sigma, order=0):
    return lambda x, **rule: ndimage.gaussian_filter(x, sigma, order=order, **rule)


def grey(function, footprint):
    return lambda x, **rule: function(x.astype(np.uint8), footprint=footprint, **rule).astype(bool)


def ball(radius):
    reach = int(radius)
    axis = np.arange(-reach, reach + 1) ** 2
    return axis[:, None, None] + axis[:, None] + axis <= radius**2


def deviation(size):
    # scipy has none: the definition, by a function called for every voxel.
    return lambda x, **rule: ndimage.generic_filter(x, np.std, size=size, **rule)


def nearest(connectivity):
    return ndimage.generate_binary_structure(3, connectivity)


def connected_offsets(connectivity):
    return [d for d in box_offsets((3, 3, 3)) if sum(map(abs, d)) <= connectivity]


def middle(values, offsets):
    if np.issubdtype(values.dtype, np.floating):
        return np.median(values).astype(values.dtype)
    return np.sort(values)[(values.size - 1) // 2]


def share(percent):
    # scipy.ndimage's rule for the rank, among the voxels taken in.
    return lambda values, offsets: np.sort(values)[int(values.size * percent / 100)]


def by_loop(offsets, reduce):
    """A reference where scipy has none: one voxel at a time, on the padded image."""
    reach = np.abs(np.asarray(offsets)).max(axis=0).tolist()

    def reference(x, mode="reflect", cval=0):
        return neighbourhood(pad(x, tuple(reach), mode, cval), None, offsets, reduce)

    return reference


def eightfold(values, offsets):
    return abs((values * (-1.0) ** offsets.sum(axis=1)).sum()) / 8**0.5


def bilateral_mean(sigma_color, sigma_spatial):
    def reduce(values, offsets):
        centre = values[(offsets == 0).all(axis=1)]
        if not centre.size:
            return np.nan  # left out itself
        d = (offsets / np.asarray(sigma_spatial)) ** 2
        weights = np.exp(-0.5 * d.sum(axis=1) - 0.5 * ((values - centre) / sigma_color) ** 2)
        return float((weights * values).sum() / weights.sum())

    return reduce


def patch_mean(patch, reach, h, sigma):
    """Non-local means by its definition: patch against patch, over the voxels that both have."""

    def reduce(values, offsets):
        halo = np.add(np.asarray(patch) // 2, reach)
        window = np.full(2 * halo + 1, np.nan)
        window[tuple((offsets + halo).T)] = values
        if np.isnan(window[tuple(halo)]):
            return np.nan
        total = weight = 0.0
        cut = lambda at: window[tuple(slice(a - p // 2, a + p // 2 + 1) for a, p in zip(at, patch, strict=True))]  # noqa: E731
        for shift in box_offsets(tuple(2 * r + 1 for r in reach)):
            at = halo + shift
            if np.isnan(window[tuple(at)]):
                continue
            squares = (cut(halo) - cut(at)) ** 2
            distance = max(np.nanmean(squares) - 2 * sigma**2, 0) / h**2
            if distance <= 5:
                total += np.exp(-distance) * window[tuple(at)]
                weight += np.exp(-distance)
        return total / weight

    return reduce


ANISOTROPIC = (0.6, 0.0, 1.1)
CASES = [
    Case("gaussian", ops.gaussian, {"sigma": 1.0}, gaussian(1.0), taps=27,
         masked=(box_offsets((9, 9, 9)), gaussian_mean((1, 1, 1)))),
    Case("gaussian per axis", ops.gaussian, {"sigma": ANISOTROPIC}, gaussian(ANISOTROPIC), taps=20,
         masked=(box_offsets((5, 1, 9)), gaussian_mean((0.6, 1, 1.1)))),
    Case("gaussian truncated", ops.gaussian, {"sigma": 0.8, "radius": 2},
         lambda x, **rule: ndimage.gaussian_filter(x, 0.8, radius=2, **rule), taps=15,
         masked=(box_offsets((5, 5, 5)), gaussian_mean((0.8,) * 3)), traced={"sigma": 0.8}),
    Case("gaussian wide", ops.gaussian, {"sigma": 2.0, "truncate": 3.0},
         lambda x, **rule: ndimage.gaussian_filter(x, 2.0, truncate=3.0, **rule), taps=39),
    Case("uniform", ops.uniform, {}, lambda x, **rule: ndimage.uniform_filter(x, 3, **rule), taps=9,
         masked=(box_offsets((3, 3, 3)), lambda v, d: v.mean())),
    Case("uniform even", ops.uniform, {"size": (4, 1, 7)}, lambda x, **rule: ndimage.uniform_filter(x, (4, 1, 7), **rule),
         taps=12, masked=(box_offsets((4, 1, 7)), lambda v, d: v.mean())),
    Case("local standard deviation", ops.local_standard_deviation, {"size": (3, 2, 3)}, deviation((3, 2, 3)),
         taps=24, power=0.5, masked=(box_offsets((3, 2, 3)), lambda v, d: v.std())),
    Case("median", ops.median, {"radius": 1}, lambda x, **rule: ndimage.median_filter(x, 3, **rule), "rank",
         masked=(box_offsets((3, 3, 3)), middle)),
    Case("median in a plane", ops.median, {"radius": (1, 0, 2)},
         lambda x, **rule: ndimage.median_filter(x, (3, 1, 5), **rule), "rank", masked=(box_offsets((3, 1, 5)), middle)),
    Case("median of a cross", ops.median, {"footprint": "cross"},
         lambda x, **rule: ndimage.median_filter(x, footprint=nearest(1), **rule), "rank",
         masked=(connected_offsets(1), middle)),
    Case("median of a ball", ops.median, {"radius": 2, "footprint": "ball"},
         lambda x, **rule: ndimage.median_filter(x, footprint=ball(2), **rule), "rank", masked=(ball_offsets(2), middle)),
    Case("percentile", ops.percentile, {"percentile": 20, "size": (3, 2, 3)},
         lambda x, **rule: ndimage.percentile_filter(x, 20, (3, 2, 3), **rule), "rank",
         masked=(box_offsets((3, 2, 3)), share(20))),
    Case("percentile of many", ops.percentile, {"percentile": -25, "radius": (2, 3, 1)},
         lambda x, **rule: ndimage.percentile_filter(x, -25, (5, 7, 3), **rule), "rank",
         masked=(box_offsets((5, 7, 3)), share(75))),
    Case("rank", ops.rank, {"rank": -2, "footprint": "cross"},
         lambda x, **rule: ndimage.rank_filter(x, -2, footprint=nearest(1), **rule), "rank"),
    Case("bilateral", ops.bilateral, {"sigma_color": 0.8, "sigma_spatial": (1.0, 0.7, 1.5), "radius": (1, 1, 2)},
         by_loop(box_offsets((3, 3, 5)), bilateral_mean(0.8, (1.0, 0.7, 1.5))), taps=45, gain=4.0,
         masked=(box_offsets((3, 3, 5)), bilateral_mean(0.8, (1.0, 0.7, 1.5))), traced={"sigma_color": 0.8}),
    Case("non-local means", ops.non_local_means,
         {"patch_size": (3, 1, 3), "patch_distance": (1, 2, 1), "h": 1.1, "sigma": 0.4},
         by_loop(box_offsets((5, 5, 5)), patch_mean((3, 1, 3), (1, 2, 1), 1.1, 0.4)), taps=45, gain=4.0,
         masked=(box_offsets((5, 5, 5)), patch_mean((3, 1, 3), (1, 2, 1), 1.1, 0.4)), traced={"h": 1.1, "sigma": 0.4}),
    Case("threefold difference", ops.threefold_difference, {},
         by_loop([tuple(-n for n in d) for d in np.ndindex(2, 2, 2)], eightfold), taps=8, gain=3.0),
    Case("adaptive threshold", ops.adaptive, {"block_size": (3, 5, 1), "method": "mean", "offset": 0.1},
         lambda x, **rule: ndimage.uniform_filter(x, (3, 5, 1), **rule) - 0.1, taps=9,
         masked=(box_offsets((3, 5, 1)), lambda v, d: v.mean() - 0.1)),
    Case("adaptive threshold, Gaussian", ops.adaptive, {"block_size": 5},
         lambda x, **rule: ndimage.gaussian_filter(x, 2 / 3, **rule), taps=27),
    Case("niblack", ops.niblack, {"window_size": 3, "k": 0.3},
         lambda x, **rule: ndimage.uniform_filter(x, 3, **rule) - 0.3 * deviation(3)(x, **rule), taps=30, power=0.5,
         masked=(box_offsets((3, 3, 3)), lambda v, d: v.mean() - 0.3 * v.std()), traced={"k": 0.3}),
    Case("sauvola", ops.sauvola, {"window_size": (3, 1, 5), "k": 0.3, "r": 2.0},
         lambda x, **rule: ndimage.uniform_filter(x, (3, 1, 5), **rule)
         * (1 + 0.3 * (deviation((3, 1, 5))(x, **rule) / 2 - 1)), taps=30, gain=4.0, power=0.5,
         masked=(box_offsets((3, 1, 5)), lambda v, d: v.mean() * (1 + 0.3 * (v.std() / 2 - 1))), traced={"k": 0.3, "r": 2.0}),
    Case("minimum", ops.minimum, {"size": (3, 4, 1)}, lambda x, **rule: ndimage.minimum_filter(x, (3, 4, 1), **rule), "rank",
         masked=(box_offsets((3, 4, 1)), lambda v, d: v.min())),
    Case("maximum", ops.maximum, {"radius": 1}, lambda x, **rule: ndimage.maximum_filter(x, 3, **rule), "rank",
         masked=(box_offsets((3, 3, 3)), lambda v, d: v.max())),
    Case("grey erosion", ops.erosion, {"radius": 2}, lambda x, **rule: ndimage.grey_erosion(x, footprint=ball(2), **rule),
         "rank", masked=(ball_offsets(2), lambda v, d: v.min())),
    Case("grey dilation", ops.dilation, {"radius": 1.5},
         lambda x, **rule: ndimage.grey_dilation(x, footprint=ball(1.5), **rule), "rank",
         masked=(ball_offsets(1.5), lambda v, d: v.max())),
    Case("erosion", ops.erosion, {}, grey(ndimage.grey_erosion, nearest(1)), "binary",
         masked=(connected_offsets(1), lambda v, d: v.all())),
    Case("erosion by a cube", ops.erosion, {"connectivity": 3}, grey(ndimage.grey_erosion, nearest(3)), "binary",
         masked=(box_offsets((3, 3, 3)), lambda v, d: v.all())),
    Case("dilation", ops.dilation, {"connectivity": 2}, grey(ndimage.grey_dilation, nearest(2)), "binary",
         masked=(connected_offsets(2), lambda v, d: v.any())),
    Case("dilation by a ball", ops.dilation, {"radius": 3}, grey(ndimage.grey_dilation, ball(3)), "binary",
         masked=(ball_offsets(3), lambda v, d: v.any())),
    Case("gaussian gradient magnitude", ops.gradient_magnitude, {"sigma": (0.7, 1.0, 0.5)},
         lambda x, **rule: ndimage.gaussian_gradient_magnitude(x, (0.7, 1.0, 0.5), **rule), taps=27, gain=4.0, power=0.5,
         recentred=True),
    Case("gradient magnitude", ops.gradient_magnitude, {},
         lambda x, **rule: ndimage.generic_gradient_magnitude(
             x, lambda y, axis, output, mode, cval: ndimage.correlate1d(y, [-0.5, 0, 0.5], axis, output, mode, cval), **rule),
         taps=3, gain=4.0, power=0.5, traced={"spacing": 0.7}),
    Case("sobel magnitude", ops.sobel_magnitude, {},
         lambda x, **rule: ndimage.generic_gradient_magnitude(x, ndimage.sobel, **rule), taps=9, gain=64.0, power=0.5,
         recentred=True),
    Case("sobel", ops.sobel, {"axis": "y"}, lambda x, **rule: ndimage.sobel(x, 1, **rule), taps=9, gain=32.0,
         recentred=True),
    Case("derivative", ops.derivative, {"axis": 2, "spacing": (1.0, 1.0, 0.5)},
         lambda x, **rule: ndimage.correlate1d(x, [-1.0, 0.0, 1.0], 2, **rule), taps=2, gain=2.0, traced={"spacing": 0.5}),
    Case("laplacian", ops.laplacian, {}, lambda x, **rule: ndimage.laplace(x, **rule), taps=9, gain=12.0,
         traced={"spacing": 0.9}),
    Case("gaussian derivative", ops.gaussian_derivative, {"sigma": 0.9, "order": (1, 0, 2), "radius": 3},
         lambda x, **rule: ndimage.gaussian_filter(x, 0.9, order=(1, 0, 2), radius=3, **rule), taps=21, gain=4.0,
         recentred=True, traced={"sigma": 0.9, "spacing": 1.3}),
]  # fmt: skip

every_case = pytest.mark.parametrize("case", CASES, ids=str)
masked_cases = pytest.mark.parametrize("case", [case for case in CASES if case.masked], ids=str)
