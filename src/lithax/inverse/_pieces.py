"""Monotone pieces of the curves of dual energy, as arrays."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import equinox as eqx


class Pieces(eqx.Module):
    """Monotone parts of the curves of as many draws; all arrays have the shape (pieces,), but for
    `polynomial`.
    """

    draw: Any
    """Number of the draw among the coefficients."""
    air_low: Any
    """Above the reference of the curves."""
    scale_low: Any
    """1/A."""
    exponent_low: Any
    shift_low: Any
    """β = ln(B/A)."""
    air_high: Any
    scale_high: Any
    exponent_high: Any
    shift_high: Any
    ratio_low: Any
    """The piece holds a root for q from here"""
    ratio_high: Any
    """to here."""
    bottom: Any
    """It reaches from this ln Z"""
    top: Any
    """to this."""
    stationary: Any
    """q*, where `folded`."""
    folded: Any
    """Whether sqrt|q* - q| stands in for q."""
    a: Any
    """The guess is made of s = middle + slope ln((a + b r)/(c + d r)), where r is q or its
    stand-in.
    """
    b: Any
    c: Any
    d: Any
    middle: Any
    slope: Any
    polynomial: Any
    """ln Z as a polynomial of s, highest power first; shape (DEGREE + 1, pieces)."""
    steps: int | None = eqx.field(static=True)
    """Steps after the guess; None: bisection."""

    @property
    def count(self) -> int:
        """The number of pieces."""
        return self.draw.shape[0]

    def map(self, function: Callable) -> "Pieces":
        """Return the pieces with `function` applied to every array."""
        arrays = {f.name: function(getattr(self, f.name)) for f in fields(self) if f.name != "steps"}
        return Pieces(**arrays, steps=self.steps)
