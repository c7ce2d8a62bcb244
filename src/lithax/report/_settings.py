"""What a user of a report may choose."""

import dataclasses
from typing import Any

from lithax.report._segmentation import THRESHOLDS, grey_level_given, make_filter

ROI = ("auto", "cylinder", "none")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Choices of a report, checked before anything is read."""

    filter: str = "median"
    """"none", or a filter with or without its parameter, such as "median:2" (radius [voxel])."""
    threshold: str | float = "otsu"
    """"otsu", "half" (midway between the two peaks of the histogram), another method of the
    histogram ("otsu:3": the darkest of three phases is pore), or a grey level.
    """
    roi: str = "auto"
    """"auto": the core, if the image shows one; "cylinder": the core, or else the largest cylinder
    along z; "none": everything.
    """
    pore_phase: int | None = None
    """The value that is pore in an image that is segmented already; None takes the lowest (of
    booleans: True).
    """

    def __post_init__(self) -> None:
        make_filter(self.filter)
        if self.roi not in ROI:
            raise ValueError(f"roi={self.roi!r} must be one of {', '.join(map(repr, ROI))}.")
        if self.threshold not in THRESHOLDS:
            object.__setattr__(self, "threshold", grey_level_given(self.threshold))

    def as_dict(self) -> dict[str, Any]:
        """Return the choices as plain values."""
        return dataclasses.asdict(self)
