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


def test_the_finest_level_is_opened_by_xarray_itself(pyramid):
    """All levels have the axes z, y, x, as OME-Zarr asks; one data set of xarray holds one size of them."""
    image, values, store = pyramid
    coarser = [str(n + 1) for n in range(len(image.levels))]
    assert coarser == ["1", "2"]
    opened = xr.open_zarr(store, drop_variables=coarser, consolidated=False)
    assert opened["0"].dims == ("z", "y", "x")
    np.testing.assert_array_equal(opened["0"].transpose("x", "y", "z").values, values)
    one = xr.open_zarr(store, drop_variables=["0", "2"], consolidated=False)["1"]
    np.testing.assert_array_equal(one.transpose("x", "y", "z").values, image.levels[0][...])


def test_all_levels_are_a_tree_with_coordinates(pyramid):
    image, values, _ = pyramid
    levels = {"0": image, **{str(n + 1): level for n, level in enumerate(image.levels)}}
    tree = xr.DataTree.from_dict({name: level.to_xarray().to_dataset(name="scan") for name, level in levels.items()})
    assert tree["1"]["scan"].shape == (10, 8, 6)
    np.testing.assert_array_equal(tree["0"]["scan"].values, values)
    assert float(tree["1"]["x"][0]) == 2.0  # between the first two voxels, at 1 and 3
    assert tree["2"]["x"].attrs["units"] == "um"
