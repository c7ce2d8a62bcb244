"""The two forms of every algorithm here: an array in memory, or images of any size."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from lithax.arrays import axis_number, is_traced, namespace, to_numpy
from lithax.images import ImageCall, Output, Passes, Run, VoxelImage, pop_fields


class ImageOptions(TypedDict, total=False):
    """Keywords of the image form: where the result goes and how the run is made, as for
    `lithax.chunk_map`.

    `store`, `path`, `overwrite`, `chunks`, `shards` (the result in memory without them); `resume`,
    `memory_limit`, `workers`, `world`, `progress`.
    """

    store: Any
    path: Any
    overwrite: bool
    chunks: Any
    shards: Any
    resume: bool | str
    memory_limit: int | str | None
    workers: int | None
    world: Any
    progress: bool


def is_image(value: Any) -> bool:
    """Whether the algorithm is to run on images: the first argument is one."""
    return isinstance(value, VoxelImage)


def image_call(
    name: str,
    parameters: Mapping[str, Any],
    where: Any,
    options: Mapping[str, Any],
    names: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
) -> ImageCall:
    """Return the call of an algorithm on images, with the names and units of its results."""
    check_options(name, options)
    left = dict(options) | {"field_name": names, "field_unit": units}
    return ImageCall(name, parameters, where, pop_fields(Output, left), pop_fields(Run, left))


def results_alone(passes: Passes) -> Passes:
    """Yield passes of which only the images written last are wanted."""
    yield from passes


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raise TypeError for a keyword that no image form has."""
    if wrong := options.keys() - ImageOptions.__annotations__.keys():
        raise TypeError(
            f"{name}() got the unexpected keyword {sorted(wrong)[0]!r}; besides its own it knows "
            f"{', '.join(ImageOptions.__annotations__)}, for images."
        )


def check_array(name: str, value: Any, options: Mapping[str, Any], argument: str = "image") -> None:
    """Raise TypeError for what is no array, or for a keyword that an array does not take."""
    check_options(name, options)
    if given := [k for k in options if k not in ("progress", "workers", "memory_limit", "world")]:
        raise TypeError(
            f"{given[0]}= is for images, and {argument} is an array; make an image of it with lx.from_array(array)."
        )
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        raise TypeError(f"{argument} is a {type(value).__name__}; give an image (lx.open, lx.from_array) or an array.")


def host_array(name: str, value: Any, options: Mapping[str, Any], argument: str = "image") -> np.ndarray:
    """Return the array of a call of the array form in host memory."""
    check_array(name, value, options, argument)
    if is_traced(value):
        raise TypeError(
            f"lx.{name} looks at the whole array in host memory, and cannot be traced by jax.jit, grad or vmap; call "
            "it outside."
        )
    array = to_numpy(value)
    if array.ndim != 3:
        raise ValueError(f"{argument} has shape {array.shape}; it must have three axes, x, y and z.")
    if not array.size:
        raise ValueError(f"{argument} has shape {array.shape}, and no voxel.")
    return array


def valid_array(where: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the voxels that take part in a call of the array form."""
    if where is None:
        return None
    if not (hasattr(where, "shape") and hasattr(where, "dtype")):
        raise TypeError(
            f"where is a {type(where).__name__}; with an array give a boolean array of what to take in, with an image "
            "also lx.domain(...) or a region."
        )
    valid = to_numpy(where)
    if valid.dtype != np.bool_ or valid.shape != tuple(shape):
        raise ValueError(
            f"where has dtype {valid.dtype} and shape {valid.shape}; it must be boolean, of shape {tuple(shape)}."
        )
    return valid


def like_input(value: Any, result: np.ndarray) -> Any:
    """Return a result as an array of the library that the input came from."""
    xp = namespace(value)
    if isinstance(value, np.ndarray) or xp is namespace(np.empty(0)):
        return result
    return xp.asarray(result)


def phase_function(name: str, dtype: Any, phases: int | Collection[int] | None) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that tells which voxels belong to the phase."""
    kind = np.dtype(str(dtype).rsplit(".", 1)[-1]).kind if not isinstance(dtype, np.dtype) else dtype.kind
    if kind not in "biu":
        raise TypeError(
            f"image has dtype {dtype}; lx.{name} takes a boolean image of the phase or a segmentation (make one with "
            "lx.ops.threshold)."
        )
    if phases is None:
        return lambda values: values != 0
    wanted = phase_values(phases)
    if len(wanted) == 1:
        return lambda values: values == wanted[0]
    return lambda values: np.isin(values, wanted)


def phase_values(phases: int | Collection[int], argument: str = "phases") -> list[int]:
    """Return the values of a segmentation that make a phase."""
    values = list(phases) if isinstance(phases, Iterable) else [phases]
    if not values or any(not isinstance(v, int | np.integer | bool | np.bool_) for v in values):
        raise ValueError(f"{argument}={phases!r} must be a value of the segmentation, or a collection of some.")
    return [int(v) for v in values]


def real_numbers(values: Any, rule: str) -> np.ndarray:
    """Return numbers in floating point; raise ValueError with the rule for what has none."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(rule) from None


def axes_of(axes: Any, argument: str) -> tuple[int, ...]:
    """Return the numbers of one axis or several, in ascending order, each once."""
    given = tuple(axes) if isinstance(axes, Iterable) and not isinstance(axes, str) else (axes,)
    return tuple(sorted({axis_number(axis, argument) for axis in given}))
