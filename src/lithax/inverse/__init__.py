"""Fits and inversions: from images back to what the rock is made of."""

from lithax.inverse._calibrate import CalibrationFit as CalibrationFit
from lithax.inverse._calibrate import calibrate as calibrate
from lithax.inverse._draw_coefficients import draw_coefficients as draw_coefficients
from lithax.inverse._estimate import estimate as estimate
from lithax.inverse._estimate import propagate as propagate
from lithax.inverse._from_regions import from_regions as from_regions
from lithax.inverse._from_regions import measure_standard as measure_standard
from lithax.inverse._from_regions import standard_profiles as standard_profiles
from lithax.inverse._gaussian_fit import GaussianFit as GaussianFit
from lithax.inverse._gaussian_fit import fit_gaussians as fit_gaussians
from lithax.inverse._inversion import Inversion as Inversion
from lithax.inverse._inversion import Spread as Spread
from lithax.inverse._invert import invert as invert
from lithax.inverse._invert import solve as solve
from lithax.inverse._plan import plan_inversion as plan_inversion
from lithax.inverse._preview import Preview as Preview
from lithax.inverse._preview import preview as preview
from lithax.inverse._registration import shift_between as shift_between
from lithax.inverse._registration import shifted as shifted
from lithax.inverse._study import RockVerseGroup as RockVerseGroup
from lithax.inverse._study import Study as Study
from lithax.inverse._study import open_study as open_study
