"""Memory for large arrays in large pages, which only the environment of a new process can ask for.

glibc gives an array of more than 32 MB back to the system when it is freed, and each of its pages
of 4 KiB is cleared when the next one is touched: a third of the time of a large solve. Pages of 2
MiB take a fraction of that.
"""

import os
import sys

_TUNABLES = "GLIBC_TUNABLES"
_SOLVES = ("report", "solve")
"""Commands that are worth a new process, which takes a tenth of a second."""


def begin_in_large_pages() -> None:
    """Begin this process anew with large pages, where its command solves and nothing is said of
    them yet.
    """
    if sys.platform == "linux" and _TUNABLES not in os.environ and any(word in _SOLVES for word in sys.argv[1:2]):
        os.environ[_TUNABLES] = "glibc.malloc.hugetlb=1"  # other C libraries do not read it
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
