"""Figures without a window and without a change of anyone's settings."""

import contextlib
import functools
import io
from collections.abc import Iterator
from typing import Any

PORE = "#1f77b4"
OVERLAY = "#2b9df4"
GRAIN = "#8d8478"
ACCENT = "#d1495b"
TRUTH = "#2a7f62"
INK = "#222222"
FAINT = "#c8c8c8"

_STYLE = {
    "axes.edgecolor": "#666666",
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9.5,
    "figure.facecolor": "white",
    "font.size": 9,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "savefig.facecolor": "white",
    "svg.fonttype": "path",  # looks the same on every machine
    "svg.hashsalt": "lithax",  # the same bytes for the same data
    "text.color": INK,
    "xtick.color": "#444444",
    "xtick.labelsize": 8.5,
    "ytick.color": "#444444",
    "ytick.labelsize": 8.5,
}


def load_matplotlib() -> Any:
    """Import matplotlib, or say how to get it.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed.
    """
    try:
        import matplotlib
        import matplotlib.figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("Drawing needs matplotlib: pip install 'lithax[viz]'.", name="matplotlib") from error
    return matplotlib


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in the style of this room; settings outside are left as they are."""
    with load_matplotlib().rc_context(_STYLE):
        yield


@contextlib.contextmanager
def drawing(width: float, height: float) -> Iterator[Any]:
    """Give a new figure [inch] to draw on in the style of this room; settings outside are left as
    they are.
    """
    matplotlib = load_matplotlib()
    with matplotlib.rc_context(_STYLE):
        figure = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
        # A notebook knows the figures of pyplot; of others it shows the name, unless they say how
        # they look.
        figure._repr_png_ = functools.partial(encode, figure, "png", 100)
        yield figure


def encode(figure: Any, format: str = "svg", dpi: int = 150) -> bytes:
    """Return a figure as the bytes of an SVG or PNG file, the same bytes for the same figure.

    Parameters
    ----------
    figure
        Any figure of matplotlib.
    format
        "svg" or "png".
    dpi
        Pixels per inch of a PNG, and of pictures inside an SVG.
    """
    if format not in ("svg", "png"):
        raise ValueError(f"format={format!r} must be 'svg' or 'png'.")
    matplotlib = load_matplotlib()
    buffer = io.BytesIO()
    metadata = {"Date": None} if format == "svg" else {"Software": None}
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format=format, dpi=dpi, metadata=metadata)
    return buffer.getvalue()
