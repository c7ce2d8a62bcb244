"""A crop is the voxels of a box, at the place where they lie."""

import numpy as np
import pytest

import lithax as lx
from lithax.testing import assert_same_bits

SHAPE = (30, 24, 20)
PLACE = {"voxel_origin": (10.0, -4.0, 0.5), "voxel_length": (2.0, 1.0, 0.5), "voxel_unit": "um", "field_name": "scan"}


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 1000, SHAPE).astype("u2")


@pytest.fixture
def image(voxels):
    return lx.from_array(voxels, chunks=7, **PLACE)


@pytest.mark.parametrize(
    "box",
    [
        np.s_[3:20, :, 5:],
        np.s_[...],
        np.s_[2:9],
        np.s_[..., -4:],
        np.s_[7:14, 14:21, 0:7],  # whole chunks
        (slice(1, 2), slice(None, -1), slice(0, 1000)),
    ],
)
def test_slices_keep_the_place(box, image, voxels):
    part = image.crop(box)
    assert_same_bits(part[...], voxels[box])
    whole = voxels[box]
    assert part.shape == whole.shape
    first = image.coordinate_to_index(*part.voxel_origin)
    assert voxels[first] == part[0, 0, 0]
    assert (part.voxel_length, part.voxel_unit, part.field_name) == (image.voxel_length, "um", "scan")
    assert_same_bits(part[1:2, -3:, ::2], whole[1:2, -3:, ::2])
    assert part.dtype == image.dtype


def test_slices_may_be_given_one_by_one(image, voxels):
    assert_same_bits(image.crop(slice(1, 4), slice(2, 5), slice(3, 6))[...], voxels[1:4, 2:5, 3:6])
    assert_same_bits(image.crop(slice(1, 4))[...], voxels[1:4])


SPHERE = lx.regions.Sphere((40.0, 8.0, 5.0), 7.0)
REGIONS = [
    SPHERE,
    lx.regions.Box((20.0, 0.0, 1.0), (30.0, 5.0, 3.0)),
    lx.regions.Cylinder((40, 8, 5), (1, 1, 0.3), 3.0, 20.0),
    lx.regions.HalfSpace((30.0, 0.0, 0.0), (1.0, 0.2, 0.0)),
    SPHERE | lx.regions.Sphere((60.0, 15.0, 9.0), 1.1),
    SPHERE & lx.regions.HalfSpace((40, 8, 5), (1, 1, 1)),
    ~SPHERE,
]


@pytest.mark.parametrize("region", REGIONS, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("factor", [1, 5])
def test_a_region_gives_its_smallest_box(region, factor):
    """Also of an image of many voxels, where most are decided by the distance of a cell."""
    shape = tuple(n * factor for n in SHAPE)
    length = tuple(h / factor for h in PLACE["voxel_length"])
    image = lx.zeros(shape, "u1", **PLACE | {"voxel_length": length})
    part = image.crop(region)
    inside = np.argwhere(region.contains(*image.frame.coordinates()))
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    assert part.shape == tuple(high - low)
    assert part.voxel_origin == pytest.approx(image.index_to_coordinate(*low), abs=1e-12)


def test_a_crop_is_an_image(image, voxels, tmp_path):
    box = np.s_[3:20, 1:23, 5:]
    part, alone = image.crop(box), lx.from_array(voxels[box], like=image.crop(box))
    assert (alone.voxel_origin, alone.voxel_length, alone.voxel_unit) == (part.voxel_origin, (2.0, 1.0, 0.5), "um")
    for boundary in ("reflect", "wrap", "constant"):
        found = lx.chunk_map(lx.ops.gaussian, part, sigma=1.0, boundary=boundary)
        # Faces of the crop are faces of an image: no voxel beyond them is seen.
        assert_same_bits(found[...], lx.chunk_map(lx.ops.gaussian, alone, sigma=1.0, boundary=boundary)[...])
    assert found.voxel_origin == part.voxel_origin
    assert lx.measure.moments(part).mean == pytest.approx(voxels[box].mean(), rel=1e-12)
    ball = lx.regions.Sphere((30, 8, 5), 6)
    assert float(lx.measure.porosity(part <= 300, where=ball)) == float(lx.measure.porosity(alone <= 300, where=ball))
    made = part.copy(tmp_path / "part.zarr")
    assert_same_bits(made[...], voxels[box])
    assert made.frame == part.frame
    assert made.field_name == "scan"
    assert made.chunks == (7, 7, 7)
    assert "scan" in part._repr_html_()
    assert part.content_hash() == made.content_hash() == alone.content_hash()
    assert (part == alone)[...].all()
    assert_same_bits(lx.chunk_map(lambda v: v, part, chunks=4)[...], voxels[box])


def test_crops_of_crops_and_of_expressions(image, voxels):
    part = image.crop(np.s_[3:20, 1:23, 5:]).crop(np.s_[1:9, 2:, :10])
    assert_same_bits(part[...], voxels[4:12, 3:23, 5:15])
    assert part.voxel_origin == image.index_to_coordinate(4, 3, 5)
    chosen = ((image <= 500) & (voxels > 20)).crop(np.s_[3:20, 1:23, 5:])
    assert_same_bits(chosen[...], ((voxels <= 500) & (voxels > 20))[3:20, 1:23, 5:])
    assert chosen.voxel_origin == image.index_to_coordinate(3, 1, 5)
    again = (~chosen).crop(np.s_[1:9, 2:, :10])
    assert_same_bits(again[...], ~((voxels <= 500) & (voxels > 20))[4:12, 3:23, 5:15])
    assert float(lx.measure.porosity(again)) == again[...].mean()
    assert_same_bits(lx.chunk_map(lambda v: v, again)[...], again[...])


def test_a_crop_is_a_view(image, voxels):
    part = image.crop(np.s_[3:20])
    image[5, 0, 0] = 7
    image.update(field_name="rock")
    assert part[2, 0, 0] == 7
    assert part.field_name == "rock"
    with pytest.raises(PermissionError, match="write to the image that it is a part of"):
        part[0, 0, 0] = 1
    with pytest.raises(PermissionError, match="write to the image"):
        part += 1


def test_copies_of_a_region(image, voxels, tmp_path):
    made = image.copy(tmp_path / "a.zarr", region=np.s_[3:9, 4:8, :])
    assert_same_bits(made[...], voxels[3:9, 4:8])
    assert made.voxel_origin == image.index_to_coordinate(3, 4, 0)
    sphere = image.copy(region=SPHERE)
    assert sphere.frame == image.crop(SPHERE).frame
    assert made.nbytes == made.size * 2


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        ((np.s_[::2],), ValueError, "step 2 along x.*coarsen"),
        ((np.s_[5:5],), ValueError, "no voxel along x, of which there are 30"),
        ((np.s_[3, :, :],), TypeError, r"got the number 3; give a region, .* slice\(3, 4\)"),
        ((np.s_[:, :, :, :],), ValueError, "too many slices"),
        (("core",), TypeError, "got an object of type str; give a region"),
        ((lx.regions.Sphere((0, 0, 0), 0.5),), ValueError, "no voxel centre of the image, whose extent is.*um"),
    ],
)
def test_what_is_no_part_is_refused(selection, error, message, image):
    with pytest.raises(error, match=message):
        image.crop(*selection)


def test_arrays_like_an_image(image, voxels):
    found = lx.from_array(image[...] * 2, like=image)
    assert found.frame == image.frame
    assert found.chunks == image.chunks
    assert lx.from_array(voxels, like=image, voxel_unit="mm").voxel_unit == "mm"
    with pytest.raises(ValueError, match=r"like=image.crop\(...\) with the same slices"):
        lx.from_array(image[2:5], like=image)
    moved = lx.from_array(image[2:5], like=image, voxel_origin=(14, -4, 0.5))
    assert (moved.voxel_origin, moved.voxel_length) == ((14.0, -4.0, 0.5), (2.0, 1.0, 0.5))
    with pytest.raises(TypeError, match="like is a ndarray"):
        lx.from_array(voxels, like=voxels)


def test_runs_on_a_crop_resume_by_its_place(image, voxels, tmp_path):
    stored = image.copy(tmp_path / "a.zarr")

    def run(box, **options):
        return lx.chunk_map(lambda v: v + 1, stored.crop(box), store=tmp_path / "out.zarr", **options)

    run(np.s_[3:20])
    run(np.s_[3:20], resume=True)
    with pytest.raises(lx.errors.ResumeError, match=r"inputs|geometry"):
        run(np.s_[4:21], resume=True)
    with pytest.raises(ValueError, match="holds one of the inputs"):
        lx.chunk_map(lambda v: v, stored.crop(np.s_[3:20]), store=tmp_path / "a.zarr", overwrite=True)
