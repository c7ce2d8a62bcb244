"""The tensor of an image larger than memory: what the solves along its three axes leave on disk is
multiplied with each other.

With potentials u and v beside the ramps s and t of two drives, the entry is Σ c (s + Δu)(t + Δv):
the sum of c (s + Δu) t, of the first solve alone, minus v r, with what is left of its currents, r =
b − K u. So it is of second order in the error of the potentials, as the values are, though each
solve has the planes across its own axis in one piece.
"""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lithax.solve._conduction_setup import Run
from lithax.solve._scratch import ScratchVolume
from lithax.solve._streamed_solve import StreamedSolve


@dataclass(eq=False)
class StreamedTensor:
    """Filled by the solves along the axes of the image, in their order."""

    folder: Path
    at_once: int
    """Planes that are read together."""
    value: np.ndarray = field(default_factory=lambda: np.zeros((3, 3)))
    _left: dict[int, tuple[Run, ScratchVolume]] = field(default_factory=dict)
    """Residuals of the axes that have been solved, in the order of their solver."""
    _closed: set[int] = field(default_factory=set)
    """Axes along which nothing joins the ends."""
    _files: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def close(self) -> None:
        """Give the disk back."""
        self._files.close()

    def add(self, axis: int, solve: StreamedSolve, power: float, scale: float, cells: int) -> None:
        """Take in the solve along an axis.

        Parameters
        ----------
        axis
            Of the image.
        solve
            With its vectors.
        power
            The current for a drop of one.
        scale
            What power and weights are relative to.
        cells
            Voxels of the sample.
        """
        if not solve.driven:
            self._closed.add(axis)
            self.value[axis] = self.value[:, axis] = 0
            return
        run, (potential, residual, _) = solve.run, solve.vectors
        lengths = np.asarray(run.lengths)[np.argsort(run.order)]
        volume = cells * float(np.prod(np.divide(run.lengths, run.spans)))
        factors = scale * np.outer(lengths, lengths) / volume
        self.value[axis, axis] += factors[axis, axis] * power
        for along, other in enumerate(run.order):
            if other > axis:
                # Half of what flows through both faces of a voxel: the ramp ends at the faces of
                # the image, half a voxel from the last centres.
                self._entry(axis, other, factors, 0.5 * self._sum(solve.flux(along)) / run.spans[along])
        for other, (earlier, left) in self._left.items():
            self._entry(other, axis, factors, -self._product(earlier, left, run, potential))
        if axis < 2:
            kept = self._files.enter_context(
                contextlib.closing(ScratchVolume(self.folder, residual.shape, residual.dtype))
            )
            for places in residual.pieces(self.at_once):
                kept.write(places.start, residual.read(places))
            self._left[axis] = run, kept

    def _entry(self, a: int, b: int, factors: np.ndarray, current: float) -> None:
        if b in self._closed or a in self._closed:
            return
        self.value[a, b] += factors[a, b] * current
        self.value[b, a] = self.value[a, b]

    def _sum(self, volume: ScratchVolume) -> float:
        return sum(float(np.sum(volume.read(places), dtype=np.float64)) for places in volume.pieces(self.at_once))

    def _product(self, run: Run, volume: ScratchVolume, other_run: Run, other: ScratchVolume) -> float:
        """Return the sum of products of two volumes of solvers with axes in different orders."""
        total = 0.0
        for places in volume.pieces(self.at_once):
            own = volume.read(places).transpose(np.argsort(run.order))
            box = [slice(0, n) for n in own.shape]
            box[run.order[0]] = slice(places.start, places.stop)
            x, y, z = (box[n] for n in other_run.order)
            there = other.box((x, y, z)).transpose(np.argsort(other_run.order))
            total += float(np.sum(own * there, dtype=np.float64))
        return total
