"""A page in headless Chromium, through the DevTools protocol: what it asked for, and what it looks like."""

import asyncio
import base64
import contextlib
import io
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from tornado.websocket import websocket_connect

# What the browser itself asks for, page or no page; none of them is among the services that the viewer knows.
OF_THE_BROWSER = re.compile(
    r"https?://(redirector\.gvt1|www\.google|accounts\.google|clients2\.google|android\.clients\.google|mtalk\.google"
    r"|update\.googleapis|content-autofill\.googleapis|optimizationguide-pa\.googleapis|safebrowsing\.googleapis)\.com[:/]"
)

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--remote-debugging-port=0",
    "--window-size=1200,900",
    "--no-first-run",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
]

SOFTWARE = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
NO_WEBGL = ["--disable-gpu", "--disable-3d-apis"]


def chromium():
    """Return the path of Chromium, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def visit(url, ready, seconds=60, *, without_gpu=False, then=()):
    """Open an address; return requests, complaints, and (seconds, picture) of every frame until ``ready(picture)``.

    WebGL is computed by the processor, or is not there at all `without_gpu`. `then` are pairs of a script that runs
    when the page was ready, and of what makes it ready again.
    """
    return asyncio.run(_visit(url, [(None, ready), *then], seconds, NO_WEBGL if without_gpu else SOFTWARE))


@contextlib.contextmanager
def running(profile, *flags):
    """Start Chromium with a profile folder of its own; yield the address of the list of its pages."""
    arguments = [chromium(), *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        line = next(line for line in process.stderr if "DevTools listening on" in line)
        port = line.split(":")[2].split("/")[0]
        yield f"http://127.0.0.1:{port}/json"
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.stderr.close()


async def _visit(url, stages, seconds, graphics):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        log = Path(profile) / "net.json"  # of the whole browser, workers included
        with running(profile, f"--log-net-log={log}", *graphics) as tabs:
            async with asyncio.timeout(seconds):
                complaints, frames = await _watch(tabs, url, stages)
        asked = set(re.findall(r'"url":"((?:https?|wss?)://[^"]+)"', log.read_text()))
        return {url for url in asked if not OF_THE_BROWSER.match(url)}, complaints, frames


def _pages(tabs):
    with urllib.request.urlopen(tabs) as answer:
        return [tab for tab in json.load(answer) if tab["type"] == "page"]


async def _watch(tabs, url, stages):
    from PIL import Image

    while not (pages := _pages(tabs)):
        await asyncio.sleep(0.05)
    socket = await websocket_connect(pages[0]["webSocketDebuggerUrl"], max_message_size=2**28)
    complaints, frames = [], []
    number = 0

    async def send(method, **parameters):
        nonlocal number
        number += 1
        await socket.write_message(json.dumps({"id": number, "method": method, "params": parameters}))

    for domain in ("Page", "Runtime", "Log"):
        await send(f"{domain}.enable")
    await send("Page.startScreencast", format="png")
    start = time.time()
    await send("Page.navigate", url=url)
    while True:
        message = json.loads(await socket.read_message())
        found, method = message.get("params", {}), message.get("method")
        if method == "Runtime.exceptionThrown":
            complaints.append(json.dumps(found["exceptionDetails"])[:500])
        elif method == "Log.entryAdded" and found["entry"]["level"] == "error":
            complaints.append(f"{found['entry']['text']} {found['entry'].get('url')}")
        elif method == "Page.screencastFrame":
            await send("Page.screencastFrameAck", sessionId=found["sessionId"])
            picture = Image.open(io.BytesIO(base64.b64decode(found["data"]))).convert("RGB")
            frames.append((found["metadata"]["timestamp"] - start, picture))
            if stages[0][1](picture):
                if len(stages) == 1:
                    socket.close()
                    return complaints, frames
                stages = stages[1:]
                await send("Runtime.evaluate", expression=stages[0][0])
