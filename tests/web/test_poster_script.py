"""What stands over the viewer says what it waits for, and stays where the viewer cannot run."""

import json
import shutil
import subprocess

import pytest

from lithax.web._poster import SCRIPT

PAGE = """
let now = 0, removed = false;
const text = { textContent: "The viewer is starting" };
const poster = { remove: () => { removed = true; }, addEventListener: () => {} };
const waiting = [];
globalThis.performance = { now: () => now };
globalThis.document = {
  getElementById: (id) => (id === "lithax-poster" ? poster : text),
  createElement: () => ({ getContext: () => (%(webgl)s ? {} : null) }),
};
globalThis.window = {};
globalThis.setTimeout = (work) => waiting.push(work);
globalThis.requestAnimationFrame = (work) => work();
%(script)s
const texts = [];
for (now = 0; now <= 4000; now += 1000) {
  if (now === 3000) window.viewer = { isReady: () => now >= 4000 };
  waiting.splice(0).forEach((work) => work());
  texts.push(text.textContent);
}
console.log(JSON.stringify([removed, texts]));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="the script runs in a browser, or in node")
@pytest.mark.parametrize("webgl", [True, False])
def test_the_picture_says_what_it_waits_for(webgl):
    program = PAGE % {"webgl": json.dumps(webgl), "script": SCRIPT.decode()}
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True, timeout=60)
    removed, texts = json.loads(done.stdout)
    assert removed is webgl
    if webgl:
        assert "Loading the viewer, 2 s" in texts[2]
        assert "loading voxels and drawing, 3 s" in texts[3]
    else:
        assert "no WebGL 2" in texts[0]
        assert "lithax view without --web" in texts[-1]
