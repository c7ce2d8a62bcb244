"""The conjugate gradients of an image larger than memory: vectors of the finest level on disk; see
`_streamed_levels` for those below.

Two readings of the image a step, where one in memory has three: the curvature qᵀKq of the next
direction q = z + βq follows from zᵀKz, since directions are conjugate (Chronopoulos & Gear, J.
Comput. Appl. Math. 25 (1989) 153), so that z is known, and summed, before anything is moved along
it. One reading ends a cycle; the other moves u, r and q, and begins the next cycle.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
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
from lithax.solve._streamed_checkpoint import KeptSolve, Vectors
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
    kept: KeptSolve | None = None
    """Where the state is kept after each step."""
    guess: Iterable[tuple[int, np.ndarray]] | None = None
    """Planes of a first guess of u, with the number of the first."""
    driven: bool = True
    """Whether anything joins the ends; where nothing does, what joins others would carry a current
    of rounding.
    """

    def __post_init__(self) -> None:
        slabs, settings = self.cuts[0], self.run.settings
        self.slabs = slabs
        self._finest = stages.Finest(slabs, self.run.geometry, settings.linear, self.of_cubes)
        self._files = contextlib.ExitStack()
        self._turn = 0
        self._vectors: Sequence[Vectors] = ()
        self.currents = np.zeros(0)
        with self._files:  # in case of an error
            self.z = self._scratch()
            self._sweeper = self._files.enter_context(contextlib.closing(Sweeper()))
            self._below = levels_below(self.run, self.cuts, self.folder, self.dtype, self._sweeper)
            self._files.callback(self._below.close)
            self._files = self._files.pop_all()
        self._table = None if self.table is None else jnp.asarray(self.table)
        self._drive = Drive(jnp.asarray(self.run.drives[0] * self.driven, self.dtype))

    def _scratch(self) -> ScratchVolume:
        return self._files.enter_context(
            contextlib.closing(ScratchVolume(self.folder, self.slabs.layout.shape, self.dtype))
        )

    def _open(self, fresh: bool) -> None:
        """Open the files of u, r and q: one of each, which is written over, or two that take
        turns.
        """
        if self.kept is None:
            self._vectors = [(self._scratch(), self._scratch(), self._scratch())]
        else:
            self._vectors = self.kept.vectors(self._files, self.slabs.layout.shape, self.dtype, fresh)

    @property
    def vectors(self) -> Vectors:
        """u, r and q as they are now."""
        return self._vectors[self._turn % len(self._vectors)]

    def close(self) -> None:
        """Give the disk back."""
        self._files.close()

    def solve(self, tolerances: Tolerances, watch: Any) -> tuple[Stats, np.ndarray]:
        """Run the host's loop; `watch` sees the state after each step. Returns how the solve ended,
        and the power; `vectors` hold the potential beside the ramp, `currents` those through every
        plane of faces across x.
        """
        zero, sums = jnp.zeros((), self.dtype), _Sums()
        most = int(tolerances.most)
        fresh = begun(None, None, None, zero)
        state = fresh if self.kept is None else self.kept.restored(fresh, tolerances)
        self._turn = int(state.count)
        self._open(state is fresh)
        power = jnp.asarray(self._begun(state is fresh), self.dtype)
        if state is fresh:
            state = begun(None, None, None, self._guessed(power))
        else:
            # Along z = 0, with all of q kept: the vectors stay, and the next level is asked again.
            sums = self._moved(zero, jnp.ones_like(zero), True, self.vectors)

        def take(state: State) -> State:
            nonlocal sums
            product, curved = self._finished()
            beta, alpha, after = _advanced(state, product, curved)
            small = bool(after.error <= tolerances.value)
            look = small or bool(after.done) or int(after.count) >= most
            sums = self._moved(alpha, beta, look, self._vectors[(self._turn + 1) % len(self._vectors)])
            self._turn += 1
            if look:
                balance = self._balance(sums, typical_spread)
                done = (small and bool(balance <= tolerances.balance)) or bool(after.done)
                after = replace(after, balance=balance, done=jnp.asarray(done))
            if self.kept is not None:
                self.kept.keep(self.vectors, after)
            return after

        state = loop(take, state, most, watch)
        self.currents = np.asarray(sums.planes, self.dtype)
        power, current, own = (jnp.asarray(v, self.dtype) for v in (sums.power, sums.current, sums.own))
        return ended(state, power, current, own, self._balance(sums, spread), tolerances.balance), np.asarray(power)

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

    def _begun(self, fresh: bool) -> float:
        """Make the coarser levels and, for a `fresh` solve, the first residual; return the power of
        the ramp.
        """
        slabs, total = self.slabs, 0.0

        def compute(_: int, places: jax.Array, voxels: jax.Array) -> Any:
            return stages.begin(self._finest, places, voxels, self._table, self._drive)

        def write(begin: int, b: np.ndarray, request: np.ndarray, weights: Any, power: np.ndarray) -> None:
            nonlocal total
            if fresh:
                self._write(self.vectors[1], begin, b)
                ask_below(slabs, self._below, begin, request)
            weigh_below(slabs, self._below, begin, *weights)
            total += float(np.sum(power[: self._planes(begin)], dtype=np.float64))

        self._sweep(slabs.down, lambda places: (self.voxels.read(places),), compute, write)
        self._below.build()
        return total

    def _guessed(self, power: jax.Array) -> jax.Array:
        """Take the first guess in place of u = 0; return its power, given that of the ramp."""
        if self.guess is None:
            return power
        for begin, planes in self.guess:
            self.z.write(begin, planes)
        # A step from zero along the guess; the first direction keeps nothing of it.
        one = jnp.ones_like(power)
        return jnp.asarray(self._moved(one, jnp.zeros_like(one), True, self.vectors).power, self.dtype)

    def _finished(self) -> tuple[jax.Array, jax.Array]:
        """End a cycle: write z, and return rᵀz and zᵀKz."""
        slabs, found = self.slabs, np.zeros(2)
        self._below.visit()
        _, residual, _ = self.vectors

        def read(places: np.ndarray) -> Any:
            return self.voxels.read(places), residual.read(places), found_below(slabs, self._below, places)

        def compute(_: int, places: jax.Array, voxels: jax.Array, r: jax.Array, rows: jax.Array) -> Any:
            return stages.finish(self._finest, places, voxels, self._table, r, rows)

        def write(begin: int, z: np.ndarray, product: np.ndarray, curved: np.ndarray) -> None:
            self._write(self.z, begin, z)
            found[:] += float(product), float(curved)

        self._sweep(slabs.up, read, compute, write)
        product, curved = (jnp.asarray(v, self.dtype) for v in found)
        return product, curved

    def _moved(self, alpha: jax.Array, beta: jax.Array, look: bool, into: Vectors) -> "_Sums":
        """Move along the next direction, begin the next cycle, and return what `look` asks for;
        `into` may be the vectors themselves.
        """
        slabs, sums = self.slabs, _Sums()
        vectors = (*self.vectors, self.z)
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
            for volume, planes in zip(into, moved, strict=True):
                self._write(volume, begin, planes)
            ask_below(slabs, self._below, begin, request)
            if look:
                sums.add(self._planes(begin), *seen)

        self._sweep(slabs.down, read, compute, write)
        return sums

    def slopes(self) -> ScratchVolume:
        """Return the derivative of the power with respect to every conductivity, relative to the
        largest; it lies where z was.
        """
        return self._of_potential(stages.slopes)

    def flux(self, axis: int) -> ScratchVolume:
        """Return the sums of the currents through the two faces of each voxel across one of the
        solver's axes; they lie where z was.
        """
        return self._of_potential(stages.flux, axis)

    def _of_potential(self, stage: Callable[..., jax.Array], *more: Any) -> ScratchVolume:
        def compute(_: int, places: jax.Array, voxels: jax.Array, u: jax.Array) -> Any:
            return (stage(self._finest, places, voxels, self._table, self._drive, u, *more),)

        def write(begin: int, made: np.ndarray) -> None:
            self._write(self.z, begin, made)

        potential, _, _ = self.vectors
        self._sweep(1, lambda places: (self.voxels.read(places), potential.read(places)), compute, write)
        return self.z


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
