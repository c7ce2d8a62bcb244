"""The quantities of well logs that follow from electron density and atomic number."""

from typing import Any

from lithax.models._composition import composition as make_composition
from lithax.typing import Array

ROCK = 0.9985
"""2ΣqZ/ΣqM of quartz (0.9986), calcite (0.9991) and dolomite (0.9978), taken together."""


def bulk_density(electron_density: Array | float, method: str = "mineral", *, composition: Any = None) -> Any:
    """Return the bulk density that goes with an electron density [g/cm³].

    Parameters
    ----------
    electron_density
        ρ_e [g/cm³, electron-equivalent].
    method
        "mineral": ρ_e ÷ (2ΣqZ/ΣqM), exact for a known composition, within 0.1 % for any mixture of
        quartz, calcite and dolomite without pores. "log": 1.0704 ρ_e - 0.1883, as density logs are
        scaled: exact for limestone saturated with fresh water.
    composition
        For "mineral": formula, mapping or `Composition`. None: 0.9985, that of the common
        rock-forming minerals.

    Raises
    ------
    ValueError
        If `method` is neither, or a composition is given with "log".

    References
    ----------
    J. S. Wahl, J. Tittman, C. W. Johnstone, R. P. Alger, The dual spacing formation density log,
    Journal of Petroleum Technology 16 (1964) 1411-1416. doi:10.2118/989-PA
    """
    if method == "mineral":
        return electron_density / (ROCK if composition is None else make_composition(composition).electrons_per_mass)
    if method != "log":
        raise ValueError(f"method={method!r} must be 'mineral' or 'log'.")
    if composition is not None:
        raise ValueError("composition= has no place in method='log'; leave it out, or use method='mineral'.")
    return 1.0704 * electron_density - 0.1883


def photoelectric_factor(atomic_number: Array | float) -> Any:
    """Return Pe = (Z/10)^3.6 [barn/electron].

    Parameters
    ----------
    atomic_number
        Effective atomic number Z [-], best at an exponent near 3.6.

    References
    ----------
    J. S. Gardner, J. L. Dumanoir, Litho-density log interpretation, SPWLA 21st annual logging
    symposium (1980), paper N.
    """
    return (atomic_number / 10.0) ** 3.6


def U(electron_density: Array | float, atomic_number: Array | float) -> Any:
    """Return U = Pe · ρ_e [barn/cm³], the photoelectric factor per volume, which mixes linearly by
    volume.

    Parameters
    ----------
    electron_density
        ρ_e [g/cm³, electron-equivalent].
    atomic_number
        Effective atomic number Z [-].
    """
    return photoelectric_factor(atomic_number) * electron_density
