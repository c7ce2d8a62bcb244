"""The state of a long solve, kept in a folder: a solve that was killed goes on from there.

Every process keeps what its devices hold, in a file for each of the last two states kept, since one
may be killed while others still write. A file gets its name when it is complete.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lithax.runtime import AbstractWorld

REST = 20
"""States are kept so far apart that writing takes at most this fraction of the time, 1 / REST."""
LEAST = 5.0
"""Never sooner than this after the last one [s]."""


def identity_of(arrays: Iterable[Any], text: str) -> str:
    """Return a digest of arrays and of all else that decides a solve."""
    digest = hashlib.sha256(text.encode())
    for array in arrays:
        if array is not None:
            whole = np.ascontiguousarray(np.asarray(array))
            digest.update(f"{whole.dtype}{whole.shape}".encode())
            digest.update(whole.view(np.uint8).reshape(-1).data if whole.size else b"")
    return digest.hexdigest()


@dataclass
class Checkpoint:
    """The states of one call."""

    folder: Path
    world: AbstractWorld

    def slot(self, name: str, identity: str) -> "Slot":
        """Return where the states of one of its solves are kept."""
        return Slot(self, name, identity)

    def clear(self) -> None:
        """Remove what this call kept: it has ended."""
        for path in self.folder.glob(f"solve-*-{self.world.index}-*.npz"):
            path.unlink()


@dataclass
class Slot:
    """Where the states of one solve are kept."""

    of: Checkpoint
    name: str
    identity: str
    states: int = 2
    """How many are kept."""
    _took: float = 0.0
    _last: float = field(default_factory=time.monotonic)

    def _files(self) -> dict[int, Path]:
        found = self.of.folder.glob(f"solve-{self.name}-{self.of.world.index}-*.npz")
        return {int(path.stem.rpartition("-")[2]): path for path in found}

    def _name_of(self, state: Any) -> str:
        """Return the identity with the form of a state: another version may keep other arrays."""
        return " ".join([self.identity, *(f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(state))])

    def restored(self, fresh: Any) -> Any:
        """Return the last state that all processes have kept, or the fresh one; of arrays of
        NumPy where those of the fresh one are.

        Raises
        ------
        ValueError
            If it belongs to another solve.
        """
        files = self._files()
        known = self.of.world.gather(set(files))
        common = set.intersection(*known)
        if not common:
            return fresh
        with np.load(files[max(common)]) as kept:
            same = str(kept["identity"]) == self._name_of(fresh)
            if not all(self.of.world.gather(same)):
                raise ValueError(
                    f"checkpoint={str(self.of.folder)!r} holds the state of another solve (other voxels, options or "
                    "devices, in memory or from disk, or another version of lithax); name another folder, or remove it."
                )
            leaves, form = jax.tree.flatten(fresh)
            placed = []
            for n, leaf in enumerate(leaves):
                if isinstance(leaf, np.ndarray):
                    placed.append(kept[f"{n}-0"])
                    continue
                buffers = [
                    jax.device_put(kept[f"{n}-{k}"], piece.device) for k, piece in enumerate(leaf.addressable_shards)
                ]
                placed.append(jax.make_array_from_single_device_arrays(leaf.shape, leaf.sharding, buffers))
            return jax.tree.unflatten(form, placed)

    def look(self, state: Any, number: int) -> None:
        """Keep a state, if it is time; all processes agree on that."""
        due = time.monotonic() - self._last >= max(LEAST, REST * self._took)
        if self.of.world.broadcast(due) if self.of.world.count > 1 else due:
            self.keep(state, number)

    def keep(self, state: Any, number: int) -> None:
        """Keep a state, and forget older ones."""
        began = time.monotonic()
        self.of.folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {
            f"{n}-{k}": piece
            for n, leaf in enumerate(jax.tree.leaves(state))
            for k, piece in enumerate(own_pieces(leaf))
        }
        path = self.of.folder / f"solve-{self.name}-{self.of.world.index}-{number}.npz"
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, identity=np.asarray(self._name_of(state)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        files = self._files()
        for old in sorted(files)[: -self.states]:
            files[old].unlink()
        self._last = time.monotonic()
        self._took = self._last - began


def own_pieces(leaf: Any) -> list[np.ndarray]:
    """Return what this process has of an array of JAX, or a number or array of NumPy, as arrays of
    NumPy.
    """
    if isinstance(leaf, jax.Array):
        return [np.asarray(piece.data) for piece in leaf.addressable_shards]
    return [np.asarray(leaf)]


HOST_ONLY = "checkpoint= is for the host's loop; leave it out under a transformation."
"""What is said where a transformation would read a solve that is to be kept."""


def refuse_in(name: str, options: Mapping[str, Any], function: str) -> None:
    """Raise ValueError if options handed on to several solves, an argument of that name, hold a
    checkpoint.
    """
    if options.get("checkpoint") is not None:
        raise ValueError(
            f"{name}= holds checkpoint=, which belongs to one solve; {function}() makes many. Leave it out."
        )
