"""Classifiers trained by scribbles: scikit-learn's trees to the last voxel, the same for every grid, kept with the image."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier

import lithax as lx
from lithax.arrays import to_numpy
from lithax.errors import MetadataError
from lithax.testing import assert_same_bits, on_threads

SHAPE = (22, 18, 20)
NARROW = {"sigmas": (0.5,), "kinds": ("gaussian", "gradient_magnitude")}


@pytest.fixture(scope="module")
def scan():
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, (2, 2, 2)).repeat(11, 0).repeat(9, 1).repeat(10, 2)
    grey = (truth + 0.6 * rng.standard_normal(SHAPE)).astype(np.float32)
    scribbles = np.where(rng.random(SHAPE) < 0.1, np.asarray([3, 7, 300])[truth], 0).astype(np.uint16)
    return grey, scribbles, truth


def learned(grey, labels, **options):
    return lx.train_classifier(grey, labels, **{"model": RandomForestClassifier(6, random_state=0)} | NARROW | options)


MODELS = [
    RandomForestClassifier(7, random_state=1),
    ExtraTreesClassifier(7, max_depth=4, class_weight="balanced", random_state=1),
    GradientBoostingClassifier(n_estimators=5, random_state=1),
]


@pytest.mark.parametrize(
    ("model", "classes"),
    [
        pytest.param(m, k, marks=[pytest.mark.slow] * (k == 2 and m is MODELS[1]), id=f"{type(m).__name__}-{k}")
        for m in MODELS
        for k in (2, 3)
    ],
)
def test_the_trees_are_those_of_scikit_learn(model, classes, scan, xp):
    grey, labels, _ = scan
    labels = np.where(labels == 300, 7, labels) if classes == 2 else labels
    channels = grey, np.roll(grey, 1, axis=2)
    classifier = lx.train_classifier(channels, labels, sigmas=(), model=model)
    table = np.stack([c.ravel() for c in channels], axis=1)
    known = np.concatenate([np.flatnonzero(labels.ravel() == k) for k in np.unique(labels)[1:]])
    theirs = model.fit(table[known], labels.ravel()[known])
    given = [xp.asarray(c.copy()) for c in channels]
    found = to_numpy(classifier.classify(*given))
    assert found.dtype == (np.uint8 if classes == 2 else np.uint16)
    np.testing.assert_array_equal(found.ravel(), theirs.predict(table))
    shares = np.stack([to_numpy(p).ravel() for p in classifier.probabilities(*given)], axis=1)
    # Sums of as many float32 as there are trees.
    np.testing.assert_allclose(shares, theirs.predict_proba(table), rtol=0, atol=8 * 2.0**-23)


def test_features_are_those_of_the_operations(rng):
    x, y = rng.standard_normal((2, 9, 8, 7))
    kinds = ("gaussian", "structure_tensor_eigenvalues", "gradient_magnitude", "hessian_eigenvalues")
    found = lx.ops.features(x, y, sigmas=(0.6, 1.5), kinds=kinds)
    wanted = []
    for grey in (x, y):
        wanted.append(grey)
        for sigma in (0.6, 1.5):
            wanted.append(lx.ops.gaussian(grey, sigma=sigma))
            wanted += lx.ops.structure_tensor_eigenvalues(grey, sigma=sigma)
            wanted.append(lx.ops.gradient_magnitude(grey, sigma=sigma))
            wanted += lx.ops.hessian_eigenvalues(grey, sigma=sigma, truncate=4.0)
    assert len(found) == len(wanted) == len(lx.ops.feature_names((0.6, 1.5), kinds, 2))
    for a, b in zip(found, wanted, strict=True):
        assert_same_bits(a, b)


def test_every_grid_gives_the_labels_of_the_whole_array(scan):
    grey, labels, truth = scan
    classifier = learned(grey, labels)
    whole = lx.chunk_map(classifier.classify, lx.from_array(grey, chunks=22), progress=False)[...]
    found = lx.chunk_map(classifier.classify, lx.from_array(grey, chunks=8), progress=False)
    assert_same_bits(found[...], whole)
    # Compiled and not, features may lie on the two sides of a threshold to rounding: hardly any does.
    eager = lx.chunk_map(classifier.classify, lx.from_array(grey, chunks=(13, 7, 9)), backend="numpy", progress=False)
    assert_same_bits(eager[...], to_numpy(classifier.classify(grey)))
    assert (eager[...] != whole).mean() < 1e-3
    assert (whole != np.asarray([3, 7, 300])[truth]).mean() < 0.5 * (np.round(grey).clip(0, 2) != truth).mean()


def test_training_depends_on_neither_chunks_nor_processes(scan):
    grey, labels, _ = scan
    grey, labels = np.tile(grey, (4, 1, 1)), np.tile(labels, (4, 1, 1))  # more than a tile
    alone = learned(grey, labels, voxels=50)
    cut = learned(lx.from_array(grey, chunks=(9, 18, 7)), lx.from_array(labels, chunks=10), voxels=50)
    for other in (cut, *on_threads(2, lambda world: learned(grey, labels, voxels=50, world=world))):
        for a, b in zip(vars(alone.trees).values(), vars(other.trees).values(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert sum(alone.importances.values()) == pytest.approx(1.0)
    assert list(alone.importances) == ["grey", "gaussian, 0.5", "gradient_magnitude, 0.5"]


def test_a_nan_gets_no_label(scan):
    grey, labels, _ = scan
    classifier = lx.train_classifier(grey, labels, sigmas=(), model=MODELS[0])
    broken = grey.copy()
    broken[3, 4, 5], broken[6, 7, 8] = np.nan, np.inf
    found = to_numpy(classifier.classify(broken))
    assert found[3, 4, 5] == 0
    assert found[6, 7, 8] == 300  # above every threshold
    assert np.isnan(to_numpy(classifier.probabilities(broken)[0])[3, 4, 5])
    again = lx.train_classifier(broken, np.where(np.isnan(broken), 3, labels), sigmas=(), model=MODELS[0])
    assert_same_bits(again.classify(grey) > 0, np.ones(SHAPE, bool))


def test_a_classifier_stays_with_the_segmentation(tmp_path, scan):
    grey, labels, _ = scan
    classifier = lx.train_classifier([grey, grey[:9]], [labels, labels[:9]], sigmas=(), model=MODELS[2])
    segmentation = lx.chunk_map(classifier.classify, grey, store=tmp_path / "s.zarr", progress=False)
    lx.save_classifier(segmentation, classifier, drawn_by="me")
    again = lx.open(tmp_path / "s.zarr")
    found, notes = lx.load_classifier(again)
    assert notes == {"drawn_by": "me"}
    assert found.labels == (3, 7, 300)
    assert found.importances == classifier.importances
    assert_same_bits(found.classify(grey[::-1]), classifier.classify(grey[::-1]))
    again.attrs["classifier"] = again.attrs["classifier"] | {"sigmas": [1.0]}
    with pytest.raises(MetadataError, match="is damaged"):
        lx.load_classifier(again)
    again.attrs["classifier"] = again.attrs["classifier"] | {"weights": "AAAA"}
    with pytest.raises(MetadataError, match="SHA-256"):
        lx.load_classifier(again)
    with pytest.raises(KeyError, match=r"not kept by lx\.save_classifier"):
        lx.load_classifier(lx.from_array(grey))


MISTAKES = [
    ({"labels": None}, "labels=None"),
    ({"labels": np.zeros(SHAPE, int)}, "no voxel but the unlabelled"),
    ({"labels": np.ones(SHAPE, int)}, r"labels hold \[1\].*two are needed"),
    ({"labels": np.arange(8).repeat(990).reshape(SHAPE) - 2}, r"labels hold \[-2, .*between 0 and 65535"),
    ({"labels": np.zeros((3, 3, 3), int)}, "crop one of them"),
    ({"sigmas": (0,)}, r"sigmas=\(0,\) must be positive"),
    ({"sigmas": 1.0}, r"sigmas=1\.0 must be positive"),
    ({"kinds": ("median",)}, r"kinds=\('median',\) must be some of 'gaussian'"),
    ({"voxels": 0}, "voxels=0 must be an integer, 1 or more"),
    ({"seed": -1}, "seed=-1"),
    ({"model": 3}, "model is a int"),
    ({"model": GradientBoostingClassifier(init="zero")}, "init='zero'"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES, ids=[m for _, m in MISTAKES])
def test_mistakes_are_named_before_any_work(change, message, scan):
    with pytest.raises((ValueError, TypeError), match=message):
        lx.train_classifier(**{"images": scan[0], "labels": scan[1], "sigmas": ()} | change)


def test_what_does_not_go_together_is_named(scan):
    grey, labels, _ = scan
    elsewhere = lx.from_array(labels, voxel_length=2.0)
    with pytest.raises(ValueError, match=r"labels\[0\] has its first voxel at .* the first channel of images\[0\]"):
        lx.train_classifier(lx.from_array(grey), elsewhere)
    classifier = lx.train_classifier(grey, labels, sigmas=(), model=MODELS[0])
    with pytest.raises(ValueError, match="2 features were given to trees that were trained with 1"):
        classifier.classify(grey, grey)
