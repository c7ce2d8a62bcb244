"""Coefficients: rows of draws, columns of energies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lithax as lx


def rows(draws=4):
    grid = np.arange(1.0, 2 * draws + 1).reshape(draws, 2)
    return lx.dect.Coefficients(-grid, 10 * grid, grid / 100, 3 + grid / 100, np.arange(draws) % 3 != 1)


def test_numbers_of_draws_and_energies():
    coefficients = rows()
    assert (len(coefficients), coefficients.draws, coefficients.energies) == (4, 4, 2)
    assert coefficients.energy_names == ("low", "high")
    assert repr(coefficients) == "Coefficients(4 draws, 3 valid, energies low, high)"


@pytest.mark.parametrize("index", [1, -1, slice(1, 3), [0, 2], np.array([True, False, False, True])])
def test_an_index_chooses_draws(index):
    coefficients = rows()
    chosen = coefficients[index]
    expected = np.atleast_1d(np.arange(4)[index])
    np.testing.assert_array_equal(chosen.n, coefficients.n[expected])
    np.testing.assert_array_equal(chosen.air, coefficients.air[expected])
    np.testing.assert_array_equal(chosen.valid, coefficients.valid[expected])


def test_names_choose_energies():
    coefficients = rows()
    swapped = coefficients.select("high", "low")
    assert swapped.energy_names == ("high", "low")
    np.testing.assert_array_equal(swapped.B, coefficients.B[:, ::-1])
    with pytest.raises(ValueError, match="'middle' is none of the energies"):
        coefficients.select("middle")


def test_rows_that_are_not_finite_are_not_valid():
    coefficients = lx.dect.Coefficients(np.zeros((2, 2)), np.ones((2, 2)), [[1, np.nan], [1, 1]], np.ones((2, 2)))
    np.testing.assert_array_equal(coefficients.valid, [False, True])


def test_attenuation_is_the_model_written_out():
    coefficients = rows()
    density, number = np.array([[1.0], [2.5]]), np.array([8.0, 13.0, 20.0])
    low, high = coefficients.attenuation(density, number)
    assert low.shape == high.shape == (4, 2, 3)
    row = 2
    for e, result in enumerate((low, high)):
        air, a, b, n = (part[row, e] for part in (coefficients.air, coefficients.A, coefficients.B, coefficients.n))
        # The same three operations in the same order: equal up to the rounding of the power.
        np.testing.assert_allclose(result[row], air + density * (a + b * number**n), rtol=1e-15)


def test_coefficients_are_a_pytree():
    coefficients = rows()
    with jax.enable_x64(True):
        on_device = jax.tree.map(jnp.asarray, coefficients)
        gradient = jax.grad(lambda c: c.attenuation(2.0, 10.0)[0].sum(), allow_int=True)(on_device)
    np.testing.assert_allclose(gradient.A[:, 0], 2.0)
    np.testing.assert_allclose(gradient.A[:, 1], 0.0)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"n": np.ones((3, 2))}, r"n has shape \(3, 2\) and A has \(4, 2\)"),
        ({"valid": np.ones(3, bool)}, r"valid has shape \(3,\); give one boolean per draw"),
        ({"energy_names": ("low",)}, "give 2 different names"),
        ({"energy_names": ("low", "low")}, "give 2 different names"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(keywords, message):
    parts = dict.fromkeys(("air", "A", "B", "n"), np.ones((4, 2))) | keywords
    with pytest.raises(ValueError, match=message):
        lx.dect.Coefficients(**parts)
