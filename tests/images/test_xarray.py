"""xarray opens what lithax writes, by the calls that the pages show."""

import numpy as np
import pytest

import lithax as lx

xr = pytest.importorskip("xarray")


@pytest.fixture
def pyramid(rng, tmp_path):
    values = rng.random((20, 16, 12)).astype("f4")
    image = lx.from_array(values, voxel_length=2.0, voxel_unit="um", voxel_origin=(1, 2, 3), field_name="grey")
    return lx.pyramid(image, tmp_path / "rock.ome.zarr", smallest=5), values, tmp_path / "rock.ome.zarr"


@pytest.mark.filterwarnings("ignore:Failed to open Zarr store with consolidated metadata:RuntimeWarning")
def test_every_level_is_opened_by_the_ordinary_call(pyramid):
    """OME-Zarr gives the axes of all levels the same names, of which one group of xarray has one size each."""
    image, values, store = pyramid
    assert len(image.levels) == 2
    for number, level in enumerate((image, *image.levels)):
        opened = xr.open_zarr(store, group=str(number)) if number else xr.open_zarr(store)
        assert list(opened) == ["0"]
        assert opened["0"].dims == ("z", "y", "x")
        np.testing.assert_array_equal(opened["0"].transpose("x", "y", "z").values, level[...])
    np.testing.assert_array_equal(image[...], values)


def test_a_level_is_opened_by_its_group_too(pyramid):
    image, _, store = pyramid
    coarser = lx.open(store / "1")
    assert coarser.frame == image.levels[0].frame
    assert [level.shape for level in coarser.levels] == [image.levels[1].shape]


def test_coarser_levels_beside_an_image(pyramid, tmp_path):
    copy = pyramid[0].copy(tmp_path / "rock.zarr")
    lx.pyramid(copy, smallest=5, progress=False)
    groups = [tmp_path / "rock.zarr/levels", tmp_path / "rock.zarr/levels/1"]
    for group, level in zip(groups, copy.levels, strict=True):
        np.testing.assert_array_equal(
            xr.open_zarr(group, consolidated=False)["0"].transpose("x", "y", "z").values, level[...]
        )


def test_all_levels_are_a_tree_with_coordinates(pyramid):
    image, values, _ = pyramid
    levels = {"0": image, **{str(n + 1): level for n, level in enumerate(image.levels)}}
    tree = xr.DataTree.from_dict({name: level.to_xarray().to_dataset(name="scan") for name, level in levels.items()})
    assert tree["1"]["scan"].shape == (10, 8, 6)
    np.testing.assert_array_equal(tree["0"]["scan"].values, values)
    assert float(tree["1"]["x"][0]) == 2.0  # between the first two voxels, at 1 and 3
    assert tree["2"]["x"].attrs["units"] == "um"
