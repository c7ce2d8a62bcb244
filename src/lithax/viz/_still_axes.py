"""Parts of a figure that are drawn once, and put back as pixels until something in them changes.

A move of the reference point changes the slices; the histogram beside them, and the ticks and
labels around them, take three quarters of the time that drawing takes, and stay as they are.
"""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.transforms import Bbox

_MARKS = 8
"""Room for the marks of an axis without labels [pixel]."""


class _Still:
    """Drawn once, where nothing else is drawn."""

    _drawn: tuple[Any, Any] | None = None
    """What it was drawn for, and its pixels."""

    def draw(self, renderer: Any, *args: Any, **options: Any) -> None:
        """Draw, or put back what was drawn."""
        artist: Any = self
        copy = getattr(renderer, "copy_from_bbox", None)
        if copy is None:  # lines and letters, of a PDF or an SVG
            super().draw(renderer, *args, **options)  # pyright: ignore[reportAttributeAccessIssue]
            return
        size = renderer.width, renderer.height, renderer.dpi
        seen = (size, artist.figure.get_facecolor(), artist.get_visible(), *self._place())
        if self._drawn is not None and self._drawn[0] == seen and not any(part.stale for part in artist.findobj()):
            renderer.restore_region(self._drawn[1])
            return
        super().draw(renderer, *args, **options)  # pyright: ignore[reportAttributeAccessIssue]
        box = self._box(renderer)
        self._drawn = None if box is None else (seen, copy(box))
        # What is invisible is never drawn, and to ask for the box moves titles to where they are.
        for part in artist.findobj():
            part.stale = False

    def _place(self) -> tuple[Any, ...]:
        """Return where it stands, as far as that does not make it stale."""
        return ()

    def _box(self, renderer: Any) -> Bbox | None:
        """Return the pixels that it takes up."""
        raise NotImplementedError

    def __getstate__(self) -> Any:
        return {**super().__getstate__(), "_drawn": None}  # pyright: ignore[reportGeneralTypeIssues]


class StillAxes(_Still, Axes):
    """Axes of which everything stays."""

    def apply_aspect(self, position: Any = None) -> None:
        """Fit into the place that they have, which the figure asks for before it draws; it is the
        same as before.
        """
        stale = self.stale
        super().apply_aspect(position)
        self.stale = stale

    def _place(self) -> tuple[Any, ...]:
        return (self.bbox.bounds,)

    def _box(self, renderer: Any) -> Bbox | None:
        box = self.get_tightbbox(renderer)
        return None if box is None else box.padded(1)


class _StillAxis(_Still):
    """Ticks and labels; what lies within the axes is not theirs."""

    def _place(self) -> tuple[Any, ...]:
        axes = self.axes  # pyright: ignore[reportAttributeAccessIssue]
        return axes.bbox.bounds, axes.viewLim.bounds


class _StillXAxis(_StillAxis, XAxis):
    def _box(self, renderer: Any) -> Bbox | None:
        axes, box = self.axes.bbox, self.get_tightbbox(renderer)
        box = axes if box is None else box  # there are marks, and no labels
        return Bbox([[box.x0 - 1, box.y0 - _MARKS], [box.x1 + 1, axes.y0]])


class _StillYAxis(_StillAxis, YAxis):
    def _box(self, renderer: Any) -> Bbox | None:
        axes, box = self.axes.bbox, self.get_tightbbox(renderer)
        box = axes if box is None else box
        return Bbox([[box.x0 - _MARKS, box.y0 - 1], [axes.x0, box.y1 + 1]])


class FramedAxes(Axes):
    """Axes of which the ticks and labels, below and to the left, stay."""

    def _init_axis(self) -> None:
        super()._init_axis()  # pyright: ignore[reportAttributeAccessIssue]
        self.xaxis.__class__, self.yaxis.__class__ = _StillXAxis, _StillYAxis
