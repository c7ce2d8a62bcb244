"""The slices of an image as pictures that we draw: what the page shows until its viewer in three
dimensions has drawn, and instead of it where that cannot run.
"""

import math
import re
import struct
import threading
import zlib

import numpy as np

from lithax.web._contrast import contrast_of
from lithax.web._served_image import ServedImage

_PIXELS = 1024
_DECODED = 512 * 2**20
"""A slice for which more would have to be decoded is not drawn [byte]."""

_NAME = re.compile(r"([xyz])/(\d+)\.png")
_CLIENT = re.compile(rb'<script defer src="([^"]+)"></script>')


class Slices:
    """The slices of a served image along z, y and x, as PNG files."""

    def __init__(self, served: ServedImage):
        self._served = served
        self._level, self._step = served.level_for(_PIXELS)
        self._lock = threading.Lock()
        self._contrast: tuple[float, float] | None = None
        self.shape = served.image.shape

    @property
    def quick(self) -> bool:
        """Whether a slice along each axis can be drawn without decoding too much."""
        stored = self._level.stored
        chunk = math.prod(stored.chunks) * stored.dtype.itemsize
        counts = stored.grid.counts
        return chunk * sum(math.prod(counts) // count for count in counts) <= _DECODED

    def file(self, name: str) -> bytes | None:
        """Return the picture of a name such as ``z/17.png``; None if there is no such slice."""
        found = _NAME.fullmatch(name)
        axis = "xyz".index(found[1]) if found else 0
        if found is None or int(found[2]) >= self.shape[axis]:
            return None
        low, high = self._limits()
        grey = np.nan_to_num((self._plane(axis, int(found[2])).astype(np.float64) - low) / (high - low))
        return png(np.round(255 * np.clip(grey, 0, 1)).astype(np.uint8))

    def _limits(self) -> tuple[float, float]:
        """Return black and white: the same for all slices, from the middle one along z."""
        with self._lock:
            if self._contrast is None:
                try:
                    self._contrast = contrast_of(self._plane(2, self.shape[2] // 2))
                except OSError:  # damaged there: the other slices are shown all the same
                    self._contrast = contrast_of(self._served.sample())
            return self._contrast

    def _plane(self, axis: int, index: int) -> np.ndarray:
        """Return the voxels of a slice as rows and columns: y and x, z and x, or y and z."""
        shape, image = self._level.shape, self._served.image
        here = min(shape[axis] - 1, index * shape[axis] // image.shape[axis])
        selection = [range(0, n, self._step) for n in shape]
        selection[axis] = range(here, here + 1)
        values = self._served.shown(self._level.stored.read_selection((selection[0], selection[1], selection[2])))
        return np.squeeze(values, axis).T if axis else np.squeeze(values, axis)

    def element(self) -> bytes:
        """Return the part of the page that shows a slice along each axis, with sliders."""
        lengths = [n * h for n, h in zip(self.shape, self._served.image.voxel_length, strict=True)]
        length, panels = dict(zip("xyz", lengths, strict=True)), []
        across, tallest = 2 * length["x"] + length["z"], max(length["y"], length["z"])
        for name, columns, rows in (("z", "x", "y"), ("y", "x", "z"), ("x", "z", "y")):
            count = self.shape["xyz".index(name)]
            wide = length[columns]  # one scale for all three
            size = f"width:min({88 * wide / across:.4g}vw,{62 * wide / tallest:.4g}vh)"
            size += f";aspect-ratio:{wide / length[rows]:.6g}"
            panels.append(
                f'<figure class="lithax-slice" data-axis="{name}" style="margin:0;text-align:center">'
                f'<img src="slices/{name}/{count // 2}.png" alt="slice across {name}" draggable="false" '
                f'style="{size};image-rendering:pixelated;border:1px solid #444">'
                f'<div><input type="range" min="0" max="{count - 1}" value="{count // 2}" aria-label="slice across {name}" '
                f'style="width:90%"{" disabled" if count == 1 else ""}></div>'
                f"<figcaption>{name} = <output>{count // 2}</output> of 0 to {count - 1} &middot; "
                f"{columns} &rarr;, {rows} &darr;</figcaption></figure>"
            )
        if not self.quick:
            panels = ["<p>This image is too large to draw slices of it quickly: run lithax pyramid on it once.</p>"]
        return _FRAME.replace("PANELS", "".join(panels)).encode()


_FRAME = (
    '<div id="lithax-slices" style="position:fixed;inset:0;z-index:1000;background:#000;display:flex;flex-direction:column;'
    'align-items:center;justify-content:center;gap:1.5em;color:#ccc;font:15px sans-serif">'
    '<div style="display:flex;gap:2vw;align-items:center;justify-content:center">PANELS</div>'
    '<div id="lithax-slices-text" role="status" style="max-width:80vw;text-align:center">The viewer is starting &hellip;</div>'
    '<button id="lithax-slices-viewer" hidden style="font:inherit;padding:0.4em 1em">Show the viewer in three dimensions</button>'
    "</div>"
)

SCRIPT = b"""// Slices that the server draws. They go when the viewer has drawn, unless somebody is looking at them.
(() => {
  const frame = document.getElementById("lithax-slices");
  const text = document.getElementById("lithax-slices-text");
  const button = document.getElementById("lithax-slices-viewer");
  const start = performance.now();
  let used = false, ended = false;
  const say = (words) => { if (!ended) text.textContent = words; };

  // The viewer does not say when nobody answers any more, so the page asks now and then; once more before it believes it.
  const alive = () => fetch("slices.js", { method: "HEAD", cache: "no-store" });
  const end = () => {
    if (ended) return;
    say("lithax view has ended: nothing more can be shown.");
    ended = true;
    const bar = document.createElement("div");
    bar.setAttribute("role", "alert");
    bar.style.cssText = "position:fixed;top:0;left:0;right:0;z-index:1001;padding:0.6em;text-align:center;" +
      "background:#9c5a12;color:#fff;font:15px sans-serif";
    bar.textContent = "lithax view has ended, so nothing more is loaded. Start it again, and open its new address.";
    document.body.append(bar);
  };
  const ask = (failures) => alive().then(
    () => setTimeout(() => ask(0), 3000),
    () => failures > 0 ? end() : setTimeout(() => ask(1), 1000));
  setTimeout(() => ask(0), 3000);

  for (const panel of document.querySelectorAll(".lithax-slice")) {
    const picture = panel.querySelector("img"), slider = panel.querySelector("input"), shown = panel.querySelector("output");
    let loading = false, at = slider.value;
    const draw = () => {
      shown.textContent = slider.value;
      if (loading || at === slider.value) return;  // the newest position is asked for when the last one has come
      loading = true;
      at = slider.value;
      picture.src = "slices/" + panel.dataset.axis + "/" + at + ".png";
    };
    const came = () => { loading = false; draw(); };
    picture.addEventListener("load", came);
    picture.addEventListener("error", () => {
      alive().then(() => say("Slice " + at + " across " + panel.dataset.axis + " cannot be read."), end);
      came();
    });
    slider.addEventListener("input", () => { used = true; draw(); });
    picture.addEventListener("wheel", (event) => {
      event.preventDefault();
      slider.value = Number(slider.value) + Math.sign(event.deltaY);
      used = true;
      draw();
    }, { passive: false });
  }

  const gl = document.createElement("canvas").getContext("webgl2");
  if (gl === null) {
    say("Move the sliders, or turn the wheel over a slice. This browser has no WebGL 2, so the viewer in three " +
      "dimensions cannot run; lithax view without --web opens a window instead.");
    return;
  }
  for (const name of document.currentScript.dataset.viewer.split(" ").filter(Boolean)) {
    const script = document.createElement("script");
    script.async = false;  // one after the other, as the page has them
    script.src = name;
    document.head.append(script);
  }
  const leave = () => requestAnimationFrame(() => requestAnimationFrame(() => frame.remove()));
  button.addEventListener("click", leave);
  const look = () => {
    if (ended) return;
    const viewer = window.viewer, seconds = Math.round((performance.now() - start) / 1000);
    const drawn = viewer !== undefined && performance.now() - start > 200 && viewer.isReady();
    if (drawn && !used) return leave();
    if (drawn) {
      say("The viewer in three dimensions is ready.");
      button.hidden = false;
      return;
    }
    if (seconds >= 2) {
      say((viewer === undefined ? "Loading the viewer" : "The viewer is loading voxels and drawing") + ", " + seconds +
        " s. Meanwhile the sliders move the slices." + (seconds >= 8 ? " Without a graphics card the viewer is slow." : ""));
      button.hidden = viewer === undefined || seconds < 8;
    }
    setTimeout(look, 100);
  };
  look();
})();
"""


def with_slices(page: bytes, slices: Slices) -> bytes:
    """Return the page of the client with the slices over it.

    Their script comes first, and loads those of the client if the browser can run them.
    """
    names = b" ".join(_CLIENT.findall(page))
    own = b'<script src="slices.js" data-viewer="' + names + b'"></script>'
    return _CLIENT.sub(b"", page).replace(b"<body>", b"<body>" + slices.element() + own)


def png(grey: np.ndarray) -> bytes:
    """Return a picture of bytes (rows, columns) as a PNG file (ISO/IEC 15948)."""

    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = np.concatenate([np.zeros((len(grey), 1), np.uint8), grey], axis=1)  # filter 0 before each row
    header = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)
    body = part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows.tobytes(), 1)) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
