"""The weights of a network, kept with the segmentation that it made."""

import base64
import hashlib
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from lithax.errors import MetadataError
from lithax.images._voxel_image import VoxelImage

KEY = "network"
LARGEST = 32 * 2**20
"""Weights up to this size are kept with the metadata [byte]."""


def save_network(image: VoxelImage, model: Any, **notes: Any) -> None:
    """Keep the weights of a network in the metadata of an image: the segmentation that it made.

    Kept are the weights in equinox's own form, their SHA-256, the structure of the network, the
    versions of lithax and equinox, the time, and the notes. `load_network` is the way back.

    Parameters
    ----------
    image
        A stored image; ``image.attrs["network"]`` is written, in one piece.
    model
        The network, an equinox module.
    **notes
        What is worth knowing of its training, as JSON can hold it: seed, steps, loss, scans.

    Raises
    ------
    TypeError
        If `image` is no image.
    ValueError
        If the weights are larger than 32 MiB; keep those in a file of their own, by
        ``equinox.tree_serialise_leaves``.
    """
    import equinox as eqx

    if not isinstance(image, VoxelImage):
        raise TypeError(
            f"image is a {type(image).__name__}; give the segmentation that the network made, a stored image."
        )
    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, model)
    weights = buffer.getvalue()
    if len(weights) > LARGEST:
        raise ValueError(
            f"the weights take {len(weights)} bytes, metadata hold at most {LARGEST}; write them to a file of their own with "
            f"equinox.tree_serialise_leaves, and keep its name in image.attrs."
        )
    if image.world.first:
        image.attrs[KEY] = {
            "structure": _structure(model),
            "sha256": hashlib.sha256(weights).hexdigest(),
            "lithax": version("lithax"),
            "equinox": version("equinox"),
            "saved": datetime.now(UTC).isoformat(timespec="seconds"),
            "notes": dict(notes),
            "weights": base64.b64encode(weights).decode("ascii"),
        }
    image.world.barrier()


def load_network(image: VoxelImage, model: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return the network that `save_network` kept with an image, and the notes.

    Parameters
    ----------
    image
        The image.
    model
        A network of the same structure, whose weights do not matter.

    Raises
    ------
    KeyError
        If the image has none.
    ValueError
        If `model` is built otherwise.
    MetadataError
        If the weights are not those that were kept.
    """
    import equinox as eqx

    if KEY not in image.attrs:
        raise KeyError(f"image.attrs holds no {KEY!r}; the network of this image was not kept by lx.save_network.")
    kept = image.attrs[KEY]
    if kept["structure"] != _structure(model):
        raise ValueError(
            f"model is built otherwise than the network that was kept: {_structure(model)} and {kept['structure']}; build it with "
            f"the same arguments."
        )
    weights = base64.b64decode(kept["weights"])
    if hashlib.sha256(weights).hexdigest() != kept["sha256"]:
        raise MetadataError(
            f"the weights in image.attrs[{KEY!r}] are damaged: their SHA-256 is not the one beside them."
        )
    return eqx.tree_deserialise_leaves(io.BytesIO(weights), model), kept["notes"]


def _structure(model: Any) -> str:
    """Return the layers of a network and the shapes of their arrays, on one line."""
    import jax

    return ", ".join(
        f"{jax.tree_util.keystr(path)} {leaf.dtype}{tuple(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(model)
        if hasattr(leaf, "dtype")
    )
