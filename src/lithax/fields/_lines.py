"""Operations along whole lines: on images, blocks become pencils that reach from face to face."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, NamedTuple, Unpack

import numpy as np

from lithax.arrays import axis_number, distance_dtype, line_distance, no_source
from lithax.chunked import Field, FoldPass, MapPass, PassBlock
from lithax.fields._call import (
    ImageOptions,
    host_array,
    image_call,
    is_image,
    like_input,
    phase_function,
    phase_values,
    valid_array,
)
from lithax.fields._described_function import described_function
from lithax.images import Passes, Plan, WholeImage, plan_algorithm, plans, run_algorithm


def map_lines(
    function: Callable[[np.ndarray], Any],
    image: Any,
    *,
    axis: int | str,
    left_out: Any = 0,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Apply a function to every line of voxels along an axis, each as a whole.

    The result does not depend on the chunk grid, however long the lines are: on images a block
    reaches through the whole image along the axis, and `lithax.plan` counts it.

    Parameters
    ----------
    function
        Takes lines as a NumPy array of shape (lines, voxels of a line), and returns an array of
        this shape. It must treat each line by itself.
    image
        An array, or an image.
    axis
        0, 1, 2, or "x", "y", "z".
    left_out
        What the function sees in place of voxels that `where` leaves out.
    where
        Voxels that take part, as for `chunk_map` (with an array: a boolean array); the others
        become 0.
    **options
        For images: `store`, `path`, `overwrite`, `chunks`, `shards`, `resume`, `memory_limit`,
        `workers`, `world` and `progress`, as for `chunk_map`.

    Raises
    ------
    ValueError
        If `axis` is none, or `function` returns another shape: said before the first pass.

    Examples
    --------
    >>> import numpy as np
    >>> column = np.array([3, 1, 2]).reshape(3, 1, 1)
    >>> map_lines(lambda lines: np.sort(lines, axis=1), column, axis="x")[:, 0, 0].tolist()
    [1, 2, 3]
    """
    return _map("map_lines", function, image, axis, left_out, where, options)


def cumulative_sum(image: Any, *, axis: int | str, where: Any = None, **options: Unpack[ImageOptions]) -> Any:
    """Return, for every voxel, the sum of its line from the first voxel up to itself.

    Whole numbers are summed in 64 bits and stay exact; floating point is summed in 64 bits, and
    returned in the type of the image. Arguments as for `map_lines`; voxels left out add nothing.

    Examples
    --------
    >>> import numpy as np
    >>> cumulative_sum(np.array([[[1, 2, 3]]]), axis="z")[0, 0].tolist()
    [1, 3, 6]
    """
    return _map("cumulative_sum", _sums, image, axis, 0, where, options)


def fourier_lines(
    image: Any, *, axis: int | str, inverse: bool = False, where: Any = None, **options: Unpack[ImageOptions]
) -> Any:
    """Return the discrete Fourier transform along an axis: complex, ``sum over j of v_j exp(-2πi jk
    / n)``.

    Single precision for images of at most 32 bits in floating point, and of at most 16 in whole
    numbers; double for others. `inverse`: the transform back, divided by n. Arguments as for
    `map_lines`; voxels left out count as 0.

    Examples
    --------
    >>> import numpy as np
    >>> fourier_lines(np.ones((1, 1, 4), np.float32), axis="z")[0, 0].real.tolist()
    [4.0, 0.0, 0.0, 0.0]
    """
    function = _inverse_fourier if inverse else _fourier
    return _map("fourier_lines", function, image, axis, 0, where, options)


def distance_lines(
    image: Any,
    *,
    axis: int | str,
    phases: int | Collection[int] | None = None,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Return the distance of every voxel of a phase to the nearest voxel outside of it on its line
    [voxel].

    Parameters
    ----------
    image
        Boolean array or image, True in the phase, or a segmentation.
    phases
        The values of a segmentation that make the phase; without them, everything but 0.
    axis, where, **options
        As for `map_lines`; voxels left out are neither phase nor outside of it.

    Returns
    -------
        float32; infinite on lines that lie in the phase from face to face.

    Examples
    --------
    >>> import numpy as np
    >>> distance_lines(np.array([[[0, 1, 1, 1, 1]]], bool), axis="z")[0, 0].tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    function, inside, values = _distance_function(image, phases)
    return _map("distance_lines", function, image, axis, inside, where, options, phases=values)


def first_and_last(
    image: Any,
    *,
    axis: int | str,
    phases: int | Collection[int] | None = None,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> tuple[np.ndarray, np.ndarray]:
    """Return where a phase begins and ends on every line along an axis, such as the surface of a
    core.

    Parameters
    ----------
    image
        Boolean array or image, True in the phase, or a segmentation.
    axis
        0, 1, 2, or "x", "y", "z".
    phases
        The values of a segmentation that make the phase; without them, everything but 0.
    where
        Voxels that take part, as for `chunk_map`.
    **options
        For images: `memory_limit`, `workers`, `world` and `progress`, as for `chunk_map`.

    Returns
    -------
        Indices along the axis of the first and the last voxel of the phase, int64, in the shape of
        the image without this axis; -1 where there is none.

    Examples
    --------
    >>> import numpy as np
    >>> first, last = first_and_last(np.array([[[0, 1, 0, 1, 0]]], bool), axis="z")
    >>> first.tolist(), last.tolist()
    ([[1]], [[3]])
    """
    number = axis_number(axis)
    phase = phase_function("first_and_last", image.dtype, phases)
    if is_image(image):
        call = image_call("first_and_last", {"axis": number}, where, options)
        _, ends = run_algorithm(call, (image,), lambda whole: _ends_passes(whole, number, phase))
        return ends
    values = host_array("first_and_last", image, options)
    valid = valid_array(where, values.shape)
    return _ends(phase(values) if valid is None else phase(values) & valid, number, 0)


class _Lines(NamedTuple):
    name: str
    function: Callable[[np.ndarray], Any]
    axis: int
    left_out: Any
    dtype: np.dtype

    def apply(self, values: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
        if valid is not None:
            values = np.where(valid, values, np.asarray(self.left_out).astype(values.dtype))
        moved = np.moveaxis(values, self.axis, 2)
        found = np.asarray(self.function(moved.reshape(-1, moved.shape[2])))
        if found.shape != (moved.shape[0] * moved.shape[1], moved.shape[2]):
            raise ValueError(
                f"function returned shape {found.shape} for {moved.shape[0] * moved.shape[1]} lines of {moved.shape[2]} "
                "voxels; it must return as many."
            )
        found = np.moveaxis(found.reshape(moved.shape), 2, self.axis)
        return found if valid is None else np.where(valid, found, found.dtype.type(0))


def _map(
    name: str, function: Any, image: Any, axis: Any, left_out: Any, where: Any, options: Any, **parameters: Any
) -> Any:  # fmt: skip
    lines = _lines(name, function, image, axis, left_out)
    if is_image(image):
        call = _call(lines, where, options, parameters)
        outputs, _ = run_algorithm(call, (image,), lambda whole: _passes(whole, lines))
        return outputs[0]
    values = host_array(name, image, options)
    return like_input(image, lines.apply(values, valid_array(where, values.shape)))


def _lines(name: str, function: Any, image: Any, axis: Any, left_out: Any) -> _Lines:
    if not callable(function):
        raise TypeError(f"function is a {type(function).__name__}; give a function of lines (lines, voxels).")
    if not (hasattr(image, "shape") and hasattr(image, "dtype")):
        raise TypeError(f"image is a {type(image).__name__}; give an image (lx.open, lx.from_array) or an array.")
    number = axis_number(axis)
    if len(image.shape) != 3:
        raise ValueError(f"image has shape {tuple(image.shape)}; it must have three axes, x, y and z.")
    kind = np.dtype(str(image.dtype).rsplit(".", 1)[-1])
    trial = _Lines(name, function, number, left_out, kind)
    shape = [image.shape[a] if a == number else 1 for a in range(3)]
    # One line tells the type of the result, and a wrong shape before any work.
    return trial._replace(dtype=trial.apply(np.zeros(shape, kind), None).dtype)


def _sums(lines: np.ndarray) -> np.ndarray:
    if lines.dtype.kind in "biu":
        return np.cumsum(lines, axis=1, dtype=np.uint64 if lines.dtype.kind == "u" else np.int64)
    wide = np.complex128 if lines.dtype.kind == "c" else np.float64
    return np.cumsum(lines, axis=1, dtype=wide).astype(lines.dtype)


def _single(lines: np.ndarray) -> np.ndarray:
    small = lines.dtype.itemsize <= {"f": 4, "c": 8}.get(lines.dtype.kind, 2)
    return lines.astype(np.complex64 if small else np.complex128)


def _fourier(lines: np.ndarray) -> np.ndarray:
    values = _single(lines)
    return np.fft.fft(values, axis=1).astype(values.dtype, copy=False)


def _inverse_fourier(lines: np.ndarray) -> np.ndarray:
    values = _single(lines)
    return np.fft.ifft(values, axis=1).astype(values.dtype, copy=False)


def _distance_function(image: Any, phases: Any) -> tuple[Callable[[np.ndarray], np.ndarray], int, Any]:
    """Return the function of lines, what it sees in place of voxels left out, and the phase."""
    phase = phase_function("distance_lines", image.dtype, phases)
    values = None if phases is None else phase_values(phases)
    return partial(_distances, phase), 1 if values is None else values[0], values


def _distances(phase: Callable[[np.ndarray], np.ndarray], lines: np.ndarray) -> np.ndarray:
    dtype = distance_dtype((1, 1, lines.shape[1]), (1, 1, 1), "cityblock")
    found, _ = line_distance(~phase(lines), 1, 1, metric="cityblock", dtype=dtype)
    return np.where(found == no_source(dtype), np.inf, found).astype(np.float32)


def _passes(whole: WholeImage, lines: _Lines) -> Passes:
    yield MapPass(
        f"lines along {'xyz'[lines.axis]}",
        lambda block: [lines.apply(block.arrays[0], block.valid)],
        (whole.image,),
        [Field(lines.dtype)],
        spans=(lines.axis,),
        voxel_bytes=16 + 3 * lines.dtype.itemsize,
    )
    return None


def _ends(inside: np.ndarray, axis: int, begin: int) -> tuple[np.ndarray, np.ndarray]:
    n, some = inside.shape[axis], inside.any(axis=axis)
    first = np.argmax(inside, axis=axis) + begin
    last = begin + n - 1 - np.argmax(np.flip(inside, axis), axis=axis)
    return np.where(some, first, -1), np.where(some, last, -1)


def _ends_passes(whole: WholeImage, axis: int, phase: Any) -> Passes:
    shape = tuple(n for a, n in enumerate(whole.shape) if a != axis)
    first, last = np.full(shape, -1), np.full(shape, -1)

    def kernel(block: PassBlock) -> tuple[np.ndarray, np.ndarray]:
        inside = phase(block.arrays[0])
        return _ends(inside if block.valid is None else inside & block.valid, axis, block.box[axis].start)

    def join(low: np.ndarray, high: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> None:
        low[...] = np.where((low < 0) | ((begins >= 0) & (begins < low)), begins, low)
        high[...] = np.maximum(high, ends)

    def take(block: PassBlock, found: tuple[np.ndarray, np.ndarray]) -> None:
        side = tuple(b for a, b in enumerate(block.box) if a != axis)
        join(first[side], last[side], *found)

    def finish(world: Any) -> tuple[np.ndarray, np.ndarray]:
        for begins, ends in world.gather((first, last)) if world.count > 1 else ():
            join(first, last, begins, ends)
        return first, last

    kept = 16 / whole.shape[axis]
    ends = yield FoldPass(
        "find both ends", kernel, take, finish, (whole.image,), voxel_bytes=8, kept_bytes=kept, assumed=(first, last)
    )
    return ends


def _call(lines: _Lines, where: Any, options: Any, parameters: Any) -> Any:
    own = {"axis": lines.axis, "function": described_function(lines.function), "left_out": repr(lines.left_out)}
    return image_call(lines.name, own | parameters, where, options)


def _plan_lines(
    name: str, function: Any, image: Any, axis: Any, left_out: Any, where: Any, options: Any, **parameters: Any
) -> Plan:  # fmt: skip
    lines = _lines(name, function, image, axis, left_out)
    return plan_algorithm(_call(lines, where, options, parameters), (image,), lambda whole: _passes(whole, lines))


@plans(map_lines)
def _plan(function: Any, image: Any, *, axis: Any, left_out: Any = 0, where: Any = None, **options: Any) -> Plan:
    return _plan_lines("map_lines", function, image, axis, left_out, where, options)


@plans(cumulative_sum)
def _plan_sum(image: Any, *, axis: Any, where: Any = None, **options: Any) -> Plan:
    return _plan_lines("cumulative_sum", _sums, image, axis, 0, where, options)


@plans(fourier_lines)
def _plan_fourier(image: Any, *, axis: Any, inverse: bool = False, where: Any = None, **options: Any) -> Plan:
    function = _inverse_fourier if inverse else _fourier
    return _plan_lines("fourier_lines", function, image, axis, 0, where, options)


@plans(distance_lines)
def _plan_distance(image: Any, *, axis: Any, phases: Any = None, where: Any = None, **options: Any) -> Plan:
    function, inside, values = _distance_function(image, phases)
    return _plan_lines("distance_lines", function, image, axis, inside, where, options, phases=values)


@plans(first_and_last)
def _plan_ends(image: Any, *, axis: Any, phases: Any = None, where: Any = None, **options: Any) -> Plan:
    number, phase = axis_number(axis), phase_function("first_and_last", image.dtype, phases)
    call = image_call("first_and_last", {"axis": number}, where, options)
    return plan_algorithm(call, (image,), lambda whole: _ends_passes(whole, number, phase))
