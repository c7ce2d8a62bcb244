"""Passes over the blocks of an image, of which algorithms on whole images are made.

A *map* writes voxels: a function of a block and its halo, in host memory, whose block may span
whole axes; or an operation, compiled, as `lithax.chunk_map` applies it. A *fold* makes one result
of all blocks, in their order: of what a function in host memory keeps of each, or a measurement as
`lithax.chunk_reduce` takes it. A *settle* changes a scratch image in place until nothing changes
any more. An algorithm is a generator: it yields a pass and is sent its result, so that a pass may
depend on those before. `lithax.run_passes` drives it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lithax.grid import Box, Halo, Index, World, box_shape, triple


@dataclass(frozen=True)
class PassBlock:
    """What a pass sees of one block: its voxels and those around, as far as they lie inside the
    image.
    """

    box: Box
    """The voxels of the block in the image."""
    core: Box
    """The same voxels in the arrays."""
    arrays: tuple[np.ndarray, ...]
    """One per input of the pass; all of one shape: the block and its halo, cut at the faces of the
    image.
    """
    valid: np.ndarray | None
    """True for voxels taken in, over the shape of the arrays; None: all are."""
    place: int
    """Place of the block in C order."""
    shape: Index
    """Shape of the image."""

    @property
    def begin(self) -> Index:
        """Image index of the first voxel of the arrays."""
        return triple(b.start - c.start for b, c in zip(self.box, self.core, strict=True))

    @property
    def size(self) -> Index:
        """Voxels of the block along each axis."""
        return box_shape(self.box)

    def inner(self, array: np.ndarray) -> np.ndarray:
        """Return the block of an array that has the halo, too."""
        return array[self.core]

    def valid_or_all(self) -> np.ndarray:
        """Return the voxels taken in as an array, also where all are."""
        return np.ones(self.arrays[0].shape, bool) if self.valid is None else self.valid


@dataclass(frozen=True)
class Field:
    """What a map writes: one of the results of the algorithm, or an image that only later passes
    see.
    """

    dtype: np.dtype
    scratch: bool = False
    fill: Any = 0
    """Value of the voxels that are left out: of a result each of them, of a scratch image only
    blocks without a voxel that takes part."""


@dataclass(frozen=True)
class MapPass:
    """A pass that writes one value per voxel, recorded unit by unit, so that a killed run
    resumes.
    """

    name: str
    kernel: Callable[[PassBlock], Sequence[np.ndarray]]
    """Returns the block of each field: shape `PassBlock.size`. Called in several threads at once.
    """
    inputs: Sequence[Any]
    """Images of the call, or what an earlier map wrote."""
    fields: Sequence[Field]
    halo: Halo = (0, 0, 0)
    spans: tuple[int, ...] = ()
    """Axes along which one block reaches through the whole image."""
    voxel_bytes: int = 16
    """Memory that the kernel needs for a voxel of its block and halo besides inputs and results
    [byte].
    """
    selects: bool = True
    """Whether the pass is told which voxels take part, and done only where some do."""
    every_block: bool = False
    """Whether it is done everywhere all the same, and what it returns for voxels left out is
    written.
    """
    spends: Sequence[Any] = ()
    """Scratch images that no later pass reads: their voxels go as soon as this pass is complete."""


@dataclass(frozen=True)
class FoldPass:
    """A pass that makes one result of all blocks."""

    name: str
    kernel: Callable[[PassBlock], Any]
    """Returns what is kept of a block. Called in several threads at once."""
    take: Callable[[PassBlock, Any], None]
    """Takes what was kept, block by block in C order."""
    finish: Callable[[World], Any]
    """Makes the result when all are taken; every process calls it."""
    inputs: Sequence[Any]
    halo: Halo = (0, 0, 0)
    voxel_bytes: int = 16
    selects: bool = True
    kept_bytes: float = 0.0
    """Memory that stays in use after a block, for a voxel of it [byte]: an estimate, for the plan.
    """
    kept_of_stored: bool = False
    """Whether blocks that are not stored in the first input keep next to nothing."""
    growing: Callable[[], int] | None = None
    """Returns how much this process has kept so far, counted as what `finish` makes of it [byte].
    The estimate is for rocks: the run ends before noise takes more than its memory limit.
    """
    assumed: Any = None
    """The result with which `lithax.plan` goes on, which reads no voxel."""


@dataclass(frozen=True)
class SettlePass:
    """A pass that changes a scratch image in place, block by block, until nothing changes any more.

    Only for a kernel with one fixed point that is reached from every state on the way, in whatever
    order blocks are done (as in a reconstruction, which only ever rises below its mask): else the
    result would depend on the grid. A run that was killed goes on from the state it left.
    """

    name: str
    kernel: Callable[[PassBlock], np.ndarray]
    """Returns the new values of the block; `PassBlock.arrays` begins with the state."""
    state: Any
    """The scratch image, written by a map before."""
    inputs: Sequence[Any] = ()
    halo: Halo = (1, 1, 1)
    voxel_bytes: int = 16
    selects: bool = False


@dataclass(frozen=True)
class OperationPass:
    """A map by a voxel operation, a chain, or a function of voxels, as for `lithax.chunk_map`:
    compiled, with its own halo and boundary rule.
    """

    name: str
    operation: Callable[..., Any]
    inputs: Sequence[Any]
    """Images of the call, or what an earlier map wrote."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    scratch: bool = False
    """Whether only later passes see what it writes."""
    dtype: Any = None
    """Of the results; None: what the operation returns."""
    fill_value: Any = None
    """Value of the voxels that are left out; NaN or 0 by default."""
    chunks: Any = None
    shards: Any = None
    """Of what it writes; None: those of the results of the call."""
    selects: bool = True
    spends: Sequence[Any] = ()
    """Scratch images that no later pass reads: their voxels go as soon as this pass is complete."""


@dataclass(frozen=True)
class MeasurementPass:
    """A fold by a measurement, as for `lithax.chunk_reduce`, whose result it gives."""

    name: str
    measurement: Any
    inputs: Sequence[Any]
    selects: bool = True


@dataclass(frozen=True)
class CopyPass:
    """A map that writes a copy, stored by other chunks: as `VoxelImage.copy`, not unit by unit."""

    name: str
    image: Any
    chunks: Any
    shards: Any

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The image."""
        return (self.image,)


Pass = MapPass | FoldPass | SettlePass | OperationPass | MeasurementPass | CopyPass
