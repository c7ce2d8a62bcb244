"""The pore spaces of a scan at one threshold after the other, each made while the one before is
solved.

What joins the ends is found by a compiled library on one core of the host, and so is most of what
the levels are made of; the solve before it leaves another core free.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import jax
import numpy as np
from jax import numpy as jnp

from lithax.solve._conduction_setup import Run, turned, weights
from lithax.solve._conduction_solve import levels_of
from lithax.solve._medium import Medium
from lithax.solve._multigrid import Multigrid
from lithax.solve._percolation import what_joins


@dataclass(frozen=True, eq=False)
class PoreSpace:
    """What a solve needs of a pore space."""

    keep: np.ndarray
    """True for the voxels of parts that join the ends."""
    pore: int
    """How many voxels are pore."""
    joined: int
    """How many of them join the ends."""
    cycle: Multigrid | None
    """None where nothing does."""


def pore_spaces(
    grey: np.ndarray,
    levels: np.ndarray,
    darker: bool,
    mask: np.ndarray | None,
    run: Run,
    periodic: tuple[bool, bool, bool],
) -> Iterator[PoreSpace]:
    """Yield the pore space at each threshold, each within the one before.

    Parameters
    ----------
    grey
        The scan.
    levels
        Thresholds, from that of the largest pore space on.
    darker
        Whether pore is what is not above a threshold, or what is above it.
    mask
        Boolean, the voxels of the sample; None for all.
    run
        The operator, of a single axis.
    periodic
        Along which axes the image goes on at the other side.
    """
    assert run.axis is not None
    (device,) = jnp.zeros(()).devices()  # the default is one of the caller's thread

    def made(level: float, before: np.ndarray | None) -> PoreSpace:
        pore = grey <= level if darker else grey > level
        pore = pore if mask is None else pore & mask
        count = int(np.count_nonzero(pore))
        # What joins the ends of the smaller pore space does so in the larger.
        keep = what_joins(pore if before is None else pore & before, run.axis, "potential", periodic)
        joined = int(np.count_nonzero(keep))
        if joined == 0:
            return PoreSpace(keep, count, 0, None)
        settings = run.settings
        with jax.default_device(device):
            medium = turned(Medium(jnp.asarray(keep), None, None, "", True), run.order)
            faces, _ = weights(medium, None, np.float32(0), None, settings.layout, run.geometry, 0)
            cycle = levels_of(faces, settings)
        return PoreSpace(keep, count, joined, cycle)

    with ThreadPoolExecutor(1, "pore spaces") as pool:
        ahead = pool.submit(made, levels[0], None)
        for level in (*levels[1:], None):
            space = ahead.result()
            if level is not None:
                ahead = pool.submit(made, level, space.keep)
            yield space
