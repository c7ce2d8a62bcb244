"""Patches depend on seed and number alone, hold what they should, and come back with the network that they trained."""

import itertools

import equinox as eqx
import jax
import numpy as np
import pytest

import lithax as lx
from lithax.errors import MetadataError
from lithax.testing import on_threads

SHAPE = (70, 30, 40)


@pytest.fixture(scope="module")
def scan():
    rng = np.random.default_rng(1)
    grey = rng.permutation(np.prod(SHAPE)).reshape(SHAPE).astype(np.float32)  # every voxel its own value
    labels = (rng.random(SHAPE) < 0.02).astype(np.uint8)
    labels[-3:, 5:8] = 2
    return grey, labels


def taken(batches, count=3):
    with batches:
        return [tuple(map(np.asarray, b)) for b in itertools.islice(batches, count)]


def test_a_patch_is_a_box_of_the_scan_turned(scan):
    grey, labels = scan
    place = dict(zip(grey.ravel().tolist(), np.ndindex(SHAPE), strict=True))
    orders = set()
    for batch, truth in taken(lx.patches(grey, labels, shape=5, batch=16, seed=2)):
        assert batch.shape == (16, 1, 5, 5, 5)
        assert (batch.dtype, truth.dtype) == (np.float32, np.int32)
        for patch, label in zip(batch[:, 0], truth, strict=True):
            at = np.asarray([place[v] for v in patch.ravel().tolist()]).reshape(5, 5, 5, 3)
            steps = tuple(tuple(at[tuple(np.eye(3, dtype=int)[a])] - at[0, 0, 0]) for a in range(3))
            assert abs(round(np.linalg.det(np.asarray(steps)))) == 1  # one of the 48 turns and mirrors of a cube
            orders.add(steps)
            assert (np.ptp(at.reshape(-1, 3), axis=0) == 4).all()
            np.testing.assert_array_equal(label, labels[tuple(np.moveaxis(at, -1, 0))])
    assert len(orders) > 20


def test_chunks_threads_and_beginnings_change_nothing(scan):
    grey, labels = scan
    expected = taken(lx.patches(grey, labels, shape=(4, 6, 4), batch=3, seed=7, balance=True, prefetch=0), 4)
    images = lx.from_array(grey, chunks=16), lx.from_array(labels, chunks=(70, 8, 9))
    for found in (
        taken(lx.patches(*images, shape=(4, 6, 4), batch=3, seed=7, balance=True), 4),
        expected[:2] + taken(lx.patches(*images, shape=(4, 6, 4), batch=3, seed=7, balance=True, start=2), 2),
    ):
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a[0], b[0])
            np.testing.assert_array_equal(a[1], b[1])


def test_processes_share_what_one_process_takes(scan):
    grey, labels = scan
    whole = taken(lx.patches(grey, labels, shape=4, batch=4, seed=3, balance=True), 1)[0]
    parts = on_threads(
        2, lambda world: taken(lx.patches(grey, labels, shape=4, batch=2, seed=3, balance=True, world=world), 1)[0]
    )
    for p, (values, truth) in enumerate(parts):
        np.testing.assert_array_equal(values, whole[0][p::2])
        np.testing.assert_array_equal(truth, whole[1][p::2])


def test_balanced_samples_have_each_label_as_often(scan):
    grey, labels = scan
    inner = labels.copy()
    inner[:2], inner[-2:], inner[:, :2], inner[:, -2:], inner[:, :, :2], inner[:, :, -2:] = (3,) * 6  # never drawn
    draw = {"shape": 5, "batch": 600, "seed": 4, "prefetch": 0}
    for balance, shares in (({0: 1, 1: 1, 2: 1}, (1 / 3,) * 3), ({1: 3, 2: 1}, (0, 0.75, 0.25))):
        middle = taken(lx.patches(grey, inner, **draw, balance=balance), 1)[0][1][:, 2, 2, 2]
        for label, share in enumerate(shares):
            # Five standard deviations of a binomial share of 600.
            assert abs((middle == label).mean() - share) <= 5 * (share * (1 - share) / 600) ** 0.5


def test_grey_levels_change_within_their_bounds(scan):
    grey, labels = scan
    plain = taken(lx.patches(grey, labels, shape=4, batch=50, seed=3), 1)[0][0]
    changed = taken(lx.patches(grey, labels, shape=4, batch=50, seed=3, gain=0.1, shift=500.0), 1)[0][0]
    fits = [np.polyfit(a.ravel(), b.ravel(), 1) for a, b in zip(plain, changed, strict=True)]
    gains, shifts = np.asarray(fits).T
    assert np.ptp(gains) > 0.1
    assert np.abs(gains - 1).max() <= 0.1 + 1e-5
    assert np.ptp(shifts) > 500
    assert np.abs(shifts).max() <= 500 + 1e-1


def test_several_scans_channels_and_no_labels(scan):
    grey, _ = scan
    other = grey[:20] + 1e6
    only = next(lx.patches([(grey, -grey), (other, -other)], shape=4, batch=40, seed=0, prefetch=0))
    np.testing.assert_array_equal(only[:, 0], -only[:, 1])
    share = (np.asarray(only[:, 0]).max(axis=(1, 2, 3)) > 9e5).mean()
    assert 0.02 < share < 0.6  # the smaller scan has a fifth of the places


def test_axes_of_other_voxel_lengths_keep_their_place(scan):
    _, labels = scan
    ramp = lx.from_array(np.broadcast_to(np.arange(40.0), SHAPE).copy(), voxel_length=(1, 1, 2))
    batch, _ = next(lx.patches(ramp, labels, shape=4, batch=30, seed=0, prefetch=0))
    assert (np.ptp(np.asarray(batch), axis=(2, 3)) == 0).all()


MISTAKES = [
    ({"shape": 41}, "larger than"),
    ({"shape": (4, 4)}, "three of them"),
    ({"batch": 0}, "batch=0"),
    ({"seed": 0.5}, "seed=0.5"),
    ({"balance": {9: 1}}, r"the labels \[9\]"),
    ({"balance": 2}, "a mapping"),
    ({"gain": -1.0}, "gain"),
    ({"labels": None, "balance": True}, "needs labels"),
    ({"labels": np.zeros((3, 3, 3), int)}, "crop one"),
    ({"labels": [np.zeros(SHAPE, int)] * 2}, "one image of labels for each scan"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES, ids=[str(m) for _, m in MISTAKES])
def test_mistakes_are_named_before_any_work(change, message, scan):
    arguments = {"images": scan[0], "labels": scan[1], "shape": 4, "batch": 2, "seed": 0} | change
    with pytest.raises((ValueError, TypeError), match=message):
        lx.patches(**arguments)
    with pytest.raises(TypeError, match="labels are integers"):
        lx.patches(scan[0], scan[0], shape=4, batch=2, seed=0)


def layers(seed, width=3):
    return eqx.nn.Conv3d(1, width, 3, padding=1, key=jax.random.key(seed))


def test_weights_stay_with_the_segmentation(tmp_path, scan):
    model = layers(1)
    segmentation = lx.chunk_map(lx.ops.network, scan[0], model=model, store=tmp_path / "s.zarr", progress=False)
    lx.save_network(segmentation, model, seed=1, loss=0.25)
    again = lx.open(tmp_path / "s.zarr")
    found, notes = lx.load_network(again, layers(2))
    assert eqx.tree_equal(found, model)
    assert notes == {"seed": 1, "loss": 0.25}
    with pytest.raises(ValueError, match="built otherwise"):
        lx.load_network(again, layers(1, width=4))
    again.attrs["network"] = again.attrs["network"] | {"weights": "AAAA"}
    with pytest.raises(MetadataError, match="damaged"):
        lx.load_network(again, model)
    with pytest.raises(KeyError, match="save_network"):
        lx.load_network(lx.from_array(scan[0]), model)
    with pytest.raises(TypeError, match="a stored image"):
        lx.save_network(scan[0], model)
