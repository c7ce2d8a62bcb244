"""Upscaled permeability: exact where blocks are uniform, and as far off as it says where they are not."""

import json
import re

import numpy as np
import pytest

import lithax as lx
from lithax.testing import on_threads

# A Stokes solve compiles for seconds per shape: blocks of 8 voxels an edge, pieces of 16, throughout.


@pytest.fixture(scope="module")
def rock():
    spectrum = np.fft.fftn(np.random.default_rng(3).standard_normal((16, 16, 16)))
    for axis in range(3):
        damp = np.exp(-2 * (np.pi * 1.0 * np.fft.fftfreq(16)) ** 2)
        spectrum *= damp.reshape([-1 if a == axis else 1 for a in range(3)])
    values = np.fft.ifftn(spectrum).real
    return values > np.quantile(values, 0.4)


@pytest.fixture(scope="module")
def made(rock):
    return lx.solve.upscaled_permeability(rock, edge=8)


def test_layers_of_uniform_matrix_are_upscaled_exactly():
    labels = np.ones((16, 16, 16), np.uint8)
    labels[8:] = 2
    image = lx.from_array(labels, voxel_length=(2, 2, 2), voxel_unit="um")
    made = lx.solve.upscaled_permeability(
        image, edge=8, permeability={1: "1 mD", 2: "4 mD"}, unit="mD", tolerance=1e-4, check=0
    )
    # Series 2 / (1/1 + 1/4) and parallel (1 + 4) / 2; within a block the flow is uniform.
    np.testing.assert_allclose(made.value, [1.6, 2.5, 2.5], rtol=1e-3)
    np.testing.assert_allclose(made.blocks[:, 0], 1.0, rtol=1e-3)
    np.testing.assert_allclose(made.blocks[:, 1], 4.0, rtol=1e-3)
    assert made.converged
    assert "mD" in str(made)
    assert "not estimated" in str(made)


def test_the_error_is_that_beside_the_whole(rock, made):
    whole = lx.solve.permeability(rock, axis="all")
    assert made.error.shape == (1, 3)
    # One piece, and it is the image.
    np.testing.assert_allclose(made.error[0], made.value / whole.value - 1, rtol=1e-5)
    assert np.abs(made.error).max() > 0.02  # blocks of a few pores: there is something to say
    assert f"{100 * made.error[0, 0]:+.1f}" in str(made)


def test_one_axis_other_units_and_images_are_the_same(rock, made):
    image = lx.from_array(rock, voxel_length=(2, 2, 2), voxel_unit="um", chunks=5)
    found = lx.solve.upscaled_permeability(image, edge=8, axis="y", unit="um2", check=0)
    assert isinstance(found.value, float)
    assert found.value == pytest.approx(4 * made.value[1], rel=1e-5)
    np.testing.assert_allclose(found.blocks, 4 * made.blocks, rtol=1e-5)


def test_the_command_line_prints_and_writes_it(rock, made, tmp_path):
    from click.testing import CliRunner

    from lithax.cli import main

    lx.from_array(rock, store=tmp_path / "rock.zarr")
    given = ["solve", "permeability", str(tmp_path / "rock.zarr"), "--blocks", "8", "--quiet", "--json"]
    done = CliRunner().invoke(main, [*given, str(tmp_path / "k.json")])
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(made)
    assert json.loads((tmp_path / "k.json").read_text())["value"] == made.value.tolist()


def test_blocks_overlap_where_the_edge_does_not_divide_the_image():
    slits = np.zeros((20, 8, 16), bool)
    slits[:, :, [3, 4, 11, 12]] = True
    made = lx.solve.upscaled_permeability(slits, edge=8, axis="x", check=0)
    assert [o.tolist() for o in made.origins] == [[0, 6, 12], [0], [0, 8]]
    assert made.value == pytest.approx(2 / 8 * 2**2 / 12, rel=1e-4)
    assert (made.blocks[2] == 0).all()  # nothing goes across slits
    assert "nothing joins the ends of 33.3 % of the blocks" in str(made)


def test_processes_share_the_blocks(rock, made, tmp_path):
    lx.from_array(rock, store=tmp_path / "rock", chunks=8)

    def work(world):
        return lx.solve.upscaled_permeability(lx.open(tmp_path / "rock", world=world), edge=8)

    for found in on_threads(3, work):
        if isinstance(found, BaseException):
            raise found
        np.testing.assert_array_equal(found.value, made.value)
        np.testing.assert_array_equal(found.error, made.error)


def test_the_plan_counts_the_largest_solve(rock):
    large = np.broadcast_to(False, (1000, 1000, 1000))
    plan = lx.plan(lx.solve.upscaled_permeability, large, edge=128)
    assert (plan.blocks, plan.block_shape) == (512, (128, 128, 128))
    assert plan.memory > lx.plan(lx.solve.permeability, large[:250, :250, :250], axis="all").memory
    alone = lx.plan(lx.solve.upscaled_permeability, large, edge=128, check=0).memory
    assert alone < plan.memory / 3
    with pytest.raises(lx.errors.MemoryLimitError, match=r"check=1 solves a piece of \(252, 252, 252\) voxels"):
        lx.solve.upscaled_permeability(large, edge=128, memory_limit=alone)
    with pytest.raises(lx.errors.MemoryLimitError, match=r"of \(128, 128, 128\) voxels needs"):
        lx.solve.upscaled_permeability(large, edge=128, memory_limit="10 MiB")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"image": [[1]]}, TypeError, "image is a list"),
        ({"image": np.zeros((4, 4), bool)}, ValueError, "image has shape (4, 4)"),
        ({"edge": 17}, ValueError, "edge=17 must be whole numbers"),
        ({"edge": 7.5}, ValueError, "edge=7.5 must be"),
        ({"edge": (8, 8, 17)}, ValueError, "16 at most"),
        ({"image": np.ones((16, 16, 16), int), "pore": 7}, ValueError, "pore=7 is no value"),
        ({"image": np.ones((16, 16, 16), int), "pore": "1"}, TypeError, "pore='1'"),
        ({"edge": 1}, ValueError, "edge=1 must be"),
        ({"edge": (8, 8)}, ValueError, "edge=(8, 8) must be"),
        ({"axis": "w"}, ValueError, "axis='w' must be"),
        ({"check": -1}, ValueError, "check=-1 must be"),
        ({"unit": "mD"}, ValueError, "unit='mD' needs the voxel length"),
        ({"image": np.ones((16, 16, 16), bool)}, ValueError, "[(0, 8), (0, 8), (0, 8)] holds nothing solid"),
        ({"image": np.ones((16, 16, 16), int)}, ValueError, "pore is missing"),
        ({"permeability": {2: "1 mD"}}, ValueError, "permeability[2]='1 mD' has a unit"),
        (
            {"image": np.eye(16, dtype=int)[:, :, None] * np.ones(8, int), "pore": 0, "permeability": {7: 1.0}},
            ValueError,
            "permeability names phase 7, which the image does not hold",
        ),
        ({"image": np.zeros((16, 16, 8), bool), "edge": 9}, ValueError, "8 at most"),
    ],
)
def test_bad_input_is_named(rock, changes, error, words):
    given = {"image": rock, "edge": 8} | changes
    with pytest.raises(error, match=re.escape(words)):
        lx.solve.upscaled_permeability(given.pop("image"), **given)


def test_a_traced_image_is_refused(rock):
    import jax

    with pytest.raises(TypeError, match="image is traced"):
        jax.jit(lambda v: lx.solve.upscaled_permeability(v, edge=8).value)(rock)
