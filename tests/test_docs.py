"""What the pages say holds: their Python runs, the names they mention exist, and their links lead somewhere.

A block of Python that cannot run says why after the word python: ```` ```python (not run: needs a cluster) ````.
"""

import re
from pathlib import Path

import pytest

import lithax

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python(?P<note>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"(?<![\w.])lx((?:\.[a-zA-Z_]+)+)")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


def blocks(page):
    return [match for match in BLOCK.finditer(page.read_text()) if "not run:" not in match["note"]]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = {"__name__": "__main__"}
    for block in blocks(page):
        lines_before = page.read_text()[: block.start("code")].count("\n")
        exec(compile("\n" * lines_before + block["code"], page, "exec"), scope)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_names_of_a_page_exist(page):
    for dotted in sorted(set(NAME.findall(page.read_text()))):
        thing = lithax
        for part in dotted[1:].split("."):
            assert hasattr(thing, part), f"{page.name} speaks of lx{dotted}, but there is no {part!r}"
            thing = getattr(thing, part)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name == "coming-from-rockverse.md"], ids=["images"])
def test_the_attributes_of_an_image_exist(page):
    for name in sorted(set(re.findall(r"`image\.([a-z_]+)", page.read_text()))):
        assert hasattr(lithax.VoxelImage, name), f"{page.name} speaks of image.{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
