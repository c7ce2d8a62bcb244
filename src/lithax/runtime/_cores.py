"""The cores that processes of one machine divide among them, and how threads take turns on them.

All of this is Linux's; elsewhere nothing changes.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHARED = "LITHAX_SHARE_CORES"
"""The variable of the environment that leaves all cores to each process, if it is 1."""

_TOPOLOGY = Path("/sys/devices/system/cpu")


def divide_cores(local: Any) -> None:
    """Give each process of a machine cores of its own, if all of them may use the same ones.

    What is asked of one process then waits for no thread of another, and JAX starts as many threads
    as the process has cores. Processes to which a launcher gave cores keep these.

    Parameters
    ----------
    local
        The communicator of the processes on this machine.
    """
    if not hasattr(os, "sched_getaffinity"):
        return
    wanted = os.environ.get(SHARED) != "1"
    found = local.allgather((wanted, sorted(os.sched_getaffinity(0))))
    count, cores = len(found), found[0][1]
    if count == 1 or len(cores) < count or any(own != (True, cores) for own in found):
        return
    os.sched_setaffinity(0, share_of(sorted(cores, key=_place), local.Get_rank(), count))


def share_of(cores: list[int], index: int, count: int) -> list[int]:
    """Return the cores of one of `count` processes: neighbours, as many for each as there are, or
    one more.

    Examples
    --------
    >>> share_of([0, 1, 2, 3, 4], 0, 2), share_of([0, 1, 2, 3, 4], 1, 2)
    ([0, 1], [2, 3, 4])
    """
    return cores[index * len(cores) // count : (index + 1) * len(cores) // count]


def _place(core: int) -> tuple[int, ...]:
    """Return a key that puts the hardware threads of a core side by side, and cores of a socket."""
    names = ("physical_package_id", "core_id")
    try:
        found = [int((_TOPOLOGY / f"cpu{core}" / "topology" / name).read_text()) for name in names]
    except (OSError, ValueError):  # containers may hide it
        found = [0, 0]
    return *found, core


@contextlib.contextmanager
def patient_threads() -> Iterator[None]:
    """Let threads that are started meanwhile wait for their turn when they wake.

    The thread of JAX that carries messages between processes tries again at once while another
    holds the lock of a connection. Where both share a core it would push that one aside as it
    wakes, and try until its turn ends, 1 to 3 ms for each message. Threads inherit how they are
    scheduled, and one of SCHED_BATCH pushes nobody aside.
    """
    usual = getattr(os, "SCHED_OTHER", None)
    if usual is None or os.sched_getscheduler(0) != usual:
        yield
        return
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, usual, os.sched_param(0))
