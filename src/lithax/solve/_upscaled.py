"""Permeability of an image larger than memory: Stokes flow in blocks, Darcy flow between them.

Each block gets a permeability along x, y and z of its own, with pressures held on two faces and no
flow across the others. Blocks side by side are a field that the conduction solver takes. Held
pressures at the faces of blocks let more flow through than the rock would, sealed sides less; the
two make up for each other where a block is ten pores wide, and do not where it is three. So the
answer comes with what both ways give on a piece small enough to be solved as a whole.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.arrays import is_traced, to_numpy
from lithax.errors import MemoryLimitError
from lithax.solve._arguments import check_choice, check_edge, check_whole_number
from lithax.solve._conduction import conductivity
from lithax.solve._cube_flow import cube_permeability, plain_phases
from lithax.solve._flow_input import AXES, geometry_of
from lithax.solve._flow_words import scale_of
from lithax.solve._json_numbers import json_numbers
from lithax.solve._medium import phases_named
from lithax.solve._solve_memory import check_memory, dtype_of, memory_allowed, memory_of_flow

Box = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class UpscaledPermeability:
    """Permeability from blocks: an upscaled value, not that of the flow through the whole image."""

    value: Any
    """Permeability [unit], one number or those along x, y and z."""
    unit: str
    axis: str
    edge: tuple[int, int, int]
    """Of the blocks [voxel]."""
    blocks: np.ndarray
    """Permeability of every block along x, y and z [unit], shape (3, ...); 0 where nothing joins
    its ends.
    """
    origins: tuple[np.ndarray, np.ndarray, np.ndarray]
    """First voxel of the blocks along each axis; they overlap where the edge does not divide the
    image.
    """
    error: np.ndarray | None
    """Relative error of upscaling, found where both ways run: k upscaled over k of the whole, less
    one, shape (pieces, axes); pieces are two blocks long. None where it was not estimated.
    """
    converged: bool
    """Whether all solves did."""

    def numbers(self) -> dict[str, Any]:
        """Return what was found as plain numbers, lists and text, as JSON has them."""
        return {
            "value": json_numbers(self.value),
            "unit": self.unit,
            "axis": self.axis,
            "edge": list(self.edge),
            "blocks": json_numbers(self.blocks),
            "origins": [o.tolist() for o in self.origins],
            "error": json_numbers(self.error),
            "converged": self.converged,
        }

    def __str__(self) -> str:
        names = AXES if self.axis == "all" else (self.axis,)
        values = np.atleast_1d(self.value)
        said = ", ".join(f"k_{n} = {v:.4g} {self.unit}" for n, v in zip(names, values, strict=True))
        grid = " × ".join(str(len(o)) for o in self.origins)
        size = " × ".join(map(str, self.edge))
        rows = [f"{said}: upscaled from {grid} blocks of {size} voxels (Stokes flow in each, Darcy flow between them)"]
        shut = np.mean(self.blocks == 0)
        if shut:
            rows.append(f"nothing joins the ends of {100 * shut:.3g} % of the blocks: they are small for this rock")
        if self.blocks[0].size == 1:
            rows.append("one block is the whole: nothing was upscaled")
        elif self.error is None:
            rows.append("error of upscaling: not estimated")
        else:
            shares = ", ".join(
                f"{n} {' and '.join(f'{100 * e:+.1f}' for e in column)} %"
                for n, column in zip(names, self.error.T, strict=True)
            )
            rows.append(f"error of upscaling, on {len(self.error)} piece(s) solved as a whole: {shares}")
        if not self.converged:
            rows.append("NOT converged")
        return ".\n".join(rows) + "."


def upscaled_permeability(
    image: Any,
    *,
    edge: Any,
    axis: Any = "all",
    pore: Any = None,
    permeability: Any = None,
    wall: str | None = None,
    spacing: Any = None,
    unit: str | None = None,
    tolerance: Any = 5e-3,
    check: Any = 1,
    memory_limit: Any = None,
    progress: bool = False,
) -> UpscaledPermeability:
    """Return the permeability of an image from that of its blocks, one in memory at a time.

    Where the image fits into memory, `permeability` solves the whole, and this does not. Blocks
    should be ten pores wide (mean of `lithax.local_thickness`): on noise and packs the error was
    3 % or less then, up to 15 % with four to seven, and most of k was lost with two.

    Parameters
    ----------
    image
        Booleans, a segmentation or pore fractions, as for `permeability`: an image or an array.
    edge
        Of the blocks [voxel], or one along each axis. Where it does not divide the image, blocks
        overlap a little.
    axis
        Direction of flow, "x", "y" or "z"; or "all".
    pore, permeability, wall, spacing, unit
        As for `permeability`.
    tolerance
        Of the solves of the blocks.
    check
        How many pieces of two blocks an edge are solved as a whole, too, to see how far upscaling
        is off: spread evenly over the image. 0 for none; a piece takes as long as its eight blocks,
        and eight times the memory of one.
    memory_limit
        Bytes that it may take, or text such as "8 GiB"; by default what is free.
    progress
        Whether to show a bar.

    Returns
    -------
        `UpscaledPermeability`; ``str()`` of it is a text to quote.

    Raises
    ------
    TypeError, ValueError
        If an argument is not understood, no block fits into the image, or a block holds nothing
        solid, so that its flow is not Darcy's.
    MemoryLimitError
        If a block, or a piece, does not fit into memory; before anything is read.

    Notes
    -----
    Where several processes work together (`lithax.connect`), blocks are shared among them.

    Examples
    --------
    >>> import numpy as np
    >>> slits = np.zeros((16, 16, 16), bool)
    >>> slits[:, :, 3::8] = slits[:, :, 4::8] = True
    >>> made = upscaled_permeability(slits, edge=8, axis="x", check=0)
    >>> round(float(made.value), 4)  # porosity times height squared over twelve
    0.0833
    """
    sizes = sizes_of(image, edge)
    if pore is not None:
        phases_named(pore, None)
    check_choice("axis", axis, (*AXES, "all"))
    check_whole_number("check", check, 0)
    lengths, voxel_unit = geometry_of(image, spacing)
    reference = float(np.prod(lengths)) ** (1 / 3)
    scale, said = scale_of(voxel_unit, lengths, unit)
    origins = _origins(tuple(image.shape), sizes)
    pieces = _pieces(origins, sizes, check)
    check_memory("upscaled_permeability()", memory_of_upscaling(image, sizes), memory_limit)
    _check_pieces(image, sizes, check, memory_limit)
    options = {
        "pore": pore, "permeability": plain_phases(permeability, voxel_unit), "wall": wall, "spacing": lengths,
        "tolerance": tolerance,
    }  # fmt: skip
    world = getattr(image, "world", None)
    boxes = [
        tuple(slice(int(o[i]), int(o[i]) + e) for o, i, e in zip(origins, place, sizes, strict=True))
        for place in itertools.product(*(range(len(o)) for o in origins))
    ]
    _refuse_absent(world, image, boxes, permeability)
    found = _shared(world, boxes, lambda box: cube_permeability(to_numpy(image[box]), "all", options), progress)
    _refuse_voids(found, boxes)
    if pore is not None and not any(k.any() for k, _ in found):
        _refuse_other_values(image, boxes, pore)
    grid = tuple(len(o) for o in origins)
    blocks = np.moveaxis(np.asarray([k for k, _ in found]).reshape((*grid, 3)), -1, 0) / reference**2
    whole = [slice(0, n) for n in image.shape]
    value = _between_blocks(blocks, whole, lengths, axis)
    solved = _shared(
        world, [box for _, box in pieces], lambda box: cube_permeability(to_numpy(image[box]), axis, options), progress
    )
    error = [
        _between_blocks(blocks[(slice(None), *part)], box, lengths, axis) / (k / reference**2) - 1
        for (part, box), (k, _) in zip(pieces, solved, strict=True)
        if (k > 0).all()
    ]
    factor = reference**2 * scale
    return UpscaledPermeability(
        value=value * factor if axis == "all" else float(value[0] * factor), unit=said, axis=axis, edge=sizes, blocks=blocks * factor,
        origins=origins, error=np.asarray(error) if error else None, converged=all(done for _, done in (*found, *solved)),
    )  # fmt: skip


def _between_blocks(blocks: np.ndarray, box: Any, lengths: Any, axis: str) -> np.ndarray:
    """Return the permeability of Darcy flow through blocks that divide a box evenly, along each
    axis asked for.
    """
    # Two cells for a block: an axis along which there is one block is thick enough then.
    halves = blocks.repeat(2, 1).repeat(2, 2).repeat(2, 3).astype(np.float64)
    spacing = tuple((b.stop - b.start) * s / n for b, s, n in zip(box, lengths, halves.shape[1:], strict=True))
    if not blocks.any():
        return np.zeros(3 if axis == "all" else 1)
    made = conductivity(halves, axis=axis, spacing=spacing, tolerance=1e-6, max_iterations=200)
    return np.atleast_1d(np.asarray(made.value, float))


def _origins(shape: tuple[int, ...], sizes: tuple[int, int, int]) -> Any:
    """Return the first voxel of the blocks along each axis: as many as cover it, evenly spread."""
    counts = (-(-n // e) for n, e in zip(shape, sizes, strict=True))
    return tuple(
        np.round(np.linspace(0, n - e, count)).astype(int) for n, e, count in zip(shape, sizes, counts, strict=True)
    )


def _pieces(origins: Any, sizes: tuple[int, int, int], check: int) -> list[tuple[Box, Box]]:
    """Return which blocks make up each piece that is solved as a whole, and its voxels."""
    if all(len(o) == 1 for o in origins):  # the block is the whole
        return []
    found = []
    for number in range(check):
        part, box = [], []
        for o, e in zip(origins, sizes, strict=True):
            first = round((number + 0.5) / check * max(len(o) - 2, 0))
            last = min(first + 1, len(o) - 1)
            part.append(slice(first, last + 1))
            box.append(slice(int(o[first]), int(o[last]) + e))
        found.append((tuple(part), tuple(box)))
    return [piece for n, piece in enumerate(found) if piece not in found[:n]]


def _refuse_absent(world: Any, image: Any, boxes: list[Box], permeability: Any) -> None:
    """Raise ValueError for a porous phase that no block holds, before any is solved."""
    phases = tuple(permeability) if isinstance(permeability, dict) else ()
    if not phases:
        return
    held = _shared(world, boxes, lambda box: [bool((to_numpy(image[box]) == value).any()) for value in phases], False)
    for value, anywhere in zip(phases, np.any(held, 0), strict=True):
        if not anywhere:
            raise ValueError(
                f"permeability names phase {value}, which the image does not hold; name porous phases by their value in the image."
            )


def _shared(world: Any, boxes: list[Box], solve: Callable[[Box], Any], progress: bool) -> list[Any]:
    """Return what is found in each box, those of one process after another's."""
    from tqdm import tqdm

    index, count = (0, 1) if world is None else (world.index, world.count)
    mine = tqdm(boxes[index::count], desc="blocks", unit=" blocks", disable=not progress or index > 0)
    found = [solve(box) for box in mine]
    if world is None or count == 1:
        return found
    parts = world.gather(found)
    return [parts[n % count][n // count] for n in range(len(boxes))]


def _refuse_voids(found: list[tuple[np.ndarray, bool]], boxes: list[Box]) -> None:
    for (k, _), box in zip(found, boxes, strict=True):
        if np.isinf(k).any():
            raise ValueError(
                f"the block of voxels {[(b.start, b.stop) for b in box]} holds nothing solid, and open space has no permeability of "
                "its own; choose a larger edge, or leave such a part of the image out (image.crop)."
            )


def _refuse_other_values(image: Any, boxes: list[Box], pore: Any) -> None:
    """Raise ValueError where nothing flows because no voxel is what `pore` says."""
    if not any(np.isin(to_numpy(image[box]), phases_named(pore, None)).any() for box in boxes):
        raise ValueError(f"pore={pore!r} is no value of the image; name the value of the segmentation that is pore.")


def memory_of_upscaling(image: Any, sizes: tuple[int, int, int]) -> tuple[tuple[int, ...], int]:
    """Return the shape of a block, and what its flow needs [byte]."""
    dtype = dtype_of(image)
    found = memory_of_flow(np.broadcast_to(np.zeros((), dtype), sizes), False, "all")
    assert found is not None
    return sizes, found[1] + math.prod(sizes) * dtype.itemsize


def largest_solve(image: Any, sizes: tuple[int, int, int], check: int) -> tuple[int, int, int]:
    """Return the shape of the largest part that is solved at once: a piece, or a block."""
    pieces = _pieces(_origins(tuple(image.shape), sizes), sizes, check)
    if not pieces:
        return sizes
    x, y, z = (b.stop - b.start for b in pieces[0][1])
    return x, y, z


def _check_pieces(image: Any, sizes: tuple[int, int, int], check: int, memory_limit: Any) -> None:
    shape = largest_solve(image, sizes, check)
    _, needed = memory_of_upscaling(image, shape)
    allowed = memory_allowed(memory_limit)
    if needed > allowed:
        raise MemoryLimitError(
            f"check={check} solves a piece of {shape} voxels as a whole, which needs up to {needed / 1e9:.3g} GB, and "
            f"{allowed / 1e9:.3g} GB may be used; choose a smaller edge, raise memory_limit, or pass check=0 and go without an estimate "
            "of the error."
        )


def sizes_of(image: Any, edge: Any) -> tuple[int, int, int]:
    """Return the edges of the blocks along x, y and z."""
    shape = getattr(image, "shape", None)
    if shape is None or not hasattr(image, "dtype"):
        raise TypeError(f"image is a {type(image).__name__}; give an image (lx.open, lx.from_array) or an array.")
    if is_traced(image):
        raise TypeError(
            "image is traced, and upscaled_permeability() reads block after block; use permeability(), which is differentiable."
        )
    if len(shape) != 3:
        raise ValueError(f"image has shape {tuple(shape)}; give three axes.")
    edges = tuple(edge) if isinstance(edge, Sequence | np.ndarray) else (edge,) * 3
    if len(edges) != 3:
        raise ValueError(f"edge={edge!r} must be one number of voxels, or three.")
    most = shape if isinstance(edge, Sequence | np.ndarray) else (min(shape),) * 3
    for e, n in zip(edges, most, strict=True):
        check_edge(edge, e, n)
    x, y, z = (int(e) for e in edges)
    return x, y, z
