"""Processes played by threads, for tests of what several processes do together."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lithax.runtime import AbstractWorld


class _Meeting:
    """Where the threads of one world exchange messages."""

    def __init__(self, count: int, patience: float):
        self.barrier = threading.Barrier(count)
        self.patience = patience
        self.board: list[bytes] = [b""] * count
        self.given: dict[tuple[int, int], queue.SimpleQueue[bytes]] = {
            (k, other): queue.SimpleQueue() for k in range(count) for other in range(count)
        }
        self.left: str | None = None
        self.posts: list[queue.SimpleQueue[bytes]] = [queue.SimpleQueue() for _ in range(count)]


class ThreadWorld(AbstractWorld):
    """One of several processes that are played by threads of this one; made by `on_threads`."""

    def __init__(self, index: int, count: int, meeting: _Meeting):
        super().__init__(index, count)
        self._meeting = meeting
        self.exchanges = 0
        """How often the processes have met."""
        self.sent = 0
        """What this one told the others [byte]; what it tells all of them is counted once."""

    def _exchange(self, message: bytes) -> list[bytes]:
        self.exchanges += 1
        self.sent += len(message)
        self._meeting.board[self.index] = message
        self._wait()
        messages = list(self._meeting.board)
        self._wait()
        return messages

    def _wait(self) -> None:
        limit = self._meeting.patience
        if self._limit is not None:
            limit = min(limit, max(0.0, self._limit[0] - time.monotonic()))
        try:
            self._meeting.barrier.wait(limit)
        except threading.BrokenBarrierError:
            while self._limit is not None:  # whoever broke it is about to say so
                self._still_waiting()
                time.sleep(0.01)
            self._still_waiting()
            raise

    def _leave(self, text: str) -> None:
        self._meeting.left = text

    def _left(self) -> str | None:
        return self._meeting.left

    def _deliver(self, messages: Mapping[int, bytes], sizes: Mapping[int, int]) -> dict[int, bytes]:
        for k, message in messages.items():
            self.sent += len(message)
            self._meeting.given[self.index, k].put(message)
        return {k: self._received(self._meeting.given[k, self.index]) for k in sizes}

    def _received(self, box: "queue.SimpleQueue[bytes]") -> bytes:
        while True:
            self.check()
            with contextlib.suppress(queue.Empty):
                return box.get(timeout=0.1)

    def _post(self, message: bytes) -> None:
        for k, box in enumerate(self._meeting.posts):
            if k != self.index:
                box.put(message)

    def _posted(self) -> bytes | None:
        try:
            return self._meeting.posts[self.index].get_nowait()
        except queue.Empty:
            return None


def on_threads(count: int, work: Callable[[Any], Any], patience: float = 60.0) -> list[Any]:
    """Run ``work(world)`` in as many threads as there shall be processes.

    Parameters
    ----------
    count
        Number of processes that are played.
    work
        What each does; it is given the world, seen from its process, to pass on as ``world=``.
    patience
        How long a process waits for the others before it fails [s].

    Returns
    -------
        What each returned, or the exception that it raised.

    Examples
    --------
    >>> on_threads(3, lambda world: world.gather(world.index))
    [[0, 1, 2], [0, 1, 2], [0, 1, 2]]
    """
    meeting = _Meeting(count, patience)

    def run(index: int) -> Any:
        try:
            return work(ThreadWorld(index, count, meeting))
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
