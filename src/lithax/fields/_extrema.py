"""Regional maxima and minima, those of a height, and thresholds with hysteresis."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import numpy as np

from lithax.arrays import SETTLE_BYTES, neighbours_of, reconstruct_block
from lithax.chunked import Field, MapPass, PassBlock, SettlePass
from lithax.fields._call import ImageOptions, host_array, image_call, is_image, like_input, valid_array
from lithax.fields._components import REACH, Found, Selected, find_in_array, find_pass, label_selected
from lithax.images import Passes, Plan, WholeImage, plan_algorithm, plans, run_algorithm


class _Rule(NamedTuple):
    name: str
    connectivity: int
    upward: bool
    """Whether maxima are looked for."""
    height: float
    low: float | None = None
    high: float | None = None

    def key(self, values: np.ndarray) -> np.ndarray:
        """Return what is labelled: plateaus by a number of their value, or what is above the lower
        threshold.
        """
        if self.low is not None:
            return values > self.low
        return _numbers_of(values)

    def flag(self, values: np.ndarray, core: Any, valid: np.ndarray | None) -> np.ndarray:
        """Return the voxels that decide for their component."""
        if self.high is not None:
            return values[core] > self.high
        return _beside_a_better(values, core, valid, REACH[self.connectivity], self.upward)

    def keeps(self, found: Found) -> np.ndarray:
        """Return the components that are wanted."""
        return found.flags if self.high is not None else ~found.flags

    def lowered(self, values: np.ndarray) -> np.ndarray:
        """Return the values lowered by the height (for minima: raised), and no further than the
        type goes.
        """
        if values.dtype.kind == "f":
            return values - values.dtype.type(self.height if self.upward else -self.height)
        limits, step = np.iinfo(values.dtype), int(self.height)
        if self.upward:
            return np.maximum(values, min(limits.min + step, limits.max)) - values.dtype.type(step)
        return np.minimum(values, max(limits.max - step, limits.min)) + values.dtype.type(step)


def _numbers_of(values: np.ndarray) -> np.ndarray:
    """Return a whole number other than 0 for each value, equal where the values are."""
    if values.dtype.kind == "f":
        if np.isnan(values).any():
            raise ValueError("the image holds NaN, which is neither above nor below; leave such voxels out by where=.")
        values = values + values.dtype.type(0)  # there is one zero
        bits = values.astype(np.float64).view(np.int64)
        return np.where(bits == 0, -1, bits)  # the bits of -1 are those of a NaN
    return values.astype(np.int64) + (1 << 33)


def _beside_a_better(values: np.ndarray, core: Any, valid: np.ndarray | None, reach: int, upward: bool) -> np.ndarray:
    """Return the voxels of the core with a neighbour that is higher (or lower)."""
    own = values[core]
    found = np.zeros(own.shape, bool)
    for step in itertools.product((-1, 0, 1), repeat=3):
        if not 0 < sum(map(abs, step)) <= reach:
            continue
        here, there = [], []
        for s, c, n in zip(step, core, values.shape, strict=True):
            a, b = max(c.start + s, 0), min(c.stop + s, n)
            there.append(slice(a, b))
            here.append(slice(a - s - c.start, b - s - c.start))
        other = values[tuple(there)]
        better = other > own[tuple(here)] if upward else other < own[tuple(here)]
        if valid is not None:
            better &= valid[tuple(there)]
        found[tuple(here)] |= better
    return found


def regional_maxima(image: Any, *, connectivity: int = 6, where: Any = None, **options: Unpack[ImageOptions]) -> Any:
    """Find the regional maxima: plateaus of equal values none of whose neighbours is higher.

    Parameters
    ----------
    image
        Array or image of real numbers, integers of at most 32 bits.
    connectivity
        6, 18 or 26 neighbours (or 1, 2, 3).
    where
        Voxels that take part, as for `chunk_map` (with an array: a boolean array).
    **options
        For images: `store`, `path`, `overwrite`, `chunks`, `shards`, `resume`, `memory_limit`,
        `workers`, `world` and `progress`, as for `chunk_map`.

    Returns
    -------
        True in the maxima, as `skimage.morphology.local_maxima` finds them.
    """
    return _select(_Rule("regional_maxima", neighbours_of(connectivity), True, 0), image, where, options)


def regional_minima(image: Any, *, connectivity: int = 6, where: Any = None, **options: Unpack[ImageOptions]) -> Any:
    """Find the regional minima: plateaus of equal values none of whose neighbours is lower; see
    `regional_maxima`.
    """
    return _select(_Rule("regional_minima", neighbours_of(connectivity), False, 0), image, where, options)


def h_maxima(
    image: Any, height: float, *, connectivity: int = 6, where: Any = None, **options: Unpack[ImageOptions]
) -> Any:
    """Find the maxima that rise by more than `height` above their saddle to a higher one.

    They are the regional maxima of the image reconstructed from itself, lowered by the height.

    Parameters
    ----------
    image, connectivity, where, **options
        As for `regional_maxima`.
    height
        In the unit of the image; whole for an image of integers.

    References
    ----------
    Soille, Morphological Image Analysis (2003), section 6.3.4.
    """
    return _select(_Rule("h_maxima", neighbours_of(connectivity), True, _height(image, height)), image, where, options)


def h_minima(
    image: Any, height: float, *, connectivity: int = 6, where: Any = None, **options: Unpack[ImageOptions]
) -> Any:
    """Find the minima that are more than `height` deep; see `h_maxima`."""
    return _select(_Rule("h_minima", neighbours_of(connectivity), False, _height(image, height)), image, where, options)


def hysteresis(
    image: Any,
    low: float,
    high: float,
    *,
    connectivity: int = 6,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Threshold with hysteresis: what is above `low`, in components that have a voxel above `high`.

    Parameters
    ----------
    image, connectivity, where, **options
        As for `regional_maxima`.
    low, high
        The two thresholds, in the unit of the image.

    Returns
    -------
        Booleans, as `skimage.filters.apply_hysteresis_threshold` gives them.
    """
    if not (isinstance(low, int | float | np.number) and isinstance(high, int | float | np.number)) or not low <= high:
        raise ValueError(f"low={low!r} and high={high!r} must be two numbers in ascending order.")
    return _select(_Rule("hysteresis", neighbours_of(connectivity), True, 0, low, high), image, where, options)


def _height(image: Any, height: Any) -> float:
    if isinstance(height, bool) or not isinstance(height, int | float | np.number) or not 0 < height < np.inf:
        raise ValueError(f"height={height!r} must be a positive number, in the unit of the image.")
    if np.dtype(str(getattr(image, "dtype", "f4")).rsplit(".", 1)[-1]).kind in "iu" and int(height) != height:
        raise ValueError(f"height={height!r} must be whole for an image of integers; convert the image to floats.")
    return float(height)


def _check(rule: _Rule, image: Any) -> np.dtype:
    if not (hasattr(image, "shape") and hasattr(image, "dtype")):
        raise TypeError(f"image is a {type(image).__name__}; give an image (lx.open, lx.from_array) or an array.")
    dtype = np.dtype(str(image.dtype).rsplit(".", 1)[-1])
    if dtype.kind not in "iuf" or (rule.low is None and dtype.kind in "iu" and dtype.itemsize > 4):
        raise TypeError(f"image has dtype {dtype}; lx.fields.{rule.name} takes floats, or integers of at most 32 bits.")
    return dtype


def _select(rule: _Rule, image: Any, where: Any, options: Any) -> Any:
    _check(rule, image)
    if is_image(image):
        outputs, _ = run_algorithm(_call(rule, where, options), (image,), _passes_of(rule))
        return outputs[0]
    values = host_array(rule.name, image, options)
    valid = valid_array(where, values.shape)
    if rule.height:
        state, mask = _start(rule, values, valid)
        values = reconstruct_block(state, mask, rule.connectivity, not rule.upward)
    whole = tuple(slice(0, n) for n in values.shape)
    key = rule.key(values if valid is None else np.where(valid, values, values.dtype.type(0)))
    key = key if valid is None else np.where(valid, key, key.dtype.type(0))
    labels, found = find_in_array(key, rule.connectivity, (), rule.flag(values, whole, valid))
    return like_input(image, np.concatenate([[False], rule.keeps(found)])[labels])


def _start(rule: _Rule, values: np.ndarray, valid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    marker, mask = rule.lowered(values), values
    if valid is not None:
        blocked = _blocked(values.dtype, rule.upward)
        marker, mask = np.where(valid, marker, blocked), np.where(valid, mask, blocked)
    return marker, mask


def _blocked(dtype: np.dtype, upward: bool) -> Any:
    if dtype.kind == "f":
        return dtype.type(-np.inf if upward else np.inf)
    return dtype.type(np.iinfo(dtype).min if upward else np.iinfo(dtype).max)


def _passes_of(rule: _Rule) -> Callable[[WholeImage], Passes]:
    def passes(whole: WholeImage) -> Passes:
        image = whole.image
        if rule.height:
            fields = [Field(np.dtype(image.dtype), scratch=True, fill=_blocked(np.dtype(image.dtype), rule.upward))] * 2
            state, mask = yield MapPass(
                "lower the image", lambda block: list(_start(rule, block.arrays[0], block.valid)), (image,), fields
            )

            def settle(block: PassBlock) -> np.ndarray:
                return block.inner(
                    reconstruct_block(block.arrays[0], block.arrays[1], rule.connectivity, not rule.upward)
                )

            yield SettlePass("reconstruct", settle, state, (mask,), voxel_bytes=SETTLE_BYTES)
            image = state

        def values(block: PassBlock) -> np.ndarray:
            found = block.arrays[0]
            return rule.key(found if block.valid is None else np.where(block.valid, found, found.dtype.type(0)))

        def flag(block: PassBlock) -> np.ndarray:
            return rule.flag(block.arrays[0], block.core, block.valid)

        halo = (0, 0, 0) if rule.high is not None else (1, 1, 1)
        selected = Selected(values, flag, rule.connectivity, halo=halo)
        found = yield from find_pass("find plateaus", image, selected, whole.layout(), described=False)
        kept = np.concatenate([[False], rule.keeps(found)])

        def write(block: PassBlock) -> list[np.ndarray]:
            _, labels, count = label_selected(block, selected)
            return [found.lookup(block, labels, count, kept)]

        yield MapPass("write", write, (image,), [Field(np.dtype(np.bool_))], voxel_bytes=24)
        return None

    return passes


def _call(rule: _Rule, where: Any, options: Any) -> Any:
    parameters = {"connectivity": rule.connectivity, "height": rule.height, "low": rule.low, "high": rule.high}
    return image_call(rule.name, parameters, where, options)


def _planner(function: Callable[..., Any], upward: bool, high: bool, threshold: bool) -> None:
    def planner(image: Any, *numbers: float, connectivity: int = 6, where: Any = None, **options: Any) -> Plan:
        options = {k: v for k, v in options.items() if k not in ("height", "low", "high")}
        thresholds = (0.0, 0.0) if threshold else (None, None)
        rule = _Rule(function.__name__, neighbours_of(connectivity), upward, 1.0 if high else 0.0, *thresholds)
        _check(rule, image)
        return plan_algorithm(_call(rule, where, options), (image,), _passes_of(rule))

    plans(function)(planner)


for _function, _arguments in (
    (regional_maxima, (True, False, False)),
    (regional_minima, (False, False, False)),
    (h_maxima, (True, True, False)),
    (h_minima, (False, True, False)),
    (hysteresis, (True, False, True)),
):
    _planner(_function, *_arguments)
