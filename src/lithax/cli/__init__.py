"""The command line: ``lithax report``, ``info``, ``import``, ``export``, ``convert``, ``solve``,
``rechunk``, ``pyramid``, ``view`` and ``verify``.
"""

from lithax.cli._large_pages import begin_in_large_pages
from lithax.cli._main import main as main


def run() -> None:
    """The program ``lithax``."""
    begin_in_large_pages()
    main()
