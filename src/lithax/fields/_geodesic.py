"""Distance along the phase: how far a front has to go from a mask without leaving it."""

from collections.abc import Collection
from typing import Any, NamedTuple, Unpack

import numpy as np

from lithax.arrays import NEVER, settle_times, voxels_of
from lithax.chunked import Field, MapPass, PassBlock, SettlePass
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
from lithax.fields._drainage import FACES, entries_of
from lithax.fields._thickness import cubic_length
from lithax.images import Passes, Plan, WholeImage, plan_algorithm, plans, run_algorithm


class _Settings(NamedTuple):
    phase: Any
    face: str | None
    length: float

    def start(self, values: Any, sources: Any, valid: Any, begin: Any, shape: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return times before anything has moved, and the voxels that a front enters."""
        taken = self.phase(values) if valid is None else self.phase(values) & valid
        if self.face is not None:
            beginning = taken & entries_of(self.face, begin, shape, values.shape, None)
        else:
            beginning = sources.astype(bool) if valid is None else sources.astype(bool) & valid
        return np.where(beginning, 0, NEVER), taken & ~beginning

    def result(self, times: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """Return distances: 0 outside of the phase."""
        return np.where(taken, voxels_of(times) * self.length, 0).astype(np.float32)


def geodesic_distance(
    image: Any,
    sources: Any,
    *,
    phases: int | Collection[int] | None = None,
    spacing: float | str | None = None,
    where: Any = None,
    **options: Unpack[ImageOptions],
) -> Any:
    """Return how far every voxel of a phase is from a mask, along ways that stay in the phase.

    The eikonal equation, solved by the first-order scheme of fast marching, in whole numbers, so
    that one solution fits and blocks of an image, done until nothing changes, find the same one in
    every bit. The distance is never too short. Straight along an axis it is exact; at a distance r
    from a single voxel it is too long by at most 0.4 (1 + ln r) voxels (measured in free space up
    to r = 55), from a plane by less; beyond a corner of the phase an error of this size is added. A
    way that winds through many blocks takes as many rounds as it changes blocks.

    Parameters
    ----------
    image
        Boolean array or image, True in the phase, or a segmentation.
    sources
        Where distances begin: a boolean array or image on the same grid (voxels outside of the
        phase may be among them), or a face of the image: "x-", "x+", ..., "z+".
    phases
        The values of a segmentation that make the phase; without them, everything but 0.
    spacing
        Edge of a voxel, which must be a cube; None: distances in voxels; "image": that of the
        image.
    where
        Voxels that take part, as for `chunk_map` (with an array: a boolean array): no way leads
        through the others.
    **options
        For images: `store`, `path`, `overwrite`, `chunks`, `shards`, `resume`, `memory_limit`,
        `workers`, `world` and `progress`, as for `chunk_map`.

    Returns
    -------
        Distances [voxel, or the unit of `spacing`], float32: infinite where no way leads to, 0
        outside of the phase.

    References
    ----------
    Sethian, A fast marching level set method for monotonically advancing fronts, PNAS 93 (1996),
    1591-1595. doi:10.1073/pnas.93.4.1591

    Examples
    --------
    >>> import numpy as np
    >>> pore = np.ones((1, 3, 3), bool)
    >>> pore[0, :2, 1] = False  # a wall with a way around its end
    >>> geodesic_distance(pore, "z-")[0].round(2).tolist()
    [[0.0, 0.0, 4.0], [0.0, 0.0, 3.0], [0.0, 1.0, 2.0]]
    """
    settings = _settings(image, sources, phases, spacing)
    inputs = (image,) if settings.face is not None else (image, sources)
    if is_image(image):
        call = _call(image, settings, phases, spacing, where, options)
        outputs, _ = run_algorithm(call, inputs, lambda whole: _passes(whole, settings))
        return outputs[0]
    values = host_array("geodesic_distance", image, options)
    marked = None if settings.face is not None else host_array("geodesic_distance", sources, options, "sources")
    times, taken = settings.start(values, marked, valid_array(where, values.shape), (0, 0, 0), values.shape)
    return like_input(image, settings.result(settle_times(times, taken), taken))


def _settings(image: Any, sources: Any, phases: Any, spacing: Any) -> _Settings:
    if not (hasattr(image, "shape") and hasattr(image, "dtype")):
        raise TypeError(f"image is a {type(image).__name__}; give an image (lx.open, lx.from_array) or an array.")
    phase = phase_function("geodesic_distance", image.dtype, phases)
    length = cubic_length("geodesic_distance", image, spacing, "walks in steps of a voxel")
    if isinstance(sources, str):
        if sources not in FACES:
            raise ValueError(f"sources={sources!r} must be a mask, or a face: {', '.join(map(repr, FACES))}.")
        return _Settings(phase, sources, length)
    if not (hasattr(sources, "shape") and hasattr(sources, "dtype")):
        raise TypeError(
            f"sources is a {type(sources).__name__}; give a boolean array or image, or a face such as 'z-'."
        )
    if np.dtype(str(sources.dtype).rsplit(".", 1)[-1]).kind != "b":
        raise TypeError(f"sources has dtype {sources.dtype}; give booleans, True where distances begin.")
    if tuple(sources.shape) != tuple(image.shape):
        raise ValueError(f"sources has shape {tuple(sources.shape)}, image {tuple(image.shape)}; they must agree.")
    if is_image(image) != is_image(sources):
        raise TypeError("image and sources must both be images, or both arrays; make one with lx.from_array.")
    return _Settings(phase, None, length)


def _passes(whole: WholeImage, settings: _Settings) -> Passes:
    inputs = whole.inputs.images

    def begin(block: PassBlock) -> list[np.ndarray]:
        marked = None if settings.face is not None else block.arrays[1]
        return list(settings.start(block.arrays[0], marked, block.valid, block.begin, block.shape))

    def spread(block: PassBlock) -> np.ndarray:
        times, taken = block.arrays
        own = np.zeros_like(taken)
        own[block.core] = taken[block.core]
        return block.inner(settle_times(times, own))

    fields = [Field(np.dtype(np.int64), scratch=True, fill=int(NEVER)), Field(np.dtype(bool), scratch=True)]
    state, taken = yield MapPass("mark the sources", begin, inputs, fields, voxel_bytes=16)
    # A front is a small part of a block, but in the first round every voxel is looked at.
    yield SettlePass("spread", spread, state, (taken,), voxel_bytes=180)
    yield MapPass(
        "write", lambda block: [settings.result(*block.arrays)], (state, taken), [Field(np.dtype(np.float32))],
        voxel_bytes=24,
    )  # fmt: skip
    return None


def _call(image: Any, settings: _Settings, phases: Any, spacing: Any, where: Any, options: Any) -> Any:
    parameters = {
        "phases": None if phases is None else phase_values(phases),
        "face": settings.face,
        "length": settings.length,
    }
    unit = str(image.voxel_unit) if spacing == "image" else "" if spacing is not None else "voxel"
    return image_call("geodesic_distance", parameters, where, options, names=["geodesic distance"], units=[unit])


@plans(geodesic_distance)
def _plan(image: Any, sources: Any, *, phases=None, spacing=None, where=None, **options: Any) -> Plan:
    settings = _settings(image, sources, phases, spacing)
    inputs = (image,) if settings.face is not None else (image, sources)
    call = _call(image, settings, phases, spacing, where, options)
    return plan_algorithm(call, inputs, lambda whole: _passes(whole, settings))
