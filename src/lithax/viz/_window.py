"""Figures with and without a window."""

import os
import sys
from typing import Any

from lithax.errors import NoDisplayError


def plain_figure(figsize: tuple[float, float], dpi: float, facecolor: Any) -> Any:
    """Return a figure without a window, which no list of windows knows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class Canvas(FigureCanvasAgg):
        def draw_idle(self, *args: Any, **kwargs: Any) -> None:
            """Nobody looks: it is drawn when it is saved."""

    figure = Figure(figsize=figsize, dpi=dpi, facecolor=facecolor)
    Canvas(figure)
    return figure


def managed_figure(figsize: tuple[float, float], dpi: float, facecolor: Any) -> Any:
    """Return a figure in a window, or in a widget of a notebook.

    Raises
    ------
    NoDisplayError
        If there is no display.
    """
    import matplotlib

    try:
        from matplotlib import pyplot

        name = matplotlib.get_backend()
        if not _interactive(name):
            raise NoDisplayError(_obstacle(name))
        with pyplot.ioff():  # a notebook shows the viewer when it is asked to, not twice
            figure = pyplot.figure(figsize=figsize, dpi=dpi, facecolor=facecolor)
    except ImportError as error:
        raise NoDisplayError(f"matplotlib cannot use {matplotlib.get_backend()!r}, {error}") from error
    canvas: Any = figure.canvas
    if hasattr(canvas, "capture_scroll"):  # a widget of ipympl
        canvas.capture_scroll = True  # the wheel leafs through the slices, and does not scroll the page as well
        canvas.toolbar_position = "right"  # on the left it lies over the labels
    return figure


def _obstacle(backend: str) -> str:
    """Say why matplotlib, left to itself, draws into files only."""
    where = {name: os.environ[name] for name in ("WAYLAND_DISPLAY", "DISPLAY") if os.environ.get(name)}
    if sys.platform == "linux" and not where:
        return "there is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    answer = "".join(f", or nothing answers at {name}={value}" for name, value in where.items())
    return f"matplotlib uses {backend!r}, which draws into files only (no toolkit for windows is installed{answer})"


def has_window() -> bool:
    """Tell whether figures have windows or widgets here; asking opens none and chooses no
    backend.
    """
    if "matplotlib.pyplot" not in sys.modules:
        return False
    import matplotlib

    name = matplotlib.get_backend(auto_select=False)
    return name is not None and _interactive(name)


def display_canvas(figure: Any) -> bool:
    """Show the widget of a figure in a notebook; False if it is no widget."""
    if not hasattr(figure.canvas, "_repr_mimebundle_"):
        return False
    from IPython.display import display

    display(figure.canvas)
    return True


def _interactive(name: str) -> bool:
    from matplotlib.backends.registry import BackendFilter, backend_registry

    known = {b.lower() for b in backend_registry.list_builtin(BackendFilter.INTERACTIVE)}
    return name.lower() in known or "ipympl" in name or name == "widget"
