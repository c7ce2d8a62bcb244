"""Labels of one block, and which components join two ends."""

import numpy as np
import pytest
from scipy import ndimage

from lithax.arrays import joins_ends, label_block, label_directed, merge_labels, neighbours_of, touching_pairs


@pytest.mark.parametrize(("connectivity", "rank"), [(6, 1), (18, 2), (26, 3)])
def test_components_are_those_of_scipy_numbered_by_their_first_voxel(connectivity, rank):
    rng = np.random.default_rng(rank)
    for density in (0.1, 0.3, 0.6):
        phase = rng.random((9, 8, 11)) < density
        labels, count = label_block(phase, connectivity)
        expected, number = ndimage.label(phase, ndimage.generate_binary_structure(3, rank))
        first = {v: k for k, v in reversed(list(enumerate(expected.ravel()))) if v}
        order = sorted(first, key=lambda v: first[v])
        assert count == number
        for new, old in enumerate(order, 1):
            np.testing.assert_array_equal(labels == new, expected == old)


def test_thin_arrays_with_as_many_components_as_possible(capfd):
    for shape in np.ndindex(5, 4, 9):
        phase = np.zeros([n + 1 for n in shape], bool)
        phase[::2, ::2, ::2] = True
        assert label_block(phase, 26)[1] == phase.sum()
    assert capfd.readouterr().err == ""  # the compiled library prints what it cannot do


@pytest.mark.parametrize("density", [0.05, 0.3])
def test_labels_in_small_numbers_are_the_same_ones_by_any_number_of_threads(density):
    # Rows of 256 voxels, several at once, and a rest; 2⁸ labels and more.
    phase = np.random.default_rng(4).random((63, 65, 67)) < density
    expected, number = ndimage.label(phase, np.ones((3, 3, 3)))
    first = np.sort(np.unique(expected, return_index=True)[1][1:])
    for threads in (1, 3):
        labels, count = label_block(phase, 26, smallest=True, threads=threads)
        assert count == number
        assert labels.dtype == np.min_scalar_type(number)
        np.testing.assert_array_equal(labels.ravel()[first], np.arange(1, number + 1))
        pairs = np.unique(np.stack([labels.ravel(), expected.ravel()]), axis=1)
        assert pairs.shape[1] == number + 1  # the same partition, the background with itself
        np.testing.assert_array_equal(label_block(phase, 26)[0], labels)
    labels, count = label_block(phase, 26, ordered=False)
    assert count == number
    pairs = np.unique(np.stack([labels.ravel(), expected.ravel()]), axis=1)
    assert pairs.shape[1] == number + 1


def test_phases_are_labelled_at_once():
    rng = np.random.default_rng(0)
    phases = rng.integers(0, 3, (7, 6, 5)).astype("u1")
    labels, count = label_block(phases)
    parts = [ndimage.label(phases == p)[1] for p in (1, 2)]
    assert count == sum(parts)
    assert all(len(np.unique(phases[labels == k])) == 1 for k in range(1, count + 1))


def test_parts_of_larger_arrays():
    rng = np.random.default_rng(0)
    for _ in range(300):
        large = rng.random(rng.integers(1, 7, 3)) < 0.5
        begin = [int(rng.integers(n)) for n in large.shape]
        part = large[tuple(slice(a, a + 1 + int(rng.integers(n - a))) for a, n in zip(begin, large.shape, strict=True))]
        np.testing.assert_array_equal(label_block(part, 26)[0], label_block(part.copy(), 26)[0])


@pytest.mark.parametrize("shape", [(1, 1, 5), (8, 1, 9), (7, 9, 11)])
@pytest.mark.parametrize("density", [0.3, 0.7, 1.0])
def test_voxels_joined_along_some_axes_are_the_components_of_a_graph(rng, shape, density):
    along = rng.random((3, *shape)) < density
    number = np.arange(along[0].size).reshape(shape)
    pairs = []
    for axis, joins in enumerate(along):
        low, high = (np.moveaxis(v, axis, 0).reshape(shape[axis], -1) for v in (number, joins))
        both = high[:-1] & high[1:]
        pairs.append(np.stack([low[:-1][both], low[1:][both]], axis=1))
    merged, _ = merge_labels(np.concatenate(pairs), number.size)
    labels, count = label_directed(along)
    conducts = along.any(0)
    assert not labels[~conducts].any()
    assert labels.max() <= count
    assert len({*zip(labels[conducts], merged[conducts.reshape(-1)], strict=True)}) == len(np.unique(labels[conducts]))
    assert len(np.unique(labels[conducts])) == len(np.unique(merged[conducts.reshape(-1)]))


def test_names_of_a_neighbourhood():
    assert [neighbours_of(k) for k in (1, 2, 3, 6, 18, 26)] == [6, 18, 26, 6, 18, 26]
    for wrong in (4, 0, "6", True, 6.0):
        with pytest.raises(ValueError, match="connectivity="):
            neighbours_of(wrong)


@pytest.mark.parametrize(("connectivity", "rank"), [(6, 1), (18, 2), (26, 3)])
def test_pairs_across_a_boundary_are_those_of_the_neighbourhood(connectivity, rank):
    rng = np.random.default_rng(1)
    for offset in ((1, 0, 0), (0, 1, -1), (1, 1, 1)):
        shape = [1 if o else 4 for o in offset]
        low, high = (rng.integers(0, 5, shape) for _ in range(2))
        expected = set()
        for p in np.ndindex(*shape):
            for q in np.ndindex(*shape):
                gap = [abs(b - a + o) for a, b, o in zip(p, q, offset, strict=True)]
                if max(gap) <= 1 and sum(gap) <= rank and low[p] and high[q]:
                    expected.add((int(low[p]), int(high[q])))
        assert set(map(tuple, touching_pairs(low, high, offset, connectivity).tolist())) == expected


def tiled(phase, axes, times=5):
    return np.tile(phase, [times if a in axes else 1 for a in range(3)])


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("periodic", [(), (1,), (0, 2)])
def test_components_that_join_the_ends(connectivity, periodic):
    """Between faces: that of a longer stack in the periodic directions; periodic: what reaches through many periods."""
    rng = np.random.default_rng(connectivity)
    structure = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    joined = 0
    for trial in range(40):
        phase = rng.random((4, 3, 4)) < (0.45 if connectivity == 6 else 0.2)
        axis = trial % 3
        found = joins_ends(phase, axis, connectivity=connectivity, ends="periodic", periodic=periodic)
        # The voxel hangs together with its own copy in another period along the axis.
        axes, times = {axis, *periodic}, 7
        labels, _ = ndimage.label(tiled(phase, axes, times), structure)
        copies = labels.reshape([n for a, size in enumerate(phase.shape) for n in (times if a in axes else 1, size)])
        copies = copies.transpose(0, 2, 4, 1, 3, 5)
        middle = [n // 2 for n in copies.shape[:3]]
        here = copies[tuple(middle)]
        expected = np.zeros(phase.shape, bool)
        for at in np.ndindex(*copies.shape[:3]):
            if at[axis] != middle[axis]:
                expected |= phase & (copies[at] == here)
        np.testing.assert_array_equal(found, expected)
        joined += expected.any()
    assert 0 < joined < 40


def test_reaching_both_faces_is_not_going_around():
    phase = np.zeros((4, 3, 1), bool)
    phase[:, 0] = True
    phase[0, 0] = False
    phase[0, 1] = phase[3, 1] = True
    assert not joins_ends(phase, 0, ends="faces").any()
    phase[0, 0] = True
    assert joins_ends(phase, 0, ends="faces").sum() == 6
    assert joins_ends(phase, 0, ends="periodic").sum() == 6
    shifted = np.zeros((3, 4, 1), bool)
    shifted[0, 0] = shifted[1, 0] = shifted[1, 1] = shifted[2, 1] = True
    assert joins_ends(shifted, 0, ends="faces").all() == shifted.all()
    assert joins_ends(shifted, 0, ends="faces").sum() == 4
    assert not joins_ends(shifted, 0, ends="periodic").any()
