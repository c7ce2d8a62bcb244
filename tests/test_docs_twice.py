"""Whoever follows the pages does so twice, in one folder, and next to each other."""

import ast
import sys
from pathlib import Path

import pytest

import lithax as lx

sys.path.insert(0, str(Path(__file__).parent))
from test_docs import GUIDES, TUTORIALS, blocks, name_of, run

RUNNING = [page for page in (*GUIDES, *TUTORIALS) if blocks(page)]
WRITING = [page for page in RUNNING if any("overwrite=True" in code for _, code in blocks(page))]
READING = {"open", "plan", "verify", "lithax"}
WRITING_BY_POSITION = {"copy", "save", "pyramid", "export_raw"}


def called(node):
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


@pytest.mark.parametrize("page", RUNNING, ids=name_of)
def test_what_a_page_makes_may_be_there_already(page):
    """Every call that writes says ``overwrite=True`` or ``resume=``; the first block that does explains it."""
    first = None
    for line, code in blocks(page):
        if "%%px" in code:
            continue
        if "overwrite=True" in code and first is None:
            first = code
        for node in ast.walk(ast.parse(code)):
            if not isinstance(node, ast.Call) or called(node) in READING:
                continue
            given = {k.arg for k in node.keywords}
            named = any(isinstance(a, ast.Constant) and isinstance(a.value, str) for a in node.args)
            stores = [k.value for k in node.keywords if k.arg == "store"]
            writes = any(ast.unparse(s) != "None" for s in stores) or (called(node) in WRITING_BY_POSITION and named)
            if writes:
                where = f"{page.name}:{line + node.lineno}: {ast.unparse(node)}"
                assert {"overwrite", "resume"} & given or None in given, where
    assert first is None or "# overwrite=True: " in first, f"{page.name} does not say what overwrite=True is for"


@pytest.mark.parametrize("page", [p for p in RUNNING if "{code-cell}" in p.read_text()], ids=name_of)
def test_a_page_is_a_notebook_for_plain_jupytext(page):
    jupytext = pytest.importorskip("jupytext")
    notebook = jupytext.read(page)
    assert notebook.metadata["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
    count = page.read_text().count("\n```{code-cell}")
    assert sum(cell.cell_type == "code" for cell in notebook.cells) == count
    import nbformat

    nbformat.validate(notebook)


@pytest.mark.slow
def test_all_pages_twice_in_one_folder_and_once_more_with_other_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    from matplotlib import pyplot

    for turn in range(3):
        if turn == 2:  # what lies there is no longer what a page made
            for store in sorted(tmp_path.glob("*.zarr")):
                if (store / "c").is_dir() and store.name != "huge.zarr":
                    image = lx.open(store)
                    image[:1, :1, :1] = 1
                    image.update(description="changed")
            for file in tmp_path.glob("*.raw"):
                file.write_bytes(file.read_bytes()[:-100])
        for page in WRITING:  # the others neither make nor meet anything
            run(page)
            pyplot.close("all")
