"""The processes that work together: here, one."""

import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SerialWorld:
    """One process on its own; the same interface as a world of many."""

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process speaks for all: it writes metadata, shows progress, draws."""
        return self.index == 0

    @property
    def devices(self) -> tuple[Any, ...]:
        """The JAX devices of this process; asking for them starts JAX."""
        import jax

        return tuple(jax.local_devices())

    def barrier(self) -> None:
        """Wait until every process has come here."""

    def broadcast(self, value: Any) -> Any:
        """Return the first process's value everywhere."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, in the order of their index."""
        return [value]

    def agree(self, error: BaseException | None = None) -> None:
        """Raise on every process if one of them has an error; return otherwise."""
        if error is not None:
            raise error


_SERIAL = SerialWorld()


class _Connection:
    """The one connected world of this program."""

    world: SerialWorld | None = None


def connected() -> SerialWorld:
    """Return the world that `connect` made, or the serial one."""
    return _Connection.world or _SERIAL


def connect(kind: str = "auto") -> SerialWorld:
    """Join the processes that were started together; does nothing the second time.

    Parameters
    ----------
    kind
        "auto" (serial without a launcher) or "serial". "mpi" and "jax" are not available in this version.

    Raises
    ------
    ValueError
        If `kind` is unknown.
    NotImplementedError
        If several processes are asked for, or were started by a launcher.
    """
    if kind not in ("auto", "serial", "mpi", "jax"):
        raise ValueError(f"kind={kind!r} is not a kind of world; use 'auto', 'serial', 'mpi' or 'jax'.")
    if _Connection.world is None:
        count = launched_processes()
        if kind in ("mpi", "jax") or (kind == "auto" and count > 1):
            raise NotImplementedError(
                f"connect({kind!r}): this version of lithax works in one process"
                + (f", and {count} were started" if count > 1 else "")
                + "; start the script without a launcher, or connect('serial') to let every process work on its own."
            )
        _Connection.world = _SERIAL
    return _Connection.world


def launched_processes() -> int:
    """Return how many processes a launcher (mpiexec, srun) says it started; 1 without one."""
    import os

    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE", "SLURM_STEP_NUM_TASKS"):
        value = os.environ.get(name, "")
        if value.isdigit():
            return max(int(value), 1)
    return 1


def check_launcher() -> None:
    """Raise RuntimeError in a program that a launcher started several times and that never connected."""
    if _Connection.world is None and launched_processes() > 1:
        raise RuntimeError(
            f"{launched_processes()} copies of {sys.argv[0] or 'this program'} were started by a launcher, and each would do the same work; "
            f"begin the program with lithax.runtime.connect()."
        )
