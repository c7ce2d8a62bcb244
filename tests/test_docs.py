"""What the pages say holds: their Python runs, the names and commands they mention exist, and their links lead somewhere.

A block of Python that cannot run says why after the word python: ```` ```python (not run: needs a cluster) ````.
Notebooks of tutorials are executed by ``nox -s tutorials``; here they are read.
"""

import ast
import doctest
import importlib
import inspect
import os
import re
import shlex
import sys
from pathlib import Path

import click
import pytest

import lithax
from lithax.cli import main

ROOT = Path(__file__).parent.parent
TUTORIALS = sorted((ROOT / "tutorials").glob("*.md"))
PAGES = [
    ROOT / "README.md",
    *sorted(
        page
        for page in (ROOT / "docs").rglob("*.md")
        if not {"tutorials", "_build", "changes"} & {*page.relative_to(ROOT / "docs").parts[:-1]}
    ),
    *TUTORIALS,
]
GUIDES = [page for page in PAGES if page not in TUTORIALS and "design" not in page.parts]
FENCE = re.compile(r"^(?P<ticks>```+)(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=ticks)$", re.MULTILINE | re.DOTALL)
OPTIONS = re.compile(r"\A(?:---\n.*?^---\n|(?:^:[\w-]+:.*\n)+)", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"(?<![\w.])lx((?:\.[a-zA-Z_]+)+)")
ROLE = re.compile(r"\{(?:func|class|mod|meth|exc)\}`~?(?:[^`<]*<)?(lithax[\w.]*)>?`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#([^)]*))?\)")
PROGRAMS = {"cd", "git", "ipcluster", "lithax", "mpiexec", "ompi_info", "pip", "python", "salloc", "sbatch", "srun"}
SHOWN = {"console", "bash", "text", "json", "yaml", "toml", ""}


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, kind="run"):
    """Return (line, code) of the blocks of a page: Python to run, or what stands at prompts."""
    text, found = page.read_text(), []
    for match in FENCE.finditer(text):
        info, line = match["info"].strip(), text[: match.start("code")].count("\n")
        runs = info.startswith("{code-cell}") or (info.startswith("python") and "not run:" not in info)
        if kind == "run" and runs:
            options = OPTIONS.match(match["code"]) if info.startswith("{") else None
            skipped = options.end() if options else 0
            found.append((line + match["code"][:skipped].count("\n"), match["code"][skipped:]))
        elif kind == "console" and info == "console":
            found += [(line, row[2:]) for row in match["code"].splitlines() if row.startswith("$ ")]
    return found


@pytest.fixture(autouse=True)
def figures_are_closed():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def run(page):
    """Execute the Python of a page in the working folder."""
    scope = {"__name__": "__main__"}
    for line, code in blocks(page):
        exec(compile("\n" * line + code, page, "exec"), scope)


# They compile much, or compute much, which takes long without the compiler's optimisations: CI has `nox -s optimised` run them.
LONG = {ROOT / "README.md", *(ROOT / "docs" / page for page in ("gallery.md", "voxel-images.md"))} | {
    ROOT / "docs" / "guides" / f"{page}.md"
    for page in (
        "backends", "combinators", "conduction", "gradients", "own-algorithms", "own-operations", "permeability",
        "resuming", "whole-images",
    )
}  # fmt: skip
LONG_EXAMPLES = ("lithax.solve.", "lithax.images._train_classifier", "lithax.images._chunk_loss")
RUN = [
    pytest.param(page, marks=[pytest.mark.slow] * (page in LONG), id=name_of(page)) for page in GUIDES if blocks(page)
]


@pytest.mark.parametrize("page", RUN)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(page)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_says_what_it_is(page):
    """Nothing that looks like code escapes the checks of this file."""
    text = page.read_text()
    for match in FENCE.finditer(text):
        info = match["info"].strip()
        line = text[: match.start()].count("\n") + 1
        assert info.startswith(("{", "python")) or info in SHOWN, f"{page.name}:{line}: a block of {info!r}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_names_of_a_page_exist(page):
    if "design" in page.parts:  # notes may speak of names that were rejected
        return
    for dotted in sorted(set(NAME.findall(page.read_text()))):
        thing = lithax
        for part in dotted[1:].split("."):
            assert hasattr(thing, part), f"{page.name} speaks of lx{dotted}, but there is no {part!r}"
            thing = getattr(thing, part)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_names_that_are_links_into_the_reference_exist(page):
    for dotted in sorted(set(ROLE.findall(page.read_text()))):
        parts, thing = dotted.split("."), None
        for depth in range(len(parts), 0, -1):
            try:
                thing = importlib.import_module(".".join(parts[:depth]))
            except ModuleNotFoundError:
                continue
            for part in parts[depth:]:
                assert hasattr(thing, part), f"{page.name} links to {dotted}"
                thing = getattr(thing, part)
            break


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_of_a_page_exist(page):
    """The programs are known, subcommands and options of ours are there, and nox has the sessions."""
    sessions = {
        node.name for node in ast.parse((ROOT / "noxfile.py").read_text()).body if isinstance(node, ast.FunctionDef)
    }
    for line, command in blocks(page, "console"):
        for part in re.split(r"\s(?:&&|\|\||\|)\s", command):
            words = shlex.split(part, comments=True)
            where = f"{page.name}:{line}: {part}"
            assert Path(words[0]).name in PROGRAMS, where
            if "nox" in words and "-s" in words:
                assert words[words.index("-s") + 1] in sessions, where
            if "lithax" in words and not {"install", "-m"} & set(words):
                check_our_command(words[words.index("lithax") + 1 :], where)


def check_our_command(words, where):
    if not words or words[0].startswith("-"):
        return
    command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        with click.Context(command) as context:
            command, words = command.get_command(context, words[0]), words[1:]
        assert command is not None, where
    known = {"--help"} | {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    for word in words:
        if word.startswith("-"):
            assert word.split("=")[0] in known, f"{where}: {word}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name == "coming-from-rockverse.md"], ids=["images"])
def test_the_attributes_of_an_image_exist(page):
    for name in sorted(set(re.findall(r"`image\.([a-z_]+)", page.read_text()))):
        assert hasattr(lithax.VoxelImage, name), f"{page.name} speaks of image.{name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_somewhere(page):
    # Tutorials are read as pages of the documentation, as if docs/tutorials were their folder.
    folder = ROOT / "docs" / "tutorials" if page in TUTORIALS else page.parent
    for target, anchor in LINK.findall(page.read_text()):
        file = Path(os.path.normpath(folder / target))
        if file.parent == ROOT / "docs" / "tutorials":
            file = ROOT / "tutorials" / file.name
        assert file.exists(), f"{page.name} links to {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page.name} links to {target}#{anchor}"


def anchors(page):
    """The names that headings get: lower case, dashes for blanks, without punctuation."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}
    return slugs | set(re.findall(r"^\((.+)\)=$", page.read_text(), re.MULTILINE))


def test_every_name_at_the_front_door_is_in_the_reference():
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
    for name, value in vars(lithax).items():
        if name.startswith("_") or inspect.ismodule(value) or name == "where":  # another name for domain
            continue
        found = re.search(rf"auto(?:function|class):: (?:lithax\.(?:\w+\.)?)?{name}$", pages, re.MULTILINE)
        assert found, f"lx.{name} is not in docs/reference"


def test_the_tests_that_the_page_on_validation_names_exist():
    for name in re.findall(r"`(tests/[\w/]+\.py)`", (ROOT / "docs" / "validation.md").read_text()):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", TUTORIALS, ids=name_of)
def test_a_tutorial_begins_with_a_question_and_ends_with_a_number_that_it_checks(page):
    text = page.read_text()
    body = text.split("---\n", 2)[2]
    opening = body[: body.index("```{code-cell}")]
    assert "?" in opening, "the opening asks nothing"
    assert "assert " in blocks(page)[-1][1], "the last cell checks nothing"


def examples():
    """Yield every docstring of the library that has an example, with its module."""
    for path in sorted((ROOT / "src" / "lithax").rglob("*.py")):
        dotted = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        text = path.read_text()
        if ">>>" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text and ">>>" in text:
                    name = f"{dotted}.{getattr(node, 'name', '')}".rstrip(".")
                    long = [pytest.mark.slow] * name.startswith(LONG_EXAMPLES)
                    yield pytest.param(dotted, text, getattr(node, "lineno", 1), id=name, marks=long)


@pytest.mark.parametrize(("module", "docstring", "line"), [*examples()])
def test_the_example_of_a_docstring_holds(module, docstring, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = dict(vars(importlib.import_module(module)))
    test = doctest.DocTestParser().get_doctest(docstring, scope, module, module, line)
    report = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=report.append)
    assert not report, "".join(report)
