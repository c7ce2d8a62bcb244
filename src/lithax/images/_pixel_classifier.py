"""A trained classifier of voxels: features, decision trees, and how they are kept with a
segmentation.
"""

import dataclasses
import io
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from lithax.errors import MetadataError
from lithax.images._kept import keep, kept_with
from lithax.images._voxel_image import VoxelImage
from lithax.ops import Trees, chain, classify_by_trees, feature_names, features, tree_probabilities

KEY = "classifier"
_ARRAYS = ("root", "feature", "threshold", "child", "score", "start", "labels")
_NUMBERS = ("depth", "features", "logistic")


@dataclasses.dataclass(frozen=True, eq=False)
class PixelClassifier:
    """What `train_classifier` learned: features of every voxel, and decision trees over them."""

    trees: Trees
    sigmas: tuple[float | str, ...]
    """Widths of the filters, in voxels or with a unit."""
    kinds: tuple[str, ...]
    """The filters; see `lithax.ops.features`."""
    channels: int
    """Images that it takes."""
    importances: Mapping[str, float]
    """How much each feature contributes to telling the classes apart, of sum 1 [-]."""

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels of the classes, ascending."""
        return tuple(map(int, self.trees.labels))

    @property
    def classify(self) -> Any:
        """The operation that gives each voxel its label: ``lx.chunk_map(classifier.classify,
        image)``, with one image per channel.
        """
        return chain(self._features, partial(classify_by_trees, trees=self.trees))

    @property
    def probabilities(self) -> Any:
        """The operation that gives one array of probabilities per label."""
        return chain(self._features, partial(tree_probabilities, trees=self.trees))

    @property
    def _features(self) -> Any:
        return partial(features, sigmas=self.sigmas, kinds=self.kinds)


def save_classifier(image: VoxelImage, classifier: PixelClassifier, **notes: Any) -> None:
    """Keep a classifier in the metadata of an image: the segmentation that it made.

    Kept are the trees as numbers (no code: reading them is safe), their SHA-256, the features, the
    version of lithax, the time, and the notes. `load_classifier` is the way back.

    Parameters
    ----------
    image
        A stored image; ``image.attrs["classifier"]`` is written, in one piece.
    classifier
        What `train_classifier` returned.
    **notes
        What is worth knowing of its training, as JSON can hold it: the scan, who drew the labels.

    Raises
    ------
    TypeError
        If `image` is no image.
    ValueError
        If the trees are larger than 32 MiB; train fewer of them, or less deep ones.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: np.asarray(getattr(classifier.trees, name)) for name in _ARRAYS})  # pyright: ignore[reportArgumentType]
    facts = {
        "sigmas": list(classifier.sigmas),
        "kinds": list(classifier.kinds),
        "channels": classifier.channels,
        "importances": list(classifier.importances.values()),
        **{name: getattr(classifier.trees, name) for name in _NUMBERS},
    }
    keep(image, KEY, buffer.getvalue(), facts, notes, "train fewer trees, or less deep ones")


def load_classifier(image: VoxelImage) -> tuple[PixelClassifier, Mapping[str, Any]]:
    """Return the classifier that `save_classifier` kept with an image, and the notes.

    Raises
    ------
    KeyError
        If the image has none.
    MetadataError
        If it is damaged.
    """
    kept, data = kept_with(image, KEY, "lx.save_classifier")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            trees = Trees(**{name: arrays[name] for name in _ARRAYS}, **{name: kept[name] for name in _NUMBERS})
        sigmas, kinds = tuple(kept["sigmas"]), tuple(kept["kinds"])
        names = feature_names(sigmas, kinds, kept["channels"])
        importances = dict(zip(names, kept["importances"], strict=True))
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise MetadataError(f"image.attrs[{KEY!r}] is damaged: {error}.") from error
    return PixelClassifier(trees, sigmas, kinds, kept["channels"], importances), kept["notes"]
