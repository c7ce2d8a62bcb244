"""Attenuation from tables of cross-sections, against another table."""

import numpy as np
import pytest

import lithax as lx

pytest.importorskip("xraydb")

# Mass attenuation with coherent scattering [cm²/g] at 50, 80 and 100 keV: J. H. Hubbell, S. M. Seltzer, Tables of X-ray
# mass attenuation coefficients, NISTIR 5632 (1995), doi 10.18434/T4D01F; the pages ElemTab/z13, z14, z20 and ComTab/water of
# physics.nist.gov/PhysRefData/XrayMassCoef, of which the package roentgen carries copies.
NIST = {
    "H2O": [0.2269, 0.1837, 0.1707],
    "Al": [0.3681, 0.2018, 0.1704],
    "Si": [0.4385, 0.2228, 0.1835],
    "Ca": [1.019, 0.3656, 0.2571],
}


@pytest.mark.parametrize("formula", NIST)
def test_mass_attenuation_is_that_of_another_table(formula):
    stuff = lx.dect.Material(formula, formula, 1.0)
    # The two tables of cross-sections differ by up to 1 %.
    np.testing.assert_allclose(lx.dect.linear_attenuation(stuff, [50.0, 80.0, 100.0]), NIST[formula], rtol=1e-2)


def test_a_spectrum_is_a_weighted_mean():
    quartz = lx.dect.material("quartz")
    spectrum = lx.dect.Spectrum([50.0, 80.0], [1.0, 3.0])
    low, high = lx.dect.linear_attenuation(quartz, [50.0, 80.0])
    assert lx.dect.linear_attenuation(quartz, spectrum) == pytest.approx(0.25 * low + 0.75 * high, rel=1e-14)
    assert lx.dect.linear_attenuation(quartz, 50.0) == low
    assert spectrum.mean_energy == 72.5


def test_filters_harden_a_tube_spectrum():
    soft = lx.dect.tube_spectrum(100)
    hard = lx.dect.tube_spectrum(100, {"aluminium": 0.3})
    assert 30 < soft.mean_energy < hard.mean_energy < 100
    counted = lx.dect.tube_spectrum(100, {"aluminium": 0.3}, detector="count")
    assert counted.mean_energy < hard.mean_energy
    # Without filter and for counts Kramers' law is (V/E - 1), from 5 keV to V: its mean energy in closed form.
    bare = lx.dect.tube_spectrum(100, detector="count", step=0.01)
    expected = (100 * 95 - (100**2 - 25) / 2) / (100 * np.log(20) - 95)
    assert bare.mean_energy == pytest.approx(expected, rel=1e-5)


def test_bad_input():
    quartz = lx.dect.material("quartz")
    with pytest.raises(ValueError, match=r"between 0\.1 and 800"):
        lx.dect.linear_attenuation(quartz, 50_000)
    with pytest.raises(ValueError, match="above 5"):
        lx.dect.tube_spectrum(3)
    with pytest.raises(ValueError, match="one weight per energy"):
        lx.dect.Spectrum([50.0], [1.0, 2.0])
    table = lx.dect.periodic_table().with_element("Qz", atomic_number=11.8, atomic_weight=23.6)
    with pytest.raises(ValueError, match="no table of cross-sections for 'Qz'"):
        lx.dect.linear_attenuation(lx.dect.Material("own", "Qz", 1.0, table=table), 50)
