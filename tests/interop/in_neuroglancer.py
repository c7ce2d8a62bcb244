"""Open stored images in neuroglancer's own client, which decodes Zarr itself, in headless Chromium, and ask it for voxels.

The files lie behind a plain web server, as on a site of data; lithax only writes them. (What `lithax view --web` shows
comes from a server of lithax, and no codec reaches the browser: `tests/web` tests that.) Run by ``nox -s interop``; it
is no part of the tests.
"""

import asyncio
import contextlib
import functools
import http.server
import importlib.util
import json
import re
import sys
import tempfile
import threading
import urllib.parse
import urllib.request
from pathlib import Path

import in_other_readers as stores
from tornado.websocket import websocket_connect

sys.path.insert(0, str(Path(__file__).parent.parent / "web"))
from chromium import chromium, running

PATIENCE = 90  # seconds for one image
SHOWN = ["|u1", "<u2", "<u4", "<f4", ">u2"]  # neuroglancer shows no booleans and no float64
VOXELS = [(3, 4, 5), (11, 10, 9), (10, 13, 4), (19, 16, 12), (8, 0, 0)]


class Files(http.server.SimpleHTTPRequestHandler):
    """A plain web server that answers requests for a part of a file, which the chunks of a shard are."""

    def do_GET(self):
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            return super().do_GET()
        data = path.read_bytes()
        first, last = wanted.groups()
        first, last = (int(first), int(last or len(data) - 1)) if first else (len(data) - int(last), len(data) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(len(data[first : last + 1])))
        self.end_headers()
        self.wfile.write(data[first : last + 1])
        return None

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(folder):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def address(site, store, voxel):
    state = {
        "dimensions": {axis: [1, ""] for axis in "xyz"},
        "position": [n + 0.5 for n in voxel],
        "layers": [{"type": "image", "source": f"{site}/stores/{store.name}/|zarr3:", "name": "image"}],
        "crossSectionScale": 0.1,
        "layout": "4panel",
    }
    return f"{site}/v/client/index.html#!" + urllib.parse.quote(json.dumps(state))


ASK = """(() => {
  const layer = window.viewer?.layerManager.managedLayers[0]?.layer;
  const value = layer?.getValueAt(viewer.navigationState.position.value, {});
  return value === undefined || value === null ? null : Number(value);
})()"""


class Page:
    """A tab of the browser, spoken to by the DevTools protocol; what workers say of chunks is kept."""

    def __init__(self, socket):
        self.socket, self.number, self.complaints = socket, 0, []

    async def call(self, method, **parameters):
        self.number += 1
        await self.socket.write_message(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while (answer := json.loads(await self.socket.read_message())).get("id") != self.number:
            text = answer.get("params", {}).get("entry", {}).get("text", "")
            if "Error retrieving chunk" in text:
                self.complaints.append(text)
        return answer["result"]

    async def value(self, url):
        """Return the value that the client shows at its position, or None if a chunk cannot be read."""
        self.complaints.clear()
        await self.call("Page.navigate", url="about:blank")
        await self.call("Page.navigate", url=url)
        for _ in range(10 * PATIENCE):
            found = (await self.call("Runtime.evaluate", expression=ASK, returnByValue=True))["result"].get("value")
            if found is not None or self.complaints:
                return found
            await asyncio.sleep(0.1)
        raise TimeoutError(f"{url}: no value after {PATIENCE} s")


async def look(tabs, site, folder):
    while not (pages := [t for t in json.load(urllib.request.urlopen(tabs)) if t["type"] == "page"]):
        await asyncio.sleep(0.05)
    page = Page(await websocket_connect(pages[0]["webSocketDebuggerUrl"], max_message_size=2**28))
    await page.call("Log.enable")
    shown = [case for case in stores.cases(folder) if case[1] in SHOWN]
    for number, (store, dtype, *_) in enumerate(shown):
        voxel = VOXELS[number % len(VOXELS)]
        found, expected = await page.value(address(site, store, voxel)), float(stores.values(dtype)[voxel])
        assert found == expected, (store.name, voxel, found, expected, page.complaints[:1])
    page.socket.close()
    print(f"neuroglancer shows the right voxels of all {len(shown)} stores (it drops checksums without comparing them)")


def main():
    if chromium() is None:
        print("Chromium is not installed (apt install chromium): neuroglancer was not tried")
        return 0
    client = importlib.util.find_spec("neuroglancer").submodule_search_locations[0]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        folder = Path(folder)
        (folder / "v").mkdir()
        (folder / "stores").mkdir()
        (folder / "v/client").symlink_to(Path(client) / "static/client")
        stores.write(folder / "stores")
        with served(folder) as site, running(profile) as tabs:
            asyncio.run(look(tabs, site, folder / "stores"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
