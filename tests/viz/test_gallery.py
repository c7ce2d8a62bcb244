"""The pictures of the gallery: made anew by the code of its page, and compared with those that were looked at."""

import importlib.util
import re
from pathlib import Path

import pytest
from matplotlib import pyplot
from matplotlib.testing.compare import compare_images

from lithax.viz import ViewState

_FILE = Path(__file__).with_name("gallery.py")
_SPEC = importlib.util.spec_from_file_location("lithax_gallery", _FILE)
assert _SPEC is not None
assert _SPEC.loader is not None
gallery = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(gallery)

NAMES = [name for name, _, _ in gallery.blocks() if name]
VOLUMES = ["block", "phase-surfaces", "level-surface"]
"""Drawn by a graphics driver: tested in test_volume.py, not compared pixel by pixel."""
FLAT = [name for name in NAMES if name not in VOLUMES]

TOLERANCE = 6
"""Root mean square of the differences, of 255: versions of matplotlib move a line by part of a pixel (up to about 3)."""

NOT_IN_PICTURES = {"image", "levels", "status_mode", "histogram"}
"""What no still picture shows; tested in test_viewer.py."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name, figure in gallery.figures(volumes=False):
        (folder / f"{name}.png").write_bytes(gallery.without_words(figure))
    pyplot.close("all")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", FLAT)
def test_a_picture_looks_as_it_did(name, pictures):
    difference = compare_images(str(gallery.BASELINE / f"{name}.png"), str(pictures / f"{name}.png"), tol=TOLERANCE)
    assert difference is None, f"{difference}\nIf it is meant to look so: python tests/viz/gallery.py, and look at it"


@pytest.mark.slow
def test_the_comparison_sees_a_difference(pictures, tmp_path):
    """A scale bar less, a guide line less: each is more than the tolerance."""
    for other in ("without-bars", "without-axes"):
        same = compare_images(
            str(gallery.BASELINE / f"{other}.png"), str(pictures / "viewer.png"), tol=TOLERANCE, in_decorator=True
        )
        assert same is not None


def test_every_option_of_the_viewer_has_its_place_in_the_gallery():
    code = "\n".join(code for _, code, _ in gallery.blocks())
    options = set(ViewState.__dataclass_fields__) - NOT_IN_PICTURES
    missing = {name for name in options if not re.search(rf"\b{name}=", code)}
    assert not missing


def test_every_picture_is_kept_and_no_other():
    for folder, names in ((gallery.BASELINE, FLAT), (gallery.PAGE.parent / "gallery", NAMES)):
        shown = {f"{name}.png" for name in names}
        assert {path.name for path in folder.glob("*.png") if "failed-diff" not in path.name} == shown
