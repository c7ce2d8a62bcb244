"""The pore spaces of a scan at one threshold after the other, each made while the one before is
solved.

What joins the ends is found by a compiled library on one core of the host, and so is most of what
the levels are made of; the solve before it leaves another core free.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from jax import numpy as jnp

from lithax.solve._conduction_problem import Faces
from lithax.solve._conduction_setup import Run, turned, weights, weights_of_pores
from lithax.solve._conduction_solve import levels_of
from lithax.solve._layout import Layout
from lithax.solve._medium import Medium
from lithax.solve._multigrid import Multigrid
from lithax.solve._percolation import what_joins
from lithax.solve._spares import written_over


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
    """Yield the pore space at each threshold, each within the one before. The weights of one are
    written over once two more are asked for.

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

    def made(level: float, before: np.ndarray | None, memory: Faces | None) -> PoreSpace:
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
            geometry = None if run.of_cubes() else run.geometry
            given = (medium, settings.layout, geometry)
            faces = _weights(*given) if memory is None else _weights_over(memory, *given)
            cycle = levels_of(faces, settings)
        return PoreSpace(keep, count, joined, cycle)

    with ThreadPoolExecutor(1, "pore spaces") as pool:
        ahead, memory = pool.submit(made, levels[0], None, None), None
        for level in (*levels[1:], None):
            space = ahead.result()
            if level is not None:
                ahead = pool.submit(made, level, space.keep, memory)
            yield space
            memory = None if space.cycle is None else space.cycle.levels[0].faces


def _weights_of(medium: Medium, layout: Layout, geometry: tuple[float, float, float] | None) -> Faces:
    if geometry is None:
        return weights_of_pores(medium.data, None, layout)
    return weights(medium, None, np.float32(0), None, layout, geometry, 0)[0]


_weights = partial(jax.jit, static_argnums=(1, 2))(_weights_of)
_weights_over = written_over(_weights_of, static=(1, 2))
"""The same, written over earlier weights, which are used up: see `_nearby_start`."""
