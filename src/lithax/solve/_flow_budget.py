"""What the voxels do to k: the same shapes on split voxels, and the image on coarser ones."""

import math
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import numpy as np

from lithax.arrays import is_traced
from lithax.solve._flow_input import FlowInput

ESTIMATES = ("grid", "resolution")


def check_budget(budget: Any, given: FlowInput) -> tuple[str, ...]:
    """Return which estimates are wanted.

    Raises
    ------
    ValueError
        If one is unknown, or the image is such that it has no meaning.
    """
    if isinstance(budget, str) or not isinstance(budget, Collection) or not set(budget) <= set(ESTIMATES):
        raise ValueError(f"budget={budget!r} must name some of {ESTIMATES}, in a tuple.")
    if budget and (given.soft is not None or is_traced(given.open)):
        raise ValueError(f"budget={budget!r} needs sharp phases outside of compiled functions; leave budget out.")
    if "resolution" in budget and given.phases:
        raise ValueError(
            "budget='resolution' coarsens pores and solids, and the image has porous phases; leave it out."
        )
    return tuple(budget)


Solve = Callable[[FlowInput, str, int], Any]
"""Returns k of an image by a rule for walls, with a reservoir of so many voxels [length²]."""


def grid_change(given: FlowInput, reservoir: int, solve: Solve) -> Any:
    """Return k of the same shapes on voxels split in two, by the half-voxel rule, over k, minus
    one; not a number where nothing flows.

    Splitting converges to the permeability of the staircase, not to that of the rock.
    """
    split = replace(
        given,
        shape=tuple(2 * n for n in given.shape),
        open=_split(given.open),
        free=_split(given.free),
        inside=None if given.inside is None else _split(given.inside),
        phases=tuple((_split(where), number, area) for where, number, area in given.phases),
        spacing=tuple(h / 2 for h in given.spacing),
    )
    return _relative(solve(split, "half_voxel", 2 * reservoir), solve(given, "half_voxel", reservoir))


def resolution_trend(given: FlowInput, k: Any, rule: str, reservoir: int, solve: Solve) -> dict[int, Any]:
    """Return k of the image coarsened two- and three-fold, over k, minus one, by the same rule; not
    a number where nothing flows through the image itself.

    A coarse voxel is open if at least half of its voxels are. Voxels beyond the last whole one are
    left out.
    """
    found = {}
    for factor in (2, 3):
        if min(given.shape) < 2 * factor:
            continue
        inside = None if given.inside is None else _mostly(given.inside, factor)
        pores = _mostly(given.open, factor)
        pores = pores if inside is None else pores & inside
        if not pores.any():
            found[factor] = _relative(0 * k, k)
            continue
        coarse = replace(
            given, shape=pores.shape, open=pores, free=pores, inside=inside,
            spacing=tuple(factor * h for h in given.spacing),
        )  # fmt: skip
        found[factor] = _relative(solve(coarse, rule, math.ceil(reservoir / factor)), k)
    return found


def _relative(changed: Any, k: Any) -> Any:
    return changed / np.where(k == 0, np.nan, k) - 1


def _split(values: np.ndarray) -> np.ndarray:
    for axis in range(3):
        values = np.repeat(values, 2, axis)
    return values


def _mostly(values: np.ndarray, factor: int) -> np.ndarray:
    x, y, z = (n // factor for n in values.shape)
    cut = values[: x * factor, : y * factor, : z * factor]
    counts = cut.reshape(x, factor, y, factor, z, factor).sum((1, 3, 5), dtype=np.int32)
    return 2 * counts >= factor**3
