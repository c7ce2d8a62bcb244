"""Look at an image in a browser."""

import importlib.util
import mimetypes
from pathlib import Path
from typing import Any

from lithax.images import VoxelImage
from lithax.web._page import fragment, state
from lithax.web._served_image import ServedImage
from lithax.web._server import Answer, LoopbackServer
from lithax.web._slices import SCRIPT, Slices, with_slices


def serve(
    image: VoxelImage,
    segmentation: VoxelImage | None = None,
    *,
    part: str | None = None,
    volume: bool = False,
    port: int = 0,
) -> LoopbackServer:
    """Serve a page that shows an image in a browser: three slices and a view of them in space,
    contrast, phases.

    Until the viewer has drawn, and in a browser without WebGL 2, the page shows slices that the
    server draws, with a slider for each axis. The page is neuroglancer, whose client lies in its
    package. The server listens on the loopback address only and answers for this image alone; the
    page asks nothing of any other place.

    Parameters
    ----------
    image
        The image. With levels (`pyramid`) large ones are fast.
    segmentation
        An image of phases, laid over it; its voxels need not be on the same grid.
    part
        What to show of complex voxels: "real", "imaginary", "magnitude" or "angle".
    volume
        Show the image as a cloud in three dimensions as well; needs a graphics card.
    port
        Port to listen on [-]; 0 for any that is free.

    Returns
    -------
        The server: ``server.url`` is the address of the page, ``server.wait()`` serves until
        Ctrl-C, ``server.close()`` ends it.

    Raises
    ------
    ModuleNotFoundError
        If neuroglancer is not installed.
    ValueError
        If voxels are complex and `part` is not given.
    OSError
        If the port is taken.
    """
    client = _client()
    served = {"image": ServedImage(image, part)}
    if segmentation is not None:
        served["segmentation"] = ServedImage(segmentation)
    slices = Slices(served["image"])
    names = {"image": image.field_name or _name(image), "segmentation": "segmentation"}
    if names["image"] == "segmentation":
        names["image"] = "image"
    server: Any = None

    def answer(path: str) -> Answer | None:
        if path == "":
            layers = [(names[key], f"{server.url}{key}/", value) for key, value in served.items()]
            return "location", f"/v/{server.secret}/view{fragment(state(layers, volume))}".encode()
        kind, _, rest = path.partition("/")
        if kind in served:
            found = served[kind].document(rest)
            return (
                None if found is None else ("application/octet-stream" if "/c/" in rest else "application/json", found)
            )
        if path == "slices.js":
            return "text/javascript", SCRIPT
        if kind == "slices":
            picture = slices.file(rest)
            return None if picture is None else ("image/png", picture)
        if path == "view":
            return "text/html", with_slices((client / "index.html").read_bytes(), slices)
        return _file(client, path)

    server = LoopbackServer(answer, port)
    return server


def _client() -> Path:
    found = importlib.util.find_spec("neuroglancer")
    if found is None or found.origin is None:
        raise ModuleNotFoundError(
            "the page is that of neuroglancer, which is not installed; pip install 'lithax[web]'."
        )
    return Path(found.origin).parent / "static" / "client"


def _file(client: Path, name: str) -> Answer | None:
    # Only names that are in the folder are files: no path can lead out of it.
    if name not in {path.name for path in client.iterdir()}:
        return None
    kind = {".js": "text/javascript", ".wasm": "application/wasm"}.get(Path(name).suffix)
    return kind or mimetypes.guess_type(name)[0] or "application/octet-stream", (client / name).read_bytes()


def _name(image: VoxelImage) -> str:
    where = image.stored.where.rstrip("/").rpartition("/")[2]
    return where or "image"
