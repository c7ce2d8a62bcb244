"""Open the viewer as a widget in JupyterLab, in headless Chromium, and use it by mouse, as a user of a notebook would.

Run by ``nox -s interop``; it is no part of the tests. With LITHAX_PICTURES=FOLDER the pages are kept as pictures, to be
looked at.
"""

import asyncio
import base64
import contextlib
import io
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image
from tornado.websocket import websocket_connect

sys.path.insert(0, str(Path(__file__).parent.parent / "web"))
from chromium import chromium, running

PICTURES = os.environ.get("LITHAX_PICTURES")
PATIENCE = 60  # seconds for anything

CELL = """\
%matplotlib widget
import lithax as lx
from look import rock, tell

viewer = lx.viz.OrthogonalViewer(rock, figure_style={"figsize": (6.5, 5.6)})
viewer.figure.canvas.mpl_connect("draw_event", lambda event: tell(viewer))
viewer"""

LOOK = """\
import json
from pathlib import Path

import numpy as np

import lithax as lx

rng = np.random.default_rng(0)
blobs = np.repeat(np.repeat(np.repeat(rng.random((12, 10, 8)), 10, 0), 10, 1), 10, 2)
values = (20_000 + 20_000 * (blobs > 0.4) + rng.normal(0, 3000, blobs.shape)).astype("u2")
rock = lx.from_array(values, voxel_length=2.5, voxel_unit="um", field_name="attenuation")


def tell(viewer):
    def pixel(axes, x, y):
        right, upward = axes.transData.transform((x, y))
        return right, viewer.figure.bbox.height - upward

    said = {
        "voxel": viewer.reference_voxel,
        "limits": viewer.limits,
        "zoom": viewer.zoom,
        "target": pixel(viewer.ax_xy, 100.0, 60.0),
        "dark": pixel(viewer.ax_histogram, 15_000, 0.2),
        "size": viewer.figure.canvas.get_width_height(),
    }
    Path("said.new").write_text(json.dumps(said))
    Path("said.new").rename("said.json")
"""


def notebook() -> dict:
    cell = {"cell_type": "code", "execution_count": None, "id": "viewer", "metadata": {}, "outputs": [], "source": CELL}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


@contextlib.contextmanager
def jupyter(folder: Path):
    """Start JupyterLab on a folder of its own; yield the address of the notebook."""
    token = secrets.token_hex(16)
    own = {f"JUPYTER_{name}_DIR": str(folder / "jupyter" / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")} | {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "jupyter" / "lab"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "jupyter" / "w"),
    }
    options = [
        "--no-browser", "--allow-root", "--ServerApp.port=0", f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={folder / 'work'}", "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    (folder / "work").mkdir()
    (folder / "work" / "look.py").write_text(LOOK)
    settings = folder / "jupyter" / "lab" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    (folder / "work" / "look.ipynb").write_text(json.dumps(notebook()))
    log = (folder / "jupyter.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options], env=os.environ | own, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        runtime = folder / "jupyter" / "runtime"
        end = time.monotonic() + PATIENCE
        while not (found := list(runtime.glob("jpserver-*.json"))):
            assert process.poll() is None, (folder / "jupyter.log").read_text()
            assert time.monotonic() < end, (folder / "jupyter.log").read_text()
            time.sleep(0.1)
        url = json.loads(found[0].read_text())["url"]
        yield f"{url}lab/tree/look.ipynb?reset&token={token}"
    finally:
        process.terminate()
        process.wait(30)
        log.close()


class Page:
    """A page of the browser, by the DevTools protocol."""

    def __init__(self, socket) -> None:
        self.socket = socket
        self.number = 0

    async def send(self, method: str, **parameters):
        self.number += 1
        mine = self.number
        await self.socket.write_message(json.dumps({"id": mine, "method": method, "params": parameters}))
        while True:
            answer = json.loads(await self.socket.read_message())
            if answer.get("id") == mine:
                assert "error" not in answer, answer
                return answer["result"]

    async def ask(self, expression: str):
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    async def until(self, expression: str):
        end = time.monotonic() + PATIENCE
        while not (value := await self.ask(expression)):
            assert time.monotonic() < end, f"never came true: {expression}"
            await asyncio.sleep(0.1)
        return value

    async def picture(self, name: str) -> Image.Image:
        data = base64.b64decode((await self.send("Page.captureScreenshot", format="png"))["data"])
        if PICTURES:
            (Path(PICTURES) / f"{name}.png").write_bytes(data)
        return Image.open(io.BytesIO(data)).convert("RGB")

    async def mouse(self, kind: str, x: float, y: float, **more) -> None:
        await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    async def click(self, x: float, y: float, button: str) -> None:
        await self.mouse("mouseMoved", x, y)
        await self.mouse("mousePressed", x, y, button=button, clickCount=1)
        await self.mouse("mouseReleased", x, y, button=button, clickCount=1)


async def use(page: Page, folder: Path, url: str) -> None:
    said = folder / "work" / "said.json"

    async def told(ready) -> dict:
        end = time.monotonic() + PATIENCE
        while True:
            if said.exists() and ready(found := json.loads(said.read_text())):
                return found
            assert time.monotonic() < end, said.read_text() if said.exists() else "the kernel said nothing"
            await asyncio.sleep(0.1)

    await page.send("Page.enable")
    await page.send("Runtime.enable")
    await page.send("Page.navigate", url=url)
    await page.until("!!(window.jupyterapp && document.querySelector('.jp-Notebook .jp-CodeCell'))")
    await page.until(
        "fetch('/api/sessions').then(r => r.json()).then(s => s.some(each => each.kernel?.execution_state == 'idle'))"
    )
    await page.ask("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    canvas = "document.querySelector('.jupyter-matplotlib-canvas-container canvas')"
    await page.until(f"!!{canvas} && {canvas}.width > 300")
    first = await told(lambda found: True)
    await page.ask(f"{canvas}.scrollIntoView({{block: 'center'}})")
    await asyncio.sleep(1)  # the picture follows the widget
    box = await page.ask(f"(b => [b.x, b.y, b.width, b.height])({canvas}.getBoundingClientRect())")
    ratio = box[2] / first["size"][0]
    before = np.asarray(await page.picture("jupyter"))

    def shown(picture: np.ndarray) -> np.ndarray:
        x, y, width, height = (round(v) for v in box)
        return picture[y : y + height, x : x + width]

    assert first["voxel"] == [60, 50, 40]
    x, y = (b + ratio * t for b, t in zip(box, first["target"], strict=False))
    await page.click(x, y, "right")
    after = await told(lambda found: found["voxel"] != [60, 50, 40])
    assert abs(after["voxel"][0] - 40) <= 1, after  # a pixel is about a voxel
    assert abs(after["voxel"][1] - 24) <= 1, after
    assert after["voxel"][2] == 40
    await asyncio.sleep(1)
    moved = np.asarray(await page.picture("jupyter-moved"))
    assert (shown(before) != shown(moved)).any(axis=2).mean() > 0.1  # two slices are others
    assert not await page.ask("!!document.querySelector('.lm-Menu')"), "a menu opened over the viewer"

    await page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-120)
    leafed = await told(lambda found: found["voxel"][2] != 40)
    assert leafed["voxel"][:2] == after["voxel"][:2]
    await page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-120, modifiers=2)  # control
    assert (await told(lambda found: found["zoom"] > 1))["zoom"] == 1.25
    still = await page.ask(f"(b => [b.x, b.y, b.width, b.height])({canvas}.getBoundingClientRect())")
    assert still == box, "the wheel scrolled the page, too"
    right, down = (b + ratio * t for b, t in zip(box, first["dark"], strict=False))
    await page.click(right, down, "left")
    assert (await told(lambda found: found["limits"] != first["limits"]))["limits"][1] == first["limits"][1]
    await asyncio.sleep(1)
    await page.picture("jupyter-used")


async def browse(folder: Path, url: str) -> None:
    with running(folder / "profile") as tabs:
        while not (pages := [t for t in json.load(urllib.request.urlopen(tabs)) if t["type"] == "page"]):
            await asyncio.sleep(0.05)
        socket = await websocket_connect(pages[0]["webSocketDebuggerUrl"], max_message_size=2**28)
        page = Page(socket)
        try:
            async with asyncio.timeout(2 * PATIENCE):
                await use(page, folder, url)
        except BaseException:
            await page.picture("jupyter-failed")
            raise


def main() -> int:
    if chromium() is None:
        print("no Chromium here: the widget was not tried in a browser")
        return 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with jupyter(folder) as url:
            asyncio.run(browse(folder, url))
    print("the viewer works as a widget in JupyterLab")
    return 0


if __name__ == "__main__":
    sys.exit(main())
