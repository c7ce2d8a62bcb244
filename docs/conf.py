"""How Sphinx builds the documentation; run it with ``nox -s docs``."""

import functools
import importlib.metadata

import lithax.ops

project = "lithax"
author = "the lithax authors"
copyright = "2026, the lithax authors"
release = importlib.metadata.version("lithax")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "changes"]
html_theme = "furo"
html_title = "lithax"
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "imported-members": True, "show-inheritance": True}
napoleon_google_docstring = False
napoleon_use_rtype = False

intersphinx_mapping = {}  # builds without a network


def as_function(op):
    """Autodoc takes an operation, an object that can be called, for a number; a function it describes in full."""

    @functools.wraps(op)
    def function(*arrays, **parameters): ...

    return function


for name, value in list(vars(lithax.ops).items()):
    if isinstance(value, lithax.ops.VoxelOp | lithax.ops.Compound):
        setattr(lithax.ops, name, as_function(value))
