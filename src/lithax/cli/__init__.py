"""The command line: ``lithax report``, ``info``, ``import`` and ``export``."""

from lithax.cli._main import main as main
