"""The one world of a program: joined once, left when the program ends."""

import atexit
import os
import sys
import time
import traceback
from typing import Any

from lithax.runtime._abstract_world import END, AbstractWorld
from lithax.runtime._jax_world import JaxWorld, initialise
from lithax.runtime._launcher import launched_processes, program
from lithax.runtime._mpi_world import MpiWorld
from lithax.runtime._serial_world import SerialWorld

_GRACE = 5
"""How long a process that gave up waiting lets the others come before it ends all [s]."""
_SERIAL = SerialWorld()
_KINDS = {"serial": SerialWorld, "mpi": MpiWorld, "jax": JaxWorld}


class _Connection:
    """The one connected world of this program."""

    world: AbstractWorld | None = None


def connected() -> AbstractWorld:
    """Return the world that `connect` made, or the serial one."""
    return _Connection.world or _SERIAL


def connect(kind: str = "auto") -> AbstractWorld:
    """Join the processes that were started together; the second time, return the world joined
    first.

    Parameters
    ----------
    kind
        "auto": serial without a launcher, otherwise MPI, or `jax.distributed` where there is no MPI
        library. "serial": this process alone. "mpi": MPI through mpi4py. "jax": `jax.distributed`,
        needed for `lithax.shard` over several processes; the processes find each other through MPI,
        Slurm, Open MPI, Kubernetes, or ``JAX_COORDINATOR_ADDRESS``. Those of one machine that MPI
        found divide its cores, unless the launcher has, or ``LITHAX_SHARE_CORES=1``.

    Returns
    -------
        The world, with `index`, `count`, `first` and `devices`.

    Raises
    ------
    ValueError
        If `kind` is unknown, or the program is connected in another way already.
    ImportError
        If there is no MPI library.
    RuntimeError
        If a launcher started several processes, and they cannot find each other.

    Examples
    --------
    >>> world = connect()
    >>> world.count, world.first
    (1, True)
    """
    if kind not in ("auto", *_KINDS):
        raise ValueError(f"kind={kind!r} is not a kind of world; use 'auto', 'serial', 'mpi' or 'jax'.")
    if (world := _Connection.world) is not None:
        if kind != "auto" and type(world) is not _KINDS[kind]:
            raise ValueError(
                f"kind={kind!r}, but this program is connected as {world!r}; connect once, at its beginning."
            )
        return world
    world = _join(kind, launched_processes())
    if world.count > 1:
        world.introduce()
        _end_together(world)
    _Connection.world = world
    return world


def check_launcher() -> None:
    """Raise RuntimeError in a program that a launcher started several times and that never
    connected.
    """
    if _Connection.world is None and launched_processes() > 1:
        raise RuntimeError(
            f"{launched_processes()} copies of {program()} were started by a launcher, and each would do the same work; "
            f"begin the program with lithax.runtime.connect(), or with connect('serial') if that is what you want."
        )


def _join(kind: str, launched: int) -> AbstractWorld:
    if kind == "serial" or (kind == "auto" and launched == 1):
        return _SERIAL
    mpi = _mpi_processes(required=kind == "mpi") if kind == "mpi" or launched > 1 else None
    if kind == "mpi" or (kind == "auto" and mpi == launched):
        world = MpiWorld()
    elif mpi is not None and mpi > 1:
        initialise("mpi")
        world = JaxWorld()
    else:
        world = _found_by_jax(launched)
    if world.count == 1 and launched > 1:
        raise RuntimeError(
            f"a launcher started {launched} copies of {program()}, but the MPI library of this Python sees one process: it belongs to "
            f"another MPI than the launcher. Use the launcher that came with it (`python -m pip install mpich` brings both), "
            f"build mpi4py with the cluster's MPI, or connect('jax')."
        )
    return world


def _mpi_processes(*, required: bool) -> int | None:
    """Return how many processes MPI sees; None if there is no MPI library."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        if not required:
            return None
        raise ImportError(
            f"kind='mpi' needs an MPI library, and mpi4py finds none ({error}); install one with pip install 'lithax[mpi]', or load "
            f"the cluster's MPI module."
        ) from error
    return MPI.COMM_WORLD.Get_size()


def _found_by_jax(launched: int) -> AbstractWorld:
    try:
        initialise("jax")
    except (ValueError, RuntimeError) as error:
        if launched == 1:  # one process, and nothing that knows of others
            raise RuntimeError(
                f"kind='jax': no launcher was found that tells the processes of each other ({error}); start the program with mpiexec or "
                f"srun, or set JAX_COORDINATOR_ADDRESS."
            ) from error
        raise
    return JaxWorld()


def _end_together(world: Any) -> None:
    """Let no process wait for one that has ended."""
    usual = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if world.knows(error):
            # Where it was raised first it is shown in full; elsewhere one line does, but for the
            # first process.
            if type(error).__name__ == "ProcessFailure" and not world.first:
                line = str(error).partition("\n")[0]
                sys.stderr.write(f"process {world.index} of {world.count} stopped: {line}\n")
            else:
                usual(kind, error, trace)
            return
        sys.stderr.write(f"process {world.index} of {world.count} failed, and ends all:\n")
        usual(kind, error, trace)
        sys.stdout.flush()
        sys.stderr.flush()
        text = "".join(traceback.format_exception(error))
        world.abort(f"process {world.index} of {world.count} failed.\n\nIts traceback:\n{text}")

    def farewell() -> None:
        if world.gave_up:
            # One that never comes would be waited for when MPI ends; one that is late learns why
            # first.
            sys.stdout.flush()
            sys.stderr.flush()
            time.sleep(_GRACE)
            world.abort(f"process {world.index} of {world.count} had given up waiting for the others.")
        if world.over:
            return
        try:
            world._meet(END)
        except Exception as error:
            sys.stderr.write(f"process {world.index} of {world.count} ended before the others: {error}\n")
            sys.stderr.flush()

    sys.excepthook = hook
    atexit.register(farewell)
    # A forked child is no process of the world.
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: atexit.unregister(farewell))
