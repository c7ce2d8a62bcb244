"""A scale bar in the corner of a slice, laid out when it is drawn: few parts, because it is drawn
for every move.
"""

from typing import Any

from matplotlib.artist import Artist
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import IdentityTransform

_PAD, _GAP, _THICK, _LETTERS = 3.5, 2.5, 2.0, 8.0
"""Room around the bar and its length, and between the two; how thick the bar, and how high the
letters are [pt].
"""


class DrawnScaleBar(Artist):
    """A bar and its length below it, white on a dark ground.

    Parameters
    ----------
    length
        Length of the bar, as the x axis has it.
    label
        The length in words.
    """

    def __init__(self, length: float, label: str):
        super().__init__()
        self.set_zorder(6)
        self.length = length
        pixels = {"transform": IdentityTransform(), "linewidth": 0}
        self._ground = FancyBboxPatch((0, 0), 1, 1, facecolor="black", alpha=0.6, **pixels)
        self._bar = Rectangle((0, 0), 1, 1, facecolor="white", **pixels)
        self._words = Text(0, 0, label, color="white", fontsize=_LETTERS, ha="center", va="baseline")

    @property
    def label(self) -> str:
        """The length in words."""
        return self._words.get_text()

    def get_children(self) -> list[Artist]:
        """Return what it is drawn of."""
        return [self._ground, self._bar, self._words]

    def set_figure(self, fig: Any) -> None:
        """Belong to a figure, with all parts."""
        super().set_figure(fig)
        for part in self.get_children():
            part.set_figure(fig)

    def draw(self, renderer: Any) -> None:
        """Draw at the lower left corner of the axes."""
        if not self.get_visible() or self.axes is None:
            return
        point = renderer.points_to_pixels(1.0)
        pad, left, bottom = _PAD * point, self.axes.bbox.x0, self.axes.bbox.y0
        low, high = self.axes.get_xlim()
        bar = self.length / abs(high - low) * self.axes.bbox.width
        words, _, descent = renderer.get_text_width_height_descent(self.label, self._words.get_fontproperties(), ismath=False)  # fmt: skip
        width = max(bar, words) + 2 * pad
        height = (_LETTERS + _GAP + _THICK) * point + 2 * pad
        middle = left + pad + width / 2
        self._ground.set_bounds(left + pad, bottom + pad, width, height)
        self._ground.set_boxstyle("round", pad=0, rounding_size=2 * point)
        self._bar.set_bounds(middle - bar / 2, bottom + height - _THICK * point, bar, _THICK * point)
        self._words.set_position((middle, bottom + 2 * pad + descent))
        for part in self.get_children():
            part.draw(renderer)
        self.stale = False
