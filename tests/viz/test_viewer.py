"""The viewer: what its options do, how it is used with the mouse, and what it reads."""

import contextlib
import dataclasses
import importlib.util
import io
import itertools
import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

import lithax as lx
from lithax.chunked import ChunkCache
from lithax.errors import NoDisplayError
from lithax.testing import on_threads
from lithax.viz import OrthogonalViewer, ViewState, levels_of, render
from lithax.viz._render import ViewCache

SHAPE = (24, 20, 16)


@pytest.fixture
def values(rng):
    return rng.integers(0, 1000, SHAPE).astype("u2")


@pytest.fixture
def rock(values):
    return lx.from_array(
        values,
        chunks=6,
        shards=12,
        voxel_length=(1.0, 2.0, 4.0),
        voxel_origin=(10.0, 0.0, -8.0),
        voxel_unit="um",
        field_name="attenuation",
        field_unit="1/um",
    )


def like(image, values):
    frame = image.frame
    return lx.from_array(
        values, voxel_length=frame.voxel_length, voxel_origin=frame.voxel_origin, voxel_unit=frame.voxel_unit
    )


def viewer_of(image, **options):
    return OrthogonalViewer(image, window=False, **options)


class TestSlices:
    def test_they_go_through_the_reference_voxel(self, rock, values):
        panels = render(ViewState(image=rock, reference_voxel=(3, 4, 5))).panels
        np.testing.assert_array_equal(panels["xy"].values, values[:, :, 5].T)
        np.testing.assert_array_equal(panels["xz"].values, values[:, 4, :].T)
        np.testing.assert_array_equal(panels["zy"].values, values[3, :, :])  # z across, y upwards
        assert panels["xy"].extent == (9.5, 33.5, -1.0, 39.0)
        assert panels["zy"].extent == (-10.0, 54.0, -1.0, 39.0)
        assert panels["xy"].title == "xy at z = 12 µm"
        assert panels["xy"].guide == (13.0, 8.0)
        assert panels["zy"].guide == (12.0, 8.0)

    def test_the_middle_is_the_default(self, rock):
        assert ViewState(image=rock).voxel == (12, 10, 8)

    def test_a_point_stands_for_its_voxel(self, rock):
        viewer = viewer_of(rock, reference_point=(12.9, 9.5, 0.0))
        assert viewer.reference_voxel == (3, 5, 2)
        viewer.reference_point = (30.0, 0.0, 0.0)
        assert viewer.reference_point == (30.0, 0.0, 0.0)

    def test_colours_run_between_the_limits(self, rock, values):
        state = ViewState(image=rock, limits=(100, 500))
        panel = render(state).panels["xy"]
        grey = np.round(255 * np.clip((values[:, :, 8].T - 100.0) / 400, 0, 1))
        # The colour map has 256 steps: half of one either way.
        np.testing.assert_allclose(panel.pixels[..., 0], grey, atol=1)
        assert (np.ptp(panel.pixels, axis=2) == 0).all()

    def test_limits_are_percentiles_at_first(self, rock, values):
        assert render(ViewState(image=rock)).limits == tuple(np.percentile(values, [0.05, 99.95]))

    def test_zoom_shows_a_part_and_reads_only_its_chunks(self, rock, values):
        cache = ViewCache()
        state = ViewState(image=rock, zoom=4, center=(15.0, 10.0, 2.0), reference_voxel=(5, 5, 2), histogram="full")
        panel = render(state, cache).panels["xy"]
        # A quarter of 24 and of 40 about the centre.
        assert panel.window == (12.0, 18.0, 5.0, 15.0)
        np.testing.assert_array_equal(panel.values, values[2:9, 3:8, 2].T)
        assert cache.reader.decoded <= 12

    def test_the_window_stays_within_the_image(self, rock):
        state = ViewState(image=rock, zoom=2, center=(0.0, 100.0, 0.0))
        assert state.window == ((9.5, 21.5), (19.0, 39.0), (-10.0, 22.0))


class TestOverlays:
    def test_phases_have_the_colour_that_was_asked_for(self, rock, values):
        phases = (values > 500).astype("u1") + (values > 900)
        state = ViewState(
            image=rock,
            segmentation=like(rock, phases.astype("u1")),
            segmentation_colors={1: "red", 2: None},
            segmentation_alpha=1.0,
        )
        panel = render(state).panels["xy"]
        cut = phases[:, :, 8].T
        assert (panel.pixels[cut == 1] == (255, 0, 0)).all()
        grey = panel.pixels[cut != 1]
        assert (np.ptp(grey, axis=1) == 0).all()

    def test_alpha_mixes(self, rock):
        state = ViewState(
            image=rock,
            segmentation=like(rock, np.ones(SHAPE, "u1")),
            segmentation_colors={1: "black"},
            segmentation_alpha=0.25,
        )
        plain = render(state.replace(segmentation=None)).panels["xy"].pixels
        mixed = render(state).panels["xy"].pixels
        np.testing.assert_allclose(mixed, 0.75 * plain, atol=1)  # rounded

    def test_the_mask_covers_what_is_left_out(self, rock, values):
        mask = values < 300
        state = ViewState(image=rock, mask=like(rock, mask), mask_color="#0000ff", mask_alpha=1.0)
        picture = render(state)
        np.testing.assert_array_equal((picture.panels["xz"].pixels == (0, 0, 255)).all(axis=2), mask[:, 10, :].T)
        assert picture.counted.total == (~mask).sum()

    def test_the_region_sits_where_its_voxels_are(self, rock):
        """Not shifted by one voxel, as in the earlier tool."""
        region = lx.regions.Sphere((20.0, 18.0, 20.0), 9.0)
        state = ViewState(image=rock, region=region, mask_color="#0000ff", mask_alpha=1.0)
        picture = render(state)
        inside = lx.regions.inside(rock, region)[:]
        np.testing.assert_array_equal((picture.panels["xy"].pixels == (0, 0, 255)).all(axis=2), ~inside[:, :, 8].T)
        assert picture.counted.total == inside.sum()

    def test_the_outline_lies_on_the_surface(self, rock):
        region = lx.regions.Sphere((20.0, 18.0, 24.0), 9.0)
        (line,) = render(ViewState(image=rock, region=region)).panels["xy"].outlines
        # The distance is taken on a grid of 300 points over 24 and 40 µm, linear in between.
        np.testing.assert_allclose(np.hypot(line[:, 0] - 20, line[:, 1] - 18), 9.0, atol=0.01)
        assert render(ViewState(image=rock, region=region, show_region_outline=False)).panels["xy"].outlines == ()

    def test_arrays_serve_as_overlays(self, rock, values):
        picture = render(ViewState(image=rock, mask=values < 300, segmentation=(values > 500).astype("u1")))
        assert set(picture.counted.phases) == {0, 1}

    def test_boolean_segmentations_and_many_labels(self, rock, rng):
        assert render(ViewState(image=rock, segmentation=np.ones(SHAPE, bool))).counted.phases.keys() == {1}
        labels = rng.integers(0, 2**31, SHAPE).astype("u4")
        picture = render(ViewState(image=rock, segmentation=labels))
        assert picture.counted.phases == {}
        assert len(picture.legend) == 13
        assert picture.legend[-1].label.startswith("and ")

    def test_contours_lie_at_their_value(self):
        ramp = lx.from_array(np.broadcast_to(np.arange(20.0)[:, None, None], (20, 10, 10)).copy(), voxel_length=0.5)
        (line,) = render(ViewState(image=ramp, contours=7.25)).panels["xy"].contours
        np.testing.assert_allclose(line[:, 0], 7.25 * 0.5)

    def test_chunk_and_shard_lines_lie_on_their_faces(self, rock):
        panel = render(ViewState(image=rock, show_chunks=True, show_shards=True)).panels["xy"]
        np.testing.assert_allclose(panel.chunk_lines[0], [15.5, 21.5, 27.5])
        np.testing.assert_allclose(panel.chunk_lines[1], [11.0, 23.0, 35.0])
        np.testing.assert_allclose(panel.shard_lines[0], [21.5])

    def test_no_shards_is_said(self, values):
        picture = render(ViewState(image=lx.from_array(values, chunks=6), show_shards=True))
        assert any("no shards" in note for note in picture.notes)


class TestLegend:
    def test_phases_have_their_names_and_colours(self, rock, values):
        segmentation = (1 + (values > 500)).astype("u1")
        picture = render(ViewState(image=rock, segmentation=segmentation, phase_names={1: "pore"}))
        assert [entry.label for entry in picture.legend] == ["pore", "phase 2"]
        labels = [curve.label for curve in picture.histogram.curves]
        assert labels == ["all voxels", "pore", "phase 2"]
        assert picture.legend[0].color == picture.histogram.curves[1].color

    def test_everything_drawn_is_named(self, rock, values):
        picture = render(
            ViewState(image=rock, mask=values < 300, contours=[500], show_chunks=True, show_shards=True, region=None)
        )
        assert [e.label for e in picture.legend] == ["left out", "contour at 500", "chunks", "shards"]
        assert render(picture.state.replace(show_legend=False)).legend == ()


class TestHistogram:
    def test_it_adds_up(self, rock, values):
        segmentation = (values > 500).astype("u1")
        picture = render(ViewState(image=rock, segmentation=segmentation))
        whole, *parts = picture.histogram.curves
        assert whole.shares.sum() == pytest.approx(100)
        for part in parts:
            assert part.shares.sum() == pytest.approx(100 * (segmentation == part.phase).mean())
        assert picture.histogram.label == "attenuation [1/µm]"

    def test_bins(self, rock):
        assert render(ViewState(image=rock, histogram_bins=10)).counted.counts.size == 10
        edges = np.array([0.0, 100.0, 1000.0])
        assert render(ViewState(image=rock, histogram_bins=edges)).counted.edges.tolist() == [0, 100, 1000]

    def test_a_large_image_is_sampled_and_says_so(self, rock, monkeypatch):
        monkeypatch.setattr("lithax.viz._distribution.SMALL", 1000)
        sampled = render(ViewState(image=rock))
        assert sampled.histogram.note == "sample: 12 of 48 chunks"
        assert sampled.counted.total < rock.size
        whole = render(ViewState(image=rock, histogram="full"))
        assert whole.histogram.note == ""
        assert whole.counted.total == rock.size

    def test_the_whole_of_a_large_image_with_everything_left_out(self, rock, values, monkeypatch):
        monkeypatch.setattr("lithax.viz._distribution.SMALL", 1000)
        region = lx.regions.Box((12, 4, 0), (25, 30, 30))
        state = ViewState(image=rock, histogram="full", mask=values < 300, region=region, segmentation=values > 500)
        valid = (values >= 300) & lx.regions.inside(rock, region)[:]
        counted = render(state).counted
        assert counted.total == valid.sum()
        assert counted.phases[1].total == (valid & (values > 500)).sum()

    def test_one_that_was_measured_before_is_shown(self, rock):
        measured = lx.measure.histogram(rock, 7)
        assert render(ViewState(image=rock, histogram=measured)).counted is measured

    def test_it_is_not_counted_again_without_need(self, rock):
        viewer = viewer_of(rock)
        before = viewer.histogram
        viewer.update(reference_voxel=(1, 1, 1), color_map="magma", segmentation_alpha=0.1)
        assert viewer.histogram is before
        viewer.update(region=lx.regions.Sphere((20, 20, 20), 8))
        assert viewer.histogram is not before


class TestLevels:
    @pytest.fixture
    def large(self, rng):
        return lx.from_array(rng.integers(0, 99, (512, 512, 8)).astype("u1"), chunks=64, voxel_unit="mm")

    @pytest.fixture
    def coarse(self, large):
        frame = large.frame.rescaled((4, 4, 1))
        return lx.from_array(
            large[::4, ::4],
            chunks=64,
            voxel_length=frame.voxel_length,
            voxel_origin=frame.voxel_origin,
            voxel_unit="mm",
        )

    def test_the_coarser_one_is_read_where_it_is_sharp_enough(self, large, coarse):
        state = ViewState(image=large, levels=[coarse], figure_style={"figsize": (6, 5), "dpi": 60})
        panel = render(state).panels["xy"]
        assert panel.level == 1
        np.testing.assert_array_equal(panel.values, coarse[:, :, 4].T)
        assert panel.extent == (-0.5, 511.5, -0.5, 511.5)
        near = render(state.replace(zoom=8)).panels["xy"]
        assert near.level == 0
        assert near.step == 1

    def test_without_levels_every_few_voxels_are_drawn(self, large):
        state = ViewState(image=large, figure_style={"figsize": (4, 3), "dpi": 60})
        panel = render(state).panels["xy"]
        assert panel.step > 1
        half = panel.step // 2
        # The voxel in the middle of those that share a pixel.
        rows, columns = panel.values.shape
        np.testing.assert_array_equal(
            panel.values[: rows - 1, : columns - 1],
            large[half :: panel.step, half :: panel.step, 4].T[: rows - 1, : columns - 1],
        )

    def test_an_overlay_lies_where_it_belongs_on_any_level(self, large, coarse):
        mask = np.zeros(large.shape, bool)
        mask[100:200, 300:400] = True
        state = ViewState(image=large, levels=[coarse], mask=mask, figure_style={"figsize": (6, 5), "dpi": 60})
        masked = render(state).panels["xy"].masked
        np.testing.assert_array_equal(masked, mask[2::4, 2::4, 4].T)

    def test_the_image_may_know_its_levels(self, large, coarse):
        class Pyramid(lx.VoxelImage):
            levels = (coarse,)

        assert levels_of(Pyramid(large.stored))[1:] == (coarse,)

    def test_levels_from_elsewhere_are_refused(self, large, coarse):
        moved = lx.from_array(coarse[:], voxel_length=coarse.voxel_length, voxel_origin=(50, 0, 0), voxel_unit="mm")
        with pytest.raises(ValueError, match=r"levels holds an image of shape .* begins at"):
            levels_of(large, [moved])
        other = lx.from_array(coarse[:], voxel_length=coarse.voxel_length, voxel_origin=coarse.voxel_origin)
        with pytest.raises(ValueError, match="is in '', the image in 'mm'"):
            levels_of(large, [other])

    def test_moving_on_within_a_layer_of_chunks_decodes_nothing(self, large):
        cache = ViewCache()

        def decoded(*voxel):
            before = cache.reader.decoded
            state = ViewState(image=large, reference_voxel=voxel, histogram="full")
            picture, anew = render(state, cache), render(state)
            for name, panel in picture.panels.items():
                np.testing.assert_array_equal(panel.values, anew.panels[name].values)
            return cache.reader.decoded - before

        assert decoded(10, 10, 1) > 0
        assert decoded(11, 11, 2) > 0  # somebody moves: neighbouring planes are kept from here on
        assert decoded(50, 40, 6) == 0
        assert decoded(11, 11, 2) == 0
        assert decoded(70, 40, 6) > 0  # another layer along x
        assert decoded(11, 40, 1) == 0

    def test_a_jump_keeps_nothing_but_the_planes(self, large):
        cache = ViewCache()
        for voxel in ((10, 10, 1), (200, 100, 1), (100, 300, 1)):
            render(ViewState(image=large, reference_voxel=voxel, histogram="full"), cache)
        assert all(1 in slab.shape for _, slab in cache.reader._slabs.values())

    def test_chunks_of_an_image_that_fits_into_memory_are_decoded_once(self, large, monkeypatch):
        read = []
        whole = large.stored.read_chunk
        monkeypatch.setattr(large.stored, "read_chunk", lambda index: read.append(index) or whole(index))
        known = lx.measure.histogram(large)
        read.clear()
        cache = ViewCache()
        for voxel in ((200, 100, 4), (20, 110, 1), (300, 70, 6), (200, 400, 7)):
            render(ViewState(image=large, reference_voxel=voxel, show_xy_plane=False, histogram=known), cache)
        assert read
        assert len(set(read)) == len(read)
        cache.clear()
        render(ViewState(image=large, reference_voxel=(200, 100, 4), show_xy_plane=False, histogram=known), cache)
        assert len(set(read)) < len(read)
        cache.reader._chunks = ChunkCache(large.nbytes - 1)
        render(ViewState(image=large, reference_voxel=(20, 110, 1), show_xy_plane=False, histogram=known), cache)
        assert not cache.reader._chunks._kept

    def test_only_the_chunks_that_are_cut_are_read(self, large, monkeypatch):
        known = lx.measure.histogram(large)
        read = []
        whole, part = large.stored.read_chunk, large.stored.read
        chunk_of = lambda box: tuple(s.start // c for s, c in zip(box, large.chunks, strict=True))  # noqa: E731
        monkeypatch.setattr(large.stored, "read_chunk", lambda index: read.append(index) or whole(index))
        monkeypatch.setattr(large.stored, "read", lambda box, out=None: read.append(chunk_of(box)) or part(box, out))
        render(ViewState(image=large, reference_voxel=(200, 100, 4), show_xy_plane=False, histogram=known))
        assert {index for index in read if index[0] != 3 and index[1] != 1} == set()
        assert len(read) == 16


class TestBadInput:
    def test_one_slice(self, values):
        picture = render(ViewState(image=lx.from_array(values[:, :, :1])))
        assert list(picture.panels) == ["xy"]
        assert list(render(ViewState(image=lx.from_array(values[:1]))).panels) == ["zy"]
        assert list(render(ViewState(image=lx.from_array(values[:1, :, :1]))).panels) == ["xy", "zy"]
        assert list(render(ViewState(image=lx.from_array(values[:1, :1, :1]))).panels) == ["xy"]
        viewer_of(lx.from_array(values[:1, :1, :1]))

    def test_constant(self):
        viewer = viewer_of(lx.full((5, 6, 7), "u1", 3))
        assert viewer.picture.notes == ("every voxel is 3",)
        assert (viewer.picture.panels["xy"].pixels == 128).all()

    def test_nothing_but_nan(self):
        viewer = viewer_of(lx.full((5, 6, 7), "f4", np.nan))
        assert viewer.picture.notes == ("no voxel holds a number",)
        assert viewer.limits == (0.0, 1.0)

    def test_infinities(self, rng):
        field = rng.normal(size=(8, 8, 8)).astype("f4")
        field[4, 4, :] = np.inf, -np.inf, np.nan, 0, 0, 0, 0, 0
        viewer = viewer_of(lx.from_array(field), reference_voxel=(4, 4, 0))
        assert np.isfinite(viewer.limits).all()

    def test_everything_masked(self, rock):
        assert "no voxel is taken in" in viewer_of(rock, mask=np.ones(SHAPE, bool)).picture.notes

    def test_boolean(self, values):
        picture = viewer_of(lx.from_array(values > 500)).picture
        assert picture.limits == (0.0, 1.0)
        assert set(np.unique(picture.panels["xy"].pixels)) == {0, 255}

    def test_complex_asks_which_part(self, values):
        image = lx.from_array(values * np.exp(0.3j))
        with pytest.raises(ValueError, match=r"complex128\); choose what to show of it: part='real' or 'imaginary'"):
            viewer_of(image)
        panel = render(ViewState(image=image, part="magnitude")).panels["xy"]
        np.testing.assert_allclose(panel.values, values[:, :, 8].T, rtol=1e-12)
        np.testing.assert_allclose(
            render(ViewState(image=image, part="angle")).panels["xy"].values[values[:, :, 8].T > 0], 0.3
        )
        with pytest.raises(ValueError, match="part='real' is for complex images"):
            ViewState(image=lx.from_array(values), part="real")

    def test_an_image_that_is_still_being_written(self, rock, tmp_path):
        image = rock.copy(tmp_path / "image")
        image.stored.update_metadata(state="writing")
        image = lx.open(tmp_path / "image", incomplete=True)
        viewer = viewer_of(image)
        assert "still being written" in viewer.picture.notes[0]
        image[:] = 7
        image.stored.update_metadata(state="complete")
        viewer.refresh()
        assert viewer.picture.notes == ("every voxel is 7",)

    @pytest.mark.parametrize(
        ("display", "words"),
        [("", "there is no display here"), (":987", r"draws into files only \(.*nothing answers at DISPLAY=:987")],
    )
    def test_no_display(self, rock, monkeypatch, display, words):
        from matplotlib import pyplot

        monkeypatch.setattr(matplotlib, "get_backend", lambda **options: "agg")
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setenv("DISPLAY", display)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        viewer = viewer_of(rock)
        with pytest.raises(NoDisplayError, match=rf"no window can be opened: .*{words}.*%matplotlib widget"):
            viewer.show()
        assert not pyplot.get_fignums()

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"layout": "3x1"}, ValueError, "layout='3x1' must be '2x2' or 'vertical' or 'horizontal'"),
            ({"template": "CT"}, ValueError, "template='CT' must be 'X-ray CT' or 'scalar field'"),
            ({"status_mode": "index"}, ValueError, "status_mode='index' must be 'coordinate' or 'voxel'"),
            ({"reference_voxel": (24, 0, 0)}, IndexError, r"reference_voxel=\(24, 0, 0\) is not a voxel"),
            ({"reference_point": (0.0, 0.0, 0.0)}, ValueError, "must lie within the extent"),
            ({"limits": (2, 1)}, ValueError, r"limits=\(2, 1\) must be two finite values"),
            ({"mask_alpha": 2}, ValueError, "mask_alpha=2 must lie between 0"),
            ({"zoom": 0}, ValueError, "zoom=0 must be a positive number"),
            ({"color_map": "grey scale"}, ValueError, "color_map='grey scale' is no colour map"),
            ({"segmentation_colors": {1: "rot"}}, ValueError, "segmentation_colors holds 'rot'"),
            ({"mask_color": "rot"}, ValueError, "mask_color='rot' is no colour"),
            ({"mask": np.zeros((2, 2, 2), bool)}, ValueError, r"mask has shape \(2, 2, 2\), the image"),
            ({"mask": np.zeros(SHAPE)}, TypeError, "mask has dtype float64; it must be boolean"),
            ({"segmentation": np.zeros(SHAPE, "i4")}, TypeError, "segmentation has dtype int32; it must be unsigned"),
            ({"segmentation": [1]}, TypeError, "segmentation is a list; give an image"),
            ({"region": "sphere"}, TypeError, "region is a str"),
            ({"figure_style": {"size": 3}}, ValueError, "figure_style has size; it knows dpi, facecolor, figsize"),
            ({"guide_line_style": "red"}, TypeError, "guide_line_style='red' must be a mapping"),
            ({"show_everything": True}, TypeError, "show_everything is nothing that a viewer has; it has center,"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_is_refused_and_nothing_changes(self, rock, options, error, words):
        with pytest.raises(error, match=words):
            viewer_of(rock, **options)
        viewer = viewer_of(rock)
        state, drawn = viewer.state, viewer.redraws
        with pytest.raises(error, match=words):
            viewer.update(**options)
        assert viewer.state is state
        assert viewer.redraws == drawn

    def test_an_array_is_no_image(self, values):
        with pytest.raises(TypeError, match=r"image is a ndarray; give a VoxelImage \(lx.open, or lx.from_array"):
            OrthogonalViewer(values)

    def test_a_mask_from_elsewhere(self, rock):
        with pytest.raises(ValueError, match="mask lies elsewhere"):
            viewer_of(rock, mask=lx.from_array(np.zeros(SHAPE, bool)))


class TestLiveProperties:
    def test_every_value_of_the_state_is_one(self):
        for field in dataclasses.fields(ViewState):
            assert hasattr(OrthogonalViewer, field.name), field.name

    def test_setting_one_draws_once(self, rock):
        viewer = viewer_of(rock)
        drawn = viewer.redraws
        viewer.color_map = "viridis"
        assert viewer.redraws == drawn + 1
        assert viewer.color_map == "viridis"
        assert viewer.ax_xy.images[0].get_array()[0, 0].tolist() == viewer.picture.panels["xy"].pixels[0, 0].tolist()

    def test_setting_several_draws_once(self, rock):
        viewer = viewer_of(rock)
        drawn = viewer.redraws
        viewer.update(limits=(0, 10), reference_voxel=(0, 0, 0), show_guide_lines=False, layout="horizontal")
        assert viewer.redraws == drawn + 1
        assert viewer.limits == (0.0, 10.0)

    def test_the_state_is_not_changed_but_replaced(self, rock):
        state = ViewState(image=rock)
        with pytest.raises(dataclasses.FrozenInstanceError):
            state.zoom = 3
        assert state.replace(zoom=2).zoom == 2
        assert state.zoom == 1

    def test_rendering_is_pure(self, rock):
        state = ViewState(image=rock, segmentation=rock[:].astype("u2"))
        cache = ViewCache()
        pictures = [render(state), render(state, cache), render(state, cache)]
        for name in state.planes:
            for picture in pictures[1:]:
                np.testing.assert_array_equal(picture.panels[name].pixels, pictures[0].panels[name].pixels)

    def test_what_can_be_hidden(self, rock):
        viewer = viewer_of(rock)
        assert viewer.ax_histogram is not None
        viewer.update(show_histogram=False, show_color_bar=False, show_zy_plane=False)
        assert (viewer.ax_histogram, viewer.ax_color_bar, viewer.ax_zy) == (None, None, None)
        assert len(viewer.figure.axes) == 2
        viewer.update(show_axes=False, show_scale_bar=False, show_guide_lines=False)
        assert viewer.ax_xy.get_xticks().size == 0
        assert len(viewer.ax_xy.lines) == 0
        assert viewer.picture.panels["xy"].scale_bar is None

    def test_styles_go_over_those_of_the_template(self, rock):
        viewer = viewer_of(rock, guide_line_style={"c": "red", "lw": 3}, histogram_line_style={"linestyle": ":"})
        assert viewer.ax_xy.lines[0].get_color() == "red"
        assert viewer.ax_xy.lines[0].get_linewidth() == 3
        assert viewer.histogram_lines[None].get_linestyle() == ":"
        viewer.template = "scalar field"
        assert viewer.state.look.color_map == "viridis"
        assert viewer.ax_xy.lines[0].get_color() == "red"

    def test_layouts(self, rock):
        viewer = viewer_of(rock, layout="vertical")
        boxes = [axes.get_position() for axes in (viewer.ax_xy, viewer.ax_zy, viewer.ax_xz, viewer.ax_histogram)]
        assert all(a.y0 > b.y1 for a, b in itertools.pairwise(boxes))
        viewer.layout = "horizontal"
        boxes = [axes.get_position() for axes in (viewer.ax_xy, viewer.ax_zy, viewer.ax_xz, viewer.ax_histogram)]
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))

    def test_all_slices_have_one_scale(self, rock):
        viewer = viewer_of(rock)
        scales = []
        for axes in (viewer.ax_xy, viewer.ax_zy, viewer.ax_xz):
            box = axes.get_window_extent()
            scales += [box.width / np.ptp(axes.get_xlim()), box.height / np.ptp(axes.get_ylim())]
        np.testing.assert_allclose(scales, scales[0], rtol=1e-6)

    def test_fitting(self, rock):
        viewer = viewer_of(rock, figure_style={"figsize": (12, 5)})
        viewer.shrink_to_fit()
        small = viewer.figure.get_size_inches()
        assert small[0] < 12
        assert small[1] == pytest.approx(5, abs=0.01)
        viewer.figure_style = {"figsize": (12, 5)}
        viewer.expand_to_fit()
        large = viewer.figure.get_size_inches()
        assert large[1] > 5
        assert large[0] == pytest.approx(12, abs=0.01)

    def test_phase_colors(self, rock, values):
        viewer = viewer_of(rock, segmentation=(values > 500).astype("u1"), segmentation_colors={1: "red"})
        assert viewer.phase_colors == {0: None, 1: (1.0, 0.0, 0.0)}

    def test_a_viewer_leaves_no_window_and_no_setting_behind(self, rock):
        before = dict(matplotlib.rcParams)
        viewer_of(rock).save(io.BytesIO())
        assert dict(matplotlib.rcParams) == before
        assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()

    def test_it_is_saved_and_shown_as_a_picture(self, rock, tmp_path):
        viewer = viewer_of(rock)
        assert viewer.save(tmp_path / "a.svg").read_text().startswith("<?xml")
        assert viewer._repr_png_().startswith(b"\x89PNG")
        with pytest.raises(NotImplementedError):
            viewer._ipython_display_()


def event(viewer, axes, x, y, **more):
    inside = axes.transData.transform((x, y))
    return SimpleNamespace(inaxes=axes, xdata=x, ydata=y, x=inside[0], y=inside[1], key=None, **more)


def press(viewer, axes, x, y, button):
    """Through matplotlib's own events, as a window sends them."""
    from matplotlib.backend_bases import MouseEvent

    viewer.figure.canvas.draw()
    px, py = axes.transData.transform((x, y))
    canvas = viewer.figure.canvas
    canvas.callbacks.process("button_press_event", MouseEvent("button_press_event", canvas, px, py, button))


def scroll(viewer, axes, x, y, step, key=None):
    from matplotlib.backend_bases import MouseEvent

    px, py = axes.transData.transform((x, y))
    canvas = viewer.figure.canvas
    canvas.callbacks.process("scroll_event", MouseEvent("scroll_event", canvas, px, py, step=step, key=key))


class TestMouse:
    def test_right_moves_the_reference_point(self, rock):
        viewer = viewer_of(rock)
        press(viewer, viewer.ax_xy, 14.2, 6.1, 3)
        assert viewer.reference_voxel == (4, 3, 8)
        press(viewer, viewer.ax_zy, -4.0, 20.0, 3)
        assert viewer.reference_voxel == (4, 10, 1)
        press(viewer, viewer.ax_xz, 33.0, 52.0, 3)
        assert viewer.reference_voxel == (23, 10, 15)

    def test_left_prints_the_voxel(self, rock, values, capsys):
        viewer = viewer_of(rock, segmentation=(values > 500).astype("u1"), phase_names={0: "dark", 1: "bright"})
        press(viewer, viewer.ax_xy, 14.2, 6.1, 1)
        value = values[4, 3, 8]
        name = "bright" if value > 500 else "dark"
        said = capsys.readouterr().out
        assert said == f"voxel (4, 3, 8), at (14, 6, 24) um, value {value} 1/um, phase {int(value > 500)} ({name})\n"

    def test_a_record_says_what_is_left_out(self, rock, values):
        region = lx.regions.Sphere((14, 6, 24), 3)
        viewer = viewer_of(rock, mask=values < 300, region=region)
        record = viewer.record((4, 3, 8))
        assert record == {
            "voxel": (4, 3, 8),
            "point": (14.0, 6.0, 24.0),
            "value": values[4, 3, 8],
            "masked": values[4, 3, 8] < 300,
            "in_region": True,
        }

    def test_middle_recentres(self, rock):
        viewer = viewer_of(rock, zoom=4)
        press(viewer, viewer.ax_xy, 20.0, 21.0, 2)
        np.testing.assert_allclose(viewer.state.window[:2], ((17.0, 23.0), (16.0, 26.0)))

    def test_the_wheel_leafs_through_the_slices(self, rock):
        viewer = viewer_of(rock)
        scroll(viewer, viewer.ax_xy, 20.0, 20.0, 1)
        assert viewer.reference_voxel == (12, 10, 9)
        scroll(viewer, viewer.ax_zy, 20.0, 20.0, -1)
        assert viewer.reference_voxel == (11, 10, 9)
        viewer.reference_voxel = (0, 0, 0)
        drawn = viewer.redraws
        scroll(viewer, viewer.ax_xz, 20.0, 20.0, -1)
        assert viewer.reference_voxel == (0, 0, 0)
        assert viewer.redraws == drawn

    def test_with_the_control_key_it_zooms_about_the_mouse(self, rock):
        viewer = viewer_of(rock)
        scroll(viewer, viewer.ax_xy, 15.5, 9.0, 1, key="control")
        assert viewer.zoom == 1.25
        # A quarter of the way from the left stays a quarter of the way.
        (left, right), (bottom, top), _ = viewer.state.window
        assert (15.5 - left) / (right - left) == pytest.approx(0.25)
        assert (9.0 - bottom) / (top - bottom) == pytest.approx(0.25)
        scroll(viewer, viewer.ax_xy, 20.0, 20.0, -1, key="control")
        scroll(viewer, viewer.ax_xy, 20.0, 20.0, -1, key="control")
        assert viewer.zoom == 1.0

    def test_on_the_histogram_it_sets_the_limits(self, rock, values):
        viewer = viewer_of(rock)
        high = viewer.limits[1]
        press(viewer, viewer.ax_histogram, 200.0, 0.1, 1)
        assert viewer.limits == (pytest.approx(200.0), high)
        press(viewer, viewer.ax_histogram, 700.0, 0.1, 3)
        assert viewer.limits == (pytest.approx(200.0), pytest.approx(700.0))
        press(viewer, viewer.ax_histogram, 700.0, 0.1, 2)
        assert viewer.limits == tuple(np.percentile(values, [0.05, 99.95]))

    def test_the_limits_never_cross(self, rock):
        viewer = viewer_of(rock, limits=(300, 600))
        press(viewer, viewer.ax_histogram, 800.0, 0.1, 1)
        assert viewer.limits == (600.0, 600.0)

    def test_a_tool_of_the_toolbar_goes_first(self, rock):
        viewer = viewer_of(rock)
        toolbar = SimpleNamespace(
            mode="zoom rect", update=lambda: None, _wait_cursor_for_draw_cm=contextlib.nullcontext
        )
        viewer.figure.canvas.toolbar = toolbar
        press(viewer, viewer.ax_xy, 14.2, 6.1, 3)
        assert viewer.reference_voxel == (12, 10, 8)
        viewer.ax_xy.set_xlim(12, 18)
        viewer.ax_xy.set_ylim(5, 15)
        viewer._on_release(event(viewer, viewer.ax_xy, 14.0, 6.0))
        assert viewer.zoom == pytest.approx(4)
        assert viewer.state.window[0] == pytest.approx((12, 18))


class TestStatusBar:
    def test_coordinates(self, rock, values):
        viewer = viewer_of(rock, reference_voxel=(3, 4, 5))
        said = viewer.ax_xy.format_coord(14.2, 6.1)
        assert said == f"x = 14.2, y = 6.1, z = 12 µm  |  {values[4, 3, 5]} 1/um"

    def test_voxels_phases_and_what_is_left_out(self, rock, values):
        viewer = viewer_of(rock, status_mode="voxel", segmentation=np.ones(SHAPE, "u1"), mask=np.ones(SHAPE, bool))
        viewer.phase_names = {1: "quartz"}
        said = viewer.ax_zy.format_coord(-4.0, 20.0)
        assert said == f"i = 12, j = 10, k = 1  |  {values[12, 10, 1]} 1/um  |  quartz  |  left out"

    def test_beside_the_slice_it_says_nothing(self, rock):
        assert viewer_of(rock).ax_xy.format_coord(-100, 0) == ""

    def test_on_the_histogram_it_says_the_value(self, rock):
        assert viewer_of(rock).ax_histogram.format_coord(123.456, 0) == "123.456 1/um"

    def test_a_thinned_out_slice_says_about(self):
        image = lx.zeros((2000, 2000, 2), "u1", chunks=512)
        viewer = viewer_of(image, figure_style={"figsize": (4, 3)})
        assert "≈ 0" in viewer.ax_xy.format_coord(7, 7)


class TestProcesses:
    def test_one_of_several_may_look_alone(self, values, tmp_path, monkeypatch):
        """Neither the viewer nor its histogram, of a sample or of all voxels, waits for the others."""
        monkeypatch.setattr("lithax.viz._distribution.SMALL", 1000)
        lx.from_array(values, store=tmp_path / "image", chunks=6)

        def work(world):
            image = lx.open(tmp_path / "image", world=world)
            before = world.exchanges
            if world.index == 1:
                viewer = viewer_of(image, segmentation=values > 500, mask=values < 10)
                viewer.histogram = "full"
                viewer.refresh()
                return world.exchanges - before, viewer.histogram.total
            return 0, None

        done = on_threads(2, work, patience=20)
        assert done == [(0, None), (0, int((values >= 10).sum()))]


class TestWidget:
    def test_it_works_with_ipympl(self, rock):
        if importlib.util.find_spec("ipympl") is None:  # importing it would switch the backend of all tests
            pytest.skip("ipympl is not installed: pip install 'lithax[notebook]'")
        program = """
import warnings
import matplotlib
matplotlib.use("module://ipympl.backend_nbagg")
import numpy as np, lithax as lx
from matplotlib import pyplot
from matplotlib.backend_bases import MouseEvent
pyplot.figure()
pyplot.close()
viewer = lx.viz.OrthogonalViewer(lx.from_array(np.random.default_rng(0).integers(0, 99, (20, 20, 20)).astype("u1")))
assert type(viewer.figure.canvas).__module__.startswith("ipympl"), type(viewer.figure.canvas)
canvas = viewer.figure.canvas
canvas.draw()
x, y = viewer.ax_xy.transData.transform((3, 4))
canvas.callbacks.process("button_press_event", MouseEvent("button_press_event", canvas, x, y, 3))
assert viewer.reference_voxel == (3, 4, 10)
viewer._ipython_display_()
viewer.close()
assert not pyplot.get_fignums()
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr


class TestDrawing:
    """What did not change is put back as pixels: it must not be seen."""

    def changes(self, viewer):
        yield lambda: setattr(viewer, "reference_voxel", (5, 10, 3))
        yield lambda: setattr(viewer, "reference_voxel", (6, 11, 4))
        yield lambda: viewer.update(limits=(100, 500))
        yield lambda: viewer.update(zoom=2, center=(10.0, 20.0, 8.0))
        yield lambda: viewer.ax_xz.xaxis.label.set_color("red")
        yield lambda: viewer.ax_histogram.yaxis.label.set_text("share")
        yield lambda: viewer.ax_xy.set_title("here")
        yield lambda: viewer.figure.set_facecolor("lightgrey")
        yield lambda: viewer.figure.set_size_inches(7, 6)
        yield lambda: viewer.figure.set_dpi(80)
        yield lambda: viewer.ax_color_bar.set_visible(False)

    def test_after_a_change_all_is_as_if_drawn_for_the_first_time(self, rock):
        viewer = lx.viz.OrthogonalViewer(rock, window=False)
        canvas = viewer.figure.canvas
        canvas.draw()
        for change in self.changes(viewer):
            change()
            canvas.draw()
            moved = np.asarray(canvas.buffer_rgba()).copy()
            for axes in viewer.figure.axes:
                for artist in (axes, axes.xaxis, axes.yaxis):
                    if hasattr(artist, "_drawn"):
                        artist._drawn = None
            canvas.draw()
            # Ticks end at the frame of a slice: where they overlap, half-transparent pixels may be painted twice.
            difference = np.abs(moved.astype(int) - np.asarray(canvas.buffer_rgba()))
            assert (difference > 0).mean() < 2e-4
            assert difference.mean() < 0.01

    def test_what_stays_is_drawn_once(self, rock, monkeypatch):
        from matplotlib.axis import Axis

        viewer = lx.viz.OrthogonalViewer(rock, window=False)
        viewer.figure.canvas.draw()
        drawn = []
        real = Axis._update_ticks
        monkeypatch.setattr(Axis, "_update_ticks", lambda axis: drawn.append(axis) or real(axis))
        viewer.reference_voxel = (7, 7, 7)
        viewer.figure.canvas.draw()
        assert drawn == []
        viewer.update(zoom=2)
        viewer.figure.canvas.draw()
        assert drawn != []

    def test_a_figure_of_lines_has_them_all(self, rock, tmp_path):
        viewer = lx.viz.OrthogonalViewer(rock, window=False)
        viewer.figure.canvas.draw()
        viewer.reference_voxel = (7, 7, 7)
        viewer.save(tmp_path / "slices.svg")
        assert "voxels per bin" in (tmp_path / "slices.svg").read_text()

    def test_the_scale_bar_is_as_long_as_it_says(self, rock):
        viewer = lx.viz.OrthogonalViewer(rock, window=False)
        for size in ((7, 6), (4, 5)):
            viewer.figure.set_size_inches(*size)
            viewer.figure.canvas.draw()
            axes = viewer.ax_xy
            (bar,) = (artist for artist in axes.artists if hasattr(artist, "length"))
            low, high = axes.transData.transform([(0, 0), (bar.length, 0)])[:, 0]
            assert bar.get_children()[1].get_width() == pytest.approx(high - low)
            assert bar.length == viewer.picture.panels["xy"].scale_bar[0]

    @pytest.mark.parametrize("zoom", [1, 3])
    @pytest.mark.parametrize("size", [(9, 7.5), (4.13, 3.77)])
    def test_the_pixels_of_a_slice_are_those_that_matplotlib_chooses(self, rock, zoom, size):
        from matplotlib.image import AxesImage

        viewer = lx.viz.OrthogonalViewer(rock, window=False, zoom=zoom, show_scale_bar=False)
        viewer.figure.set_size_inches(*size)
        viewer.figure.canvas.draw()
        renderer = viewer.figure.canvas.get_renderer()
        for axes in (viewer.ax_xy, viewer.ax_xz, viewer.ax_zy):
            (image,) = axes.images
            own, left, bottom, _ = image.make_image(renderer)
            expected, *corner, _ = AxesImage.make_image(image, renderer)
            assert own.shape == expected.shape
            assert (left, bottom) == tuple(np.floor(np.add(corner, 0.5)))
            # Where the border of a voxel is the centre of a pixel, rounding decides.
            assert (own != expected).any(axis=-1).mean() < 0.01
