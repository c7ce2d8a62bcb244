"""Figures are drawn without a window, alike every time, and change nobody's settings."""

import sys

import matplotlib
import numpy as np
import pytest

from lithax.geometry import Frame
from lithax.measure import RepresentativeVolume, SubCubes, histogram, profile
from lithax.viz import (
    Estimate,
    Mark,
    draw_comparison,
    draw_edge,
    draw_histogram,
    draw_profiles,
    draw_representative_volume,
    draw_sensitivity,
    encode,
    load_matplotlib,
)


@pytest.fixture
def values(rng):
    return rng.normal(1000, 50, (16, 15, 14)).round().astype("u2")


def sub_cubes(mean, deviations):
    return tuple(SubCubes(4 * 2**n, 8 ** (3 - n), mean, found) for n, found in enumerate(deviations))


def drawn(values):
    levels = histogram(values, "values")
    pore = values < 990
    return {
        "histogram": draw_histogram(levels, behind=levels, marks=[Mark(990, "here", "red")]),
        "flat histogram": draw_histogram(histogram(np.full((3, 3, 3), 5, "u1"), "values")),
        "float histogram": draw_histogram(histogram(values.astype("f4"), 64)),
        "profiles": draw_profiles([profile(pore, a) for a in range(3)], Frame(values.shape, 2.0, 0.0, "um"), mean=0.4),
        "thin profile": draw_profiles([profile(pore[:1], 0)], Frame((1, 15, 14))),
        "sensitivity": draw_sensitivity(
            np.arange(900, 1100), np.linspace(0, 1, 200), used=(990, 0.4), band=(980, 1000), levels=(950, 1050)
        ),
        "edge": draw_edge([-1, 1], [10, 20], (np.array([-1, 1]), np.array([10, 20])), pore=10, grain=20),
        "sub-cubes": draw_representative_volume(
            RepresentativeVolume(sub_cubes(0.3, [0.2, 0.1, 0.01, np.nan]), 16, 0.05, 3.0), Frame((64,) * 3, 2.0, 0.0, "um")
        ),
        "nothing reached": draw_representative_volume(
            RepresentativeVolume(sub_cubes(0.0, [0.0] * 4), None, 0.05, np.nan)
        ),
        "comparison": draw_comparison(
            [("a", [Estimate("one", 0.36, 0.001, "truth"), Estimate("two", 0.4)])], 0.36, 0.005
        ),
    }  # fmt: skip


def test_every_figure_is_drawn_and_settings_and_windows_are_left_alone(values):
    before = dict(matplotlib.rcParams)
    for name, figure in drawn(values).items():
        assert encode(figure).startswith(b"<?xml"), name
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


@pytest.mark.parametrize(("format", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_the_same_figure_has_the_same_bytes(values, format, start):
    first, again = (encode(draw_histogram(histogram(values, "values")), format) for _ in range(2))
    assert first.startswith(start)
    assert first == again


def test_the_histogram_shows_what_it_was_given(values):
    levels = histogram(values, "values")
    figure = draw_histogram(levels, marks=[Mark(990, "threshold 990")])
    (axes,) = figure.axes
    line = axes.lines[0]
    # Percentages of all voxels, but for the 0.1 % outside of what is drawn.
    assert line.get_ydata().sum() == pytest.approx(100, abs=0.2)
    assert axes.lines[1].get_xdata() == [990, 990]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["filtered", "threshold 990"]


def test_an_unknown_format_is_refused(values):
    with pytest.raises(ValueError, match="format='gif' must be 'svg' or 'png'"):
        encode(drawn(values)["edge"], "gif")


def test_matplotlib_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lithax\[viz\]'"):
        load_matplotlib()
