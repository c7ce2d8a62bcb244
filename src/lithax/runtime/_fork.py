"""A process that was forked from one that runs JAX: its threads are gone, and the first computation
would wait for them.
"""

import os
import sys
from typing import Any

_forked = False


def _after_fork() -> None:
    global _forked
    # JAX is not imported for this question, and only one that has started its devices has threads
    # to lose.
    bridge: Any = sys.modules.get("jax._src.xla_bridge")
    _forked = _forked or bool(getattr(bridge, "_backends", None))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def check_fork() -> None:
    """Refuse to compute with JAX in a process forked from one that had.

    Raises
    ------
    RuntimeError
        If this is such a process.
    """
    if _forked:
        raise RuntimeError(
            f"process {os.getpid()} was forked from one that had used JAX, whose threads do not survive a fork: computing would "
            "hang for ever. Start the processes with multiprocessing.get_context('spawn') (joblib: the backend 'loky'), or "
            "fork before the first computation."
        )
