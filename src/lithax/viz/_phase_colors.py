"""Colours of phases that everyone can tell apart.

The first seven are those of Okabe and Ito, made for all kinds of colour vision. Further ones go
round the circle of hues by the golden angle, in three lightnesses.

References
----------
M. Okabe and K. Ito, Color Universal Design (2008), https://jfly.uni-koeln.de/color/.
"""

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")

TABLE = 4096
"""Phases with a colour of their own; above, the colours repeat."""

_GOLDEN = 0.6180339887498949

PhaseColors = Mapping[int, Any] | Sequence[Any] | str
"""A colour, or None for nothing, for each phase that is named; or colours from phase 1 on; or a
colour map of matplotlib.
"""


def default_color(phase: int) -> tuple[float, float, float] | None:
    """Return the colour of a phase, red, green and blue from 0 to 1; None, nothing, for phase 0.

    >>> default_color(0) is None, tuple(round(255 * c) for c in default_color(1))
    (True, (230, 159, 0))
    """
    if phase == 0:
        return None
    if phase <= len(OKABE_ITO):
        code = OKABE_ITO[phase - 1]
        return int(code[1:3], 16) / 255, int(code[3:5], 16) / 255, int(code[5:7], 16) / 255
    return colorsys.hls_to_rgb((phase * _GOLDEN) % 1.0, (0.45, 0.62, 0.78)[phase % 3], 0.65)


def phase_color(phase: int, colors: PhaseColors | None = None, phases: Sequence[int] = ()) -> Any:
    """Return the colour of a phase as red, green and blue from 0 to 1, or None for nothing.

    Parameters
    ----------
    phase
        A value of a segmentation.
    colors
        What was asked for; phases that are not named have their `default_color`.
    phases
        All phases there are, over which a colour map is spread.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if isinstance(colors, str):
        named = [p for p in phases if p] or [phase]
        table = colormaps[colors]
        if phase == 0:
            return None
        if table.N <= 32:  # a list of colours rather than a scale
            return to_rgb(table((phase - 1) % table.N))
        place = named.index(phase) / max(1, len(named) - 1) if phase in named else (phase % 256) / 255
        return to_rgb(table(place))
    if isinstance(colors, Mapping):
        chosen = colors[phase] if phase in colors else default_color(phase)
    elif colors is not None:
        chosen = colors[phase - 1] if 0 < phase <= len(colors) else default_color(phase)
    else:
        chosen = default_color(phase)
    return None if chosen is None else to_rgb(chosen)


def phase_table(highest: int, colors: PhaseColors | None = None, phases: Sequence[int] = ()) -> np.ndarray:
    """Return red, green, blue and whether there is a colour at all, uint8, for the phases 0 to
    `highest`.
    """
    size = min(highest, TABLE - 1) + 1
    table = np.zeros((size, 4), np.uint8)
    for phase in range(size):
        color = phase_color(phase, colors, phases)
        if color is not None:
            table[phase] = [*(round(255 * c) for c in color), 1]
    return table


def paint_phases(
    pixels: np.ndarray, labels: np.ndarray, alpha: float, colors: PhaseColors | None = None, phases: Sequence[int] = ()
) -> np.ndarray:
    """Return the pixels with the colour of their phase laid over them.

    Parameters
    ----------
    pixels
        uint8, shape (rows, columns, 3).
    labels
        Phases, unsigned integers or booleans, shape (rows, columns).
    alpha
        Opacity of the colours, 0 to 1.
    colors, phases
        As in `phase_color`.
    """
    labels = np.asarray(labels)
    highest = int(labels.max()) if labels.size else 0
    table = phase_table(highest, colors, phases)
    # Above the table colours repeat, but no phase becomes 0, which has none.
    index = labels.astype(np.intp) if highest < TABLE else np.where(labels < TABLE, labels, 1 + labels % (TABLE - 1))
    over = table[index.astype(np.intp, copy=False)]
    share = np.uint16(round(256 * alpha)) * over[..., 3:].astype(np.uint16)
    mixed = (pixels.astype(np.uint16) * (256 - share) + over[..., :3] * share) >> 8
    return mixed.astype(np.uint8)
