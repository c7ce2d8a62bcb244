"""The same calibration and the same voxels for both sides of the dual-energy rows; NumPy alone, so that each side can import it."""

import numpy as np

# (CT0, A, B, n) of each energy in 1/cm per g/cm³: water is 16 % and 5 % photoelectric. CT0 is drawn around 0.
ENERGIES = ((0.19, 0.19 * 0.16 / 7.5**3.2, 3.2), (0.165, 0.165 * 0.05 / 7.5**3.1, 3.1))
STANDARDS = ((1.0, 7.5), (2.65, 11.8), (2.6, 13.0))  # ρ_e and Z of water, quartz and aluminium, about


def coefficients(draws):
    """Return air, A, B, n of shape (draws, 2), scattered by half a per cent."""
    rng = np.random.default_rng(1)
    parts = []
    for a, b, n in ENERGIES:
        scale = 1 + 0.005 * rng.standard_normal((3, draws))
        parts.append((0.001 * rng.standard_normal(draws) - 0.01, a * scale[0], b * scale[1], n * scale[2]))
    return tuple(np.stack(columns, axis=1) for columns in zip(*parts, strict=True))


def voxels(count):
    """Return the attenuations of rock; the first of many are those of few."""
    shares = np.random.default_rng(2).uniform(size=(count, 2))
    density, number = 1 + 2 * shares[:, 0], 7 + 9 * shares[:, 1]
    return tuple(density * (a + b * number**n) for a, b, n in ENERGIES)


def rockverse_rows(parts):
    """Return RockVerse's rows of each energy: CT0, CT1, CT2, CT3, Z1, Z2, Z3, A, B, n, error."""
    rows = []
    for energy in (0, 1):
        air, a, b, n = (part[:, energy] for part in parts)
        standards = [air + density * (a + b * number**n) for density, number in STANDARDS]
        numbers = [np.full(len(a), number) for _, number in STANDARDS]
        rows.append(np.stack([air, *standards, *numbers, a, b, n, np.zeros(len(a))], axis=1))
    return rows


def medians(density, number):
    """Return what both sides must agree about, as JSON holds it."""
    return {"density": [float(v) for v in density[:10]], "number": [float(v) for v in number[:10]]}


# Water, quartz and aluminium: bulk density and atoms per formula unit; Z and M of the elements.
MATERIALS = ((0.9982, {"H": 2, "O": 1}), (2.65, {"Si": 1, "O": 2}), (2.7, {"Al": 1}))
ELEMENTS = {"H": (1, 1.008), "O": (8, 15.999), "Al": (13, 26.9815384), "Si": (14, 28.085)}
DEVIATION = 1e-4
"""Of every material and of empty space, of the contrast 1: all draws of both sides have a solution."""


def atoms(formula):
    """Return Z, M and amount of every element, one row each."""
    return np.array([[*ELEMENTS[symbol], amount] for symbol, amount in formula.items()], dtype=np.float64)


def levels():
    """Return the mean attenuation of the three materials, of shape (materials, energies); empty space has 0."""
    rows = []
    for density, formula in MATERIALS:
        number, mass, amount = atoms(formula).T
        electrons = 2 * density * (amount @ number) / (amount @ mass)
        rows.append([electrons * (a + b * (amount * number) @ number**n / (amount @ number)) for a, b, n in ENERGIES])
    return np.asarray(rows)
