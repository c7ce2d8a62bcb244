"""The weights of a network, kept with the segmentation that it made."""

import io
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from lithax.images._kept import keep, kept_with
from lithax.images._voxel_image import VoxelImage

KEY = "network"


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

    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, model)
    way_out = "write them to a file of their own with equinox.tree_serialise_leaves, and keep its name in image.attrs"
    facts = {"structure": _structure(model), "equinox": version("equinox")}
    keep(image, KEY, buffer.getvalue(), facts, notes, way_out)


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

    kept, weights = kept_with(image, KEY, "lx.save_network")
    if kept["structure"] != _structure(model):
        raise ValueError(
            f"model is built otherwise than the network that was kept: {_structure(model)} and {kept['structure']}; build it with "
            f"the same arguments."
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
