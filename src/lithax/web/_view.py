"""Look at an image in a browser."""

import contextlib
import importlib.util
import mimetypes
from pathlib import Path
from typing import Any

from lithax.images import VoxelImage
from lithax.web._page import fragment, state
from lithax.web._poster import SCRIPT, poster, with_poster
from lithax.web._served_image import ServedImage
from lithax.web._server import Answer, LoopbackServer


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

    The page is neuroglancer, whose client lies in its package. The server listens on the loopback
    address only and answers for this image alone; the page asks nothing of any other place.

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
    picture: bytes | None = None
    served = {"image": ServedImage(image, part)}
    if segmentation is not None:
        served["segmentation"] = ServedImage(segmentation)
    with contextlib.suppress(OSError):  # of a damaged image what can be read is shown
        picture = poster(served["image"])
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
        if path == "poster.js":
            return "text/javascript", SCRIPT
        if path == "poster.png":
            return None if picture is None else ("image/png", picture)
        if path == "view":
            page = (client / "index.html").read_bytes()
            return "text/html", page if picture is None else with_poster(page)
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
