"""The Finney pack as an image."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import lithax as lx
from lithax.generate import finney_pack

CENTERED = {"xlim": (-2, 2), "ylim": (-1, 2), "zlim": (-2, 1)}


def brute_force(image, radius=1.0):
    x, y, z = (image.voxel_origin[a] + np.arange(n) * image.voxel_length[a] for a, n in enumerate(image.shape))
    inside = np.zeros(image.shape, dtype=bool)
    for cx, cy, cz in finney_pack():
        if max(abs(cx), abs(cy), abs(cz)) < 5:
            dx, dy, dz = x[:, None, None] - cx, y[None, :, None] - cy, z[None, None, :] - cz
            inside |= dx * dx + (dy * dy + dz * dz) <= radius * radius
    return inside


@pytest.mark.parametrize("radius", [0.7, 1, 1.4])
def test_a_voxel_is_solid_if_its_centre_lies_in_a_sphere(radius):
    image = lx.sphere_pack((20, 21, 22), sphere_radius=radius, chunks=8, **CENTERED)
    np.testing.assert_array_equal(image[...], brute_force(image, radius))
    assert image.dtype == np.uint8


@hypothesis.given(chunks=st.tuples(*[st.integers(4, 20)] * 3), shards=st.booleans())
@hypothesis.settings(max_examples=8)
def test_identical_for_every_chunking(chunks, shards):
    whole = lx.sphere_pack((20, 20, 20), chunks=20)
    unit = tuple(2 * c for c in chunks) if shards else None
    np.testing.assert_array_equal(lx.sphere_pack((20, 20, 20), chunks=chunks, shards=unit)[...], whole[...])


def test_limits_are_centres_or_faces():
    image = lx.sphere_pack((5, 5, 5), xlim=(-2, 2))
    assert image.bounding_box[0][0] == -2
    assert image.bounding_box[1][0] == 2
    image = lx.sphere_pack((5, 5, 5), xlim=(-2, 2), limits="faces")
    assert image.voxel_length[0] == 0.8
    assert image.extent[0][0] == -2
    assert image.extent[1][0] == pytest.approx(2)


@pytest.mark.parametrize(("edge", "porosity"), [(10, 0.3584), (14, 0.3601)])
def test_porosity(edge, porosity):
    """Against Monte-Carlo values of the continuous pack, known to 0.0008."""
    half = edge / 2
    image = lx.sphere_pack((100,) * 3, xlim=(-half, half), ylim=(-half, half), zlim=(-half, half), limits="faces")
    assert 1 - image[...].mean() == pytest.approx(porosity, abs=0.0016)


@pytest.mark.parametrize(
    ("dtype", "value"), [("b1", True), ("u1", 1), ("u1", 255), ("u2", 1000), ("i1", -3), ("f4", 0.5), ("c8", 1j)]
)
def test_any_type_and_value(dtype, value):
    image = lx.sphere_pack((12, 12, 12), dtype, fill_value=value, **CENTERED)
    assert image.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image[...], np.where(brute_force(image), np.dtype(dtype).type(value), 0))


def test_voxel_length_that_agrees_is_accepted():
    image = lx.sphere_pack((5, 5, 5), xlim=(-2, 2), ylim=(-2, 2), zlim=(-2, 2), voxel_length=1, voxel_origin=-2)
    assert image.voxel_length == (1.0, 1.0, 1.0)


def test_metadata(tmp_path):
    image = lx.sphere_pack((5, 5, 5), store=tmp_path / "pack.zarr", field_name="solid")
    assert image.field_name == "solid"
    assert "Finney" in lx.open(tmp_path / "pack.zarr").description


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"voxel_length": 2.0}, ValueError, "voxel_length=2.0 contradicts xlim, ylim, zlim and shape"),
        ({"voxel_origin": (0, 0, 0)}, ValueError, "voxel_origin=.*contradicts"),
        ({"limits": "edges"}, ValueError, "limits='edges' must be 'centers' or 'faces'"),
        ({"xlim": (1, -1)}, ValueError, "xlim=.*lower limit first"),
        ({"ylim": (0, np.inf)}, ValueError, "ylim=.*must be finite"),
        ({"zlim": 3}, TypeError, "zlim=3 must be two numbers"),
        ({"sphere_radius": 0}, ValueError, "sphere_radius=0 must be positive"),
        ({"sphere_radius": -1.0}, ValueError, "sphere_radius=-1.0 must be positive"),
        ({"shape": (5, 1, 5)}, ValueError, "one voxel along y.*limits='faces'"),
        ({"shape": (5, 5)}, ValueError, "shape=.*three positive integers"),
        ({"fill_value": 300}, OverflowError, "300"),
        ({"fill_value": [1, 2]}, ValueError, "fill_value=.*one number"),
    ],
)
def test_refuses(tmp_path, change, kind, message):
    arguments = {"shape": (5, 5, 5)} | change
    with pytest.raises(kind, match=message):
        lx.sphere_pack(arguments.pop("shape"), store=tmp_path / "pack.zarr", **arguments)
    assert not list(tmp_path.iterdir())


def test_one_voxel_between_faces():
    assert lx.sphere_pack((1, 5, 1), limits="faces").voxel_length == (20.0, 4.0, 20.0)
