"""What a conduction solve needs in memory: said before any voxel is read, refused before anything
is labelled.

Bytes per voxel are what the memory of a process grew by at its peak, with images of 128³ and 192³
voxels, the larger of the two, and a margin of a fifth.
"""

import math
from typing import Any

import jax
import numpy as np
import psutil

from lithax.arrays import is_traced
from lithax.chunked import release_memory
from lithax.errors import MemoryLimitError
from lithax.runtime import connected, default_of, device_memory, size_in_bytes
from lithax.solve._arguments import is_wanted

SOLVE, FIELD, DIRECTED, POTENTIAL, GRADIENT = 52, 4, 24, 4, 24
"""Of a solve in single precision [byte per voxel]; what conductivities as floats, along three axes,
every potential that is kept, and the derivative for every voxel add.
"""
LABELS = 20
"""Of the voxels while parts that join the ends are found [byte per voxel]."""
WALKS = 110
"""Of a random walker segmentation, for any number of labels [byte per voxel]."""
FLOW, FLOW_OVER_DEVICES, FLOW_BEFORE = 126, 146, 16
"""Of a Stokes solve with two stored directions, porous phases or not (116 to 120 at 256³); of one
over devices, whose three velocity components are relaxed at once (136 to 141 at 384³ and 256³); and
of each direction solved before it whose velocity and pressure are wanted again: for the tensor, or
as fields [byte per voxel].
"""
KEPT, FLOW_KEPT, SMALL_ARRAY = 12, 30, 2**23
"""What `malloc` keeps of freed arrays of up to 32 MiB in a solve of conduction, and of flow [byte
per voxel], in images of that many voxels; larger arrays go back to the system.
"""
PROGRAMS, FLOW_PROGRAMS = 150 * 2**20, 280 * 2**20
"""To compile the programs [byte]."""
_WORTHWHILE = 64 * 2**20


def memory_of_conduction(
    image: Any, shape: Any, axis: str, whole: bool, fields: Any, gradient: Any, over_devices: bool, reservoir: int = 0
) -> tuple[tuple[int, ...], int] | None:
    """Return the shape of the voxels, and an upper bound of the memory that a process needs besides
    what it holds [byte]; None for what `conductivity` refuses with more care, or only sees traced.

    Parameters
    ----------
    image, shape, axis, fields, gradient
        Arguments of `conductivity`.
    whole
        Whether one operator serves all axes.
    over_devices
        Whether the voxels are divided among the processes.
    reservoir
        As for `conductivity`.
    """
    size = getattr(image, "shape", ()) if shape is None else tuple(shape)
    kind = getattr(image, "dtype", None)
    if kind is None or is_traced(image) or len(size) not in (3, 4) or min(size) < 1:
        return None
    dtype = dtype_of(image)
    each, drives = SOLVE, 3 if axis == "all" else 1
    each += FIELD if dtype.kind == "f" else 0
    each += DIRECTED if len(size) == 4 else 0
    each += POTENTIAL * (drives if whole else 1)
    each += 5 * POTENTIAL * drives if fields else 0
    each += GRADIENT if is_wanted(gradient) else 0
    each *= 2 if dtype == np.float64 else 1
    held = dtype.itemsize if hasattr(image, "frame") else 0  # an image is read into memory first
    processes = connected().count if over_devices else 1
    voxels = -(-_with_reservoir(size[-3:], axis, reservoir) // processes)
    each += KEPT if voxels <= SMALL_ARRAY else 0
    return tuple(size), voxels * (max(each, LABELS) + held) + PROGRAMS


def dtype_of(image: Any) -> np.dtype:
    """Return the type of the voxels as NumPy's, whatever library holds them."""
    try:
        return np.dtype(image.dtype)
    except TypeError:
        return np.dtype(str(image.dtype).rpartition(".")[2])


def _with_reservoir(shape: tuple[int, ...], axis: Any, reservoir: int) -> int:
    """Return how many voxels are solved for at once: with the open layers before and behind the
    image, along the axis that has most of them.
    """
    voxels = math.prod(shape)
    sections = [voxels // n for n in (shape if axis == "all" else [shape["xyz".index(axis)]] if reservoir else [])]
    return voxels + 2 * int(reservoir) * max(sections, default=0)


def memory_of_sweep(scan: Any) -> tuple[tuple[int, ...], int] | None:
    """Return the shape of a scan, and what `threshold_sweep` needs besides what the process holds
    [byte]; None for what it refuses with more care.
    """
    size = getattr(scan, "shape", ())
    if len(size) != 3:
        return None
    held = np.dtype(scan.dtype).itemsize if hasattr(scan, "frame") else 0
    # Beside a solve of a boolean image: the potential before, and the next pore space: its labels
    # and masks, then its weights on all levels.
    return tuple(size), math.prod(size) * (SOLVE + 2 * POTENTIAL + LABELS + held) + PROGRAMS


def memory_of_flow(
    image: Any, over_devices: bool, axis: Any, kept: bool = False, reservoir: int = 0
) -> tuple[tuple[int, ...], int] | None:
    """Return the shape of the voxels, and what a process needs for their permeability besides what
    it holds [byte]; None for what `permeability` refuses with more care.

    Parameters
    ----------
    image
        As for `permeability`.
    over_devices
        Whether the voxels are divided among the processes.
    axis
        As for `permeability`.
    kept
        Whether the flows along all axes are kept.
    reservoir
        As for `permeability`.
    """
    size = getattr(image, "shape", None)
    if size is None or len(size) != 3 or min(size) < 1 or not hasattr(image, "dtype"):
        return None
    processes = connected().count if over_devices else 1
    voxels = -(-_with_reservoir(size, axis, reservoir) // processes)
    each = FLOW_OVER_DEVICES if over_devices else FLOW
    each += (2 * FLOW_BEFORE if kept and axis == "all" else 0) + (FLOW_KEPT if voxels <= SMALL_ARRAY else 0)
    wide = not over_devices and dtype_of(image) == np.float64
    return tuple(size), voxels * each * (2 if wide else 1) + FLOW_PROGRAMS


def memory_of_walks(image: Any) -> tuple[tuple[int, ...], int]:
    """Return the shape of a scan, and what `random_walker` needs besides what the process holds
    [byte].
    """
    held = np.dtype(image.dtype).itemsize if hasattr(image, "frame") else 0
    return tuple(image.shape), math.prod(image.shape) * (WALKS + held) + PROGRAMS


def give_back(shape: tuple[int, ...]) -> None:
    """Return to the system what a solve of an image of this shape has freed."""
    release_memory(math.prod(shape) * FLOW, _WORTHWHILE)


def memory_allowed(memory_limit: Any, devices: int = 1) -> int:
    """Return how much a solve may use [byte]: the limit given, that of `lithax.runtime.using`, or
    what is free; never more than the devices of this process that it runs on have (an accelerator,
    or what `using` granted).
    """
    limit = default_of("memory_limit") if memory_limit is None else memory_limit
    host = psutil.virtual_memory().available if limit is None else size_in_bytes("memory_limit", limit)
    chosen = getattr(jax.config, "jax_default_device", None)  # a device, the name of a platform, or None
    device = device_memory(chosen if hasattr(chosen, "platform") else jax.local_devices(backend=chosen)[0])
    return host if device is None else min(host, devices * device)


def check_memory(
    name: str, memory: tuple[tuple[int, ...], int], memory_limit: Any, devices: int = 1, instead: str = ""
) -> None:
    """Raise MemoryLimitError, with both numbers, if a solve needs more than it may use; `instead`
    is a way out that this solve has besides those of all.
    """
    (shape, needed), free = memory, memory_allowed(memory_limit, devices)
    if needed > free:
        raise MemoryLimitError(
            f"{name} of {shape} voxels needs up to {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB may be used; {instead}solve "
            f"sub-volumes (lx.solve.subvolumes), coarsen the image, divide it among processes (connect('jax')), or raise memory_limit."
        )
