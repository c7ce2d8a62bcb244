"""Teach decision trees what phases look like, by voxels that somebody has labelled."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from lithax.arrays import to_numpy
from lithax.grid import Box
from lithax.images._call import refuse_tracers, world_of
from lithax.images._collective import on_first
from lithax.images._labelled_scans import TILE, LabelCounts, Scan, pair_scans
from lithax.images._pixel_classifier import PixelClassifier
from lithax.images._voxel_image import VoxelImage
from lithax.ops import Trees, feature_names, features

LARGEST_LABEL = 65535


def train_classifier(
    images: Any,
    labels: Any,
    *,
    sigmas: Any = (1.0, 2.0, 4.0),
    kinds: Any = ("gaussian", "gradient_magnitude", "hessian_eigenvalues"),
    model: Any = None,
    voxels: int = 20_000,
    unlabelled: int | None = 0,
    seed: int = 0,
    world: Any = None,
) -> PixelClassifier:
    """Train a classifier of voxels by scribbles: labels of a few voxels, drawn by hand.

    Decision trees (of scikit-learn, the extra ``classifier``) learn the labels from the features
    around each labelled voxel: `lithax.ops.features`. Only the surroundings of labelled voxels are
    read, whatever the size of the image, and which of them are taken depends on `seed` alone, not
    on chunks or processes. ``lx.chunk_map(classifier.classify, image)`` then gives every voxel of
    an image a label, the same for every chunk grid; other scans of the series go the same way,
    and `save_classifier` keeps the classifier with the result. Neither needs scikit-learn.

    Parameters
    ----------
    images
        A scan, or a list of scans: an image, an expression or an array each; a tuple of them for
        several channels.
    labels
        The labels of the scan, integers from 0 to 65535 or booleans of its shape, or a list of as
        many.
    sigmas, kinds
        The features, as for `lithax.ops.features`: widths of the filters, in voxels or with a unit
        ("5 um": then they fit the voxels of every image), and which.
    model
        An untrained RandomForestClassifier, ExtraTreesClassifier or GradientBoostingClassifier of
        scikit-learn. By default a forest of 50 trees, 12 steps deep, with at least 5 voxels in a
        leaf, in which every label has the same weight.
    voxels
        Most voxels of each label to learn from, drawn at random.
    unlabelled
        The value of voxels without a label; None if every voxel has one.
    seed
        Integer that the voxels and the forest belong to.
    world
        The processes; by default those of the images.

    Returns
    -------
        The classifier. Voxels with a NaN among their features get the label 0.

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn is not installed.
    TypeError, ValueError
        If an argument is wrong, images and labels do not go together, or fewer than two labels are
        there.

    Examples
    --------
    >>> import numpy as np
    >>> import lithax as lx
    >>> scan = np.random.default_rng(0).normal(0, 1, (20, 20, 20)).astype("f4")
    >>> scan[10:] += 6
    >>> scribbles = np.zeros(scan.shape, "u1")
    >>> scribbles[4, 3:9, 3:9], scribbles[15, 3:9, 3:9] = 1, 2
    >>> classifier = lx.train_classifier(scan, scribbles, sigmas=(1.0,))
    >>> phases = lx.chunk_map(classifier.classify, lx.from_array(scan), progress=False)
    >>> np.unique(phases[:8]), np.unique(phases[12:])
    (array([1], dtype=uint8), array([2], dtype=uint8))
    """
    refuse_tracers("train_classifier", (images, labels))
    if labels is None:
        raise ValueError("labels=None: a classifier learns from labels; give an image of them.")
    for name, value, least in (("voxels", voxels, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value < 2**31:
            raise ValueError(f"{name}={value!r} must be an integer, {least} or more.")
    sigmas, kinds = tuple(sigmas) if isinstance(sigmas, list) else sigmas, tuple(kinds)
    model = _untrained(model, int(seed))
    scans = pair_scans(images, labels)
    filters = [features.in_voxels({"sigmas": sigmas, "kinds": kinds}, scan.frame) for scan in scans]
    for parameters in filters:
        features.halos(parameters, 1)
    handles = [i for scan in scans for i in (*scan.images, scan.labels) if isinstance(i, VoxelImage)]
    world = world_of("train_classifier", handles, world)
    chosen, known = _chosen(LabelCounts(scans, world), int(voxels), unlabelled, int(seed))
    own = {
        tile: _features_at(scans[number], box, places, filters[number])
        for turn, (tile, (number, box, places, _)) in enumerate(chosen.items())
        if turn % world.count == world.index
    }
    found: dict[int, np.ndarray] = {}
    for part in world.gather(own):
        found |= part
    table = np.concatenate([found[tile] for tile in chosen])
    answers = np.concatenate([answer for *_, answer in chosen.values()])
    names = feature_names(sigmas, kinds, len(scans[0].images))

    def fit() -> PixelClassifier:
        finite = np.isfinite(table).all(axis=1)
        present = np.unique(answers[finite])
        if present.size < 2:
            raise ValueError(
                f"labels hold {known} in voxels with finite features: {present.size} kinds, and two are needed to tell them apart; label "
                f"voxels of every phase."
            )
        model.fit(table[finite], answers[finite])
        parts = dict(zip(names, map(float, model.feature_importances_), strict=True))
        return PixelClassifier(_as_trees(model, len(names)), sigmas, kinds, len(scans[0].images), parts)

    return world.broadcast(on_first(world, fit))


_Chosen = dict[int, tuple[int, Box, np.ndarray, np.ndarray]]


def _chosen(counts: LabelCounts, most: int, unlabelled: int | None, seed: int) -> tuple[_Chosen, list[int]]:
    """Return for each tile that holds chosen voxels its scan, its box, their places in it, and
    their labels.
    """
    known = [label for label in counts.labels if label != unlabelled]
    if any(not 0 <= label <= LARGEST_LABEL for label in known):
        raise ValueError(f"labels hold {known[:20]}; they must lie between 0 and {LARGEST_LABEL}.")
    parts: dict[int, list[tuple[np.ndarray, int]]] = {}
    for label in known:
        sums = counts.up_to(label)
        draw = np.random.default_rng([seed, label])
        ranks = np.sort(draw.choice(int(sums[-1]), min(int(sums[-1]), most), replace=False, shuffle=False))
        tiles = np.searchsorted(sums, ranks, side="right")
        for tile in np.unique(tiles):
            before = int(sums[tile - 1]) if tile else 0
            places = counts.places(int(tile), label, ranks[tiles == tile] - before)
            parts.setdefault(int(tile), []).append((places, label))
    chosen: _Chosen = {}
    for tile in sorted(parts):
        places = np.concatenate([p for p, _ in parts[tile]])
        answers = np.concatenate([np.full(len(p), label) for p, label in parts[tile]])
        chosen[tile] = (*counts.tiles[tile], places, answers)
    if not chosen:
        raise ValueError(f"labels hold no voxel but the unlabelled ({unlabelled}); label voxels of every phase.")
    return chosen, known


def _features_at(scan: Scan, box: Box, places: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
    """Return the features of voxels of a tile, float32 of shape (voxels, features).

    What is read has one shape for all tiles of a scan, so that it is compiled once: at the faces of
    the image it lies within, where the boundary rule is that of the image.
    """
    import jax

    halo = features.halos(parameters, 1)[0]
    edges = [min(n, TILE + 2 * h) for n, h in zip(scan.shape, halo, strict=True)]
    starts = [min(max(s.start - h, 0), n - e) for s, h, n, e in zip(box, halo, scan.shape, edges, strict=True)]
    window = tuple(slice(s, s + e) for s, e in zip(starts, edges, strict=True))
    values = [np.asarray(image[window]) for image in scan.images]
    at = tuple(p + s.start - w for p, s, w in zip(places.T, box, starts, strict=True))
    with jax.enable_x64(True):  # 64-bit images stay so
        made = _compiled(**parameters)(*map(jax.numpy.asarray, values))
        return np.stack([to_numpy(feature)[at].astype(np.float32) for feature in made], axis=1)


@functools.lru_cache(maxsize=8)
def _compiled(sigmas: tuple[float, ...], kinds: tuple[str, ...]) -> Any:
    import jax

    return jax.jit(functools.partial(features, sigmas=sigmas, kinds=kinds))


def _untrained(model: Any, seed: int) -> Any:
    try:
        from sklearn.base import clone
        from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
    except ImportError as error:
        raise ModuleNotFoundError(
            "Training a classifier needs scikit-learn: pip install 'lithax[classifier]'.", name="sklearn"
        ) from error
    if model is None:
        return RandomForestClassifier(
            50, max_depth=12, min_samples_leaf=5, class_weight="balanced", random_state=seed, n_jobs=-1
        )
    if not isinstance(model, RandomForestClassifier | ExtraTreesClassifier | GradientBoostingClassifier):
        raise TypeError(
            f"model is a {type(model).__name__}; give a RandomForestClassifier, ExtraTreesClassifier or GradientBoostingClassifier."
        )
    init = model.get_params().get("init")
    if init is not None:
        raise ValueError(f"init={init!r} of the model is not followed here; leave it out.")
    return clone(model)


def _as_trees(model: Any, width: int) -> Trees:
    """Return the trees of a trained model of scikit-learn as tables of nodes."""
    labels = np.asarray(model.classes_)
    kind = np.min_scalar_type(int(labels.max()))
    members = np.asarray(model.estimators_)
    boosted = members.ndim == 2
    start = np.zeros(labels.size)
    if boosted:  # shape (rounds, classes), or (rounds, 1) for the second of two classes
        prior = np.asarray(model.init_.class_prior_)
        start = np.log(prior)
    roots, tables, depth, size = [], [], 0, 0
    for place, member in np.ndenumerate(members):
        tree = member.tree_
        if boosted:  # a score of one class, the second of two
            score = np.zeros((tree.node_count, labels.size))
            score[:, place[1] if members.shape[1] > 1 else 1] = model.learning_rate * tree.value[:, 0, 0]
        else:
            score = tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True) / members.size
        feature, threshold, child, order = _nodes(tree, size)
        tables.append((feature, threshold, child, score[order]))
        roots.append(size)
        depth, size = max(depth, int(tree.max_depth)), size + order.size
    feature, threshold, child, score = (np.concatenate(column) for column in zip(*tables, strict=True))
    return Trees(
        root=np.asarray(roots, np.int32),
        feature=feature.astype(np.int32),
        threshold=threshold,
        child=child.astype(np.int32),
        score=score.astype(np.float32),
        start=start.astype(np.float32),
        labels=labels.astype(kind),
        depth=depth,
        features=width,
        logistic=boosted,
    )


def _nodes(tree: Any, first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return features, thresholds and children of the nodes numbered from `first` on, and the order
    in which they are: with the children of a node beside each other.
    """
    order, child = [0], []
    for node in order:  # it grows on the way
        left = int(tree.children_left[node])
        child.append(first + len(child) if left < 0 else first + len(order))
        order += [] if left < 0 else [left, int(tree.children_right[node])]
    order = np.asarray(order)
    leaf = tree.children_left[order] < 0
    # A float32 is above a threshold in float64 where it is above the next float32 below it.
    threshold = tree.threshold[order].astype(np.float32)
    above = threshold.astype(np.float64) > tree.threshold[order]
    threshold[above] = np.nextafter(threshold[above], np.float32(-np.inf))
    threshold[leaf] = np.inf
    return np.where(leaf, 0, tree.feature[order]), threshold, np.asarray(child), order
