"""What a notebook and xarray show of an image."""

import base64
import io
import re

import numpy as np
import pytest

import lithax as lx
from lithax.images._display import png

Image = pytest.importorskip("PIL.Image", reason="pillow checks the pictures: pip install pillow")


def pictures(image):
    page = image._repr_html_()
    assert "No picture" not in page
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in re.findall(r"base64,([^']*)'", page)]


def test_a_table_and_three_slices():
    values = np.arange(5 * 6 * 7, dtype="u2").reshape(5, 6, 7)
    image = lx.from_array(
        values, chunks=3, field_name="a < b", field_unit="HU", voxel_length=(1, 1, 2), voxel_unit="mm"
    )
    page = image._repr_html_()
    for text in ("a &lt; b [HU]", "5 × 6 × 7", "uint16", "420 bytes", "1 × 1 × 2 mm", "(3, 3, 3) (12)", "memory://"):
        assert text in page
    xy, xz, yz = pictures(image)
    assert (xy.shape[:2], xz.shape[:2], yz.shape[:2]) == ((6, 5), (7, 5), (7, 6))  # rows, columns
    # Along x one voxel is 42 grey values apart, along z one: brightness must rise to the right, and barely downwards.
    assert (np.diff(xz[..., 0].astype(int), axis=1) > 0).all()
    assert (xy[..., 1] == 255).all()


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((4, 4, 4), "u1"),
        np.full((4, 4, 4), np.nan, "f4"),
        np.full((4, 4, 4), np.inf),
        np.indices((4, 4, 4)).sum(0) % 2 == 0,
        np.exp(1j * np.arange(64.0)).reshape(4, 4, 4),
        np.ones((1, 1, 1)),
        np.ones((300, 1, 3), "i8"),
        np.array([[[-1e308, 1e308]]]),
        np.array([[[5e-324, 0]]]),
    ],
    ids=["constant", "nan", "inf", "bool", "complex", "voxel", "thin", "extreme", "denormal"],
)
@pytest.mark.filterwarnings("error")
def test_images_of_every_kind(values):
    for picture in pictures(lx.from_array(values)):
        assert (picture[..., 1] > 0).all() == np.isfinite(values).all()
        assert max(picture.shape) <= 256


def test_nan_is_transparent():
    plane = np.array([[0.0, 1.0], [np.nan, 2.0]])
    shown = np.asarray(Image.open(io.BytesIO(png(plane, 0.0, 2.0))))
    assert shown.tolist() == [[[0, 255], [127, 255]], [[0, 0], [255, 255]]]


def test_a_picture_of_a_large_image_reads_few_chunks(monkeypatch):
    image = lx.zeros((4000, 4000, 4000), "u1", chunks=64)
    count = []
    original = type(image.stored).read_chunk
    monkeypatch.setattr(
        type(image.stored), "read_chunk", lambda self, index: count.append(index) or original(self, index)
    )
    assert len(pictures(image)) == 3
    assert len(count) <= 3 * 9 * 9


def test_a_damaged_image_still_shows_its_table(tmp_path):
    image = lx.from_array(np.ones((4, 4, 4)), store=tmp_path / "a")
    (tmp_path / "a/c/0/0/0").write_bytes(b"x")
    page = image._repr_html_()
    assert "4 × 4 × 4" in page
    assert "No picture: " in page


def test_xarray(rng):
    xarray = pytest.importorskip("xarray", reason="run with xarray installed")
    values = rng.random((4, 5, 6))
    image = lx.from_array(
        values,
        chunks=2,
        field_name="porosity",
        field_unit="1",
        description="a test",
        voxel_length=(1, 2, 3),
        voxel_origin=(5, 6, 7),
        voxel_unit="mm",
    )
    array = image.to_xarray()
    assert isinstance(array, xarray.DataArray)
    assert array.dims == ("x", "y", "z")
    assert array.name == "porosity"
    assert array.attrs == {"long_name": "porosity", "units": "1", "description": "a test"}
    np.testing.assert_array_equal(array.y, [6, 8, 10, 12, 14])
    assert array.z.attrs == {"units": "mm"}
    np.testing.assert_array_equal(array[1:3, 2].values, values[1:3, 2])
    np.testing.assert_array_equal(array.isel(x=[0, 3], z=slice(None, None, -2)).values, values[[0, 3]][..., ::-2])
    back = lx.from_array(array)
    np.testing.assert_array_equal(back[...], values)
    assert back.metadata == image.metadata


def test_xarray_is_lazy(monkeypatch):
    pytest.importorskip("xarray", reason="run with xarray installed")
    image = lx.zeros((4000, 4000, 4000), "u1", chunks=64)
    array = image.to_xarray()
    monkeypatch.setattr(type(image), "__array__", lambda *a, **k: pytest.fail("the whole image was read"))
    assert array[10, 20, 30].item() == 0
