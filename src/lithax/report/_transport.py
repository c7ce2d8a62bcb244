"""The section on transport: which solvers have their say, one after the other."""

from lithax.report._analysis import Analysis
from lithax.report._steps import Steps
from lithax.report._transport_part import TransportPart


def transport_parts(analysis: Analysis, steps: Steps) -> tuple[TransportPart, ...]:
    """Solve, with every solver that a report has, on the same voxels."""
    # Solvers are loaded by those who ask for them.
    from lithax.report._conduction import conduction_part
    from lithax.report._permeability import permeability_part
    from lithax.report._transport_sample import transport_sample

    sample = transport_sample(analysis)
    return tuple(part(sample, steps) for part in (conduction_part, permeability_part))
