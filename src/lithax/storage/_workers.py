"""How many threads to use for reading and writing."""

import os


def default_workers(remote: bool = False) -> int:
    """Return one thread per core that this process may use; at least 16 where threads mostly wait
    for a network.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(cores, 16) if remote else cores
