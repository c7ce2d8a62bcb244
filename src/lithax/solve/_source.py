"""Where the voxels come from: an array, or an image with its geometry."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lithax.arrays import is_array, is_jax, refuse_masked, to_numpy
from lithax.geometry import Frame, validate_unit
from lithax.images import from_array


@dataclass(frozen=True)
class Source:
    """Voxels in memory, their geometry, and the image they came from, if any."""

    array: Any
    spacing: tuple[float, float, float]
    frame: Frame
    image: Any
    boolean: bool

    def as_images(self, value: Any, name: str, unit: str) -> Any:
        """Return arrays of the image's shape as images, where the voxels came from one; lists as
        lists.
        """
        if self.image is None:
            return value
        if isinstance(value, list | tuple):
            return type(value)(self.as_images(v, name, unit) for v in value)
        return self.as_image(value, name, unit, None)

    def as_image(self, value: Any, name: str, unit: str, store: Any, path: str | None = None) -> Any:
        """Return an array of the image's shape, or what is read when it is sliced, as an image, in
        memory or in a store, at a path of it.
        """
        geometry = {key: getattr(self.frame, key) for key in ("voxel_length", "voxel_origin", "voxel_unit")}
        value = np.asarray(value) if is_array(value) else value
        return from_array(value, store=store, path=path, field_name=name, field_unit=unit, **geometry)


def read_source(image: Any, spacing: Any, caller: str = "conductivity", name: str = "image") -> Source:
    """Return the voxels of an image, or of an array, with their geometry; errors name the `caller`
    and its argument.

    Raises
    ------
    RuntimeError
        If several processes work together.
    TypeError, ValueError
        If the image is neither, or the spacing is not positive.
    """
    frame = getattr(image, "frame", None)
    if isinstance(frame, Frame):
        count = getattr(getattr(image, "world", None), "count", 1)
        if count > 1:
            raise RuntimeError(
                f"{caller}() solves an image within one process, and {count} work together; call it in one of them with "
                f"{name}[...] and spacing={name}.voxel_length."
            )
        return replace(source_of(image, spacing), array=np.asarray(image[...]))
    if not is_array(image):
        raise TypeError(f"{name} is a {type(image).__name__}; give an array or an image (lx.open, lx.from_array).")
    image = plain_array(image, name)
    return source_of(image, spacing)


def source_of(image: Any, spacing: Any, shape: Any = None) -> Source:
    """Return an image, or an array that holds one of a shape, with its geometry; it is not read."""
    frame = getattr(image, "frame", None)
    if isinstance(frame, Frame):
        spacing, unit = length_and_unit(spacing, str(frame.voxel_unit))
        lengths = frame.voxel_length if spacing is None else spacing_of(spacing)
        return Source(image, lengths, frame.replace(voxel_length=lengths, voxel_unit=unit), image, _boolean(image))
    spacing, unit = length_and_unit(spacing, "")
    lengths = (1.0, 1.0, 1.0) if spacing is None else spacing_of(spacing)
    size = tuple(int(n) for n in (image.shape if shape is None else shape)[-3:])
    grid = Frame(size if len(size) == 3 and min(size) > 0 else (1, 1, 1), lengths, voxel_unit=unit)
    return Source(image, lengths, grid, None, _boolean(image))


def _boolean(image: Any) -> bool:
    return str(image.dtype).endswith("bool")


def plain_array(image: Any, name: str = "image") -> Any:
    """Return an array in a form that every solver takes: without a mask that hides nothing, in the
    byte order of the machine, bfloat16 as float32; anything else as it is.

    Raises
    ------
    TypeError
        If a mask hides elements.
    """
    if isinstance(image, np.ndarray):
        refuse_masked(image, name)
        image = np.asarray(image)
        return image if image.dtype.isnative else image.astype(image.dtype.newbyteorder("="))
    if is_array(image) and str(image.dtype).rpartition(".")[2] == "bfloat16":
        return image.astype(np.float32) if is_jax(image) else to_numpy(image)
    return image


def without_filler(image: Any, shape: Any) -> Any:
    """Return an array without the filler beyond a shape."""
    x, y, z = size_of(image, shape)
    return image[..., :x, :y, :z]


def size_of(image: Any, shape: Any) -> tuple[int, int, int]:
    """Return the shape of an image, or, if it is given, of what an array with filler holds."""
    size = tuple(image.shape) if shape is None else tuple(np.ravel(shape).tolist())
    if shape is None and len(size) != 3:
        raise ValueError(f"image has shape {size}; give three axes, each of at least one voxel.")
    if shape is not None and (
        hasattr(image, "frame")
        or len(size) != 3
        or len(image.shape) < 3
        or any(not isinstance(n, int) or not 0 < n <= m for n, m in zip(size, image.shape[-3:], strict=True))
    ):
        raise ValueError(
            f"shape={shape!r} must be three numbers, none beyond image's {tuple(image.shape)}, and is for arrays with filler; "
            "leave it out."
        )
    x, y, z = (int(n) for n in size)
    return x, y, z


def length_and_unit(spacing: Any, unit: str) -> tuple[Any, str]:
    """Return a voxel length given as text, "2 um", or as a quantity of pint, as a number and its
    unit; any other as it is, in the unit that is known.
    """
    if isinstance(spacing, str):
        number, _, unit = spacing.strip().partition(" ")
        rule = f"spacing={spacing!r} must be a positive length and its unit, such as '2 um'"
        try:
            length = float(number)
        except ValueError as error:
            raise ValueError(f"{rule}.") from error
        if not 0 < length < math.inf:
            raise ValueError(f"{rule}.")
        try:
            return length, validate_unit(unit.strip(), "unit")
        except ValueError as error:
            raise ValueError(f"{rule}: {error}") from error
    if hasattr(spacing, "magnitude") and hasattr(spacing, "to"):
        return spacing.to("m").magnitude, "m"
    return spacing, unit


def spacing_of(spacing: Any) -> tuple[float, float, float]:
    """Return a voxel length, or three, as three; ValueError if they are not positive."""
    try:
        given = [float(v) for v in np.ravel(spacing)]
    except (TypeError, ValueError):
        given = []
    if len(given) == 1:
        given = given * 3
    if len(given) != 3 or not all(0 < v < math.inf for v in given):
        raise ValueError(f"spacing={spacing!r} must be a positive voxel length, or three, along x, y and z.")
    return given[0], given[1], given[2]
