"""Fits and inversions: from images back to what the rock is made of."""

from lithax.inverse._draw_coefficients import draw_coefficients as draw_coefficients
from lithax.inverse._inversion import Inversion as Inversion
from lithax.inverse._inversion import Spread as Spread
from lithax.inverse._invert import invert as invert
from lithax.inverse._invert import solve as solve
