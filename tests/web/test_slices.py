"""The slices over the viewer say what they wait for, move, stay where the viewer cannot run, and end quietly."""

import json
import shutil
import subprocess
import zlib

import numpy as np
import pytest

import lithax as lx
from lithax.web import ServedImage
from lithax.web._slices import SCRIPT, Slices, png

PAGE = """
let now = 0, removed = false;
const listeners = {};
const element = () => ({ textContent: "", hidden: true, addEventListener: (kind, work) => { listeners[kind] = work; } });
const picture = element(), slider = { ...element(), value: "5" }, output = element();
const panel = { dataset: { axis: "z" }, querySelector: (kind) => ({ img: picture, input: slider, output: output })[kind] };
const parts = {
  "lithax-slices": { remove: () => { removed = true; } },
  "lithax-slices-text": { textContent: "The viewer is starting" },
  "lithax-slices-viewer": element(),
};
const waiting = [], loaded = [], bars = [];
// Answers at once, and from the second END on no more.
globalThis.fetch = () => ({ then: (well, badly) => (now < END ? well : badly)() });
globalThis.performance = { now: () => now };
globalThis.document = {
  getElementById: (id) => parts[id],
  querySelectorAll: () => [panel],
  createElement: () => ({ getContext: () => (WEBGL ? {} : null), setAttribute: () => {}, style: {} }),
  body: { append: (bar) => bars.push(bar.textContent) },
  currentScript: { dataset: { viewer: "a.js b.js" } },
  head: { append: (script) => loaded.push(script.src) },
};
globalThis.window = {};
globalThis.setTimeout = (work) => waiting.push(work);
globalThis.requestAnimationFrame = (work) => work();
SCRIPT
const texts = [], asked = [];
for (now = 0; now <= 10000; now += 1000) {
  if (MOVED && now === 1000) {
    for (const value of ["6", "7", "8"]) { slider.value = value; listeners.input(); asked.push(picture.src); }
    listeners.load();
    asked.push(picture.src);
  }
  if (now === 9000) window.viewer = { isReady: () => now >= 10000 };
  waiting.splice(0).forEach((work) => work());
  texts.push(parts["lithax-slices-text"].textContent);
}
console.log(JSON.stringify([removed, !parts["lithax-slices-viewer"].hidden, texts, asked, loaded, bars]));
"""


def visited(webgl, moved, end=99_000):
    program = PAGE.replace("WEBGL", json.dumps(webgl)).replace("MOVED", json.dumps(moved)).replace("END", str(end))
    program = program.replace("SCRIPT", SCRIPT.decode())
    return json.loads(subprocess.run(["node", "-e", program], capture_output=True, check=True, timeout=60).stdout)


@pytest.mark.skipif(shutil.which("node") is None, reason="the script runs in a browser, or in node")
def test_a_server_that_has_ended_is_said():
    removed, _, texts, _, _, bars = visited(True, False, end=4000)
    assert not removed
    assert [text.startswith("lithax view has ended") for text in texts] == [False] * 5 + [True] * 6  # asked twice
    assert bars == ["lithax view has ended, so nothing more is loaded. Start it again, and open its new address."]


@pytest.mark.skipif(shutil.which("node") is None, reason="the script runs in a browser, or in node")
@pytest.mark.parametrize(("webgl", "moved"), [(True, False), (True, True), (False, True)])
def test_what_the_page_says_while_it_waits(webgl, moved):
    removed, button, texts, asked, loaded, bars = visited(webgl, moved)
    assert not bars
    assert removed is (webgl and not moved)  # nobody's slices are taken away
    assert button is webgl  # once the viewer takes long, or is ready
    assert loaded == (["a.js", "b.js"] if webgl else [])
    if moved:  # one picture at a time, and then the newest
        assert asked == ["slices/z/6.png"] * 3 + ["slices/z/8.png"]
    if webgl:
        assert "Loading the viewer, 2 s" in texts[2]
        assert "loading voxels and drawing, 9 s" in texts[9]
    else:
        assert "no WebGL 2" in texts[0]
        assert "lithax view without --web" in texts[-1]


def decoded(content):
    """Return the rows of a PNG file made by `png`."""
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    size = int.from_bytes(content[33:37], "big")
    return np.frombuffer(zlib.decompress(content[41 : 41 + size]), "u1").reshape(height, width + 1)[:, 1:]


def test_a_picture_is_a_png(rng):
    grey = rng.integers(0, 255, (5, 7)).astype("u1")
    assert png(grey).startswith(b"\x89PNG\r\n\x1a\n")
    np.testing.assert_array_equal(decoded(png(grey)), grey)


def test_a_slice_shows_its_voxels(rng):
    values = rng.integers(0, 2, (6, 5, 4)).astype("u1")
    slices = Slices(ServedImage(lx.from_array(values, voxel_length=(1, 1, 2), chunks=3)))
    np.testing.assert_array_equal(decoded(slices.file("z/3.png")), 255 * values[:, :, 3].T)
    np.testing.assert_array_equal(decoded(slices.file("y/4.png")), 255 * values[:, 4, :].T)
    np.testing.assert_array_equal(decoded(slices.file("x/0.png")), 255 * values[0])
    for name in ("z/4.png", "w/0.png", "z/-1.png", "z/0.png/..", ""):
        assert slices.file(name) is None
    page = slices.element().decode()
    assert [f'max="{n}"' in page for n in (3, 4, 5)] == [True] * 3
    assert "aspect-ratio:0.75" in page  # x: 6 voxels of 1 beside z: 4 of 2


@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 5, 6), (1200, 3, 2)])
def test_images_of_one_value_and_of_none(shape):
    for values in (np.zeros(shape, "u1"), np.full(shape, np.nan)):
        slices = Slices(ServedImage(lx.from_array(values)))
        assert slices.file(f"x/{shape[0] - 1}.png").startswith(b"\x89PNG")


def test_slices_of_a_large_image_without_levels_need_a_pyramid(tmp_path):
    image = lx.zeros((2000, 2000, 2000), "u1", store=tmp_path / "a", chunks=(500, 500, 500))
    slices = Slices(ServedImage(image))
    assert not slices.quick
    assert b"lithax pyramid" in slices.element()
    assert b"<img" not in slices.element()
