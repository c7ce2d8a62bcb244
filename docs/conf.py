"""How Sphinx builds the documentation; run it with ``nox -s docs``.

Pages with cells of code are executed while they are built, each in a folder of its own, and show what they printed.
``sphinx-build -D nb_execution_mode=cache`` executes only those whose code has changed.
"""

import functools
import importlib.metadata
import os
import shutil
from pathlib import Path

import lithax.ops

# The tutorials have a folder of their own at the root; pages can only lie below this one.
HERE = Path(__file__).parent
shutil.rmtree(HERE / "tutorials", ignore_errors=True)
shutil.copytree(HERE.parent / "tutorials", HERE / "tutorials", ignore=shutil.ignore_patterns(".*"))

project = "lithax"
author = "the lithax authors"
copyright = "2026, the lithax authors"
release = importlib.metadata.version("lithax")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["jupyter_execute", "_build", "changes", "figures", ".jupyter_cache"]
html_theme = "furo"
html_title = "lithax"
html_static_path = ["_static"]
html_css_files = ["lithax.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#9c5a12", "color-brand-content": "#9c5a12"},
    "dark_css_variables": {"color-brand-primary": "#f7b25c", "color-brand-content": "#f7b25c"},
}
copybutton_prompt_text = "$ "
nitpicky = False
suppress_warnings = [
    "toc.empty_glob",  # the list of tutorials ends with "and all others", of which there may be none
]

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
# Progress bars and the like; an error is an error all the same.
nb_output_stderr = "remove"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "imported-members": True, "show-inheritance": True}
# `name` in a docstring is a link where there is such a thing, and code where not.
default_role = "py:obj"
napoleon_google_docstring = False
napoleon_use_rtype = False

intersphinx_mapping = {}  # builds without a network


def as_function(op):
    """Autodoc takes an operation, an object that can be called, for a number; a function it describes in full."""

    @functools.wraps(op)
    def function(*arrays, **parameters): ...

    function.__doc__ = (op.__doc__ or "").partition("\n\n")[2]  # its first line is the call, for `help`
    return function


for name, value in list(vars(lithax.ops).items()):
    if isinstance(value, lithax.ops.VoxelOp | lithax.ops.Compound):
        setattr(lithax.ops, name, as_function(value))


def returns_are_text(app, what, name, obj, options, lines):
    """Our "Returns" sections are sentences; the reader of numpydoc would take what stands before a colon for a name."""
    for start in range(len(lines) - 2):
        if lines[start] == "Returns" and set(lines[start + 1]) == {"-"} and lines[start + 2].startswith(" "):
            end = start + 2
            while end < len(lines) and (not lines[end] or lines[end].startswith(" ")):
                end += 1
            text = [line.removeprefix("    ") for line in lines[start + 2 : end]]
            lines[start:end] = ["", f":returns: {text[0]}", *(f"   {line}" if line else "" for line in text[1:]), ""]
            return


def setup(app):
    app.connect("autodoc-process-docstring", returns_are_text, priority=400)  # before napoleon
