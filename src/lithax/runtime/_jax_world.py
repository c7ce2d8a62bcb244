"""Processes that speak through `jax.distributed`, and whose devices JAX sees as one set."""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lithax.errors import ProcessFailure
from lithax.runtime._abstract_world import AbstractWorld
from lithax.runtime._cores import divide_cores, patient_threads

HEARTBEAT = 15
"""How long a process may be silent before the others are ended [s]."""

_PART = 2**20
"""Messages are cut into parts of this size, which one call of the coordinator's protocol carries
[byte].
"""
_LOOK_EVERY = 0.5
_PATIENCE = 1000
"""How long to wait for a message before asking whether its sender has given up [ms]."""
_ROOM = "lithax"


class JaxWorld(AbstractWorld):
    """The processes of `jax.distributed`, which must be initialised already; `connect` does
    that.
    """

    def __init__(self) -> None:
        import jax
        from jax._src import distributed

        # JAX has no public door to its coordinator's store of keys and values.
        self._client: Any = distributed.global_state.client
        # The devices of all become known in a step that waits for all: better now than in the first
        # computation. It starts the threads of the devices as well.
        with patient_threads():
            jax.devices()
        super().__init__(jax.process_index(), jax.process_count())
        self._exchanges = 0
        self._parts: dict[int, int] = {}
        self._looked = 0.0
        self._seen = -1

    def _exchange(self, message: bytes) -> list[bytes]:
        number = self._exchanges
        self._exchanges += 1
        self._parts[number] = self._put(f"{_ROOM}/{number}/{self.index}", message)
        received = [
            message if k == self.index else self._fetch(f"{_ROOM}/{number}/{k}", self._still_waiting)[0]
            for k in range(self.count)
        ]
        # Whoever has come to this exchange has read everything of the one before.
        for k in range(self._parts.pop(number - 1, 0)):
            self._client.key_value_delete(f"{_ROOM}/{number - 1}/{self.index}/{k}")
        return received

    def _deliver(self, messages: Mapping[int, bytes], sizes: Mapping[int, int]) -> dict[int, bytes]:
        number = self._exchanges  # every delivery follows an exchange of its own
        for k, message in messages.items():
            self._put(f"{_ROOM}/given/{number}/{self.index}/{k}", message)
        received = {}
        for k in sizes:
            name = f"{_ROOM}/given/{number}/{k}/{self.index}"
            received[k], parts = self._fetch(name, self.check)
            for part in range(parts):
                self._client.key_value_delete(f"{name}/{part}")
        return received

    def _put(self, name: str, message: bytes) -> int:
        """Leave a message in parts, and return their number."""
        parts = [message[at : at + _PART] for at in range(0, len(message), _PART)] or [b""]
        for k, part in enumerate(parts):
            self._client.key_value_set_bytes(f"{name}/{k}", struct.pack("<q", len(parts)) + part)
        return len(parts)

    def _fetch(self, name: str, check: Callable[[], None] = lambda: None) -> tuple[bytes, int]:
        first = self._wait_for(f"{name}/0", check)
        (count,) = struct.unpack_from("<q", first)
        rest = [self._wait_for(f"{name}/{k}", check)[8:] for k in range(1, count)]
        return b"".join([first[8:], *rest]), count

    def _wait_for(self, key: str, check: Callable[[], None] = lambda: None) -> bytes:
        while True:
            check()
            try:
                return self._client.blocking_key_value_get_bytes(key, _PATIENCE)
            except Exception as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise
            if (text := self._try(f"{_ROOM}/aborted")) is not None:
                self._client.key_value_set_bytes(f"{_ROOM}/seen/{self.index}", b"1")
                raise ProcessFailure(text.decode())

    def _try(self, key: str) -> bytes | None:
        try:
            return self._client.key_value_try_get_bytes(key)
        except Exception as error:
            if "NOT_FOUND" not in str(error):
                raise
            return None

    def _post(self, message: bytes) -> None:
        self._client.key_value_set_bytes(f"{_ROOM}/failed/{self._meetings}", message[: 3 * _PART], allow_overwrite=True)

    def _posted(self) -> bytes | None:
        # Asking costs a message to the coordinator and back.
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY or self._seen == self._meetings:
            return None
        self._looked = now
        message = self._try(f"{_ROOM}/failed/{self._meetings}")
        if message is not None:
            self._seen = self._meetings
        return message

    def _leave(self, text: str) -> None:
        self._client.key_value_set_bytes(f"{_ROOM}/left", text.encode(), allow_overwrite=True)

    def _left(self) -> str | None:
        message = self._try(f"{_ROOM}/left")
        return None if message is None else message.decode()

    def abort(self, text: str) -> None:
        """End this process, and the others when they wait for it next."""
        with contextlib.suppress(Exception):
            self._client.key_value_set_bytes(f"{_ROOM}/aborted", text.encode()[: 3 * _PART])
            # The first process is the coordinator: with it the others lose what they have not read
            # yet.
            until = time.monotonic() + 5
            for k in range(self.count):
                left = int(1000 * (until - time.monotonic()))
                if k != self.index and left > 0:
                    with contextlib.suppress(Exception):
                        self._client.blocking_key_value_get_bytes(f"{_ROOM}/seen/{k}", left)
        # A regular end would wait for the others to end, too.
        os._exit(1)


def initialise(found_by: str) -> None:
    """Start `jax.distributed` for a program that a launcher started.

    Parameters
    ----------
    found_by
        What tells the processes of each other: "mpi", through mpi4py, or "jax", by what JAX knows
        of Slurm, Open MPI, Kubernetes and the variables ``JAX_COORDINATOR_ADDRESS``.
    """
    import jax

    if jax.distributed.is_initialized():
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    limits: dict[str, Any] = {"heartbeat_timeout_seconds": HEARTBEAT, "shutdown_timeout_seconds": 4 * HEARTBEAT}
    if found_by == "jax":
        jax.distributed.initialize(**limits)
        return
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    local = comm.Split_type(MPI.COMM_TYPE_SHARED)
    divide_cores(local)
    one_host = comm.Get_size() == local.Get_size()
    with _free_port() if comm.Get_rank() == 0 else contextlib.nullcontext() as port:
        address = None if port is None else f"{'127.0.0.1' if one_host else socket.getfqdn()}:{port}"
        jax.distributed.initialize(
            comm.bcast(address),
            comm.Get_size(),
            comm.Get_rank(),
            local_device_ids=None if "JAX_LOCAL_DEVICE_IDS" in os.environ else local.Get_rank(),
            cluster_detection_method="deactivate",
            **limits,
        )


@contextlib.contextmanager
def _free_port() -> Iterator[int]:
    """Find a port for the coordinator, and keep others from it until the coordinator has it.

    The coordinator shares it with the socket that is open here, which never listens; that takes
    the same user and SO_REUSEPORT on both. Windows has no such option, and the port is let go.
    """
    with socket.socket() as held:
        shares = hasattr(socket, "SO_REUSEPORT")
        if shares:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("", 0))
        port = held.getsockname()[1]
        if not shares:
            held.close()
        yield port
