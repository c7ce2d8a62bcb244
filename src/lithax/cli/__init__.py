"""The command line: ``lithax report``, ``info``, ``import``, ``export``, ``convert``, ``solve``,
``rechunk``, ``pyramid``, ``view`` and ``verify``.
"""

from lithax.cli._main import main as main
from lithax.cli._program import run as run
