"""A bar of a round length, by which one reads sizes off a picture."""

import math
from typing import Any


def round_length(width: float) -> float:
    """Return a length of 1, 2 or 5 times a power of ten, about a quarter of a width and never more
    than two fifths.

    >>> round_length(1400.0), round_length(110.0), round_length(0.7)
    (500.0, 20.0, 0.2)
    """
    if not width > 0:
        raise ValueError(f"width={width!r} must be positive.")
    power = 10.0 ** math.floor(math.log10(0.4 * width))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= 0.4 * width)


def draw_scale_bar(axes: Any, width: float, unit: str) -> None:
    """Draw a bar with its length into the lower left corner of axes whose x runs over `width` of a
    unit.
    """
    from matplotlib.patches import Rectangle

    length = round_length(width)
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    across, up = right - left, top - bottom
    x, y = left + 0.05 * across, bottom + 0.05 * up
    box = {"facecolor": "black", "alpha": 0.62, "linewidth": 0}
    axes.add_patch(Rectangle((x - 0.02 * across, y - 0.025 * up), length + 0.04 * across, 0.115 * up, **box))
    axes.add_patch(Rectangle((x, y), length, 0.018 * up, facecolor="white", linewidth=0))
    label = f"{length:g} {unit}" if unit else f"{length:g}"
    axes.text(x + length / 2, y + 0.028 * up, label, color="white", ha="center", va="bottom", fontsize=8)
