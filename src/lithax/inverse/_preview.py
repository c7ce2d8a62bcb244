"""A look at a part of the result, and at how long the rest will take, before the long run."""

import time
import warnings
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np

from lithax.grid import triple
from lithax.inverse._inversion import Inversion
from lithax.inverse._invert import STATISTICS, bind_to_invert, invert
from lithax.inverse._same_shape import check_same_shape
from lithax.models import Coefficients

PREVIEWED = 20_000
"""Voxels that are enough for a picture and for the pace."""


class Preview(eqx.Module):
    """The result on a part of a scan."""

    result: Inversion
    """Arrays over the box."""
    box: tuple[slice, slice, slice] = eqx.field(static=True)
    seconds: float = eqx.field(static=True)
    """What it took."""
    predicted_seconds: float = eqx.field(static=True)
    """What the whole scan will take here, at the pace of this part; less where grey values repeat.
    """
    shares: dict[str, float] = eqx.field(static=True)
    """Shares of voxels without any result, by reason, and of valid draws."""
    warnings: tuple[str, ...] = eqx.field(static=True)

    def __repr__(self) -> str:
        shares = ", ".join(f"{name} {100 * value:.1f} %" for name, value in self.shares.items())
        return f"Preview({shares}; {self.seconds:.1f} s, the whole about {self.predicted_seconds:.0f} s)"


def preview(
    low: Any, high: Any, coefficients: Coefficients, box: Sequence[slice] | None = None, **options: Any
) -> Preview:
    """Invert a part of a scan, and say what to expect of the rest.

    Parameters
    ----------
    low, high
        Images or arrays of one shape.
    coefficients
        As for `invert`.
    box
        Three slices; by default the middle of the slice in the middle, 20 000 voxels of it.
    **options
        Statistics, as of `invert`.

    Returns
    -------
        The result on the box; it warns where many voxels have none, or where the scans seem to be
        swapped.
    """
    bind_to_invert(low, high, coefficients, **options)
    if refused := set(options) - {*STATISTICS, "density_line"}:
        raise TypeError(
            f"preview() has no option {sorted(refused)}; it has {', '.join((*STATISTICS, 'density_line'))}, as of invert."
        )
    check_same_shape(low, high, axes=3)
    if box is None:
        edge = int(PREVIEWED**0.5)
        x, y = (slice((n - min(n, edge)) // 2, (n + min(n, edge)) // 2) for n in low.shape[:2])
        box = (x, y, slice(low.shape[2] // 2, low.shape[2] // 2 + 1))
    box = triple(box)
    first, second = (np.asarray(v[box]) for v in (low, high))
    begin = time.perf_counter()
    result = invert(first, second, coefficients, **options)
    seconds = time.perf_counter() - begin
    status = np.asarray(result.status)
    shares = {
        "valid draws": float(np.mean(result.valid)) / max(result.draws, 1),
        "below air": float(np.mean(status == 1)),
        "no root": float(np.mean(status == 2)),
        "not finite": float(np.mean(status == 4)),
    }
    said = []
    if shares["valid draws"] < 0.5:
        few = np.linspace(0, first.size - 1, min(first.size, 500)).astype(int)
        other = invert(second.ravel()[few], first.ravel()[few], coefficients, **options)
        if np.mean(other.valid) / max(result.draws, 1) > shares["valid draws"] + 0.2:
            said.append("with low and high exchanged far more draws have a result: the scans seem to be swapped.")
    if shares["below air"] > 0.01:
        said.append(
            f"{100 * shares['below air']:.1f} % of the voxels are darker than air in most draws; they have no result."
        )
    if result.bad_calibration > 0.5 * result.draws:
        said.append(
            f"{result.bad_calibration} of {result.draws} draws have no calibration; those that are left are no fair sample."
        )
    for text in said:
        warnings.warn(text, stacklevel=2)
    total = float(np.prod([float(n) for n in low.shape]))
    return Preview(result, box, seconds, seconds * total / max(first.size, 1), shares, tuple(said))
