"""Attenuation from tabulated cross-sections: to check a calibration against, and to simulate scans.

The tables come with the package xraydb, an extra of this library; nothing else here needs it.
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from lithax.models._composition import Composition
from lithax.models._material import Material


class Spectrum(eqx.Module):
    """How much each photon energy counts in a scan: detected signal per energy, of any scale."""

    energies: Float[np.ndarray, " lines"]
    """[keV]"""
    weights: Float[np.ndarray, " lines"]
    """[-]"""

    def __init__(self, energies: Any, weights: Any):
        """Hold a spectrum.

        Parameters
        ----------
        energies
            Photon energies [keV], positive.
        weights
            One per energy, not negative; their sum is divided out.
        """
        self.energies = np.atleast_1d(np.asarray(energies, np.float64))
        weights = np.atleast_1d(np.asarray(weights, np.float64))
        if self.energies.shape != weights.shape or self.energies.ndim != 1:
            raise ValueError(f"{self.energies.shape} energies and {weights.shape} weights: give one weight per energy.")
        if not (
            np.all(self.energies > 0) and np.all(weights >= 0) and np.isfinite(weights).all() and weights.sum() > 0
        ):
            raise ValueError("Energies must be positive, and weights not negative with a positive sum.")
        self.weights = weights / weights.sum()

    @property
    def mean_energy(self) -> float:
        """[keV]"""
        return float(self.energies @ self.weights)


def tube_spectrum(
    voltage: float, filters: Mapping[str, float] | None = None, *, step: float = 0.5, detector: str = "energy"
) -> Spectrum:
    """Return the spectrum of an X-ray tube by Kramers' law, behind filters: bremsstrahlung without
    characteristic lines.

    Parameters
    ----------
    voltage
        Of the tube [kV].
    filters
        Thickness [cm] by element or formula of the catalogue's density, such as ``{"aluminium":
        0.3, "titanium": 0.12}``.
    step
        Between energies [keV].
    detector
        "energy": the signal grows with the photon's energy, as in scintillators; "count": each
        photon counts once.

    References
    ----------
    H. A. Kramers, On the theory of X-ray absorption and of the continuous X-ray spectrum,
    Philosophical Magazine 46 (1923) 836-871. doi:10.1080/14786442308565244
    """
    from lithax.models._material import material

    if not voltage > 5:
        raise ValueError(f"voltage={voltage!r} must be above 5 [kV].")
    if detector not in ("energy", "count"):
        raise ValueError(f"detector={detector!r} must be 'energy' or 'count'.")
    energies = np.arange(5.0 + step / 2, voltage, step)
    photons = voltage / energies - 1.0
    for name, thickness in (filters or {}).items():
        photons = photons * np.exp(-linear_attenuation(material(name), energies) * thickness)
    return Spectrum(energies, photons * energies if detector == "energy" else photons)


def linear_attenuation(material: Material, energy: Any) -> Any:
    """Return the linear attenuation of a material from tabulated cross-sections [1/cm].

    Coherent, incoherent and photoelectric attenuation together. Under a `Spectrum` it is the mean
    over the detected signal, which a scan of a thin sample measures; beam hardening in thick ones
    is left out.

    Parameters
    ----------
    material
        Composition and density.
    energy
        Photon energy [keV], a number or an array, or a `Spectrum`.

    Returns
    -------
        A float for a number or a spectrum, an array for an array [1/cm].

    Raises
    ------
    ModuleNotFoundError
        If xraydb is not installed.
    ValueError
        If an element is in no table, or an energy is outside of 0.1 to 800 keV.

    References
    ----------
    W. T. Elam, B. D. Ravel, J. R. Sieber, A new atomic database for X-ray spectroscopic
    calculations, Radiation Physics and Chemistry 63 (2002) 121-128.
    doi:10.1016/S0969-806X(01)00227-4
    """
    if isinstance(energy, Spectrum):
        return float(linear_attenuation(material, energy.energies) @ energy.weights)
    keV = np.asarray(energy, np.float64)
    if not np.all((keV >= 0.1) & (keV <= 800)):
        raise ValueError(f"energy={energy!r} must lie between 0.1 and 800 [keV].")
    mass_attenuation = _mass_attenuation(material.composition, np.atleast_1d(keV))
    result = float(material.density) * mass_attenuation
    return float(result[0]) if keV.ndim == 0 else result


def _mass_attenuation(composition: Composition, energies: np.ndarray) -> np.ndarray:
    """Sum over the elements, by mass [cm²/g]."""
    xraydb = _load_xraydb()
    total = np.zeros(energies.shape)
    for symbol, fraction in composition.mass_fractions.items():
        try:
            total += fraction * np.asarray(xraydb.mu_elam(symbol, 1000.0 * energies))
        except ValueError as error:
            raise ValueError(
                f"There is no table of cross-sections for {symbol!r}, an element of {composition}."
            ) from error
    return total


def _load_xraydb() -> Any:
    try:
        import xraydb
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Cross-sections come with xraydb: pip install 'lithax[xray]'.", name="xraydb"
        ) from error
    return xraydb
