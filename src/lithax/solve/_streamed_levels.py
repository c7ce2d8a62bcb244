"""The levels below the finest of an image larger than memory: the larger ones on disk, visited slab
by slab, the others in memory.

A level is handed its weights and what it is asked for plane by plane, by the level above it, and is
read plane by plane when it has been visited: whether it lies on disk makes no difference there. On
disk a visit is two readings: one smooths and hands the residual down, the other takes up what the
next level has made of it, and smooths again. What smoothing gave is not kept in between, but made
again.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.solve import _slab_cycle as stages
from lithax.solve._conduction_setup import Run
from lithax.solve._face_operator import FaceOperator
from lithax.solve._layout import Layout
from lithax.solve._multigrid import Multigrid, coarsening, multigrid, smoothing, visits_of
from lithax.solve._scratch import ScratchVolume
from lithax.solve._slab_layout import Slabs
from lithax.solve._slab_sweep import Sweeper, sweep_planes


def cuts_of(run: Run, thicknesses: Sequence[int]) -> tuple[Slabs, ...]:
    """Return how the levels of a run that lie on disk, the finest first, are cut into slabs of so
    many planes.
    """
    settings = run.settings
    shapes, steps = coarsening(settings.layout.shape, settings.strengths)
    layouts = [Layout(shape, settings.layout.periodic, settings.layout.held, settings.layout.wide) for shape in shapes]
    weights = smoothing(shapes, steps)
    return tuple(Slabs(*cut) for cut in zip(layouts, thicknesses, steps, weights, strict=False))


def levels_below(run: Run, cuts: Sequence[Slabs], folder: Path, dtype: Any, sweeper: Sweeper) -> "AbstractLevel":
    """Return the level below the finest, with all that are below it.

    Parameters
    ----------
    run
        What is solved.
    cuts
        How the levels on disk are cut, the finest among them.
    folder
        Where files are made.
    dtype
        Of vectors and weights.
    sweeper
        Whose threads read and write.
    """
    settings = run.settings
    _, steps = coarsening(settings.layout.shape, settings.strengths)
    visits = visits_of(steps)
    level: AbstractLevel = LevelInMemory(run, len(cuts), cuts[-1].coarse, dtype)
    for depth in reversed(range(1, len(cuts))):
        level = LevelOnDisk(cuts[depth], visits[depth], level, folder, dtype, sweeper)
    return level


class AbstractLevel(ABC):
    """A level as the one above it sees it: planes across x, handed over and read."""

    @abstractmethod
    def weigh(self, first: int, faces: Sequence[np.ndarray]) -> None:
        """Keep weights of the lower faces along x, y and z, from a plane on: padded along y and
        z.
        """

    @abstractmethod
    def weigh_end(self, end: np.ndarray) -> None:
        """Keep the weights of the upper end faces along x, one plane without ghosts."""

    @abstractmethod
    def build(self) -> None:
        """Make the levels below, when all weights are there."""

    @abstractmethod
    def ask(self, first: int, planes: np.ndarray) -> None:
        """Keep what is asked for, from a plane on."""

    @abstractmethod
    def visit(self) -> None:
        """Solve for what was asked, as often as a cycle of the level above visits this one."""

    @abstractmethod
    def found(self, places: np.ndarray) -> np.ndarray:
        """Return planes of the solution by their numbers, zeros where a number is negative."""

    @abstractmethod
    def close(self) -> None:
        """Give memory and disk back."""


class LevelInMemory(AbstractLevel):
    """A level in memory, with all below it: the same as when the finest is there, too."""

    def __init__(self, run: Run, depth: int, layout: Layout, dtype: Any):
        self.run, self.depth, self.layout = run, depth, layout
        self._faces = [np.zeros(layout.padded, dtype) for _ in range(3)]
        self._request = np.zeros(layout.shape, dtype)
        self._found = self._request
        self._cycle: Multigrid | None = None

    def weigh(self, first: int, faces: Sequence[np.ndarray]) -> None:
        for whole, part in zip(self._faces, faces, strict=True):
            whole[1 + first : 1 + first + len(part)] = part

    def weigh_end(self, end: np.ndarray) -> None:
        self._faces[0][-1] = _with_ghosts(self.layout, end)

    def build(self) -> None:
        if self.layout.periodic[0]:
            for whole in self._faces:
                whole[0], whole[-1] = whole[-2], whole[1]
        x, y, z = (jnp.asarray(whole) for whole in self._faces)
        self._faces = []
        settings = self.run.settings
        shapes, steps = coarsening(settings.layout.shape, settings.strengths)
        left = list(settings.strengths)
        for step in steps[: self.depth]:
            left = [s / 4 if halved else s for s, halved in zip(left, step, strict=True)]
        cycle = multigrid(FaceOperator(self.layout, (x, y, z)), strengths=left)
        assert cycle.steps == steps[self.depth :]
        weights, visits = smoothing(shapes, steps)[self.depth :], visits_of(steps)[self.depth :]
        self._cycle = Multigrid(cycle.levels, cycle.inverse, cycle.steps, weights, visits)

    def ask(self, first: int, planes: np.ndarray) -> None:
        self._request[first : first + len(planes)] = planes

    def visit(self) -> None:
        assert self._cycle is not None
        self._found = np.asarray(_visited(self._cycle, self._request))

    def found(self, places: np.ndarray) -> np.ndarray:
        planes = self._found[np.maximum(places, 0)]
        planes[places < 0] = 0
        return planes

    def close(self) -> None:
        self._faces, self._cycle = [], None


@jax.jit
def _visited(cycle: Multigrid, request: jax.Array) -> jax.Array:
    layout = cycle.levels[0].layout
    return layout.cells(cycle.visited(layout.pad(request)))


class LevelOnDisk(AbstractLevel):
    """A level on disk: its weights, what it is asked for, and what visits have made of it, in two
    files that take turns.
    """

    def __init__(
        self, slabs: Slabs, visits: int, below: AbstractLevel, folder: Path, dtype: Any, sweeper: Sweeper
    ) -> None:
        self.slabs, self.visits, self.below, self._sweeper = slabs, visits, below, sweeper
        layout = slabs.layout
        n, y, z = layout.shape
        # With one more plane for the upper end faces.
        self._faces = [ScratchVolume(folder, (n + 1, *layout.padded[1:]), dtype) for _ in range(3)]
        self._request, self._found, self._before = (ScratchVolume(folder, (n, y, z), dtype) for _ in range(3))

    @staticmethod
    def kept(slabs: Slabs) -> int:
        """Return how many numbers a level keeps on disk."""
        n, y, z = slabs.layout.padded
        return 3 * (n - 1) * y * z + 3 * math.prod(slabs.layout.shape)

    @staticmethod
    def moved(slabs: Slabs, visits: int = 2) -> int:
        """Return how many numbers are written and read when a level is asked, visited, and read."""
        # Weights and request, twice; what was found is read twice but for the first time.
        each = visits * (2 * (3 + 1) + 1) + 2 * (visits - 1)
        return (each + 2) * math.prod(slabs.layout.shape)

    def weigh(self, first: int, faces: Sequence[np.ndarray]) -> None:
        for whole, part in zip(self._faces, faces, strict=True):
            whole.write(first, part)

    def weigh_end(self, end: np.ndarray) -> None:
        self._faces[0].write(self.slabs.layout.shape[0], _with_ghosts(self.slabs.layout, end))

    def _weights(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        if self.slabs.layout.held[0]:
            last = self.slabs.layout.shape[0] - 1
            behind = np.append(False, places[:-1] == last)
            places = np.where(behind, last + 1, places)
        return tuple(whole.read(places) for whole in self._faces)

    def build(self) -> None:
        def compute(_: int, places: jax.Array, faces: Any) -> Any:
            return stages.coarser_weights(self.slabs, places, faces)

        self._sweep(1, lambda places: (self._weights(places),), compute, self.hand_weights_down)
        self.below.build()

    def hand_weights_down(self, begin: int, faces: Sequence[np.ndarray], end: np.ndarray) -> None:
        """See `weigh_below`."""
        weigh_below(self.slabs, self.below, begin, faces, end)

    def ask(self, first: int, planes: np.ndarray) -> None:
        self._request.write(first, planes)

    def visit(self) -> None:
        slabs, below = self.slabs, self.below

        def asked(_: int, places: jax.Array, *given: Any) -> Any:
            return (stages.asked(slabs, places, *given),)

        def hand_down(begin: int, request: np.ndarray) -> None:
            ask_below(slabs, below, begin, request)

        def visited(_: int, places: jax.Array, *given: Any) -> Any:
            return (stages.visited(slabs, places, *given),)

        def keep(begin: int, found: np.ndarray) -> None:
            self._found.write(begin, found[: slabs.own_planes(begin)])

        for number in range(self.visits):
            self._found, self._before = self._before, self._found

            def read(places: np.ndarray, first: bool = number == 0) -> Any:
                r = self._request.read(places)
                return self._weights(places), r, np.zeros_like(r) if first else self._before.read(places)

            self._sweep(slabs.down, read, asked, hand_down)
            below.visit()
            self._sweep(
                slabs.up, lambda places, read=read: (*read(places), found_below(slabs, below, places)), visited, keep
            )

    def _sweep(self, skirt: int, read: Any, compute: Any, write: Callable[..., None]) -> None:
        sweep_planes(self._sweeper, self.slabs, skirt, read, compute, write)

    def found(self, places: np.ndarray) -> np.ndarray:
        return self._found.read(places)

    def close(self) -> None:
        self.below.close()
        for volume in (*self._faces, self._request, self._found, self._before):
            volume.close()


def weigh_below(slabs: Slabs, below: AbstractLevel, begin: int, faces: Sequence[np.ndarray], end: np.ndarray) -> None:
    """Hand down what `weights_below` made of a slab."""
    rows = slabs.rows(begin)
    below.weigh(rows.start, [np.asarray(part)[1 : 1 + rows.stop - rows.start] for part in faces])
    if slabs.layout.held[0] and rows.stop == slabs.coarse.shape[0]:
        below.weigh_end(np.asarray(end))


def ask_below(slabs: Slabs, below: AbstractLevel, begin: int, request: np.ndarray) -> None:
    """Hand down what the next level is asked for by a slab."""
    rows = slabs.rows(begin)
    below.ask(rows.start, request[: rows.stop - rows.start])


def found_below(slabs: Slabs, below: AbstractLevel, places: np.ndarray) -> np.ndarray:
    """Return what the next level has found for planes of this one, one plane for each."""
    rows, index = np.unique(slabs.rows_of(places), return_inverse=True)
    return below.found(rows)[index]


def _with_ghosts(layout: Layout, end: np.ndarray) -> np.ndarray:
    """Return a plane of end faces with zeros around it where arrays of the level have ghosts."""
    _, y, z = layout.ghosts
    return np.pad(end, ((0, 0), (y, y), (z, z)))
