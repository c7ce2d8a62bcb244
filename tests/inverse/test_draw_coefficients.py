"""Draws of a calibration: exact where the data are, reproducible, free of units, honest about what has no solution."""

import re

import jax
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

import lithax as lx
from lithax.inverse._draw_coefficients import reduced_attenuation, sample, solve_values

TRUTH = {"A": (0.200, 0.170), "B": (2.6e-5, 8.0e-6), "n": (3.2, 3.0)}
AIR = (0.01, 0.008)
THREE = ("water", "quartz", "aluminium")


def scan(names=THREE, *, deviation=0.001, count=1000, factor=(1.0, 1.0), shift=(0.0, 0.0), air=None):
    """Standards whose means obey the model with the coefficients above."""
    standards = []
    for name in names:
        stuff = lx.dect.material(name)
        levels = [
            AIR[e] + stuff.electron_density * (TRUTH["A"][e] + TRUTH["B"][e] * stuff.mean_power(TRUTH["n"][e]))
            for e in range(2)
        ]
        rows = [(factor[e] * levels[e] + shift[e], factor[e] * deviation) for e in range(2)]
        standards.append(lx.dect.Standard(stuff, rows, effective_count=count))
    rows = [(factor[e] * AIR[e] + shift[e], factor[e] * deviation) for e in range(2)]
    return standards, air or lx.dect.Standard(None, rows, effective_count=count)


def draw(*arguments, **keywords):
    return lx.dect.draw_coefficients(*arguments, progress=False, **keywords)


@pytest.mark.parametrize(
    "names",
    [
        THREE,
        (
            "graphite",
            "aluminium",
            "titanium",
        ),  # single elements: the earlier tool lost two thirds of their draws to round-off
        ("water", "PTFE", "quartz", "aluminium", "titanium"),
    ],
)
def test_values_that_are_known_give_the_coefficients_back(names):
    coefficients = draw(*scan(names, deviation=0.0), draws=5, seed=1)
    assert coefficients.valid.all()
    # Rounding of the attenuations, times the condition of the calibration: about 600 for these standards.
    for name, truth in TRUTH.items():
        np.testing.assert_allclose(getattr(coefficients, name), np.tile(truth, (5, 1)), rtol=1e-11)
    np.testing.assert_allclose(coefficients.air, np.tile(AIR, (5, 1)), rtol=1e-15)


def test_no_draw_of_single_elements_is_lost():
    coefficients = draw(*scan(("graphite", "aluminium", "titanium")), draws=2000, seed=1, calibration="mean")
    assert coefficients.valid.all()


def test_every_draw_solves_its_own_equations():
    """Against a bracketing root finder that knows nothing of grids or Newton."""
    standards, air = scan()
    coefficients = draw(standards, air, draws=200, seed=3, calibration="voxel")
    attenuation = sample(air, standards, 200, 3, "voxel")
    np.testing.assert_array_equal(coefficients.air, attenuation[:, 0])
    stuff = [standard.material for standard in standards]
    several = 0
    for row in range(0, 200, 10):
        for e in range(2):
            y = [(attenuation[row, i + 1, e] - attenuation[row, 0, e]) / stuff[i].electron_density for i in range(3)]

            def equation(n, y=y):
                g = [made.mean_power(n) / 13.0**n for made in stuff]
                return (y[1] - y[0]) * (g[2] - g[0]) - (y[2] - y[0]) * (g[1] - g[0])

            grid = np.geomspace(0.5, 10.0, 1001)
            signs = np.sign(equation(grid))
            brackets = [(grid[k], grid[k + 1]) for k in np.flatnonzero(signs[1:] != signs[:-1])]
            roots = [scipy.optimize.brentq(equation, *bracket, xtol=1e-14) for bracket in brackets]
            if coefficients.valid[row]:
                nearest = min(roots, key=lambda n: abs(np.log(n / 3.2)))
                assert coefficients.n[row, e] == pytest.approx(nearest, rel=1e-9)
            several += len(roots) > 1
    assert several  # water, quartz and aluminium: hydrogen bends the curve
    assert 0.5 < coefficients.valid.mean() < 1.0  # the case has both


@pytest.mark.parametrize(
    ("names", "deviation"),
    [(THREE, 0.004), (("graphite", "aluminium", "titanium"), 0.1), (("titanium", "water", "PTFE"), 0.004)],
)
@pytest.mark.filterwarnings("ignore:Only")
def test_the_table_of_exponents_changes_nothing(names, deviation):
    """Three standards take a short way, by a table; the search of every interval says the same, also where there is no root."""
    standards, air = scan(names, deviation=deviation)
    short = draw(standards, air, draws=10_000, seed=3)
    values = reduced_attenuation(sample(air, standards, 10_000, 3, "voxel"), standards)
    a, b, n, valid = solve_values(values, np.zeros((2, 3, 3)), None, (0.5, 10.0), standards)
    valid &= np.all(values > 0, axis=(1, 2))
    assert 0 < valid.sum() < 10_000
    np.testing.assert_array_equal(short.valid, valid)
    # 1e-16 of rounding, times the condition of the worst of the draws.
    np.testing.assert_allclose(short.n[valid], n[valid], rtol=1e-8)
    np.testing.assert_allclose(short.A[valid], a[valid], rtol=1e-8)
    np.testing.assert_allclose(short.B[valid], b[valid], rtol=1e-7)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("HU", THREE),
        ("16 bit", ("water", "PTFE", "quartz", "aluminium")),
        pytest.param("16 bit", THREE, marks=pytest.mark.slow),
        pytest.param("HU", ("water", "PTFE", "quartz", "aluminium"), marks=pytest.mark.slow),
    ],
)
def test_the_unit_of_the_scan_does_not_matter(kind, names):
    factor, shift = {"HU": ((5200.0, 5900.0), (-1000.0, -1010.0)), "16 bit": ((3e4, 2e4), (500.0, 700.0))}[kind]
    one = draw(*scan(names), draws=500, seed=5)
    other = draw(*scan(names, factor=factor, shift=shift), draws=500, seed=5)
    np.testing.assert_array_equal(one.valid, other.valid)
    good = one.valid
    # 1e-13 of the contrast is lost to the shift, times the condition of the worst draws.
    np.testing.assert_allclose(other.n[good], one.n[good], rtol=1e-8)
    np.testing.assert_allclose(other.A[good] / factor, one.A[good], rtol=1e-8)


def test_the_same_seed_gives_the_same_bytes():
    case = scan()
    many, few = draw(*case, draws=9000, seed=7), draw(*case, draws=100, seed=7)
    for part in ("air", "A", "B", "n", "valid"):
        assert getattr(many[:100], part).tobytes() == getattr(few, part).tobytes()
    assert not np.array_equal(draw(*case, draws=100, seed=8).air, few.air)
    with jax.enable_x64(True):
        assert draw(*case, draws=100, seed=7).n.tobytes() == few.n.tobytes()


def test_draws_follow_their_distributions():
    histogram = lx.dect.Histogram([-0.002, -0.001, 0.0, 0.003], [1, 3, 2]).rescaled(0.1, 0.01)
    curve = lx.dect.Tabulated([0.002, -0.001, 0.0], [0.0, 0.0, 5.0]).rescaled(0.1, 0.01)
    standards, _ = scan(deviation=1e-4)
    air = draw(standards, [histogram, curve], draws=20_000, seed=11).air
    for column, distribution in zip(air.T, (histogram, curve), strict=True):
        order = np.sort(column)
        rank = (np.arange(order.size) + 0.5) / order.size
        # Kolmogorov's statistic by ranks: in units of 1/sqrt(N) it exceeds 1.95 once in a thousand seeds; this is one.
        width = distribution.standard_deviation
        assert np.max(np.abs(distribution.quantile(rank) - order)[200:-200]) < 0.05 * width
    # Energies are drawn independently: 5 standard errors.
    assert abs(np.corrcoef(air.T)[0, 1]) < 5 / np.sqrt(20_000)


def test_the_error_of_the_mean_is_smaller_than_the_spread():
    case = scan(deviation=0.003, count=900)
    # Standard errors of a standard deviation from 20 000 draws: 0.5 %; four of them.
    assert draw(*case, draws=20_000, seed=1, calibration="mean").air.std(0) == pytest.approx([1e-4] * 2, rel=0.02)
    with pytest.warns(UserWarning, match="have a solution"):
        assert draw(*case, draws=20_000, seed=1).air.std(0) == pytest.approx([3e-3] * 2, rel=0.02)


def reference(standards, air, row, energy, calibration, prior=None):
    """Weighted least squares of one draw by scipy: unknowns A, B 13ⁿ and n."""
    attenuation = sample(air, standards, row + 1, 21, calibration)[row, :, energy]
    density = np.array([s.material.electron_density for s in standards])
    spread = np.array([s.distributions(calibration)[energy].standard_deviation for s in standards]) / density
    dark = air.distributions(calibration)[energy].standard_deviation / density
    whiten = np.linalg.inv(np.linalg.cholesky(np.diag(spread**2) + np.outer(dark, dark)))
    y = (attenuation[1:] - attenuation[0]) / density

    def residual(unknown):
        a, c, n = unknown
        g = np.array([s.material.mean_power(n) for s in standards]) / 13.0**n
        extra = [] if prior is None else [(n - prior[0]) / prior[1]]
        return np.concatenate([whiten @ (y - a - c * g), extra])

    return scipy.optimize.least_squares(residual, [0.2, 0.1, 3.0], xtol=1e-15, ftol=1e-15, gtol=1e-15, x_scale="jac").x


def test_more_standards_are_fitted_by_least_squares():
    standards, air = scan(("water", "PTFE", "quartz", "aluminium"))
    coefficients = draw(standards, air, draws=4, seed=21, calibration="mean")
    for e in range(2):
        a, c, n = reference(standards, air, 3, e, "mean")
        # scipy stops near the square root of its machine precision in n.
        assert coefficients.n[3, e] == pytest.approx(n, rel=1e-6)
        assert coefficients.A[3, e] == pytest.approx(a, rel=1e-6)
        assert coefficients.B[3, e] * 13.0 ** coefficients.n[3, e] == pytest.approx(c, rel=1e-6)


@pytest.mark.parametrize("names", [THREE, ("water", "aluminium")])
def test_a_prior_on_n_is_one_more_observation(names):
    standards, air = scan(names)
    coefficients = draw(standards, air, draws=4000, seed=21, calibration="mean", prior=(3.1, 0.1))
    assert coefficients.valid.all()
    if len(names) == 2:
        # Two standards say nothing about n: the prior is what remains. Standard errors are 0.0016 and 0.0011.
        np.testing.assert_allclose(coefficients.n.mean(0), 3.1, atol=0.007)
        np.testing.assert_allclose(coefficients.n.std(0), 0.1, atol=0.005)
        return
    loose = draw(standards, air, draws=4000, seed=21, calibration="mean", prior=(3.1, 1e4))
    free = draw(standards, air, draws=4000, seed=21, calibration="mean")
    np.testing.assert_allclose(loose.n, free.n, rtol=1e-5)  # a prior as wide as 1e4 weighs 1e-8
    assert np.all(coefficients.n.std(0) < free.n.std(0))


def test_gradients_agree_with_finite_differences():
    """Of the implicit function: A, B and n of one draw with respect to a mean and a density."""
    standards, air = scan(deviation=1e-4)

    def outcome(mean, density, names=None):
        first, *others = standards if names is None else scan(names, deviation=1e-4)[0]
        stuff = lx.dect.Material("water", "H2O", density)
        first = lx.dect.Standard(stuff, [lx.dect.Gaussian(mean, 1e-4), first.attenuation[1]], effective_count=10)
        made = draw([first, *others], air, draws=3, seed=2)
        return jax.numpy.stack([made.A[0, 0], 1e4 * made.B[0, 0], made.n[0, 0]])

    point = (float(standards[0].means[0]), 0.9982)
    for names in (None, ("water", "PTFE", "quartz", "aluminium")):
        with jax.enable_x64(True):
            jacobian = jax.jit(jax.jacfwd(lambda m, d, names=names: outcome(m, d, names), argnums=(0, 1)))(*point)
            steps = {
                (argument, sign): np.asarray(
                    outcome(*(p + sign * 1e-7 * (k == argument) for k, p in enumerate(point)), names)
                )
                for argument in range(2)
                for sign in (1, -1)
            }
        for argument in range(2):
            # Central differences: 1e-13 of rounding over 1e-7, and curvature times the step squared.
            np.testing.assert_allclose(jacobian[argument], (steps[argument, 1] - steps[argument, -1]) / 2e-7, rtol=2e-5)


def test_the_share_with_a_solution_is_told(capsys):
    lx.dect.draw_coefficients(*scan(), draws=100, seed=1, calibration="mean")
    assert capsys.readouterr().err == "calibration: 100 of 100 draws have a solution (100.0 %)\n"
    with pytest.warns(UserWarning, match=r"Only \d+ of 500 draws .* not distributed as the inputs say"):
        draw(*scan(deviation=0.01), draws=500, seed=1)


def test_a_calibration_holds_all_of_it():
    standards, air = scan()
    whole = lx.dect.Calibration(air, standards, energy_names=("80 kV", "140 kV"))
    coefficients = draw(whole, draws=10, seed=1)
    assert coefficients.energy_names == ("80 kV", "140 kV")
    np.testing.assert_array_equal(coefficients.n, draw(standards, air, draws=10, seed=1).n)
    again = lx.dect.Calibration.from_dict(whole.to_dict())
    np.testing.assert_array_equal(draw(again, draws=10, seed=1).n, coefficients.n)
    with pytest.raises(ValueError, match="leave air="):
        draw(whole, air, draws=10)


def test_a_third_energy():
    standards, air = scan()
    longer = [lx.dect.Standard(s.material, (*s.attenuation, s.attenuation[0])) for s in standards]
    coefficients = draw(longer, lx.dect.Standard(None, (*air.attenuation, air.attenuation[0])), draws=10, seed=1)
    assert coefficients.energies == 3
    np.testing.assert_array_equal(coefficients.n[:, :2], draw(standards, air, draws=10, seed=1).n)


BAD = [
    (lambda s, a: (s, lx.dect.Standard(None, [(1.0, 0.1), (0.0, 0.1)])), {}, "Air (mean 1) is not darker than water"),
    (lambda s, a: ([*s[:2], s[1]], a), {}, "quartz and quartz have the same composition"),
    (lambda s, a: (s[:2], a), {}, "2 standards for the three unknowns"),
    (lambda s, a: (s[:1], a), {"prior": (3.0, 0.1)}, "1 standards for the three unknowns"),
    (lambda s, a: (s, None), {}, "air=None"),
    (lambda s, a: ([*s[:2], a], a), {}, "A standard has no material"),
    (lambda s, a: (s, [lx.dect.Gaussian(0.0, 0.1)]), {}, "distributions for 2 energies, not 1"),
    (lambda s, a: (s, a), {"draws": 0}, "draws=0 must lie between"),
    (lambda s, a: (s, a), {"bounds": (0.0, 10.0)}, "bounds=(0.0, 10.0) of n"),
    (lambda s, a: (s, a), {"calibration": "both"}, "calibration='both' must be"),
    (lambda s, a: (s, a), {"prior": (3.0, 0.0)}, "must be positive"),
    (
        lambda s, a: ([lx.dect.Standard(x.material, x.attenuation) for x in s], a),
        {"calibration": "mean"},
        "effective_count",
    ),
]


@pytest.mark.parametrize(("change", "keywords", "message"), BAD, ids=[message for _, _, message in BAD])
def test_what_cannot_be_a_calibration_is_refused(change, keywords, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        draw(*change(*scan()), **{"draws": 10, "seed": 1, **keywords})


@pytest.mark.parametrize("count", [0.5, (1, 2, 3), (0, 10)])
def test_effective_counts_that_cannot_be(count):
    with pytest.raises(ValueError, match="must be at least 1"):
        lx.dect.Standard(lx.dect.material("water"), [(1, 1), (1, 1)], effective_count=count)
