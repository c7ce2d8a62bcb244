"""Processes that speak through MPI (mpi4py); JAX is not needed."""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lithax.runtime._abstract_world import AbstractWorld

_FAILED = 7
"""Tag of the messages in which a process says that it failed."""
_GIVEN = 8
"""Tag of what one process gives another."""
_LEFT = 9
"""Tag of the messages in which a process says that it comes to no meeting any more."""


class MpiWorld(AbstractWorld):
    """The processes of one ``mpiexec`` or ``srun``.

    Parameters
    ----------
    communicator
        An mpi4py communicator, of which a duplicate is used; ``MPI.COMM_WORLD`` by default.
    """

    def __init__(self, communicator: Any = None):
        from mpi4py import MPI

        self._comm = (MPI.COMM_WORLD if communicator is None else communicator).Dup()
        super().__init__(self._comm.Get_rank(), self._comm.Get_size())

    def _exchange(self, message: bytes) -> list[bytes]:
        from mpi4py import MPI

        sizes = np.empty(self.count, np.int64)
        own = np.array([len(message)], np.int64)
        _wait(self._comm.Iallgather(own, sizes), self._still_waiting)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        received = bytearray(int(starts[-1]))
        places = (sizes.tolist(), starts[:-1].tolist())
        # All have come by now, but for one that gave up just before.
        with self.patience(math.inf, ""):
            _wait(self._comm.Iallgatherv([message, MPI.BYTE], [received, *places, MPI.BYTE]), self._still_waiting)
        view = memoryview(received)
        return [bytes(view[a:b]) for a, b in itertools.pairwise(starts)]

    def _deliver(self, messages: Mapping[int, bytes], sizes: Mapping[int, int]) -> dict[int, bytes]:
        from mpi4py import MPI

        received = {k: bytearray(size) for k, size in sizes.items()}
        waiting = [self._comm.Irecv([into, MPI.BYTE], k, _GIVEN) for k, into in received.items()]
        waiting += [self._comm.Isend([message, MPI.BYTE], k, _GIVEN) for k, message in messages.items()]
        for request in waiting:
            _wait(request, self.check)
        return {k: bytes(message) for k, message in received.items()}

    def _post(self, message: bytes) -> None:
        self._sent = [self._comm.Isend(message, k, _FAILED) for k in range(self.count) if k != self.index]
        self._kept = message  # until it has left

    def _posted(self) -> bytes | None:
        return self._message(_FAILED)

    def _leave(self, text: str) -> None:
        self._kept_farewell = text.encode()
        self._farewells = [
            self._comm.Isend(self._kept_farewell, k, _LEFT) for k in range(self.count) if k != self.index
        ]

    def _left(self) -> str | None:
        message = self._message(_LEFT)
        return None if message is None else message.decode()

    def _message(self, tag: int) -> bytes | None:
        from mpi4py import MPI

        status = MPI.Status()
        if not self._comm.Iprobe(MPI.ANY_SOURCE, tag, status):
            return None
        message = bytearray(status.Get_count(MPI.BYTE))
        self._comm.Recv([message, MPI.BYTE], status.Get_source(), tag)
        return bytes(message)

    def abort(self, text: str) -> None:
        """End all processes at once."""
        with contextlib.suppress(Exception):
            self._comm.Abort(1)


def _wait(request: Any, check: Callable[[], None] = lambda: None) -> None:
    # MPI would wait with a busy loop, and take a core from a process that still computes.
    pause = 0.0
    while not request.Test():
        check()
        time.sleep(pause)
        pause = min(pause * 1.2 + 1e-5, 5e-3)
