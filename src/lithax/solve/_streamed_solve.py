"""The conjugate gradients of an image larger than memory: vectors of the finest level on disk; see
`_streamed_levels` for those below.

Two readings of the image a step, where one in memory has three: the curvature qᵀKq of the next
direction q = z + βq follows from zᵀKz, since directions are conjugate (Chronopoulos & Gear, J.
Comput. Appl. Math. 25 (1989) 153), so that z is known, and summed, before anything is moved along
it. One reading ends a cycle; the other moves u, r and q, and begins the next cycle.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.solve import _slab_stages as stages
from lithax.solve._conduction_problem import Drive, lost_power, spread, typical_spread
from lithax.solve._conduction_setup import Run
from lithax.solve._conduction_solve import Spread, Stats, Tolerances, ended
from lithax.solve._conjugate_gradients import State, advanced, begun, loop, share_kept
from lithax.solve._scratch import ScratchVolume
from lithax.solve._slab_layout import Slabs
from lithax.solve._slab_sweep import Sweeper, sweep_planes
from lithax.solve._streamed_levels import ask_below, found_below, levels_below, weigh_below


@dataclass(eq=False)
class StreamedSolve:
    """One operator and what drives the current through it."""

    run: Run
    cuts: Sequence[Slabs]
    """How the levels on disk are cut, the finest first."""
    of_cubes: bool
    """See `Finest`."""
    voxels: ScratchVolume
    """Values of the voxels that take part, in the order of the solver; 0 insulates."""
    table: Any
    """What the values conduct, relative to the largest; None where they are that themselves."""
    folder: Path
    dtype: Any

    def __post_init__(self) -> None:
        slabs, settings = self.cuts[0], self.run.settings
        self.slabs = slabs
        self._finest = stages.Finest(slabs, self.run.geometry, settings.linear, self.of_cubes)
        with contextlib.ExitStack() as files:
            self.u, self.r, self.q, self.z = (
                files.enter_context(contextlib.closing(ScratchVolume(self.folder, slabs.layout.shape, self.dtype)))
                for _ in range(4)
            )
            self._sweeper = files.enter_context(contextlib.closing(Sweeper()))
            self._below = levels_below(self.run, self.cuts, self.folder, self.dtype, self._sweeper)
            files.callback(self._below.close)
            self._files = files.pop_all()
        self._table = None if self.table is None else jnp.asarray(self.table)
        self._drive = Drive(jnp.asarray(self.run.drives[0], self.dtype))

    def close(self) -> None:
        """Give the disk back."""
        self._files.close()

    def solve(self, tolerances: Tolerances, watch: Any) -> tuple[Stats, np.ndarray]:
        """Run the host's loop; `watch` sees the state after each step. Returns how the solve ended,
        and the power; `u` holds the potential beside the ramp.
        """
        power = self._begun()
        state = begun(None, None, None, jnp.asarray(power, self.dtype))
        sums = _Sums()
        most = int(tolerances.most)

        def take(state: State) -> State:
            nonlocal sums
            product, curved = self._finished()
            beta, alpha, after = _advanced(state, product, curved)
            small = bool(after.error <= tolerances.value)
            look = small or bool(after.done) or int(after.count) >= most
            sums = self._moved(alpha, beta, look)
            if not look:
                return after
            balance = self._balance(sums, typical_spread)
            done = (small and bool(balance <= tolerances.balance)) or bool(after.done)
            return replace(after, balance=balance, done=jnp.asarray(done))

        state = loop(take, state, most, watch)
        power, current, own = (jnp.asarray(v, self.dtype) for v in (sums.power, sums.current, sums.own))
        return ended(state, power, current, own, self._balance(sums, spread)), np.asarray(power)

    def _balance(self, sums: "_Sums", of: Spread) -> jax.Array:
        if self._finest.linear:
            return lost_power(jnp.asarray(sums.ramp, self.dtype), jnp.asarray(sums.power, self.dtype))
        return of(jnp.asarray(sums.planes, self.dtype))

    def _sweep(self, skirt: int, read: Any, compute: Any, write: Callable[..., None]) -> None:
        sweep_planes(self._sweeper, self.slabs, skirt, read, compute, write)

    def _write(self, volume: ScratchVolume, begin: int, planes: np.ndarray) -> None:
        volume.write(begin, planes[: self.slabs.own_planes(begin)])

    def _planes(self, begin: int) -> int:
        """Return how many planes of faces across x belong to a slab: with the upper end face in the
        last.
        """
        last = begin + self.slabs.thickness >= self.slabs.layout.shape[0]
        return self.slabs.own_planes(begin) + int(self.slabs.layout.held[0] and last)

    def _begun(self) -> float:
        """Make the first residual and the coarser levels; return the power of the ramp."""
        slabs, total = self.slabs, 0.0

        def compute(_: int, places: jax.Array, voxels: jax.Array) -> Any:
            return stages.begin(self._finest, places, voxels, self._table, self._drive)

        def write(begin: int, b: np.ndarray, request: np.ndarray, weights: Any, power: np.ndarray) -> None:
            nonlocal total
            self._write(self.r, begin, b)
            ask_below(slabs, self._below, begin, request)
            weigh_below(slabs, self._below, begin, *weights)
            total += float(np.sum(power[: self._planes(begin)], dtype=np.float64))

        self._sweep(slabs.down, lambda places: (self.voxels.read(places),), compute, write)
        self._below.build()
        return total

    def _finished(self) -> tuple[jax.Array, jax.Array]:
        """End a cycle: write z, and return rᵀz and zᵀKz."""
        slabs, found = self.slabs, np.zeros(2)
        self._below.visit()

        def read(places: np.ndarray) -> Any:
            return self.voxels.read(places), self.r.read(places), found_below(slabs, self._below, places)

        def compute(_: int, places: jax.Array, voxels: jax.Array, r: jax.Array, rows: jax.Array) -> Any:
            return stages.finish(self._finest, places, voxels, self._table, r, rows)

        def write(begin: int, z: np.ndarray, product: np.ndarray, curved: np.ndarray) -> None:
            self._write(self.z, begin, z)
            found[:] += float(product), float(curved)

        self._sweep(slabs.up, read, compute, write)
        product, curved = (jnp.asarray(v, self.dtype) for v in found)
        return product, curved

    def _moved(self, alpha: jax.Array, beta: jax.Array, look: bool) -> "_Sums":
        """Move along the next direction, begin the next cycle, and return what `look` asks for."""
        slabs, sums = self.slabs, _Sums()
        vectors = (self.u, self.r, self.q, self.z)
        # The last slabs of a periodic grid see its first planes, which have moved by then.
        first = [v.read(range(slabs.down)) if slabs.layout.periodic[0] else None for v in vectors]

        def read(places: np.ndarray) -> Any:
            found = tuple(v.read(places) for v in vectors)
            again = np.arange(len(places)) > slabs.down
            again &= (places >= 0) & (places < places[slabs.down])
            for before, planes in zip(first, found, strict=True):
                if before is not None:
                    planes[again] = before[places[again]]
            return self.voxels.read(places), found

        def compute(_: int, places: jax.Array, voxels: jax.Array, given: Any) -> Any:
            *moved, request, seen = stages.move(
                self._finest, places, voxels, self._table, self._drive, given, alpha, beta, jnp.asarray(look)
            )
            return moved, request, seen

        def write(begin: int, moved: list[np.ndarray], request: np.ndarray, seen: Any) -> None:
            for volume, planes in zip(vectors[:3], moved, strict=True):
                self._write(volume, begin, planes)
            ask_below(slabs, self._below, begin, request)
            if look:
                sums.add(self._planes(begin), *seen)

        self._sweep(slabs.down, read, compute, write)
        return sums

    def slopes(self, into: ScratchVolume) -> None:
        """Write the derivative of the power with respect to every conductivity, relative to the
        largest.
        """

        def compute(_: int, places: jax.Array, voxels: jax.Array, u: jax.Array) -> Any:
            return (stages.slopes(self._finest, places, voxels, self._table, self._drive, u),)

        def write(begin: int, slopes: np.ndarray) -> None:
            self._write(into, begin, slopes)

        self._sweep(1, lambda places: (self.voxels.read(places), self.u.read(places)), compute, write)


class _Sums:
    """What the value and the balance are read off, added up slab by slab in double precision."""

    def __init__(self) -> None:
        self.power = self.current = self.own = self.ramp = 0.0
        self.planes: list[float] = []

    def add(self, count: int, *sums: np.ndarray) -> None:
        """Add those of a slab to which so many planes of faces across x belong."""
        currents, power, current, own, lateral, ramp = sums
        self.planes += currents[:count].tolist()
        self.power += float(np.sum(power[:count], dtype=np.float64)) + float(lateral)
        self.current += float(np.sum(current[:count], dtype=np.float64))
        self.own += float(np.sum(own[:count], dtype=np.float64)) + float(lateral)
        self.ramp += float(ramp)


@jax.jit
def _advanced(state: State, product: jax.Array, curved: jax.Array) -> tuple[jax.Array, jax.Array, State]:
    beta = share_kept(state, product)
    last = state.product / jnp.where(state.seen.alpha > 0, state.seen.alpha, 1)  # qᵀKq of the last step
    alpha, after = advanced(state, product, beta, curved - beta**2 * last)
    return beta, alpha, after
