"""The gallery of the documentation: its code, run block by block, and the picture that stands below each block.

``python tests/viz/gallery.py`` makes the pictures of the page and those that the tests compare with.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "gallery.md"
BASELINE = Path(__file__).parent / "baseline"
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:!\[[^\]]*\]\(gallery/(?P<name>[a-z-]+)\.png\))?", re.M | re.S)
DPI = 36
"""Of the pictures that are compared: small, and without words, which look different with every version of a font."""


def blocks() -> list[tuple[str | None, str, int]]:
    """Name of the picture, code, and number of the line that the code begins at."""
    text = PAGE.read_text()
    return [(m["name"], m["code"], text[: m.start("code")].count("\n")) for m in BLOCK.finditer(text)]


def figures(volumes: bool = True) -> Iterator[tuple[str, object]]:
    """Run the page and yield every picture: the `viewer`, the `figure` or the `plotter` that a block leaves."""
    scope: dict[str, object] = {"__name__": "gallery"}
    for name, code, line in blocks():
        if "lx.viz.volume" in code and not volumes:
            continue
        for left in ("figure", "plotter"):
            scope.pop(left, None)
        exec(compile("\n" * line + code, PAGE, "exec"), scope)
        if name is not None:
            found = [scope[kind] for kind in ("figure", "plotter") if kind in scope]
            yield name, found[0] if found else scope["viewer"].figure


def without_words(figure: object) -> bytes:
    """The figure as a small PNG in which no text is seen."""
    from matplotlib.text import Text

    figure.canvas.draw()  # which makes the labels of the ticks
    texts = figure.findobj(Text)
    before = [text.get_alpha() for text in texts]
    for text in texts:
        text.set_alpha(0.0)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    for text, alpha in zip(texts, before, strict=True):
        text.set_alpha(alpha)
    return buffer.getvalue()


def is_volume(shown: object) -> bool:
    """Whether it is a scene of PyVista, whose pixels depend on the driver of the graphics card."""
    return hasattr(shown, "screenshot")


def make() -> None:
    from PIL import Image

    for folder in (PAGE.parent / "gallery", BASELINE):
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.png"):
            old.unlink()
    for name, figure in figures(volumes=False):
        (BASELINE / f"{name}.png").write_bytes(without_words(figure))
    for name, figure in figures():  # once more, with their words
        buffer = io.BytesIO()
        if is_volume(figure):
            figure.screenshot(buffer)
        else:
            figure.savefig(buffer, format="png", dpi=80)
        picture = Image.open(buffer).convert("RGB")
        # 256 colours do, at a third of the size.
        picture.quantize(256, dither=Image.Dither.NONE).save(PAGE.parent / "gallery" / f"{name}.png", optimize=True)


if __name__ == "__main__":
    make()
