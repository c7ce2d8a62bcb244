"""Fits and inversions: from images back to what the rock is made of."""

from lithax.inverse._draw_coefficients import draw_coefficients as draw_coefficients
