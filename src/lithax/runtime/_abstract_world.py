"""What processes that work together can ask of each other.

Everything is built on one operation, in which every process gives a message and receives those of
all. A message says what its sender is doing, and whether it failed. So the failure of one reaches
the others wherever they meet next, and processes that do different things are told so instead of
waiting for each other.
"""

import contextlib
import functools
import os
import pickle
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lithax.errors import ProcessFailure
from lithax.runtime._choice import devices_of
from lithax.runtime._failure import DifferentCalls, Failure, describe, is_agreed, mark_agreed, raised_elsewhere

END = "the end of its program"


class AbstractWorld(ABC):
    """The processes that work together, seen from one of them.

    `index` is this process's number, from 0; `count`, how many there are.
    """

    index: int
    count: int

    def __init__(self, index: int, count: int):
        self.index, self.count = index, count
        self._meetings = 0
        self._ended: str | None = None
        self._places: list[tuple[str, frozenset[int]]] | None = None
        self._limit: tuple[float, str] | None = None
        self._last_error = ""
        self._things = 0
        self.turn = threading.RLock()
        """Held by a thread for as long as it takes part in what all processes do."""
        self.gave_up = False
        """Whether this process waited in vain, and told the others that it will not come again."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(index={self.index}, count={self.count})"

    # What a kind of world must have

    @abstractmethod
    def _exchange(self, message: bytes) -> list[bytes]:
        """Return the messages of all processes, in the order of their index."""

    @abstractmethod
    def _deliver(self, messages: Mapping[int, bytes], sizes: Mapping[int, int]) -> dict[int, bytes]:
        """Send messages to other processes, and return those from others, who send so many bytes
        each.

        One that fails here sends nothing more, so whoever waits for it must `check` now and then.
        """

    @abstractmethod
    def _post(self, message: bytes) -> None:
        """Leave a message for every other process, without waiting for them."""

    @abstractmethod
    def _posted(self) -> bytes | None:
        """Return a message that another process left, without waiting for one."""

    @abstractmethod
    def _leave(self, text: str) -> None:
        """Let the others know that this process comes to no meeting any more, and why."""

    @abstractmethod
    def _left(self) -> str | None:
        """Return why another process comes to no meeting any more; None if all still do."""

    # What follows from it

    @property
    def first(self) -> bool:
        """Whether this process speaks for all: it writes metadata, shows progress, draws."""
        return self.index == 0

    @property
    def devices(self) -> tuple[Any, ...]:
        """The JAX devices on which this process computes; asking for them starts JAX."""
        return devices_of(self)

    def introduce(self) -> None:
        """Let every process know where the others run; `connect` does this."""
        if self._places is None:
            self._places = self._meet("connect()", (socket.gethostname(), _own_cores()))

    def next_number(self) -> int:
        """Return the number of a thing that all processes make in the same order."""
        self._things += 1
        return self._things

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the machines on which the processes run, in the order of their index."""
        return tuple(host for host, _ in self._known)

    @property
    def cores(self) -> tuple[int, ...]:
        """How many cores each process has for itself: those that several may use are divided."""
        users = Counter((host, core) for host, cores in self._known for core in cores)
        shares = (sum(1 / users[host, core] for core in cores) for host, cores in self._known)
        return tuple(max(1, int(share + 1e-6)) for share in shares)

    @property
    def _known(self) -> list[tuple[str, frozenset[int]]]:
        if self._places is None:
            self.introduce()
        assert self._places is not None
        return self._places

    @property
    def neighbours(self) -> tuple[int, ...]:
        """Indices of the processes on this one's machine, itself included."""
        return tuple(k for k, host in enumerate(self.hosts) if host == self.hosts[self.index])

    @property
    def over(self) -> bool:
        """Whether another process has ended, so that nothing can be done together any more."""
        return self._ended is not None

    def barrier(self) -> None:
        """Wait until every process has come here."""
        self._meet("barrier()")

    def broadcast(self, value: Any) -> Any:
        """Return the first process's value everywhere; what the others pass is not used."""
        return self._meet("broadcast()", value if self.first else None)[0]

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes everywhere, in the order of their index."""
        return self._meet("gather()", value)

    def reduce(self, value: Any, combine: Callable[[Any, Any], Any]) -> Any:
        """Combine the values of all processes, from the first to the last: always the same bits.

        Parameters
        ----------
        value
            Anything that can be pickled.
        combine
            Returns the combination of two values.
        """
        return functools.reduce(combine, self._meet("reduce()", value))

    def give(self, values: Mapping[int, Any]) -> dict[int, Any]:
        """Give some of the processes a value each, which no other one sees; return those given to
        this one.

        Every process must call it, also one that gives nothing.

        Parameters
        ----------
        values
            Anything that can be pickled, by the index of the process that gets it.

        Returns
        -------
            The values, by the index of the process that gave them, in that order.
        """
        if wrong := [k for k in values if not 0 <= k < self.count]:
            raise ValueError(f"values is for process {wrong[0]}; there are the processes 0 to {self.count - 1}.")
        own = {self.index: values[self.index]} if self.index in values else {}
        if self.count == 1:
            return own
        messages, error = {}, None
        try:
            messages = {k: pickle.dumps(value) for k, value in values.items() if k != self.index}
        except Exception as problem:  # the others wait
            error = TypeError(f"values cannot be sent to other processes: {problem}")
        everyone = self._meet("give()", {k: len(message) for k, message in messages.items()}, error=error)
        sizes = {k: sent[self.index] for k, sent in enumerate(everyone) if self.index in sent}
        received = {k: pickle.loads(message) for k, message in self._deliver(messages, sizes).items()}
        return dict(sorted((own | received).items()))

    @contextlib.contextmanager
    def patience(self, seconds: float, what: str) -> Iterator[None]:
        """Within the ``with`` block, which does `what`, wait no longer than this for the others.

        Raises
        ------
        ProcessFailure
            If they do not come in time. The processes cannot meet again after that: whoever comes
            later raises it, too.
        """
        before, self._limit = self._limit, (time.monotonic() + seconds, f"{seconds:g} s in {what}")
        try:
            yield
        finally:
            self._limit = before

    def _still_waiting(self) -> None:
        """Raise ProcessFailure if it is of no use to wait for the others any longer."""
        text = self._left()
        if text is None and self._limit is not None and time.monotonic() > self._limit[0]:
            text = (
                f"process {self.index} of {self.count} waited {self._limit[1]} for the others, which did not come; "
                "every process must make the same calls in the same order"
            )
            self.gave_up = True
            self._leave(text)
        if text is not None:
            self._ended = text
            raise self._agreed(ProcessFailure(f"{text}."))

    def agree(self, error: BaseException | None = None, *, same_type: bool = False) -> None:
        """Raise on every process if one of them has an error; return otherwise.

        Parameters
        ----------
        error
            What went wrong in this process, which raises it.
        same_type
            Let the others raise a copy of that error, so that one ``except`` catches it everywhere,
            instead of a `ProcessFailure`.

        Raises
        ------
        ProcessFailure
            If another process has an error: with the traceback from there.
        """
        self._meet("agree()", error=error, same_type=same_type)

    def announce(self, error: BaseException) -> None:
        """Let the others know, the next time they `check`, that this process failed and will
        `agree` on it.
        """
        if self.count > 1 and not is_agreed(error) and not isinstance(error, ProcessFailure):
            failure = describe(error, self.index, socket.gethostname())
            self._post(pickle.dumps((self._meetings, failure)))

    def check(self) -> None:
        """Raise ProcessFailure if another process has announced a failure since all met last; never
        waits.
        """
        if self.count == 1:
            return
        while (message := self._posted()) is not None:
            meetings, failure = pickle.loads(message)
            if meetings >= self._meetings:
                raise ProcessFailure(f"process {failure.index} of {self.count} failed: {failure.summary}")

    def _meet(
        self, what: str, value: Any = None, *, error: BaseException | None = None, same_type: bool = False
    ) -> list[Any]:
        if self.count == 1:
            if error is not None:
                raise error
            return [value]
        if self._ended is not None:
            raise self._agreed(RuntimeError(f"{self._ended}, so this one cannot come to {what}."))
        own = None
        if error is not None:
            own = describe(error, self.index, socket.gethostname())
        try:
            message = pickle.dumps((what, own, value))
        except Exception as problem:  # the others wait for a message
            error = TypeError(f"value={value!r:.100} cannot be sent to other processes: {problem}")
            own = describe(error, self.index, socket.gethostname())
            message = pickle.dumps((what, own, None))
        everyone = [pickle.loads(m) for m in self._exchange(message)]
        self._meetings += 1
        failures = [failure for _, failure, _ in everyone if failure is not None]
        if failures:
            self._raise(failures, error, same_type)
        doing = [other for other, _, _ in everyone]
        if len(set(doing)) > 1:
            if END in doing:
                self._ended = f"process {doing.index(END)} has come to {END}"
            different = next(k for k, other in enumerate(doing) if other != doing[self.index])
            raise self._agreed(
                DifferentCalls(
                    f"process {self.index} came to {doing[self.index]}, but process {different} came to {doing[different]}; "
                    f"every process must make the same calls in the same order (what only one of them does, such as drawing, "
                    f"stands under `if world.first:` and makes no call for all, or opens its image with world=lithax.runtime.SerialWorld())."
                )
            )
        return [given for _, _, given in everyone]

    def _raise(self, failures: list[Failure], error: BaseException | None, same_type: bool) -> None:
        causes = [f for f in failures if f.cause] or failures
        if error is not None and not isinstance(error, ProcessFailure):
            raise self._agreed(error)
        raised = self._agreed(raised_elsewhere(causes[0], self.count, same_type=same_type))
        for other in causes[1:]:
            raised.add_note(f"Process {other.index} (on {other.host}) failed, too: {other.summary}")
        raise raised

    def _agreed(self, error: BaseException) -> BaseException:
        self._last_error = str(error).partition("\n")[0]
        return mark_agreed(error)

    def knows(self, error: BaseException) -> bool:
        """Whether every process knows of the error, also where a compiled program has wrapped it in
        one of its own.
        """
        return is_agreed(error) or bool(self._last_error and self._last_error in str(error))


def _own_cores() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))
