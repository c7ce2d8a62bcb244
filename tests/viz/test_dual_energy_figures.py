"""Pictures of a dual-energy study: what they show, not their pixels."""

import numpy as np
import pytest

import lithax as lx

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def calibration():
    levels = {None: (0.0, 0.0), "water": (0.2395, 0.1920), "quartz": (0.7071, 0.4828), "aluminium": (0.7686, 0.4880)}
    rows = {
        name: lx.dect.Standard(
            None if name is None else lx.dect.material(name), [(v, 1e-3) for v in pair], effective_count=2000
        )
        for name, pair in levels.items()
    }
    rows["quartz"] = lx.dect.Standard(
        lx.dect.material("quartz"),
        [
            lx.dect.Histogram(level + 1e-3 * np.arange(-3.5, 4.0), [1, 6, 12, 20, 12, 6, 1])
            for level in levels["quartz"]
        ],
        effective_count=2000,
    )
    return lx.dect.Calibration(rows.pop(None), list(rows.values()))


@pytest.fixture(scope="module")
def coefficients(calibration):
    return lx.dect.draw_coefficients(calibration, draws=2000, seed=1, calibration="mean", progress=False)


def test_distributions(calibration):
    figure = lx.viz.draw_distributions(calibration, unit="1/cm")
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "attenuation, low energy [1/cm]",
        "attenuation, high energy [1/cm]",
    ]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["air", "water", "quartz", "aluminium"]
    peaks = [line.get_xdata()[np.argmax(line.get_ydata())] for line in figure.axes[0].lines[::2]]
    np.testing.assert_allclose(peaks, [0, 0.2395, 0.7071, 0.7686], atol=1e-3)


def test_coefficients(coefficients):
    figure = lx.viz.draw_coefficients(coefficients)
    assert len(figure.axes) == 6
    # The bars of n hold the draws between two percentiles, 99 % of them.
    drawn = sum(patch.get_height() for patch in figure.axes[2].patches)
    assert drawn == pytest.approx(0.99 * len(coefficients), abs=2)
    nothing = lx.dect.Coefficients(*([np.ones((3, 2))] * 4), np.zeros(3, bool))
    with pytest.raises(ValueError, match="None of the 3 draws is valid"):
        lx.viz.draw_coefficients(nothing)


def test_effective_numbers(coefficients):
    stuff = [lx.dect.material(name) for name in ("water", "aluminium")]
    water, aluminium = lx.viz.draw_effective_numbers(coefficients, stuff).axes
    assert len(water.patches) == 2 * 25  # twice the cube root of 2000
    assert [line.get_xdata()[0] for line in aluminium.lines] == [13.0, 13.0]


def test_profiles():
    values = np.broadcast_to(np.linspace(0.0, 8.0, 9), (6, 6, 9)).astype(np.float32)
    images = [lx.from_array(values + e, chunks=6, voxel_length=(1, 1, 2), voxel_unit="mm") for e in range(2)]
    profiles = lx.dect.standard_profiles(images, {"rod": lx.regions.Box((0, 0, -9), (9, 9, 99))}, margin=0.0)
    figure = lx.viz.draw_standard_profiles(profiles, images[0].frame)
    for axes in figure.axes:
        assert axes.get_xlabel() == "z [mm]"
        np.testing.assert_allclose(
            axes.lines[-1].get_xydata(), np.column_stack([np.arange(0, 18, 2), np.arange(-4, 5)])
        )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["rod"]


def test_crossplot():
    generator = np.random.default_rng(1)
    density = np.concatenate([generator.normal(2.646, 0.03, 4000), generator.normal(2.709, 0.03, 2000), [np.nan]])
    number = np.concatenate([generator.normal(11.7, 0.2, 4000), generator.normal(15.6, 0.2, 2000), [8.0]])
    phases = np.concatenate([np.full(4000, 1), np.full(2000, 2), [2]])
    figure = lx.viz.draw_crossplot(density, number, phases=phases, phase_names={1: "sand", 2: "lime"})
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["quartz", "calcite", "dolomite", "water"]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["sand (4000 voxels)", "lime (2000 voxels)"]
    with pytest.raises(ValueError, match="give the same voxels"):
        lx.viz.draw_crossplot(density, number[:-1])
    with pytest.raises(ValueError, match="all are NaN"):
        lx.viz.draw_crossplot([np.nan], [1.0])
