"""The state of a solve from disk: its vectors in files with names, two of each that take turns.

A step reads one set of vectors and writes the other. When that is complete on disk a record says
so, which gets its name when it is complete itself (`Slot`). At any moment one set is whole, the one
that the record speaks of, and a solve that is killed loses one step at most.
"""

import contextlib
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from lithax.errors import LockedError
from lithax.grid import Index
from lithax.runtime import SerialWorld
from lithax.solve._checkpoint import Checkpoint, Slot, identity_of
from lithax.solve._conduction_solve import Stats, Tolerances
from lithax.solve._conjugate_gradients import State
from lithax.solve._scratch import ScratchVolume, check_room

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two calls apart
    fcntl = None

Vectors = tuple[ScratchVolume, ScratchVolume, ScratchVolume]
"""u, r and q."""


def check_rooms(name: str, scratch: Path, needed: int, checkpoint: Path | None, kept: int) -> None:
    """Raise MemoryLimitError if there is too little room for what is needed in the folder of the
    scratch files and what is kept in that of the checkpoint [byte], which may be on one disk.
    """
    if checkpoint is not None:
        left = kept - sum(_on_disk(path) for path in checkpoint.glob("solve-*.vector"))
        if checkpoint.stat().st_dev == scratch.stat().st_dev:
            needed += left
        else:
            check_room(name, checkpoint, left, "checkpoint")
    check_room(name, scratch, needed)


def _on_disk(path: Path) -> int:
    """Return what a file takes [byte]: less than its size where nothing has been written."""
    found = path.stat()
    return found.st_blocks * 512 if hasattr(found, "st_blocks") else found.st_size  # Windows has none


def identity_of_volume(voxels: ScratchVolume, table: Any, text: str) -> str:
    """Return a digest of voxels, what they point into, and of all else that decides a solve."""
    digest = hashlib.sha256(identity_of([table], f"from disk {voxels.shape} {voxels.dtype} {text}").encode())
    planes = max(1, _HASHED // (math.prod(voxels.shape[1:]) * voxels.dtype.itemsize))
    for places in voxels.pieces(planes):
        digest.update(voxels.read(places).data)
    return digest.hexdigest()


_HASHED = 2**25
"""At once [byte]."""


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other calls out of a folder, which is made; LockedError if one is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "solve.lock").open("wb") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LockedError(
                    f"checkpoint={str(folder)!r} is in use by another call; wait until it ends, or name another folder."
                ) from None
            except OSError:  # a file system that knows no locks
                pass
        try:
            yield
        finally:
            with contextlib.suppress(PermissionError):  # Windows keeps what is open
                (folder / "solve.lock").unlink(missing_ok=True)


@dataclass(frozen=True)
class KeptSolve:
    """Where the state of the solve along an axis is kept."""

    folder: Path
    name: str
    """Of the axis."""
    identity: str
    """Of the voxels, and of what decides the solve."""

    def restored(self, fresh: State, tolerances: Tolerances) -> State:
        """Return the state that was kept, or the fresh one.

        Raises
        ------
        ValueError
            If it belongs to another solve.
        """
        state = self._steps().restored(fresh)
        if state is fresh:
            return fresh
        # Kept with other tolerances it may not be the end, or be one.
        done = (state.error <= tolerances.value) & (state.balance <= tolerances.balance)
        return replace(state, done=done)

    def vectors(self, files: contextlib.ExitStack, shape: Index, dtype: Any, fresh: bool) -> Sequence[Vectors]:
        """Return the two sets of files, which `files` closes; `fresh` ones hold zeros.

        Raises
        ------
        ValueError
            If one is gone.
        """

        def one(turn: int, vector: str) -> ScratchVolume:
            name = f"solve-{self.name}-0-{vector}{turn}.vector"
            if not fresh and not (self.folder / name).exists():
                raise ValueError(
                    f"checkpoint={str(self.folder)!r} lacks {name}, which its state is of; remove the folder."
                )
            return files.enter_context(contextlib.closing(ScratchVolume(self.folder, shape, dtype, name, fresh)))

        return [(one(turn, "u"), one(turn, "r"), one(turn, "q")) for turn in range(2)]

    def keep(self, vectors: Vectors, state: State) -> None:
        """Keep a state whose vectors have been written."""
        for volume in vectors:
            volume.sync()
        self._steps().keep(state, int(state.count))

    def ended(self, tolerances: Tolerances, numbers: int) -> tuple[Stats, np.ndarray] | None:
        """Return what `end` has kept of a solve to these tolerances, so many numbers; None if it
        has not.
        """
        zero = jnp.zeros((), tolerances.value.dtype)
        stats = Stats(jnp.zeros((), jnp.int32), zero, zero, zero, jnp.zeros((), bool))
        fresh = stats, jnp.zeros(numbers, zero.dtype)
        found = self._end(tolerances).restored(fresh)
        return None if found is fresh else (found[0], np.asarray(found[1]))

    def end(self, tolerances: Tolerances, stats: Stats, numbers: np.ndarray) -> None:
        """Keep how a solve ended, with numbers read off it, and give its vectors back: others
        follow in the same call.
        """
        self._end(tolerances).keep((stats, jnp.asarray(numbers)), 0)
        clear(self.folder, f"solve-{self.name}-0-*")

    def _steps(self) -> Slot:
        return Slot(Checkpoint(self.folder, SerialWorld()), self.name, self.identity, 1)

    def _end(self, tolerances: Tolerances) -> Slot:
        numbers = [float(v) for v in (tolerances.value, tolerances.balance, tolerances.most)]
        return Slot(Checkpoint(self.folder, SerialWorld()), f"end-{self.name}", f"{self.identity} {numbers}", 1)


def clear(folder: Path, pattern: str = "solve-*") -> None:
    """Remove what was kept."""
    for path in folder.glob(pattern):
        path.unlink(missing_ok=True)
