"""A number that stands in a report, and everything that must stand beside it."""

import dataclasses
import math
from typing import Any, Literal

Kind = Literal["measured", "assumed", "simulated"]
KINDS = ("measured", "assumed", "simulated")


@dataclasses.dataclass(frozen=True)
class Number:
    """A reported number with its unit, where it comes from and what it is a fraction of."""

    key: str
    """Its name for programs, such as "porosity.total": the same in every report."""
    name: str
    value: float | int | str | None
    """None where it could not be had; `evidence` then says why."""
    unit: str
    """"-" for fractions, "voxel", "grey level", or a unit of length."""
    kind: Kind
    """"measured" on the image; "assumed", given or chosen and not measured; "simulated", known
    because the image was made.
    """
    uncertainty: float | None = None
    """One standard deviation, in the same unit, where it is known."""
    denominator: str = ""
    """What a fraction is a fraction of."""
    method: str = ""
    evidence: str = ""
    """The counts or grey levels that the number follows from."""
    percent: bool = False
    """Whether people read it as a percentage; `value` is the fraction all the same."""
    difference: bool = False
    """Whether it is a difference of two percentages, which people read in porosity units [p.u.],
    with its sign.
    """

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} of the number {self.key!r} must be one of {', '.join(KINDS)}.")

    @property
    def text(self) -> str:
        """The value as people read it, with unit and uncertainty."""
        if self.value is None:
            return "not available"
        if isinstance(self.value, str):
            return self.value
        if self.difference:
            error = "" if self.uncertainty is None else f" ± {_error(100 * self.uncertainty, 3)}"
            return f"{100 * self.value:+.3f}{error} p.u.".replace("-", "\N{MINUS SIGN}")
        if self.percent:
            error = "" if self.uncertainty is None else f" ± {_error(100 * self.uncertainty, 2)}"
            return f"{100 * self.value:.2f}{error} %"
        if isinstance(self.value, int):
            shown = grouped(self.value)
        else:
            shown = f"{self.value:.2f}" if self.unit == "voxel" else _digits(self.value, self.uncertainty)
            if self.uncertainty is not None:
                shown += f" ± {_error(self.uncertainty, _decimals(self.uncertainty))}"
        shown = shown.replace("-", "\N{MINUS SIGN}")
        if self.unit in ("", "-", "grey level"):
            return shown
        from lithax.viz import unit_symbol

        return f"{shown} {unit_symbol(self.unit)}"

    @property
    def short(self) -> str:
        """The value as people read it, without its uncertainty."""
        return dataclasses.replace(self, uncertainty=None).text

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON: what is not a finite number is None."""
        found = dataclasses.asdict(self)
        for name in ("value", "uncertainty"):
            if isinstance(found[name], float) and not math.isfinite(found[name]):
                found[name] = None
        return found


def grouped(count: int) -> str:
    """Return a count with its digits in groups of three."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _decimals(error: float) -> int:
    """Return how many decimals show two digits of an uncertainty."""
    return max(0, 1 - math.floor(math.log10(error))) if error > 0 and math.isfinite(error) else 4


def _error(error: float, decimals: int) -> str:
    # An uncertainty too small to show is still not zero.
    return f"{error:.{decimals}f}" if error == 0 or error >= 0.5 * 10**-decimals else f"{error:.1g}"


def _digits(value: float, uncertainty: float | None) -> str:
    if not math.isfinite(value):
        return str(value)
    if uncertainty:
        return f"{value:.{_decimals(uncertainty)}f}"
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
