"""Open the viewer in a window of Qt, as a user on a desktop would, and use it by mouse, wheel and window frame.

Run by ``nox -s interop``; it is no part of the tests. Without a screen Qt draws offscreen; with LITHAX_PICTURES=FOLDER the
windows are kept as pictures, to be looked at.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["MPLBACKEND"] = "qtagg"

import numpy as np
from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMainWindow, QWidget

import lithax as lx
from lithax.cli import main as command

PICTURES = os.environ.get("LITHAX_PICTURES")
LITHAX = [sys.executable, "-c", "from lithax.cli import main; main()"]


class Desk:
    """The windows that are open, and the hand at the mouse."""

    def __init__(self) -> None:
        self.application = QApplication.instance() or QApplication([])
        self.application.setQuitOnLastWindowClosed(True)

    def windows(self) -> list[QMainWindow]:
        found = [w for w in self.application.topLevelWidgets() if isinstance(w, QMainWindow) and w.isVisible()]
        return sorted(found, key=lambda window: window.windowTitle())

    def settle(self) -> None:
        for _ in range(5):
            self.application.processEvents()

    def place(self, canvas: QWidget, name: str, x: float, y: float) -> QPoint:
        """Return the pixel of a canvas at coordinates of one of its axes."""
        figure = canvas.figure
        right, upward = axes_of(canvas, name).transData.transform((x, y))
        ratio = canvas.device_pixel_ratio
        return QPoint(round(right / ratio), round((figure.bbox.height - upward) / ratio))

    def click(self, canvas: QWidget, button: Qt.MouseButton, point: QPoint) -> None:
        QTest.mouseMove(canvas, point)
        self.settle()
        QTest.mouseClick(canvas, button, Qt.KeyboardModifier.NoModifier, point)
        self.settle()

    def drag(self, canvas: QWidget, start: QPoint, end: QPoint) -> None:
        left = Qt.MouseButton.LeftButton
        QTest.mousePress(canvas, left, Qt.KeyboardModifier.NoModifier, start)
        for step in range(1, 6):
            QTest.mouseMove(canvas, start + (end - start) * (step / 5))
            self.settle()
        QTest.mouseRelease(canvas, left, Qt.KeyboardModifier.NoModifier, end)
        self.settle()

    def wheel(self, canvas: QWidget, point: QPoint, steps: int, control: bool = False) -> None:
        keys = Qt.KeyboardModifier.ControlModifier if control else Qt.KeyboardModifier.NoModifier
        window = canvas.window()
        where = canvas.mapTo(window, point)
        QTest.wheelEvent(window.windowHandle(), where.toPointF(), QPoint(0, 120 * steps), QPoint(), keys)
        self.settle()

    def keep(self, window: QMainWindow, name: str) -> None:
        if PICTURES:
            window.grab().save(str(Path(PICTURES) / f"{name}.png"))

    def pixels(self, canvas: QWidget) -> np.ndarray:
        """Return what the canvas shows, shape (height, width, 3)."""
        picture = canvas.grab().toImage().convertToFormat(canvas.grab().toImage().Format.Format_RGB888)
        rows = np.frombuffer(picture.constBits(), np.uint8).reshape(picture.height(), picture.bytesPerLine())
        return rows[:, : 3 * picture.width()].reshape(picture.height(), picture.width(), 3).copy()


def axes_of(canvas: QWidget, name: str) -> Any:
    return next(axes for axes in canvas.figure.axes if axes.get_label() == name)


def titles(canvas: QWidget) -> dict[str, str]:
    return {a.get_label(): a.get_title(loc="left") for a in canvas.figure.axes}


def by_the_command(desk: Desk, folder: Path) -> None:
    """``lithax view``: look, move, resize, close; it ends with exit code 0."""
    seen: dict[str, bool] = {}

    def use() -> None:
        try:
            (window,) = desk.windows()
            canvas = window.centralWidget()
            assert window.windowTitle() == "rock.zarr · attenuation", window.windowTitle()
            assert (canvas.width(), canvas.height()) == tuple(
                np.round(canvas.figure.get_size_inches() * 100).astype(int)
            )
            desk.keep(window, "window")
            before = desk.pixels(canvas)
            assert np.unique(before.reshape(-1, 3), axis=0).shape[0] > 100  # slices, not a blank window

            desk.click(canvas, Qt.MouseButton.RightButton, desk.place(canvas, "xy", 100.0, 60.0))
            moved = titles(canvas)
            # A pixel is a little less than a voxel of 2.5 µm: the point may round to a neighbour.
            assert abs(float(moved["zy"].split("=")[1].split()[0]) - 100) <= 2.5, moved
            assert abs(float(moved["xz"].split("=")[1].split()[0]) - 60) <= 2.5, moved
            after = desk.pixels(canvas)
            assert (before != after).any(axis=2).mean() > 0.1  # two slices are others
            status = canvas.toolbar.locLabel.text()
            assert status.startswith("x = "), status
            assert "µm" in status, status
            desk.keep(window, "moved")

            z = titles(canvas)["xy"]
            desk.wheel(canvas, desk.place(canvas, "xy", 100.0, 60.0), 1)
            assert titles(canvas)["xy"] != z
            width = np.ptp(axes_of(canvas, "xy").get_xlim())
            desk.wheel(canvas, desk.place(canvas, "xy", 100.0, 60.0), 1, control=True)
            assert np.isclose(np.ptp(axes_of(canvas, "xy").get_xlim()), width / 1.25)
            desk.keep(window, "zoomed")

            width = np.ptp(axes_of(canvas, "xz").get_xlim())
            canvas.toolbar.zoom()
            desk.drag(canvas, desk.place(canvas, "xy", 100.0, 60.0), desk.place(canvas, "xy", 160.0, 110.0))
            # The other slices follow the rectangle, of 60 of 240 µm; a pixel is 0.6 µm.
            assert np.allclose(axes_of(canvas, "xz").get_xlim(), (100, 160), atol=1.5), axes_of(canvas, "xz").get_xlim()
            desk.keep(window, "tool")
            canvas.toolbar.back()
            desk.settle()
            assert np.isclose(np.ptp(axes_of(canvas, "xz").get_xlim()), width)
            canvas.toolbar.zoom()

            window.resize(1100, 520)
            desk.settle()
            # The layout follows the window; nothing of it is cut off.
            assert np.allclose(canvas.figure.get_size_inches() * 100, (canvas.width(), canvas.height()), atol=1)
            for axes in canvas.figure.axes:
                box = axes.get_position()
                assert 0 <= box.x0 < box.x1 <= 1, axes.get_label()
                assert 0 <= box.y0 < box.y1 <= 1, axes.get_label()
            desk.keep(window, "resized")
            seen["used"] = True
        finally:
            for window in desk.windows():
                window.close()

    QTimer.singleShot(500, use)
    command(["view", str(folder / "rock.zarr"), "--segmentation", str(folder / "phases.zarr")], standalone_mode=False)
    assert seen.get("used"), "the window was closed before it was used; see the error above"


def by_the_library(desk: Desk, folder: Path) -> None:
    """Two viewers, each in its window; one is closed, used without a window, and shown again."""
    rock = lx.open(folder / "rock.zarr", mode="r")
    first = lx.viz.OrthogonalViewer(rock, window=True)
    second = lx.viz.OrthogonalViewer(lx.open(folder / "phases.zarr", mode="r"), window=True, layout="horizontal")
    first.show(block=False)
    second.show(block=False)
    desk.settle()
    assert [w.windowTitle() for w in desk.windows()] == ["phases.zarr", "rock.zarr · attenuation"]
    canvas = first.figure.canvas
    desk.click(canvas, Qt.MouseButton.RightButton, desk.place(canvas, "xz", 50.0, 25.0))
    assert first.reference_voxel[0] in (19, 20, 21)
    assert second.reference_voxel == (60, 50, 40)
    desk.keep(desk.windows()[0], "horizontal")
    low = first.limits[0]
    desk.click(canvas, Qt.MouseButton.LeftButton, desk.place(canvas, "histogram", low + 5000, 0.5))
    assert first.limits[0] > low + 4000

    desk.windows()[1].close()
    desk.settle()
    assert [w.windowTitle() for w in desk.windows()] == ["phases.zarr"]
    first.update(reference_voxel=(1, 2, 3))
    assert first.save(folder / "later.png").stat().st_size > 10_000
    first.show(block=False)
    desk.settle()
    assert len(desk.windows()) == 2
    first.image = lx.open(folder / "phases.zarr", mode="r")
    assert [w.windowTitle() for w in desk.windows()] == ["phases.zarr", "phases.zarr"]
    for viewer in (first, second):
        viewer.close()
        viewer.close()
    desk.settle()
    assert not desk.windows()


def without_a_display(folder: Path) -> None:
    """One sentence that says what to do, and exit code 1: with a display that is not there, too."""
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    for more, said in (
        ({}, "there is no display here"),
        ({"DISPLAY": ":987"}, "nothing answers at DISPLAY=:987"),
        ({"DISPLAY": ":987", "MPLBACKEND": "agg"}, "draws into files only"),
    ):
        done = subprocess.run(
            [*LITHAX, "view", str(folder / "rock.zarr")], env=environment | more, capture_output=True, text=True
        )
        assert done.returncode == 1, done
        assert said in done.stderr, done.stderr
        assert "lithax view --web" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr, done.stderr


def main() -> int:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        blobs = np.repeat(np.repeat(np.repeat(rng.random((12, 10, 8)), 10, 0), 10, 1), 10, 2)
        values = (20_000 + 20_000 * (blobs > 0.4) + rng.normal(0, 3000, blobs.shape)).astype("u2")
        place = {"voxel_length": 2.5, "voxel_unit": "um", "chunks": 32}
        lx.from_array(values, store=folder / "rock.zarr", field_name="attenuation", **place)
        lx.from_array((blobs > 0.4).astype("u1"), store=folder / "phases.zarr", **place)
        desk = Desk()
        by_the_command(desk, folder)
        by_the_library(desk, folder)
        without_a_display(folder)
        print(f"the viewer works in windows of Qt, platform {desk.application.platformName()!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
