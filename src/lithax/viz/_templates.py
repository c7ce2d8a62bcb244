"""Looks that fit a kind of image."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Template:
    """Colours and lines of a viewer; whatever a user sets himself goes before."""

    color_map: str
    mask_color: str
    mask_alpha: float
    guide: dict[str, Any]
    histogram: dict[str, Any]
    contour: dict[str, Any]
    outline: dict[str, Any]
    chunk: dict[str, Any]
    shard: dict[str, Any]
    not_a_number: str
    """Colour of voxels that hold no number."""


_LINES = {"color": "#ffb000", "linewidth": 0.9, "linestyle": (0, (6, 3)), "alpha": 0.95}

TEMPLATES = {
    "X-ray CT": Template(
        color_map="gray",
        mask_color="#5e3c99",
        mask_alpha=0.55,
        guide=_LINES,
        histogram={"color": "#222222", "linewidth": 1.2},
        contour={"color": "#00b7c7", "linewidth": 0.9},
        outline={"color": "#ff4f9a", "linewidth": 1.4},
        chunk={"color": "#7fd3ff", "linewidth": 0.7, "alpha": 0.75},
        shard={"color": "#7fd3ff", "linewidth": 1.6, "alpha": 0.95},
        not_a_number="#f3d9c4",
    ),
    "scalar field": Template(
        color_map="viridis",
        mask_color="#7f7f7f",
        mask_alpha=0.75,
        guide={**_LINES, "color": "#ffffff"},
        histogram={"color": "#222222", "linewidth": 1.2},
        contour={"color": "#ffffff", "linewidth": 0.9},
        outline={"color": "#ff4f9a", "linewidth": 1.4},
        chunk={"color": "#ffffff", "linewidth": 0.7, "alpha": 0.7},
        shard={"color": "#ffffff", "linewidth": 1.6, "alpha": 0.9},
        not_a_number="#e8e8e8",
    ),
}
