"""What made a segmentation, kept with it: bytes in the metadata of an image, and their SHA-256."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from lithax.errors import MetadataError
from lithax.images._voxel_image import VoxelImage

LARGEST = 32 * 2**20
"""What is larger has no place in metadata [byte]."""


def keep(image: Any, key: str, data: bytes, facts: Mapping[str, Any], notes: Mapping[str, Any], way_out: str) -> None:
    """Keep the weights of what made a segmentation in ``image.attrs[key]``.

    Raises
    ------
    TypeError
        If `image` is no image.
    ValueError
        If there are more than 32 MiB; `way_out` says what to do then.
    """
    if not isinstance(image, VoxelImage):
        raise TypeError(
            f"image is a {type(image).__name__}; give the segmentation that the {key} made, a stored image."
        )
    if len(data) > LARGEST:
        raise ValueError(f"the weights take {len(data)} bytes, metadata hold at most {LARGEST}; {way_out}.")
    if image.world.first:
        image.attrs[key] = {
            **facts,
            "sha256": hashlib.sha256(data).hexdigest(),
            "lithax": version("lithax"),
            "saved": datetime.now(UTC).isoformat(timespec="seconds"),
            "notes": dict(notes),
            "weights": base64.b64encode(data).decode("ascii"),
        }
    image.world.barrier()


def kept_with(image: VoxelImage, key: str, saved_by: str) -> tuple[Mapping[str, Any], bytes]:
    """Return what is said in ``image.attrs[key]``, and the weights.

    Raises
    ------
    KeyError
        If there is nothing.
    MetadataError
        If the weights are not those that were kept.
    """
    if key not in image.attrs:
        raise KeyError(f"image.attrs holds no {key!r}; the {key} of this image was not kept by {saved_by}.")
    kept = image.attrs[key]
    data = base64.b64decode(kept["weights"])
    if hashlib.sha256(data).hexdigest() != kept["sha256"]:
        raise MetadataError(
            f"the weights in image.attrs[{key!r}] are damaged: their SHA-256 is not the one beside them."
        )
    return kept, data
