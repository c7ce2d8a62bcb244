"""The conjugate gradients of an image larger than memory: vectors of the finest level on disk, all
coarser levels in memory.

Two readings of the image a step, where one in memory has three: the curvature qᵀKq of the next
direction q = z + βq follows from zᵀKz, since directions are conjugate (Chronopoulos & Gear, J.
Comput. Appl. Math. 25 (1989) 153), so that z is known, and summed, before anything is moved along
it. One reading ends a cycle; the other moves u, r and q, and begins the next cycle.
"""

from collections.abc import Callable
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
from lithax.solve._face_operator import FaceOperator
from lithax.solve._layout import Layout
from lithax.solve._multigrid import Multigrid, coarsening, multigrid, smoothing, visits_of
from lithax.solve._scratch import ScratchVolume
from lithax.solve._slab_layout import places_of
from lithax.solve._slab_sweep import Sweeper


def slabs_of(run: Run, thickness: int, of_cubes: bool = False) -> stages.Slabs:
    """Return how the grid of a run is cut into slabs of so many planes; `of_cubes`: see `Slabs`."""
    settings = run.settings
    shapes, steps = coarsening(settings.layout.shape, settings.strengths)
    weights = smoothing(shapes, steps)[0]
    return stages.Slabs(settings.layout, thickness, run.geometry, steps[0], weights, settings.linear, of_cubes)


@dataclass(eq=False)
class StreamedSolve:
    """One operator and what drives the current through it."""

    run: Run
    slabs: stages.Slabs
    voxels: ScratchVolume
    """Values of the voxels that take part, in the order of the solver; 0 insulates."""
    table: Any
    """What the values conduct, relative to the largest; None where they are that themselves."""
    folder: Path
    dtype: Any

    def __post_init__(self) -> None:
        self.u, self.r, self.q, self.z = (
            ScratchVolume(self.folder, self.slabs.layout.shape, self.dtype) for _ in range(4)
        )
        self._sweeper = Sweeper()
        self._table = None if self.table is None else jnp.asarray(self.table)
        self._drive = Drive(jnp.asarray(self.run.drives[0], self.dtype))
        self._request = np.zeros(self.slabs.coarse, self.dtype)

    def close(self) -> None:
        """Give the disk back."""
        self._sweeper.close()
        for volume in (self.u, self.r, self.q, self.z):
            volume.close()

    def solve(self, tolerances: Tolerances, watch: Any) -> tuple[Stats, np.ndarray]:
        """Run the host's loop; `watch` sees the state after each step. Returns how the solve ended,
        and the power; `u` holds the potential beside the ramp.
        """
        power, below = self._begun()
        state = begun(None, None, None, jnp.asarray(power, self.dtype))
        sums = _Sums()
        most = int(tolerances.most)

        def take(state: State) -> State:
            nonlocal sums
            product, curved = self._finished(below)
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
        if self.slabs.linear:
            return lost_power(jnp.asarray(sums.ramp, self.dtype), jnp.asarray(sums.power, self.dtype))
        return of(jnp.asarray(sums.planes, self.dtype))

    def _sweep(
        self, read: Callable[..., Any], compute: Callable[..., Any], write: Callable[..., None], skirt: int
    ) -> None:
        """Read, compute and write slabs: `read` gets the numbers of the planes, `compute` them
        twice, on the host and as an array of JAX, and what was read, `write` where the slab begins
        and the arrays to be written.
        """
        slabs, layout = self.slabs, self.slabs.layout
        n = layout.shape[0]

        def planes(begin: int) -> np.ndarray:
            return places_of(layout, begin, slabs.thickness, skirt)

        def own(begin: int, made: Any) -> None:
            count = min(slabs.thickness, n - begin)
            write(begin, *(np.asarray(v)[:count] for v in made))

        self._sweeper.sweep(
            range(0, n, slabs.thickness),
            lambda begin: read(planes(begin)),
            lambda begin, given: compute(begin, *jax.device_put((planes(begin), *given))),
            own,
        )

    def _rows(self, begin: int) -> slice:
        """Return where in the next level the planes of a slab are summed."""
        step = 2 if self.slabs.step[0] else 1
        end = min(begin + self.slabs.thickness, self.slabs.layout.shape[0])
        return slice(begin // step, -(-end // step))

    def _keep(self, begin: int, request: jax.Array) -> None:
        rows = self._rows(begin)
        self._request[rows] = np.asarray(request)[: rows.stop - rows.start]

    def _planes(self, begin: int) -> int:
        """Return how many planes of faces across x belong to a slab: with the upper end face in the
        last.
        """
        n, end = self.slabs.layout.shape[0], begin + self.slabs.thickness
        return min(end, n) - begin + int(self.slabs.layout.held[0] and end >= n)

    def _begun(self) -> tuple[float, Callable[[], np.ndarray]]:
        """Make the first residual and the coarser levels; return the power of the ramp, and what
        solves for a request on the coarser levels.
        """
        slabs, coarse = self.slabs, _coarse_layout(self.slabs)
        faces = tuple(np.zeros(coarse.padded, self.dtype) for _ in range(3))
        total = 0.0

        def compute(begin: int, places: jax.Array, voxels: jax.Array) -> Any:
            nonlocal total
            b, request, (parts, end), power = stages.begin(slabs, places, voxels, self._table, self._drive)
            self._keep(begin, request)
            rows = self._rows(begin)
            for whole, part in zip(faces, parts, strict=True):
                whole[1 + rows.start : 1 + rows.stop] = np.asarray(part)[1 : 1 + rows.stop - rows.start]
            if coarse.held[0] and rows.stop == coarse.shape[0]:
                _, y, z = coarse.ghosts
                faces[0][-1, y : y + coarse.shape[1], z : z + coarse.shape[2]] = np.asarray(end)[0]
            total += float(np.sum(np.asarray(power)[: self._planes(begin)], dtype=np.float64))
            return (b,)

        self._sweep(lambda places: (self.voxels.read(places),), compute, self.r.write, slabs.down)
        if coarse.periodic[0]:
            for whole in faces:
                whole[0], whole[-1] = whole[-2], whole[1]
        x, y, z = (jnp.asarray(whole) for whole in faces)
        cycle = self._coarser(FaceOperator(coarse, (x, y, z)))
        return total, lambda: np.asarray(_solved_below(cycle, self._request))

    def _coarser(self, operator: FaceOperator) -> Multigrid:
        """Return the levels below the finest, as they are when it is in memory, too."""
        settings = self.run.settings
        shapes, steps = coarsening(settings.layout.shape, settings.strengths)
        left = tuple(s / 4 if halved else s for s, halved in zip(settings.strengths, steps[0], strict=True))
        cycle = multigrid(operator, strengths=left)
        assert cycle.steps == steps[1:]
        return Multigrid(cycle.levels, cycle.inverse, steps[1:], smoothing(shapes, steps)[1:], visits_of(steps)[1:])

    def _finished(self, below: Callable[[], np.ndarray]) -> tuple[jax.Array, jax.Array]:
        """End a cycle: write z, and return rᵀz and zᵀKz."""
        slabs, found = self.slabs, np.zeros(2)
        coarse = below()
        step = 2 if slabs.step[0] else 1

        def read(places: np.ndarray) -> Any:
            rows = coarse[np.maximum(places, 0) // step]
            rows[places < 0] = 0
            return self.voxels.read(places), self.r.read(places), rows

        def compute(_: int, places: jax.Array, voxels: jax.Array, r: jax.Array, rows: jax.Array) -> Any:
            z, product, curved = stages.finish(slabs, places, voxels, self._table, r, rows)
            found[:] += float(product), float(curved)
            return (z,)

        self._sweep(read, compute, self.z.write, slabs.up)
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

        def compute(begin: int, places: jax.Array, voxels: jax.Array, given: Any) -> Any:
            *moved, request, seen = stages.move(
                slabs, places, voxels, self._table, self._drive, given, alpha, beta, jnp.asarray(look)
            )
            self._keep(begin, request)
            if look:
                sums.add(self._planes(begin), *map(np.asarray, seen))
            return moved

        def write(begin: int, *moved: np.ndarray) -> None:
            for volume, planes in zip(vectors[:3], moved, strict=True):
                volume.write(begin, planes)

        self._sweep(read, compute, write, slabs.down)
        return sums

    def slopes(self, into: ScratchVolume) -> None:
        """Write the derivative of the power with respect to every conductivity, relative to the
        largest.
        """

        def compute(_: int, places: jax.Array, voxels: jax.Array, u: jax.Array) -> Any:
            return (stages.slopes(self.slabs, places, voxels, self._table, self._drive, u),)

        self._sweep(lambda places: (self.voxels.read(places), self.u.read(places)), compute, into.write, 1)


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


def _coarse_layout(slabs: stages.Slabs) -> Layout:
    return Layout(slabs.coarse, slabs.layout.periodic, slabs.layout.held, slabs.layout.wide)


@jax.jit
def _advanced(state: State, product: jax.Array, curved: jax.Array) -> tuple[jax.Array, jax.Array, State]:
    beta = share_kept(state, product)
    last = state.product / jnp.where(state.seen.alpha > 0, state.seen.alpha, 1)  # qᵀKq of the last step
    alpha, after = advanced(state, product, beta, curved - beta**2 * last)
    return beta, alpha, after


@jax.jit
def _solved_below(cycle: Multigrid, request: jax.Array) -> jax.Array:
    layout = cycle.levels[0].layout
    return layout.cells(cycle.visited(layout.pad(request)))
