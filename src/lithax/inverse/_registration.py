"""Two scans of one core, one beside the other: how far they are shifted, and the shift undone."""

import math
import warnings
from typing import Any

import numpy as np

from lithax.arrays import namespace
from lithax.grid import triple
from lithax.images import VoxelImage, chunk_map
from lithax.inverse._same_shape import check_same_shape
from lithax.ops import voxel_op
from lithax.typing import Array

TOLERATED = 0.5
"""Shifts below this do little harm [voxel]."""
_EDGE = 160
"""Voxels along each axis that are compared."""


def shift_between(low: Any, high: Any, *, warn: bool = True) -> tuple[float, float, float]:
    """Return by how much the second scan is displaced against the first.

    Phase correlation of the middle of the scans, windowed: the cross spectrum, of which only the
    phase is kept where there is signal, is a plane wave whose slope is the shift. Its peak gives
    whole voxels, a least-squares fit of the slope the rest.

    Parameters
    ----------
    low, high
        Images or arrays of one shape.
    warn
        Warn if the shift is above half a voxel along any axis.

    Returns
    -------
        (x, y, z) [voxel]: what is at p in `low` is at p + shift in `high`. Good to some hundredths
        of a voxel where there is structure; along an axis without any, 0.

    References
    ----------
    C. D. Kuglin, D. C. Hines, The phase correlation image alignment method, Proc. IEEE Int. Conf.
    Cybernetics and Society (1975) 163-165. H. S. Stone et al., A fast direct Fourier-based
    algorithm for subpixel registration of images, IEEE Trans. Geoscience and Remote Sensing 39
    (2001) 2235-2243. doi:10.1109/36.957286
    """
    check_same_shape(low, high, axes=3)
    box = tuple(slice((n - min(n, _EDGE)) // 2, (n - min(n, _EDGE)) // 2 + min(n, _EDGE)) for n in low.shape)
    first, second = (np.asarray(v[box], np.float64) for v in (low, high))
    shift = _correlate(first, second)
    whole = np.round(shift).astype(int)
    if whole.any():  # compare what is in both: the window would hold a large shift back
        both = [
            tuple(slice(max(0, sign * w), n - max(0, -sign * w)) for w, n in zip(whole, first.shape, strict=True))
            for sign in (-1, 1)
        ]
        shift = whole + _correlate(first[both[0]], second[both[1]])
    found = triple(float(s) for s in shift)
    if warn and max(map(abs, found)) > TOLERATED:
        text = ", ".join(f"{s:.2f}" for s in found)
        warnings.warn(
            f"the scans are shifted against each other by ({text}) voxels, which mixes neighbouring materials in every voxel at an edge; "
            f"bring them together with lx.dect.shifted(high, ({text})).",
            stacklevel=2,
        )
    return found


def _correlate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the shift of two blocks of one shape."""
    window = 1.0
    for axis, n in enumerate(first.shape):
        taper = np.hanning(n + 2)[1:-1] if n > 2 else np.ones(n)
        window = window * taper.reshape(tuple(-1 if a == axis else 1 for a in range(3)))
    spectra = [np.fft.fftn((v - (v * window).sum() / np.sum(window)) * window) for v in (first, second)]
    cross = spectra[1] * np.conj(spectra[0])
    size = np.abs(cross)
    frequencies = np.meshgrid(*(np.fft.fftfreq(n) for n in first.shape), indexing="ij", sparse=True)
    # Fine detail is noise, and its phase wraps.
    radius = np.sqrt(sum(f * f for f in frequencies))
    used = (size > 1e-12 * size.max()) & (radius < 0.25) & (radius > 0)
    if not used.any():
        return np.zeros(3)
    # Between phase correlation, sharp but noisy, and cross correlation, blunt.
    weighted = np.where(used, cross / np.sqrt(size + (size == 0)), 0)
    peak = np.unravel_index(np.argmax(np.fft.ifftn(weighted).real), first.shape)
    shift = np.array([p if p <= n // 2 else p - n for p, n in zip(peak, first.shape, strict=True)], float)
    grid = np.stack(np.broadcast_arrays(*frequencies), -1)[used]
    values, weight = cross[used], np.sqrt(size[used])
    for _ in range(5):
        left = np.angle(values * np.exp(2j * math.pi * (grid @ shift)))
        near = np.abs(left) < 1.5
        matrix = -2 * math.pi * grid[near] * weight[near, None]
        step = np.linalg.lstsq(matrix, left[near] * weight[near], rcond=1e-6)[0]
        shift = shift + step
    return shift


def _halo(shift: tuple[float, float, float]) -> tuple[int, int, int]:
    x, y, z = (0 if s == 0 else math.floor(abs(s)) + 2 for s in shift)
    return x, y, z


@voxel_op(halo=_halo, static=("shift",))
def shift_block(block: Array, *, shift: tuple[float, float, float]) -> Array:
    """Return the values at p + shift, by cubic convolution along one axis after the other.

    R. G. Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. Acoustics,
    Speech, and Signal Processing 29 (1981) 1153-1160, eq. 15 (a = -1/2).
    doi:10.1109/TASSP.1981.1163711
    """
    xp = namespace(block)
    if not xp.isdtype(block.dtype, "real floating"):
        block = xp.astype(block, xp.float32)
    for axis, (s, h) in enumerate(zip(shift, _halo(shift), strict=True)):
        if s == 0:
            continue
        whole, count = math.floor(s), block.shape[axis] - 2 * h
        t = s - whole
        weights = (
            -0.5 * t + t * t - 0.5 * t**3,
            1 - 2.5 * t * t + 1.5 * t**3,
            0.5 * t + 2 * t * t - 1.5 * t**3,
            -0.5 * t * t + 0.5 * t**3,
        )
        total = 0.0
        for k, weight in enumerate(weights):
            begin = h + whole - 1 + k
            total = (
                total
                + weight * block[tuple(slice(begin, begin + count) if a == axis else slice(None) for a in range(3))]
            )
        block = total
    return block


def shifted(image: Any, shift: tuple[float, float, float], *, store: Any = None, **options: Any) -> Any:
    """Return a scan moved back by a shift, as `shift_between` finds it: its value at p is what was
    at p + shift.

    Parameters
    ----------
    image
        An image, or an array.
    shift
        (x, y, z) [voxel].
    store, **options
        For images, as of `lithax.chunk_map`.

    Returns
    -------
        An image (an array for an array), floating point; beyond the faces the nearest voxel is
        repeated.
    """
    if len(shift) != 3 or not all(map(math.isfinite, shift)):
        raise ValueError(f"shift={shift!r}: give three numbers, x y z [voxel].")
    shift = triple(map(float, shift))
    if isinstance(image, VoxelImage):
        return chunk_map(shift_block, image, parameters={"shift": shift}, boundary="nearest", store=store, **options)
    return shift_block(image, shift=shift, boundary="nearest")
