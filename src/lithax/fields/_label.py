"""Labels of the connected components of an image."""

from collections.abc import Collection
from typing import Any, Unpack

import numpy as np

from lithax.arrays import label_block, neighbours_of
from lithax.chunked import Field, MapPass, PassBlock, available_cores
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
from lithax.fields._components import Selected, find_in_array, find_pass, label_selected
from lithax.images import Passes, Plan, WholeImage, plan_algorithm, plans, run_algorithm


def label(
    image: Any,
    *,
    phases: int | Collection[int] | None = None,
    connectivity: int = 6,
    periodic: Collection[int | str] = (),
    table: bool = False,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Number the connected components of an image.

    Labels are canonical: components are numbered from 1 in the order of their first voxels in C
    order (the last axis fastest), hence alike for every chunk grid, number of processes and device.
    Images take two passes: one finds the components of the blocks and joins them across faces,
    edges and corners, one writes the labels.

    Parameters
    ----------
    image
        Boolean array or image; or a segmentation, of which the components of every phase but 0 are
        numbered at once.
    phases
        Values of a segmentation that make *one* phase; nothing else is labelled then.
    connectivity
        6 (voxels that share a face), 18 (an edge, too) or 26 (a corner, too); or 1, 2, 3 for the
        same, as in scipy.
    periodic
        Axes (0, 1, 2 or "x", "y", "z") along which the image goes on with itself.
    table
        Return what is known of each component, too.
    where
        Voxels that take part, as for `chunk_map` (with an array: a boolean array); those left out
        get 0.
    **options
        For images: `store`, `path`, `overwrite`, `chunks`, `shards`, `resume`, `memory_limit`,
        `workers`, `world` and `progress`, as for `chunk_map`.

    Returns
    -------
        Labels in the smallest unsigned integers that hold them, 0 outside of the components; with
        `table` a tuple of the labels and a `ComponentTable` of sizes, first voxels, phases, boxes
        and the faces of the image touched.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, before anything is read or written.

    Examples
    --------
    >>> import numpy as np
    >>> pore = np.array([[[1, 0, 1, 1, 0, 1]]], bool)
    >>> labels, found = label(pore, table=True)
    >>> labels[0, 0].tolist(), found.sizes.tolist()
    ([1, 0, 2, 2, 0, 3], [1, 2, 1])
    """
    selected = label_selection("label", image, phases, connectivity, periodic)
    if is_image(image):
        call = _call("label", phases, selected, where, options)
        outputs, found = run_algorithm(call, (image,), lambda whole: _passes(whole, selected, table))
        return (outputs[0], found.table) if table else outputs[0]
    values = host_array("label", image, options)
    chosen = array_values(values, phases, valid_array(where, values.shape))
    if not (table or selected.periodic):  # what a table holds takes several times as long as the labels
        labels, _ = label_block(chosen, selected.connectivity, smallest=True, threads=available_cores())
        return like_input(image, labels)
    labels, found = find_in_array(chosen, selected.connectivity, selected.periodic)
    labels = like_input(image, labels.astype(found.label_dtype, copy=False))
    return (labels, found.table) if table else labels


def label_selection(
    name: str, image: Any, phases: Any, connectivity: Any, periodic: Any = (), background: bool = False
) -> Selected:
    """Return what of an image is labelled: a phase, all phases, or (`background`) everything but
    the phase.
    """
    if not (hasattr(image, "shape") and hasattr(image, "dtype")):
        raise TypeError(f"image is a {type(image).__name__}; give an image (lx.open, lx.from_array) or an array.")
    phase = phase_function(name, image.dtype, phases)

    def values(block: PassBlock) -> np.ndarray:
        if background:
            return ~phase(block.arrays[0])
        return block.arrays[0] if phases is None else phase(block.arrays[0])

    return Selected(values, None, neighbours_of(connectivity), axes_of(periodic, "periodic"))


def array_values(values: np.ndarray, phases: Any, valid: np.ndarray | None) -> np.ndarray:
    """Return the numbers of an array that are labelled."""
    chosen = values if phases is None else phase_function("label", values.dtype, phases)(values)
    return chosen if valid is None else np.where(valid, chosen, chosen.dtype.type(0))


def _passes(whole: WholeImage, selected: Selected, described: bool) -> Passes:
    found = yield from find_pass("find components", whole.image, selected, whole.layout(), described)
    dtype = found.label_dtype
    numbers = np.arange(len(found.table) + 1).astype(dtype)

    def kernel(block: PassBlock) -> list[np.ndarray]:
        _, labels, parts = label_selected(block, selected)
        return [found.lookup(block, labels, parts, numbers)]

    yield MapPass("write labels", kernel, (whole.image,), [Field(dtype)], voxel_bytes=4)
    return found


def _call(name: str, phases: Any, selected: Selected, where: Any, options: Any) -> Any:
    parameters = {
        "phases": None if phases is None else phase_values(phases),
        "connectivity": selected.connectivity,
        "periodic": list(selected.periodic),
    }
    return image_call(name, parameters, where, options, names=["label"])


@plans(label)
def _plan(image: Any, *, phases=None, connectivity=6, periodic=(), table=False, where=None, **options: Any) -> Plan:
    selected = label_selection("label", image, phases, connectivity, periodic)
    call = _call("label", phases, selected, where, options)
    return plan_algorithm(call, (image,), lambda whole: _passes(whole, selected, table))
