"""The Finney pack as an image of any resolution."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lithax.generate import finney_pack, rasterise_spheres
from lithax.geometry import Frame
from lithax.grid import Box
from lithax.images._create import new_image, write_own_units
from lithax.images._values import check_values
from lithax.images._voxel_image import VoxelImage
from lithax.storage import voxel_dtype


def sphere_pack(
    shape: Sequence[int],
    dtype: Any = "u1",
    *,
    xlim: Any = (-10, 10),
    ylim: Any = (-10, 10),
    zlim: Any = (-10, 10),
    limits: str = "centers",
    sphere_radius: Any = 1.0,
    fill_value: Any = 1,
    chunks: Any = "auto",
    store: Any = None,
    path: str | None = None,
    shards: Any = None,
    overwrite: bool = False,
    voxel_length: Any = None,
    voxel_origin: Any = None,
    world: Any = None,
    **options: Any,
) -> VoxelImage:
    """Make an image of the Finney pack, a measured random close packing of equal spheres.

    A voxel is solid if its centre lies in a sphere or on one. The pack fills a ball of radius 18.5
    around the origin; coordinates are in units of the radius of its spheres. Its porosity in
    centred cubes of edge 10 to 20 is about 0.36.

    Parameters
    ----------
    shape
        Number of voxels along x, y and z.
    dtype
        Type of a voxel.
    xlim, ylim, zlim
        Where the image begins and ends along each axis [sphere radius].
    limits
        What these mean. "centers": the centres of the first and of the last voxel. "faces": the
        outer faces of the image, half a voxel beyond.
    sphere_radius
        Radius of the spheres, whose centres stay where they are [sphere radius]. Above 1 they
        overlap, as grains do that are cemented; below 1 they shrink, as grains do that dissolve.
    fill_value
        Value of voxels in spheres; it is 0 in the pores.
    chunks, store, path, shards, overwrite, world
        As in `create`.
    voxel_length, voxel_origin
        Follow from the limits; accepted if they agree. To have another unit of length, use
        `VoxelImage.update` on the image.
    **options
        As in `create`.

    Returns
    -------
        The image.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, or `voxel_length` or `voxel_origin` contradicts the limits; then
        nothing is made.

    References
    ----------
    J. L. Finney, Random packings and the structure of simple liquids. I. The geometry of random
    close packing, Proceedings of the Royal Society A 319 (1970) 479-493. doi:10.1098/rspa.1970.0189

    Examples
    --------
    >>> image = sphere_pack((40, 40, 40), xlim=(-5, 5), ylim=(-5, 5), zlim=(-5, 5), limits="faces")
    >>> image.voxel_length, round(1 - float(image[:].mean()), 2)
    ((0.25, 0.25, 0.25), 0.36)
    """
    if not (sphere_radius > 0 and math.isfinite(sphere_radius)):
        raise ValueError(f"sphere_radius={sphere_radius!r} must be positive and finite; 1 is the measured pack.")
    frame = _frame(shape, (xlim, ylim, zlim), limits)
    _check_agreement("voxel_length", voxel_length, frame.voxel_length, frame)
    _check_agreement("voxel_origin", voxel_origin, frame.voxel_origin, frame)
    kind = voxel_dtype(dtype)
    solid = check_values(fill_value, kind).astype(kind)
    if solid.ndim:
        raise ValueError(f"fill_value={fill_value!r} must be one number.")
    centers = finney_pack()
    coordinates = [frame.axis_coordinates(axis) for axis in range(3)]

    def values_of(box: Box) -> np.ndarray:
        x, y, z = (points[span] for points, span in zip(coordinates, box, strict=True))
        inside = rasterise_spheres(centers, sphere_radius, x, y, z)
        if kind.kind == "b" or kind == np.uint8:
            inside = inside.view(kind)
            return inside if solid == 1 else inside * solid
        return np.where(inside, solid, kind.type(0))

    known: dict[str, Any] = {"field_name": "phase", "description": "Finney pack of spheres, doi:10.1098/rspa.1970.0189"}
    with new_image(
        frame.shape,
        kind,
        chunks,
        store,
        path,
        shards=shards,
        overwrite=overwrite,
        voxel_length=frame.voxel_length,
        voxel_origin=frame.voxel_origin,
        world=world,
        filled_by="sphere_pack",
        compared={"sphere_radius": float(sphere_radius), "fill_value": solid.item()},
        **known | options,
    ) as image:
        write_own_units(image.stored, values_of, image.world)
    return image


def _frame(shape: Sequence[int], spans: tuple[Any, Any, Any], limits: str) -> Frame:
    if limits not in ("centers", "faces"):
        raise ValueError(f"limits={limits!r} must be 'centers' or 'faces'.")
    sizes = Frame(shape).shape
    origin, length = [], []
    for name, span, n in zip("xyz", spans, sizes, strict=True):
        try:
            low, high = (float(value) for value in span)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}lim={span!r} must be two numbers.") from error
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"{name}lim={span!r} must be finite, the lower limit first.")
        if limits == "faces":
            length.append((high - low) / n)
            origin.append(low + 0.5 * length[-1])
            continue
        if n == 1:
            raise ValueError(
                f"shape={tuple(sizes)} has one voxel along {name}, whose centre cannot be at both ends of "
                f"{name}lim={span!r}; pass limits='faces'."
            )
        length.append((high - low) / (n - 1))
        origin.append(low)
    return Frame(sizes, length, origin)


def _check_agreement(name: str, given: Any, value: tuple[float, float, float], frame: Frame) -> None:
    if given is None:
        return
    wanted = getattr(frame.replace(**{name: given}), name)
    # A millionth of a voxel, as in Frame.same_grid.
    if any(abs(a - b) > 1e-6 * h for a, b, h in zip(wanted, value, frame.voxel_length, strict=True)):
        raise ValueError(
            f"{name}={given!r} contradicts xlim, ylim, zlim and shape, from which it is {value}; leave it out, or "
            "change the limits. For another unit of length use image.update(...) afterwards."
        )
