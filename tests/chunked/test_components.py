"""Components joined across blocks are those of the whole array, whatever the blocks and the selection."""

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from lithax.arrays import merge_labels
from lithax.chunked import EDGE, ArraySource, BlockReader, ChunkCache, Layout, Selection, components_pass, fold_blocks
from lithax.geometry import Frame
from lithax.runtime import SerialWorld

FACES = scipy.ndimage.generate_binary_structure(3, 1)  # 6 neighbours


def by_blocks(phase, block, selected=None):
    selection = None
    if selected is not None:
        selection = Selection(Frame(phase.shape), (), (ArraySource(selected),), None, None, None)
    layout = Layout(phase.shape, block)
    work = components_pass("", None, lambda values: values != 0, layout, selection is not None)
    source = ArraySource(phase)
    reader = BlockReader((source,), layout, selection, ChunkCache(2**20), False, (work.halo,), "nearest", 0)
    found = fold_blocks(work, reader, SerialWorld(), workers=2, label="", show_progress=False)
    rows = enumerate(zip(found.count, found.voxels, found.largest, strict=True))
    return found.selected, {touched: tuple(map(int, row)) for touched, row in rows if row[0]}


def at_once(phase, selected=None):
    """The same by scipy.ndimage.label on the whole array, one component after the other."""
    selected = np.ones(phase.shape, bool) if selected is None else selected
    inner = scipy.ndimage.binary_erosion(selected, FACES, border_value=0)  # no neighbour outside, image faces included
    labels, count = scipy.ndimage.label(phase & selected, FACES)
    components = {}
    for number in range(1, count + 1):
        own = labels == number
        touched = sum(1 << axis for axis in range(3) if np.take(own, 0, axis).any())
        touched += sum(8 << axis for axis in range(3) if np.take(own, -1, axis).any())
        touched += EDGE * bool((own & ~inner).any())
        components.setdefault(touched, []).append(int(own.sum()))
    return int(selected.sum()), {k: (len(sizes), sum(sizes), max(sizes)) for k, sizes in components.items()}


@st.composite
def cut_phases(draw):
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    block = draw(st.tuples(*[st.integers(1, n) for n in shape]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Around the percolation threshold of the cubic lattice (0.31) components have every size.
    phase = rng.random(shape) < draw(st.sampled_from([0.1, 0.31, 0.5, 0.9]))
    selected = draw(st.sampled_from([None, 0.5, 0.9]))
    return phase, block, None if selected is None else rng.random(shape) < selected


@given(cut_phases())
@settings(max_examples=60)
def test_the_blocks_make_no_difference(case):
    phase, block, selected = case
    assert by_blocks(phase, block, selected) == at_once(phase, selected)


def test_a_winding_channel_is_one_component():
    """Its pieces meet again only through many other blocks: merging pairs of neighbours once would not join them."""
    phase = np.zeros((13, 13, 3), bool)
    phase[::2] = True
    for k, row in enumerate(range(1, 13, 2)):
        phase[row, 0 if k % 2 else -1] = True
    assert by_blocks(phase, (2, 3, 2))[1] == at_once(phase)[1]
    assert [count for count, _, _ in by_blocks(phase, (2, 3, 2))[1].values()] == [1]


def test_voxels_that_touch_at_an_edge_are_apart():
    phase = np.zeros((4, 4, 4), bool)
    phase[1, 1, 1] = phase[2, 2, 1] = True
    assert by_blocks(phase, (2, 2, 2))[1] == {0: (2, 2, 1)}


def test_the_border_of_the_selection_counts_as_a_face():
    """A component that touches what was left out may go on there: it is not isolated."""
    phase = np.zeros((8, 8, 8), bool)
    phase[2:4, 3, 3] = True
    selected = np.zeros((8, 8, 8), bool)
    selected[2:7, 1:7, 1:7] = True
    assert by_blocks(phase, (3, 3, 3), selected)[1] == {EDGE: (1, 2, 2)}


def test_no_voxel_of_the_phase_is_no_component():
    assert by_blocks(np.zeros((5, 4, 3), bool), (2, 2, 2)) == (60, {})


@pytest.mark.parametrize("count", [1, 5])
def test_numbers_without_pairs_stay_apart(count):
    merged, sets = merge_labels(np.zeros((0, 2), np.int64), count)
    assert sets == count
    assert len(set(merged.tolist())) == count
