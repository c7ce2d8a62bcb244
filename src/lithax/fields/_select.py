"""Parts of a phase chosen by what they are: their size, where they reach, whether they are
enclosed.
"""

import warnings
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, Unpack

import numpy as np

from lithax.chunked import Field, MapPass, PassBlock
from lithax.fields._call import (
    ImageOptions,
    axes_of,
    host_array,
    image_call,
    is_image,
    like_input,
    phase_function,
    phase_values,
    valid_array,
)
from lithax.fields._components import Found, Selected, find_in_array, find_pass, label_selected
from lithax.fields._label import label_selection
from lithax.images import Passes, Plan, WholeImage, plan_algorithm, plans, run_algorithm

AXES = "xyz"


class _Choice(NamedTuple):
    """Which components are kept, and what is written."""

    name: str
    keep: Callable[[Found], np.ndarray]
    """Returns a flag per component of the table."""
    parameters: dict[str, Any]
    adds: bool = False
    """Whether components of the background are added to the phase, instead of components of it
    removed.
    """
    checks_corners: bool = False


def remove_small(
    image: Any,
    min_size: int,
    *,
    phases: int | Collection[int] | None = None,
    connectivity: int = 6,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Remove the connected components that have fewer voxels than `min_size`.

    Parameters
    ----------
    image
        Boolean array or image; or a segmentation, of which the components of every phase are looked
        at by themselves.
    min_size
        The fewest voxels that a component keeps [voxel].
    phases
        Values of a segmentation that make *one* phase; the others stay as they are.
    connectivity
        6, 18 or 26 neighbours (or 1, 2, 3).
    where
        Voxels that take part, as for `chunk_map`; those left out stay as they are.
    **options
        For images: `store`, `path`, `overwrite`, `chunks`, `shards`, `resume`, `memory_limit`,
        `workers`, `world` and `progress`, as for `chunk_map`.

    Returns
    -------
        The image with the voxels of small components set to False or 0.
    """
    if isinstance(min_size, bool) or not isinstance(min_size, int | np.integer) or min_size < 0:
        raise ValueError(f"min_size={min_size!r} must be a number of voxels, 0 or more.")
    choice = _Choice("remove_small", lambda found: found.table.sizes >= min_size, {"min_size": int(min_size)})
    return _select(choice, image, phases, connectivity, (), where, options)


def keep_largest(
    image: Any,
    count: int = 1,
    *,
    phases: int | Collection[int] | None = None,
    connectivity: int = 6,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Keep the largest connected component, or the `count` largest; of equal ones the first in C
    order.

    Parameters
    ----------
    image
        Boolean array or image, or a segmentation.
    count
        How many components are kept.
    phases, connectivity, where, **options
        As for `remove_small`.

    Returns
    -------
        The image with the voxels of all other components set to False or 0.
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
        raise ValueError(f"count={count!r} must be a number of components, 0 or more.")

    def keep(found: Found) -> np.ndarray:
        kept = np.zeros(len(found.table), bool)
        kept[np.argsort(-found.table.sizes, kind="stable")[:count]] = True
        return kept

    return _select(
        _Choice("keep_largest", keep, {"count": int(count)}), image, phases, connectivity, (), where, options
    )


def keep_percolating(
    image: Any,
    axis: int | str | None = None,
    *,
    phases: int | Collection[int] | None = None,
    connectivity: int = 6,
    ends: str = "faces",
    periodic: Collection[int | str] = (),
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Keep the connected components that join the two ends of an axis.

    Parameters
    ----------
    image
        Boolean array or image, or a segmentation.
    axis
        0, 1, 2 or "x", "y", "z"; None: the components that join the ends of any axis.
    phases
        As for `remove_small`.
    connectivity
        6, 18 or 26 neighbours (or 1, 2, 3). Flow and conduction go through voxel faces: 6. A
        warning says so if nothing percolates through faces where it would through edges and
        corners.
    ends
        "faces": from the first layer of the image to the last one. "periodic": around the image
        that goes on with itself along the axis, back to a voxel of the component.
    periodic
        Other axes along which the image goes on with itself.
    where, **options
        As for `remove_small`.

    Returns
    -------
        The image with the voxels of all other components set to False or 0.
    """
    if ends not in ("faces", "periodic"):
        raise ValueError(f"ends={ends!r} must be 'faces' or 'periodic'.")
    axes = (0, 1, 2) if axis is None else axes_of(axis, "axis")
    around = tuple(sorted({*axes_of(periodic, "periodic"), *(axes if ends == "periodic" else ())}))

    def keep(found: Found) -> np.ndarray:
        kept = np.zeros(len(found.table), bool)
        for a in axes:
            kept |= found.joins(a, ends)
        return kept

    parameters = {"axes": list(axes), "ends": ends}
    choice = _Choice("keep_percolating", keep, parameters, checks_corners=True)
    return _select(choice, image, phases, connectivity, around, where, options)


def clear_border(
    image: Any,
    *,
    phases: int | Collection[int] | None = None,
    connectivity: int = 6,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Remove the connected components that touch a face of the image: grains that the image cuts.

    Parameters
    ----------
    image
        Boolean array or image, or a segmentation.
    phases, connectivity, where, **options
        As for `remove_small`.

    Returns
    -------
        The image with the voxels of those components set to False or 0.
    """
    choice = _Choice("clear_border", lambda found: ~found.table.on_border, {})
    return _select(choice, image, phases, connectivity, (), where, options)


def fill_holes(
    image: Any,
    *,
    phases: int | Collection[int] | None = None,
    connectivity: int = 6,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Fill the holes of a phase: what is not of it and does not reach a face of the image.

    Of the grains it fills the pores that are trapped in them, and that no fluid enters; for
    booleans the result is that of `scipy.ndimage.binary_fill_holes`.

    Parameters
    ----------
    image
        Boolean array or image, True in the phase, or a segmentation.
    phases
        The values of a segmentation that make the phase; without them, everything but 0.
    connectivity
        6, 18 or 26 neighbours (or 1, 2, 3), through which the *background* hangs together.
    where
        Voxels that take part, as for `chunk_map`; those left out are never filled, and end a hole
        as the phase does.
    **options
        As for `remove_small`.

    Returns
    -------
        The phase with its holes, boolean.
    """
    choice = _Choice("fill_holes", lambda found: ~found.table.on_border, {}, adds=True)
    return _select(choice, image, phases, connectivity, (), where, options)


def _select(choice: _Choice, image, phases, connectivity, periodic, where, options) -> Any:
    selected = label_selection(choice.name, image, phases, connectivity, periodic, background=choice.adds)
    phase = phase_function(choice.name, image.dtype, phases)
    if is_image(image):
        call = _call(choice, phases, selected, where, options)
        outputs, percolates = run_algorithm(call, (image,), lambda whole: _passes(whole, choice, selected, phase))
        if choice.checks_corners and not percolates:
            _warn_of_corners(choice, image, phases, connectivity, periodic, where, options)
        return outputs[0]
    values = host_array(choice.name, image, options)
    valid = valid_array(where, values.shape)
    chosen = ~phase(values) if choice.adds else values if phases is None else phase(values)
    chosen = chosen if valid is None else np.where(valid, chosen, chosen.dtype.type(0))
    labels, found = find_in_array(chosen, selected.connectivity, selected.periodic)
    kept = np.concatenate([[False], choice.keep(found)])
    if choice.checks_corners and not kept.any() and selected.connectivity == 6:
        _, through = find_in_array(chosen, 26, selected.periodic)
        _say(choice.keep(through).any())
    return like_input(image, _written(choice, values, phase, labels > 0, kept[labels]))


def _written(choice: _Choice, values: np.ndarray, phase: Any, labelled: np.ndarray, kept: np.ndarray) -> np.ndarray:
    if choice.adds:
        return phase(values) | kept
    return np.where(labelled & ~kept, values.dtype.type(0), values)


def _passes(whole: WholeImage, choice: _Choice, selected: Selected, phase: Any) -> Passes:
    image = whole.image
    found = yield from find_pass("find components", image, selected, whole.layout())
    kept = np.concatenate([[False], choice.keep(found)])

    def kernel(block: PassBlock) -> list[np.ndarray]:
        values = block.inner(block.arrays[0])
        _, labels, parts = label_selected(block, selected)
        return [_written(choice, values, phase, labels > 0, found.lookup(block, labels, parts, kept))]

    # Voxels left out stay as they are: the kernel, which labels none of them, writes them, too.
    dtype = np.dtype(np.bool_) if choice.adds else image.dtype
    yield MapPass("write", kernel, (image,), [Field(dtype)], voxel_bytes=16, every_block=True)
    return bool(kept.any())


def _warn_of_corners(choice: _Choice, image, phases, connectivity, periodic, where, options) -> None:
    selected = label_selection(choice.name, image, phases, connectivity, periodic)
    if selected.connectivity != 6:
        return
    through = selected.__class__(selected.values, None, 26, selected.periodic)
    unstored = {
        k: v for k, v in options.items() if k in ("memory_limit", "workers", "world", "progress", "chunks", "shards")
    }
    call = _call(choice, phases, through, where, unstored)

    def passes(whole: WholeImage) -> Passes:
        found = yield from find_pass("find components through corners", whole.image, through, whole.layout())
        return bool(choice.keep(found).any())

    _, percolates = run_algorithm(call, (image,), passes)
    _say(percolates)


def _say(percolates_through_corners: Any) -> None:
    if percolates_through_corners:
        warnings.warn(
            "no component percolates through voxel faces (connectivity=6), but one would through edges and corners "
            "(26): the image is too coarse for its throats; no flow is computed through corners.",
            stacklevel=4,
        )


def _call(choice: _Choice, phases: Any, selected: Selected, where: Any, options: Any) -> Any:
    parameters = {
        "phases": None if phases is None else phase_values(phases),
        "connectivity": selected.connectivity,
        "periodic": list(selected.periodic),
    }
    return image_call(choice.name, parameters | choice.parameters, where, options)


def _planner(function: Callable[..., Any]) -> None:
    def planner(image: Any, *first: Any, phases=None, connectivity=6, where=None, **options: Any) -> Plan:
        own = ("min_size", "count", "axis", "ends", "periodic")
        options = {k: v for k, v in options.items() if k not in own}
        adds = function is fill_holes
        selected = label_selection(function.__name__, image, phases, connectivity, (), background=adds)
        choice = _Choice(function.__name__, lambda found: np.zeros(len(found.table), bool), {}, adds=adds)
        phase = phase_function(function.__name__, image.dtype, phases)
        call = _call(choice, phases, selected, where, options)
        return plan_algorithm(call, (image,), lambda whole: _passes(whole, choice, selected, phase))

    plans(function)(planner)


for _function in (remove_small, keep_largest, keep_percolating, clear_border, fill_holes):
    _planner(_function)
