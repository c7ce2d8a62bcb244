"""``image[selection]`` and ``image[selection] = values`` against NumPy, over selections of every kind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lithax as lx

SHAPE = (5, 7, 4)
VALUES = np.arange(5 * 7 * 4, dtype="i4").reshape(SHAPE)
EXAMPLES = max(80, settings.default.max_examples)
"""Some thirty of each kind of selection; HYPOTHESIS_PROFILE=thorough draws a thousand."""


@pytest.fixture(scope="module")
def image():
    return lx.from_array(VALUES, chunks=(2, 3, 4))


def integers(n):
    return st.integers(-n, n - 1)


def slices(n):
    ends = st.none() | st.integers(-n - 2, n + 2)
    return st.builds(slice, ends, ends, st.none() | st.integers(-n - 1, n + 1).filter(bool))


def arrays(n, shapes=((), (1,), (3,), (2, 1), (2, 3), (0,))):
    return st.sampled_from(shapes).flatmap(
        lambda shape: st.lists(integers(n), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).map(
            lambda flat: np.asarray(flat, np.intp).reshape(shape)
        )
    )


def masks(shape):
    """Any mask, from one draw of bytes: a list of booleans costs a draw for each voxel."""
    size = int(np.prod(shape))
    many = -(-size // 8)
    return st.binary(min_size=many, max_size=many).map(
        lambda drawn: np.unpackbits(np.frombuffer(drawn, "u1"))[:size].astype(bool).reshape(shape)
    )


@st.composite
def selections(draw):
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return draw(masks(SHAPE))
    if kind == 1:  # a mask over the first axes, and more behind it
        axes = draw(st.integers(1, 2))
        rest = [draw(slices(n) | integers(n)) for n in SHAPE[axes:][: draw(st.integers(0, 3 - axes))]]
        return (draw(masks(SHAPE[:axes])), *rest)
    if kind == 2:
        return np.ix_(*(draw(st.lists(integers(n), max_size=4)) or [0] for n in SHAPE))
    items = []
    for n in SHAPE[: draw(st.integers(1, 3))]:
        choices = [integers(n), slices(n)]
        if kind > 3:
            choices += [arrays(n), arrays(n).map(lambda a: a.tolist()), st.lists(integers(n), max_size=3)]
        items.append(draw(st.one_of(choices)))
    if draw(st.booleans()) and len(items) < 3:
        items.insert(draw(st.integers(0, len(items))), Ellipsis)
    return items[0] if len(items) == 1 and draw(st.booleans()) else tuple(items)


def outcome(function):
    try:
        return function(), None
    except (IndexError, ValueError, TypeError) as error:
        return None, type(error)


@settings(max_examples=EXAMPLES, deadline=None)
@given(selections())
def test_reading(image, selection):
    wanted, refused = outcome(lambda: VALUES[selection])
    if refused:
        with pytest.raises((IndexError, ValueError)):
            image[selection]
        return
    found = image[selection]
    assert np.shape(found) == np.shape(wanted)
    np.testing.assert_array_equal(found, wanted)
    assert np.asarray(found).dtype == VALUES.dtype


@settings(max_examples=EXAMPLES, deadline=None)
@given(selections(), st.data())
def test_writing(image, selection, data):
    wanted = VALUES.copy()
    target, refused = outcome(lambda: wanted[selection])
    shape = () if target is None else np.shape(target)
    # Values of every shape that broadcasts: some axes of length one, leading ones left out or added.
    shape = tuple(n if data.draw(st.booleans()) else 1 for n in shape)[data.draw(st.integers(0, len(shape))) :]
    shape = (1,) * data.draw(st.integers(0, 1)) + shape
    values = -1 - np.arange(int(np.prod(shape)), dtype="i4").reshape(shape)
    if len(shape) == 0:
        values = data.draw(st.sampled_from([values, -1, np.int32(-1)]))
    _, refused = outcome(lambda: wanted.__setitem__(selection, values))
    image = lx.from_array(VALUES, chunks=(2, 3, 4))
    if refused and target is not None and np.ndim(values) > np.ndim(target):
        return  # NumPy has rules of its own for leading axes of length one; here they are always dropped
    if refused:
        with pytest.raises((IndexError, ValueError)):
            image[selection] = values
        return
    image[selection] = values
    np.testing.assert_array_equal(image[...], wanted)


def test_selections_of_nothing_and_of_lists(image):
    for selection in ([], [[]], ([], []), ([], slice(None), 2), [0, -1], [[0, 1], [2, 3]], np.zeros(SHAPE, bool)):
        np.testing.assert_array_equal(image[selection], VALUES[selection])
    again = lx.from_array(VALUES, chunks=2)
    again[[]] = 5
    again[np.zeros(SHAPE, bool)] = np.zeros(0, "i4")
    np.testing.assert_array_equal(again[...], VALUES)
    again[np.ix_([0, 4], [1, 3], [2])] = [[7], [8]][0]
    assert again[0, 1, 2] == again[4, 3, 2] == 7


def test_views_and_files_read_in_the_same_way(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    for view, whole in ((lx.open(tmp_path / "a.npy"), VALUES), (lx.from_array(VALUES) * 2, VALUES * 2)):
        for selection in ([3, 0], (slice(None), [1, 1]), VALUES % 3 == 0, (0, [1, 2], slice(None, None, 2))):
            np.testing.assert_array_equal(view[selection], whole[selection])


@pytest.mark.parametrize(
    "selection",
    [7, (0, 9), ([5],), 1.5, "x", ([0.5],), np.zeros((2, 2, 2), bool), (0, 0, 0, 0), (..., ...), None, (0, None)],
)
def test_what_is_no_selection_is_an_index_error(image, selection):
    with pytest.raises(IndexError):
        image[selection]
    with pytest.raises(IndexError):
        image[selection] = 1
    np.testing.assert_array_equal(image[...], VALUES)


@pytest.mark.parametrize("selection", [np.s_[:4, :4, :3], np.s_[[0, 1]], np.s_[VALUES > 100]])
def test_values_of_another_shape_are_refused(image, selection):
    voxels = VALUES[selection].shape
    with pytest.raises(ValueError, match=r"values have the shape .5, 2., and the voxels selected ") as caught:
        image[selection] = np.ones((5, 2), "i4")
    assert str(voxels) in str(caught.value)


def test_only_chunks_that_are_touched_are_read():
    image = lx.zeros((40_000, 40_000, 40_000), "u1", chunks=128)
    assert image[[0, 39_999], [5, 7], [1, 39_000]].tolist() == [0, 0]
    assert image[[3, 5], 7, :10].shape == (2, 10)
    image[[0, 39_999], [5, 7], [1, 39_000]] = [3, 4]
    assert image[[39_999, 0], [7, 5], [39_000, 1]].tolist() == [4, 3]
