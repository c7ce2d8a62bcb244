"""The fitted calibration: its optimum, its covariance and its derivatives, each against another way."""

import jax
import numpy as np
import pytest
import scipy.optimize

import lithax as lx

TRUTH = {"A": (0.200, 0.170), "B": (2.6e-5, 8.0e-6), "n": (3.2, 3.0)}
AIR = (0.01, 0.008)
FOUR = ("water", "PTFE", "quartz", "aluminium")
THREE = ("water", "quartz", "aluminium")


def scan(names=THREE, *, deviation=3e-5, off=0.0):
    standards = []
    for number, name in enumerate(names):
        stuff = lx.dect.material(name)
        levels = [
            AIR[e] + stuff.electron_density * (TRUTH["A"][e] + TRUTH["B"][e] * stuff.mean_power(TRUTH["n"][e]))
            for e in range(2)
        ]
        rows = [(level + off * (-1) ** number, (1 + number) * deviation) for level in levels]
        standards.append(lx.dect.Standard(stuff, rows, effective_count=1))
    return standards, lx.dect.Standard(None, [(level, deviation) for level in AIR], effective_count=1)


@pytest.mark.parametrize("names", [THREE, FOUR])
def test_means_that_fit_give_the_coefficients_back(names):
    fit = lx.dect.calibrate(*scan(names))
    for name, truth in TRUTH.items():
        np.testing.assert_allclose(getattr(fit.coefficients, name)[0], truth, rtol=1e-9)
    np.testing.assert_allclose(fit.coefficients.air[0], AIR, rtol=1e-9)
    np.testing.assert_allclose(fit.residuals, 0.0, atol=1e-6)


def test_the_optimum_is_scipys():
    standards, air = scan(FOUR, off=2e-4)
    fit = lx.dect.calibrate(standards, air, prior=(3.1, 0.2))
    for e in range(2):

        def residuals(unknown, e=e):
            empty, a, c, n = unknown
            levels = [empty] + [
                empty + s.material.electron_density * (a + c * s.material.mean_power(n) / 13.0**n) for s in standards
            ]
            means = [air.means[e], *(s.means[e] for s in standards)]
            errors = [air.standard_errors[e], *(s.standard_errors[e] for s in standards)]
            scaled = (np.asarray(levels) - means) / errors
            return np.append(scaled, (n - 3.1) / 0.2)

        found = scipy.optimize.least_squares(
            residuals, [0, 0.2, 0.1, 3], x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15
        )
        best = [fit.coefficients.air[0, e], fit.coefficients.A[0, e], None, fit.coefficients.n[0, e]]
        best[2] = fit.coefficients.B[0, e] * 13.0 ** best[3]
        # A flat minimum: the square root of the machine precision in the unknowns.
        np.testing.assert_allclose(best, found.x, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(fit.residuals[e], found.fun[:-1], atol=1e-5)


def test_the_covariance_is_that_of_many_draws():
    standards, air = scan(deviation=3e-6)
    fit = lx.dect.calibrate(standards, air)
    draws = lx.dect.draw_coefficients(standards, air, 40_000, 3, calibration="mean", progress=False)
    assert draws.valid.mean() > 0.999
    draws = draws[draws.valid]
    for e in range(2):
        rows = np.stack([getattr(draws, part)[:, e] for part in ("air", "A", "B", "n")])
        scale = fit.standard_deviations[e]
        # A correlation of 40 000 draws has an error of 0.005; the rest is what is not linear in errors this small.
        np.testing.assert_allclose(
            np.cov(rows) / np.outer(scale, scale), fit.covariance[e] / np.outer(scale, scale), atol=0.05
        )
    again = fit.draw(40_000, seed=5)
    assert again.valid.all()
    np.testing.assert_allclose(again.n.std(0), fit.standard_deviations[:, 3], rtol=0.02)
    scale = fit.standard_deviations[0]
    expected = fit.covariance[0, 1, 3] / (scale[1] * scale[3])
    assert np.corrcoef(again.A[:, 0], again.n[:, 0])[0, 1] == pytest.approx(expected, abs=0.01)
    assert fit.draw(10, seed=5).n.tobytes() == again[:10].n.tobytes()


@pytest.mark.parametrize("names", [THREE, pytest.param(FOUR, marks=pytest.mark.slow)])
def test_derivatives_agree_with_finite_differences(names):
    standards, air = scan(names, deviation=1e-4, off=1e-4 * (len(names) > 3))

    def outcome(mean, density):
        stuff = lx.dect.Material("water", "H2O", density)
        first = [lx.dect.Gaussian(mean, 1e-4), standards[0].attenuation[1]]
        made = [lx.dect.Standard(stuff, first, effective_count=1), *standards[1:]]
        fit = lx.dect.calibrate(made, air).coefficients
        return jax.numpy.stack([fit.air[0, 0], fit.A[0, 0], 1e4 * fit.B[0, 0], fit.n[0, 0]])

    point = (float(standards[0].means[0]), 0.9982)
    with jax.enable_x64(True):
        jacobian = jax.jacfwd(outcome, argnums=(0, 1))(*point)
        for argument in range(2):
            above, below = (
                np.asarray(outcome(*(p + sign * 1e-6 * (k == argument) for k, p in enumerate(point))))
                for sign in (1, -1)
            )
            # 1e-12 of the solver over 1e-6, and curvature times the step squared.
            np.testing.assert_allclose(jacobian[argument], (above - below) / 2e-6, rtol=1e-4, atol=1e-4)


def test_what_no_exponent_fits_is_refused():
    standards, air = scan()
    water = lx.dect.Standard(standards[0].material, [(0.9, 1e-4), (0.9, 1e-4)], effective_count=1)
    with pytest.raises(ValueError, match="No n within bounds"):
        lx.dect.calibrate([water, *standards[1:]], air)


def test_the_model_holds_for_minerals_that_no_standard_is_made_of():
    """Tabulated attenuations at 50 and 80 keV: what is left is the error of the model itself."""
    pytest.importorskip("xraydb")
    keV = (50.0, 80.0)

    def levels(name):
        return lx.dect.linear_attenuation(lx.dect.material(name), keV)

    standards = [
        lx.dect.Standard(lx.dect.material(name), [(level, 1e-5) for level in levels(name)], effective_count=1)
        for name in THREE
    ]
    air = lx.dect.Standard(None, [(0.0, 1e-5)] * 2, effective_count=1)
    coefficients = lx.dect.calibrate(standards, air).coefficients
    minerals = ["calcite", "dolomite", "anhydrite"]
    low, high = np.array([levels(name) for name in minerals]).T
    found = lx.dect.invert(low, high, coefficients)
    truth = np.array([lx.dect.material(name).electron_density for name in minerals])
    error = found.electron_density.median / truth - 1
    # -0.52, -0.15 and -0.56 %; the goal is 1 %.
    assert np.max(np.abs(error)) < 0.01
    # No single Z is true at both energies; it lies within 1 % of Z_eff at their exponents.
    numbers = [lx.dect.material(name).effective_atomic_number(float(coefficients.n.mean())) for name in minerals]
    np.testing.assert_allclose(found.atomic_number.median, numbers, rtol=0.01)
