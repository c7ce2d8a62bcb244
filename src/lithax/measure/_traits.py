"""What a measurement declares of itself, asked in one place."""

from dataclasses import dataclass, fields
from typing import Any

from lithax.grid import Halo, as_halo
from lithax.measure._measurement import AbstractMeasurement


@dataclass(frozen=True)
class Traits:
    """The declarations of a measurement; see `AbstractMeasurement`, whose defaults hold for any
    other object with its methods.
    """

    context: bool
    additive: bool
    exact: bool
    host: bool
    halo: Halo

    @classmethod
    def of(cls, measurement: Any) -> "Traits":
        """Return what a measurement declares."""
        declared = {f.name: getattr(measurement, f.name, getattr(AbstractMeasurement, f.name)) for f in fields(cls)}
        halo = as_halo(declared.pop("halo"), f"halo of {type(measurement).__name__}")
        return cls(**{name: bool(value) for name, value in declared.items()}, halo=halo)
