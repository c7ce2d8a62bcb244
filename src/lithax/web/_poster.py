"""The three middle slices as one picture: what the page shows until its viewer has started and
drawn.
"""

import math
import struct
import zlib

import numpy as np

from lithax.web._contrast import contrast_of
from lithax.web._served_image import ServedImage

_PIXELS = 1024
_DECODED = 512 * 2**20
_GAP = 4

SCRIPT = b"""// The picture goes when the viewer has drawn, or when it is touched, or after a while in any case.
(() => {
  const poster = document.getElementById("lithax-poster");
  const start = performance.now();
  const text = document.getElementById("lithax-poster-text");
  const remove = () => poster.remove();
  const gl = document.createElement("canvas").getContext("webgl2");
  if (gl === null) {
    // The viewer cannot run here: the picture stays, and says what else there is.
    text.textContent = "The middle slices: z, y, x. This browser has no WebGL 2, which the viewer in three dimensions needs; " +
      "run lithax view without --web for a window in which every slice can be seen.";
    return;
  }
  const look = () => {
    const viewer = window.viewer;
    const seconds = Math.round((performance.now() - start) / 1000);
    if (seconds >= 2) text.textContent = "The middle slices: z, y, x. " +
      (viewer === undefined ? "Loading the viewer" : "The viewer is loading voxels and drawing") +
      ", " + seconds + " s; without a graphics card it takes long. Click to see it at work.";
    const drawn = viewer !== undefined && performance.now() - start > 200 && viewer.isReady();
    if (drawn || performance.now() - start > 20000) requestAnimationFrame(() => requestAnimationFrame(remove));
    else setTimeout(look, 50);
  };
  poster.addEventListener("pointerdown", remove);
  look();
})();
"""

ELEMENT = (
    b'<div id="lithax-poster" style="position:fixed;inset:0;z-index:1000;background:#000;display:flex;flex-direction:column;'
    b'align-items:center;justify-content:center;gap:1em;color:#bbb;font:15px sans-serif">'
    b'<img src="poster.png" alt="" style="max-width:96vw;max-height:80vh">'
    b'<div id="lithax-poster-text" style="max-width:80vw;text-align:center">The middle slices: z, y, x. The viewer is starting &hellip;</div></div>'
)


def with_poster(page: bytes) -> bytes:
    """Return the page of the client with the picture over it."""
    return page.replace(b"</head>", b'<script defer src="poster.js"></script></head>').replace(
        b"<body>", b"<body>" + ELEMENT
    )


def poster(served: ServedImage) -> bytes | None:
    """Return the middle slices along z, y and x side by side, as a PNG file; None if that would
    read too much.
    """
    level, step = served.level_for(_PIXELS)
    stored, shape = level.stored, level.shape
    chunk = math.prod(stored.chunks) * stored.dtype.itemsize
    counts = stored.grid.counts
    if chunk * sum(math.prod(counts) // count for count in counts) > _DECODED:
        return None
    slices = []
    for axis in (2, 1, 0):
        selection = [range(0, n, step) for n in shape]
        selection[axis] = range(shape[axis] // 2, shape[axis] // 2 + 1)
        values = served.shown(stored.read_selection((selection[0], selection[1], selection[2])))
        slices.append(np.squeeze(values, axis).T if axis else np.squeeze(values, axis))
    low, high = contrast_of(slices[0])
    height = max(s.shape[0] for s in slices)
    columns = []
    for values in slices:
        grey = np.nan_to_num((values.astype(np.float64) - low) / (high - low))
        column = np.zeros((height, values.shape[1] + _GAP), np.uint8)
        column[: values.shape[0], : values.shape[1]] = np.round(255 * np.clip(grey, 0, 1))
        columns.append(column)
    return png(np.concatenate(columns, axis=1)[:, :-_GAP])


def png(grey: np.ndarray) -> bytes:
    """Return a picture of bytes (rows, columns) as a PNG file (ISO/IEC 15948)."""

    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = np.concatenate([np.zeros((len(grey), 1), np.uint8), grey], axis=1)  # filter 0 before each row
    header = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)
    body = part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows.tobytes(), 1)) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
