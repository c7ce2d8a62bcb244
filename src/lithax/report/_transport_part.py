"""What a solver has to say in the section on transport."""

from dataclasses import dataclass

from lithax.report._number import Number
from lithax.report._picture import Picture


@dataclass(frozen=True)
class TransportPart:
    """What one solver found; numbers have keys that begin with ``transport.``."""

    title: str
    text: str
    numbers: tuple[Number, ...] = ()
    pictures: tuple[tuple[Picture, str], ...] = ()
    """Pictures with their captions."""
    budget: tuple[tuple[str, str], ...] = ()
    """Lines of the error budget: cause, and size."""
    notes: tuple[str, ...] = ()
