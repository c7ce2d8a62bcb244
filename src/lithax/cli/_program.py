"""The program ``lithax``, as it is installed."""

from lithax.cli._large_pages import begin_in_large_pages
from lithax.cli._main import main


def run() -> None:
    """Run the command line, in large pages where it solves."""
    begin_in_large_pages()
    main()
