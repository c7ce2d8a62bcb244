"""Dual-energy CT: electron density and effective atomic number, under the name that users type:
``lx.dect``.
"""

from lithax.inverse import CalibrationFit as CalibrationFit
from lithax.inverse import GaussianFit as GaussianFit
from lithax.inverse import Inversion as Inversion
from lithax.inverse import Preview as Preview
from lithax.inverse import RockVerseGroup as RockVerseGroup
from lithax.inverse import Spread as Spread
from lithax.inverse import Study as Study
from lithax.inverse import calibrate as calibrate
from lithax.inverse import draw_coefficients as draw_coefficients
from lithax.inverse import estimate as estimate
from lithax.inverse import fit_gaussians as fit_gaussians
from lithax.inverse import from_regions as from_regions
from lithax.inverse import invert as invert
from lithax.inverse import measure_standard as measure_standard
from lithax.inverse import preview as preview
from lithax.inverse import propagate as propagate
from lithax.inverse import shift_between as shift_between
from lithax.inverse import shifted as shifted
from lithax.inverse import solve as solve
from lithax.inverse import standard_profiles as standard_profiles
from lithax.models import AbstractDistribution as AbstractDistribution
from lithax.models import Calibration as Calibration
from lithax.models import Coefficients as Coefficients
from lithax.models import Composition as Composition
from lithax.models import Element as Element
from lithax.models import Gaussian as Gaussian
from lithax.models import Histogram as Histogram
from lithax.models import Material as Material
from lithax.models import PeriodicTable as PeriodicTable
from lithax.models import Spectrum as Spectrum
from lithax.models import Standard as Standard
from lithax.models import Tabulated as Tabulated
from lithax.models import U as U
from lithax.models import bulk_density as bulk_density
from lithax.models import composition as composition
from lithax.models import electron_density as electron_density
from lithax.models import linear_attenuation as linear_attenuation
from lithax.models import material as material
from lithax.models import materials as materials
from lithax.models import mixture as mixture
from lithax.models import periodic_table as periodic_table
from lithax.models import photoelectric_factor as photoelectric_factor
from lithax.models import tube_spectrum as tube_spectrum
