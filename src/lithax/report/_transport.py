"""The section on transport: which solvers have their say, one after the other."""

from lithax.report._analysis import Analysis
from lithax.report._steps import Steps
from lithax.report._transport_part import TransportPart


def transport_parts(analysis: Analysis, steps: Steps) -> tuple[TransportPart, ...]:
    """Solve, with every solver that a report has."""
    from lithax.report._conduction import conduction_part  # solvers are loaded by those who ask for them

    return tuple(part(analysis, steps) for part in (conduction_part,))
