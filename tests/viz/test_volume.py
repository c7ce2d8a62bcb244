"""Images in three dimensions: what is drawn lies where it should, in the colours that were asked for."""

import sys

import numpy as np
import pytest

import lithax as lx
from lithax.viz import volume

pyvista = pytest.importorskip("pyvista", reason="pip install 'lithax[volume]'")

SHAPE = (24, 20, 16)
RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def radius(shape=SHAPE):
    i, j, k = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return np.sqrt((i - 12.0) ** 2 + (j - 10.0) ** 2 + (k - 8.0) ** 2)


@pytest.fixture
def ball():
    return lx.from_array(
        (10 - radius()).astype("f4"), chunks=8, voxel_length=2.0, voxel_origin=(10.0, 0.0, 0.0), voxel_unit="um"
    )


def like(image, values):
    return lx.from_array(values, voxel_length=2.0, voxel_origin=(10.0, 0.0, 0.0), voxel_unit="um")


@pytest.fixture
def draw():
    made = []

    def draw(*args, **options):
        plotter = volume(*args, off_screen=True, size=(160, 140), **options)
        made.append(plotter)
        return plotter

    yield draw
    for plotter in made:
        plotter.close()


def meshes(plotter):
    """What is drawn besides the box around it, in the order in which it was added."""
    actors = [a for a in plotter.actors.values() if isinstance(a, pyvista.Actor)]
    return [(actor.mapper.dataset, actor) for actor in actors[:-1]]


def test_a_level_surface_encloses_what_it_should(draw, ball):
    """The values fall from 10 by one per voxel: at 5 lies a sphere of radius 5 voxels, 10 µm, about (34, 20, 16)."""
    ((mesh, _),) = meshes(draw(ball, surface=5.0))
    # Linear interpolation between voxels puts the points within the curvature of a cell, h²/8r = 0.05 µm.
    distance = np.linalg.norm(mesh.points - (34.0, 20.0, 16.0), axis=1)
    np.testing.assert_allclose(distance, 10.0, atol=0.06)
    assert mesh.n_open_edges == 0


def test_a_surface_that_meets_a_face_of_the_image_is_closed(draw, ball):
    ((mesh, _),) = meshes(draw(ball, surface=0.05))
    assert mesh.clean().n_open_edges == 0  # shading has doubled the points of sharp edges


def test_phases_have_their_colours(draw, ball):
    phases = like(ball, np.where(radius() < 5, 1, np.where(radius() < 7, 2, 0)).astype("u1"))
    drawn = meshes(draw(ball, segmentation=phases, colors={1: RED, 2: BLUE}))
    assert [tuple(actor.prop.color.float_rgb) for _, actor in drawn] == [RED, BLUE]
    inner, outer = (mesh for mesh, _ in drawn)
    # Smoothing moves the surface by at most half a voxel of a radius of 5: measured 14 % of the volume, 3 % at a radius of 10.
    assert inner.volume == pytest.approx(8 * (radius() < 5).sum(), rel=0.18)
    assert np.ptp(outer.points, axis=0) == pytest.approx([26, 26, 26], abs=2)
    assert inner.n_open_edges == 0


def test_phases_are_chosen(draw, ball):
    phases = like(ball, (1 + (radius() < 5)).astype("u1"))
    assert len(meshes(draw(ball, segmentation=phases))) == 2
    assert len(meshes(draw(ball, segmentation=phases, phases=[2]))) == 1
    assert len(meshes(draw(ball, segmentation=phases, colors={1: None}))) == 1


def test_a_block_has_the_size_of_the_image(draw, ball):
    ((mesh, _),) = meshes(draw(ball))
    assert mesh.bounds == pytest.approx((9, 57, -1, 39, -1, 31))
    nx, ny, nz = SHAPE
    assert mesh.n_cells == 2 * (nx * ny + nx * nz + ny * nz)


def test_what_is_clipped_or_outside_the_region_is_not_drawn(draw, ball):
    upper = lx.regions.HalfSpace(point=(0, 0, 15), normal=(0, 0, 1))
    lower = meshes(draw(ball, clip=~upper))[0][0].bounds[4:], meshes(draw(ball, clip=upper))[0][0].bounds[4:]
    assert sorted(lower) == [(-1.0, 15.0), (15.0, 31.0)]
    box = lx.regions.Box((19.5, 9.5, 9.5), (30.5, 20.5, 20.5))
    ((mesh, _),) = meshes(draw(ball, region=box))
    assert mesh.bounds == pytest.approx((19, 31, 9, 21, 9, 21))
    with pytest.raises(ValueError, match="region and clip leave nothing to draw"):
        draw(ball, region=box, clip=box)


def test_quality_decides_how_much_is_drawn(draw, ball):
    coarse, fine = (meshes(draw(ball, quality=quality))[0][0] for quality in (1000, "fine"))
    assert coarse.n_cells < fine.n_cells / 3
    # The last of every two voxels along an axis of even length belongs to a pair: the box is the same.
    assert coarse.bounds == pytest.approx(fine.bounds)


def test_a_coarser_level_is_read_in_place_of_every_second_voxel(draw, ball, monkeypatch):
    coarse = lx.from_array(ball[::2, ::2, ::2], voxel_length=4.0, voxel_origin=(11.0, 1.0, 1.0), voxel_unit="um")
    monkeypatch.setattr(ball.stored, "read_selection", lambda *args: pytest.fail("the finest level was read"))
    ((mesh, _),) = meshes(draw(ball, levels=[coarse], quality=2000))
    assert mesh.bounds == pytest.approx((9, 57, -1, 39, -1, 31))


def test_a_picture_shows_the_colours(draw, ball):
    """Not compared pixel by pixel, as every graphics driver draws a little differently."""
    phases = like(ball, (radius() < 7).astype("u1"))
    picture = np.asarray(draw(ball, segmentation=phases, colors={1: RED}).screenshot(return_img=True)).astype(int)
    red = (picture[..., 0] > 100) & (picture[..., 1:] < 60).all(axis=-1)
    assert 0.05 < red.mean() < 0.5


def test_a_translucent_volume_is_drawn(draw, ball):
    picture = draw(ball, opacity="linear", show_axes=False).screenshot(return_img=True)
    assert np.asarray(picture).std() > 5


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"quality": "best"}, ValueError, "quality='best' must be 'preview', 'normal', 'fine', 'full', or a number"),
        ({"surface": 1.0, "opacity": "linear"}, ValueError, "surface and opacity are two ways of drawing"),
        ({"surface": 99.0}, ValueError, "surface=99.0 lies beyond the values of the image, up to 10"),
        ({"clip": "x"}, TypeError, "clip is a str; give a region"),
        ({"segmentation": np.zeros(SHAPE, "u1")}, ValueError, r"phases=None: none of them is in the image, which has \[\]"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(draw, ball, options, error, words):
    with pytest.raises(error, match=words):
        draw(ball, **options)


def test_complex_images_are_asked_for_a_part(draw, ball):
    wave = lx.from_array(np.exp(1j * radius()))
    with pytest.raises(ValueError, match="choose what to show of it"):
        draw(wave)
    assert len(meshes(draw(wave, part="angle"))) == 1


def test_it_is_asked_for_by_name(ball, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvista", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lithax\[volume\]'"):
        volume(ball)
