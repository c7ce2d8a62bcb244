"""Bell curves: exact on exact data, and as good as an independent optimiser on the rest."""

import numpy as np
import pytest
import scipy.optimize

import lithax as lx

X = np.linspace(900.0, 1500.0, 200)
ONE = np.array([[80.0, 1130.0, 25.0]])
TWO = np.array([[80.0, 1100.0, 25.0], [30.0, 1240.0, 50.0]])


def curve(parameters, x=X):
    return sum(a * np.exp(-0.5 * ((x - m) / s) ** 2) for a, m, s in parameters)


def rows(fit):
    return np.column_stack([fit.amplitude, fit.mean, fit.standard_deviation])


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("truth", [ONE, TWO], ids=["one", "two"])
def test_exact_data_give_the_parameters_back(truth, norm):
    shuffled = np.random.default_rng(1).permutation(X)
    fit = lx.dect.fit_gaussians(shuffled, curve(truth, shuffled), len(truth), norm=norm)
    # The solver stops at 1e-12 of the scaled parameters; rounded-off absolute values have flatter minima.
    np.testing.assert_allclose(rows(fit), truth, rtol=1e-9 if norm == 2 else 1e-6)
    np.testing.assert_allclose(fit(X), curve(truth), atol=1e-4)


def test_least_squares_is_scipys():
    y = curve(TWO) + np.random.default_rng(2).normal(0, 2.0, X.size)
    fit = lx.dect.fit_gaussians(X, y, 2)
    found, _ = scipy.optimize.curve_fit(
        lambda x, *p: curve(np.reshape(p, (2, 3)), x), X, y, p0=TWO.ravel(), xtol=1e-14, ftol=1e-14
    )
    np.testing.assert_allclose(rows(fit), found.reshape(2, 3), rtol=1e-5)
    assert fit.error == pytest.approx(np.linalg.norm(y - fit(X)), rel=1e-12)


def test_least_absolute_deviations_shrug_off_stray_values():
    y = curve(ONE)
    y[::17] += 60.0
    robust, square = (lx.dect.fit_gaussians(X, y, norm=norm) for norm in (1, 2))
    np.testing.assert_allclose(rows(robust), ONE, rtol=1e-4)
    assert np.max(np.abs(rows(square) / ONE - 1)) > 0.05
    assert robust.error == pytest.approx(np.abs(y - robust(X)).sum(), rel=1e-12)


def test_least_absolute_deviations_beat_a_search_without_derivatives():
    y = curve(TWO) + np.random.default_rng(3).laplace(0, 2.0, X.size)
    fit = lx.dect.fit_gaussians(X, y, 2, norm=1)

    def total(p):
        return np.abs(y - curve(np.reshape(p, (2, 3)))).sum()

    searched = scipy.optimize.minimize(
        total, TWO.ravel(), method="Nelder-Mead", options={"maxiter": 20_000, "maxfev": 20_000, "fatol": 1e-6}
    )
    assert fit.error <= searched.fun * (1 + 1e-3)


def test_units_do_not_matter():
    y = curve(TWO) + np.random.default_rng(2).normal(0, 2.0, X.size)
    fit, other = lx.dect.fit_gaussians(X, y, 2), lx.dect.fit_gaussians(1e-4 * X - 7, 1e6 * y, 2)
    np.testing.assert_allclose(other.mean, 1e-4 * fit.mean - 7, rtol=1e-8)
    np.testing.assert_allclose(other.standard_deviation, 1e-4 * fit.standard_deviation, rtol=1e-6)


def test_a_start_of_ones_own_and_what_follows():
    fit = lx.dect.fit_gaussians(X, curve(TWO), 2, initial=[[70, 1120, 30], [20, 1200, 40]])
    np.testing.assert_allclose(rows(fit), TWO, rtol=1e-8)
    area = TWO[:, 0] * TWO[:, 2]
    np.testing.assert_allclose(fit.weight, area / area.sum(), rtol=1e-8)
    assert [d.mean for d in fit.distributions()] == pytest.approx(TWO[:, 1])
    assert fit.components(X).shape == (2, X.size)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm": 3}, "norm=3 must be"),
        ({"components": 0}, "components=0 must be"),
        ({"x": X[:5], "y": X[:5], "components": 2}, "6 parameters"),
        ({"y": np.zeros_like(X)}, "positive somewhere"),
        ({"y": np.full_like(X, np.nan)}, "finite"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        lx.dect.fit_gaussians(**{"x": X, "y": curve(ONE), **change})
