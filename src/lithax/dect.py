"""Dual-energy CT: electron density and effective atomic number, under the name that users type: ``lx.dect``."""

from lithax.models import Coefficients as Coefficients
