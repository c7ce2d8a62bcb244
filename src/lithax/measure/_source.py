"""Measuring an array or an image of any size in the same words."""

from typing import Any

import numpy as np

from lithax.arrays import is_array, is_traced, namespace, refuse_masked
from lithax.measure._image_options import given_options
from lithax.measure._measurement import AbstractMeasurement, check_shapes
from lithax.measure._numbers import dtype_name


class Source:
    """The voxels that a function measures: those of an array, or of an image, that `where` takes
    in.

    An image is known by its `reduce` method and its `voxel_length`; anything else becomes an array.
    `where` is a boolean array for an array; for an image also a region, an image or a `domain`, as
    for `chunk_reduce`.
    """

    def __init__(self, image: Any, where: Any = None) -> None:
        self.is_image = is_image(image)
        refuse_masked(image, "image")
        self.data = image if self.is_image else as_array(image)
        self.where = where
        self.options = given_options()  # a result may read the image again when percentiles are asked for
        self.dtype = _numpy_dtype(self.data)
        if self.dtype.kind not in "biuf":
            raise TypeError(
                f"The image has dtype {self.dtype}; measurements need real numbers or booleans. "
                "Measure its real part or its magnitude."
            )
        if not self.is_image and where is not None:
            if not is_array(where):
                raise TypeError(
                    f"where is a {type(where).__name__}, but the voxels are a plain array; give a boolean array of "
                    "its shape, True where voxels are taken in, or measure an image (lx.from_array)."
                )
            check_shapes(self.data, valid=where)

    def reduce(self, measurement: AbstractMeasurement, *others: Any, fn: Any = None, **options: Any) -> Any:
        """Measure the voxels, together with those of other arrays or images of the same shape.

        `fn` is a voxel operation that is applied before, with the masked form where voxels are left
        out; `options` are those of `chunk_reduce` for images.
        """
        if self.is_image:
            options = {**self.options, **({} if fn is None else {"fn": fn}), **options}
            return self.data.reduce(measurement, *others, where=self.where, **options)
        data = self.data
        if fn is not None:
            data = fn(data) if self.where is None else fn(data, valid=self.where)
        return measurement(data, *(as_array(other) for other in others), valid=self.where)


def is_image(value: Any) -> bool:
    """Whether `value` is a voxel image rather than an array."""
    return hasattr(value, "reduce") and hasattr(value, "voxel_length")


def as_array(value: Any) -> Any:
    """Return arrays of array-API libraries as they are, anything else as a NumPy array."""
    if not is_array(value):
        return np.asarray(value)
    if is_traced(value):
        raise TypeError(
            "The array is being traced by JAX, but results of measurements are made on the host; inside a compiled "
            "function call the `.of(array)` of a measurement, such as lx.measure.Moments()."
        )
    namespace(value)
    return value


def _numpy_dtype(array: Any) -> np.dtype:
    name = dtype_name(array)
    return np.dtype(np.float32 if name == "bfloat16" else name)
