"""Figures with and without a window."""

import sys
from typing import Any

_NO_DISPLAY = (
    "no window can be opened: matplotlib uses {backend!r}{why}. In Jupyter, pip install ipympl and run '%matplotlib widget' "
    "first; in a script, run where there is a display and install a backend such as PySide6; or write the picture to a "
    "file with viewer.save('picture.png')."
)


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
    RuntimeError
        If there is no display.
    """
    import matplotlib
    from matplotlib import pyplot

    name = matplotlib.get_backend()
    if not _interactive(name):
        raise RuntimeError(_NO_DISPLAY.format(backend=name, why=", which draws into files only"))
    try:
        with pyplot.ioff():  # a notebook shows the viewer when it is asked to, not twice
            return pyplot.figure(figsize=figsize, dpi=dpi, facecolor=facecolor)
    except ImportError as error:
        raise RuntimeError(_NO_DISPLAY.format(backend=name, why=f", and {error}")) from error


def has_window() -> bool:
    """Tell whether figures have windows or widgets here; asking opens none and chooses no backend."""
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
