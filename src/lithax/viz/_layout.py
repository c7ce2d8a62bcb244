"""Where the slices and the histogram stand in a figure: arithmetic on inches only."""

from collections.abc import Mapping
from dataclasses import dataclass

Rectangle = tuple[float, float, float, float]
"""Left, bottom, width and height [inch]."""

GAPS = {"left": 0.62, "right": 0.2, "bottom": 0.5, "top": 0.32, "wspace": 0.28, "hspace": 0.62}
BARE = {"left": 0.12, "right": 0.12, "bottom": 0.12, "top": 0.32, "wspace": 0.16, "hspace": 0.4}
"""Margins and gaps without ticks and labels."""

HISTOGRAM = (2.5, 1.9)
"""Smallest width and height of the histogram, without its labels [inch]; less in a small figure."""

SHARE = 0.3
"""Of the width and of the height of a figure that the histogram may insist on."""

THINNEST = 0.3
"""Smallest edge of a slice [inch]; a thinner one is stretched."""

BAR = 0.13
"""Height of the calibration bar [inch]."""

_LABELS = 0.5  # what the histogram needs on its left for the labels of its axis


@dataclass(frozen=True)
class Arrangement:
    """Rectangles of a figure [inch] and how large it is."""

    size: tuple[float, float]
    needed: tuple[float, float]
    """The part of the figure that is filled."""
    rectangles: dict[str, Rectangle]
    """Of "xy", "zy", "xz", "histogram" and "color_bar", those that are drawn."""


def arrange(
    dimensions: tuple[float, float, float],
    planes: tuple[str, ...],
    *,
    layout: str,
    size: tuple[float, float],
    axes: bool = True,
    histogram: bool = True,
    color_bar: bool = True,
    gaps: Mapping[str, float] | None = None,
) -> Arrangement:
    """Place slices, all in one scale, and the histogram so that they fill a figure as well as they
    can.

    Parameters
    ----------
    dimensions
        Edges of what is seen along x, y and z.
    planes
        Which of "xy", "zy" and "xz" are drawn.
    layout
        "2x2" (xy and zy above, xz and the histogram below), "vertical" or "horizontal".
    size
        Width and height of the figure [inch].
    axes, histogram, color_bar
        Whether ticks and labels, the histogram, and the calibration bar are drawn.
    gaps
        Margins and gaps that differ from `GAPS` [inch].
    """
    below = "histogram" if histogram else "color_bar" if color_bar else ""
    gap: dict[str, float] = dict(GAPS if axes else BARE)
    if below:
        gap["bottom"] = GAPS["bottom"]
    if axes and layout == "horizontal":
        gap["wspace"] = 0.7  # for the labels of the slice beside
    gap.update(gaps or {})
    least = tuple(min(full, SHARE * edge) for full, edge in zip(HISTOGRAM, size, strict=True))
    cells = _cells(planes, below, layout)
    lengths = dict(zip("xyz", dimensions, strict=True))

    def measure(scale: float) -> tuple[list[float], list[float]]:
        columns: dict[int, float] = {}
        rows: dict[int, float] = {}
        for name, (row, column) in cells.items():
            width, height = _cell(name, lengths, scale, least)
            columns[column] = max(columns.get(column, 0.0), width)
            rows[row] = max(rows.get(row, 0.0), height)
        return [columns.get(n, 0.0) for n in range(max(columns) + 1)], [rows.get(n, 0.0) for n in range(max(rows) + 1)]

    def total(scale: float) -> tuple[float, float]:
        columns, rows = measure(scale)
        return (
            gap["left"] + sum(columns) + gap["wspace"] * (len(columns) - 1) + gap["right"],
            gap["bottom"] + sum(rows) + gap["hspace"] * (len(rows) - 1) + gap["top"],
        )

    if not cells:
        return Arrangement(size, size, {})
    scale = _largest(lambda s: all(n <= a for n, a in zip(total(s), size, strict=True)), max(size) / min(dimensions))
    columns, rows = measure(scale)
    needed = total(scale)
    left = [gap["left"] + sum(columns[:n]) + gap["wspace"] * n for n in range(len(columns))]
    top = [size[1] - gap["top"] - sum(rows[:n]) - gap["hspace"] * n for n in range(len(rows))]
    rectangles: dict[str, Rectangle] = {}
    for name, (row, column) in cells.items():
        if name in ("histogram", "color_bar"):
            # The histogram fills its cell; beyond the last row and column, what is left of the
            # figure.
            width = columns[column] - _LABELS
            x = left[column] + _LABELS
            room = rows[row]
            if name == "color_bar":
                rectangles["color_bar"] = (x, top[row] - room * 0.5, width, BAR)
            else:
                low = BAR if color_bar else 0.0
                rectangles["histogram"] = (x, top[row] - room + low, width, room - low)
                if color_bar:
                    rectangles["color_bar"] = (x, top[row] - room, width, BAR)
        else:
            width, height = _cell(name, lengths, scale, least)
            bottom = top[row] - height
            rectangles[name] = (left[column], bottom, width, height)
    return Arrangement(size, needed, rectangles)


def fitted(
    dimensions: tuple[float, float, float],
    planes: tuple[str, ...],
    *,
    layout: str,
    size: tuple[float, float],
    grow: bool,
    **options: object,
) -> tuple[float, float]:
    """Return the size of a figure without blank borders [inch].

    Parameters
    ----------
    dimensions, planes, layout, size, **options
        As in `arrange`.
    grow
        Enlarge the figure along its shorter side, so that the slices fill the other one; otherwise
        cut off what is blank.
    """
    if not grow:
        return arrange(dimensions, planes, layout=layout, size=size, **options).needed  # pyright: ignore[reportArgumentType]
    found = []
    for free in (0, 1):
        large = (1e3, size[1]) if free == 0 else (size[0], 1e3)
        found.append(arrange(dimensions, planes, layout=layout, size=large, **options).needed)  # pyright: ignore[reportArgumentType]
    return max(found, key=lambda s: s[0] * s[1])


def _cells(planes: tuple[str, ...], below: str, layout: str) -> dict[str, tuple[int, int]]:
    """Return row and column of everything that is drawn; empty rows and columns are left out."""
    names = [*(name for name in ("xy", "zy", "xz") if name in planes), *([below] if below else [])]
    if layout == "vertical":
        return {name: (n, 0) for n, name in enumerate(names)}
    if layout == "horizontal" or len(names) <= 2:
        return {name: (0, n) for n, name in enumerate(names)}
    cells = {"xy": (0, 0), "zy": (0, 1), "xz": (1, 0), "histogram": (1, 1), "color_bar": (1, 1)}
    chosen = {name: cells[name] for name in names}
    rows = sorted({row for row, _ in chosen.values()})
    columns = sorted({column for _, column in chosen.values()})
    return {name: (rows.index(row), columns.index(column)) for name, (row, column) in chosen.items()}


def _cell(name: str, lengths: Mapping[str, float], scale: float, least: tuple[float, ...]) -> tuple[float, float]:
    if name == "histogram":
        return least[0] + _LABELS, least[1]
    if name == "color_bar":
        return least[0] + _LABELS, 0.6
    return max(THINNEST, lengths[name[0]] * scale), max(THINNEST, lengths[name[1]] * scale)


def _largest(possible: object, highest: float) -> float:
    """Return the largest number up to `highest` that is possible, to a millionth; of a monotone
    property.
    """
    low, high = 0.0, highest
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if possible(middle) else (low, middle)  # pyright: ignore[reportCallIssue]
    return low
