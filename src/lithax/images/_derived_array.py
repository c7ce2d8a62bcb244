"""What stands in the place of a stored array in an image that follows from others: a crop, or an
expression.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lithax.chunked import AbstractEvaluated, AbstractWindow, ArraySource
from lithax.grid import BlockSource, Box, Index, box_shape, shift, triple
from lithax.storage import AbstractStoredArray, Metadata


class DerivedArray(AbstractStoredArray):
    """Voxels that are worked out from those of other arrays when they are read."""

    kind = "derived"
    remedy: str
    """What to do in order to write, or to have an array of its own."""

    @property
    def zarray(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """There is none."""
        raise AttributeError(f"{self.where} has no array of its own in a store; {self.remedy}.")

    @property
    def store(self) -> Any:
        """There is none."""
        return self.zarray

    @property
    def path(self) -> str:
        """There is none."""
        return self.zarray

    @property
    def note(self) -> str:
        return ""

    @property
    def read_only(self) -> bool:
        return True

    def check_writable(self) -> None:
        raise PermissionError(f"{self.where} cannot be written to or changed; {self.remedy}.")

    def free_attributes(self) -> dict[str, Any]:
        return {}


class WindowArray(DerivedArray, AbstractWindow):
    """A box of a stored array."""

    remedy = "write to the image that it is a part of, or make an image of it with copy(store)"

    def __init__(self, base: AbstractStoredArray, box: Box):
        self.base: AbstractStoredArray = base  # pyright: ignore[reportIncompatibleVariableOverride] (narrower)
        self.offset = triple(s.start for s in box)
        self.box = box
        self._shape = box_shape(box)
        self._chunks = triple(min(n, c) for n, c in zip(self._shape, base.chunks, strict=True))
        self._dtype = base.dtype
        self._seen: tuple[Metadata, Metadata] | None = None

    @property
    def where(self) -> str:
        return f"{self.base.where}[{', '.join(f'{s.start}:{s.stop}' for s in self.box)}]"

    @property
    def in_memory(self) -> bool:
        return self.base.in_memory

    @property
    def metadata(self) -> Metadata:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of the whole, at another origin."""
        whole = self.base.metadata
        if self._seen is None or self._seen[0] is not whole:
            along = zip(whole.voxel_origin, whole.voxel_length, self.offset, strict=True)
            x, y, z = (o + k * h for o, h, k in along)
            own = whole.replace(voxel_origin=(x, y, z), content_hash=None, provenance=None, run=None, levels=None)
            self._seen = (whole, own)
        return self._seen[1]

    def reload_metadata(self) -> Metadata:
        self.base.reload_metadata()
        return self.metadata

    @property
    def shards(self) -> Index | None:
        return self.base.shards if self._chunks == self.base.chunks else None

    @property
    def fill_value(self) -> np.generic:
        return self.base.fill_value

    @property
    def workers(self) -> int:
        return self.base.workers

    @property
    def layered_axis(self) -> int | None:
        return self.base.layered_axis

    def free_attributes(self) -> dict[str, Any]:
        return self.base.free_attributes()

    def read(self, box: Box, out: np.ndarray | None = None) -> np.ndarray:
        return self.base.read(shift(box, triple(-o for o in self.offset)), out)


Step = tuple[Callable[..., Any], tuple[Any, ...], tuple[int, ...]]
"""A function, its operands (an integer wrapped in a list is the number of an earlier value), and
values not needed again.
"""


class EvaluatedArray(DerivedArray, AbstractEvaluated):
    """A function of several arrays, voxel by voxel.

    Parameters
    ----------
    images
        The stored arrays and the arrays that the function is of, each once.
    steps
        The function: the operands of a step are numbers, and values that were read or worked out
        before.
    dtype
        Of the last step.
    where
        The function in words.
    described_by
        Number of the image whose name, unit and description the result keeps; None: they mean
        something else.
    identity
        The function as JSON holds it.
    """

    remedy = "make an image of it with copy(store)"

    def __init__(
        self,
        leaves: Sequence[BlockSource],
        steps: Sequence[Step],
        *,
        dtype: np.dtype,
        bytes_per_voxel: int,
        where: str,
        described_by: int | None,
        identity: Any,
    ):
        self.leaves = tuple(leaves)
        self.steps = tuple(steps)
        self.bytes_per_voxel = bytes_per_voxel
        self.identity = identity
        self.described_by = described_by
        self._where = where
        self._dtype = dtype
        self.images = tuple(leaf for leaf in leaves if isinstance(leaf, AbstractStoredArray))
        first = self.images[0]  # an operator has an image among its operands
        self._shape, self._chunks = first.shape, first.chunks
        self._seen: tuple[tuple[Metadata, ...], Metadata] | None = None

    def cropped(self, box: Box) -> "EvaluatedArray":
        """Return the same function of a box of every array."""
        return EvaluatedArray(
            [window(leaf, box) for leaf in self.leaves],
            self.steps,
            dtype=self._dtype,
            bytes_per_voxel=self.bytes_per_voxel,
            where=f"({self._where})[{', '.join(f'{s.start}:{s.stop}' for s in box)}]",
            described_by=self.described_by,
            identity=self.identity,
        )

    @property
    def where(self) -> str:
        return self._where

    @property
    def in_memory(self) -> bool:
        return any(getattr(leaf, "in_memory", True) for leaf in self.leaves)

    @property
    def metadata(self) -> Metadata:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where the first image lies; complete if all of them are."""
        now = tuple(image.metadata for image in self.images)
        if self._seen is None or any(a is not b for a, b in zip(now, self._seen[0], strict=True)):
            place = now[0]
            described = {}
            if self.described_by is not None:
                kept = self.leaves[self.described_by].metadata  # pyright: ignore[reportAttributeAccessIssue]
                described = {name: getattr(kept, name) for name in ("field_name", "field_unit", "description")}
            own = Metadata(
                voxel_origin=place.voxel_origin,
                voxel_length=place.voxel_length,
                voxel_unit=place.voxel_unit,
                state="complete" if all(m.state == "complete" for m in now) else "writing",
                **described,
            )
            self._seen = (now, own)
        return self._seen[1]

    def reload_metadata(self) -> Metadata:
        for image in self.images:
            image.reload_metadata()
        return self.metadata

    @property
    def shards(self) -> Index | None:
        return self.images[0].shards

    @property
    def fill_value(self) -> np.generic:
        return self._dtype.type(0)

    @property
    def workers(self) -> int:
        return max(image.workers for image in self.images)

    def evaluate(self, values: Sequence[np.ndarray]) -> np.ndarray:
        known: list[Any] = list(values)
        # As for arrays of floats in a compiled function: 0/0 is NaN, and no thread says so.
        with np.errstate(all="ignore"):
            for function, operands, done in self.steps:
                known.append(function(*(known[o[0]] if isinstance(o, list) else o for o in operands)))
                for place in done:
                    known[place] = None
        return known[-1]

    def read(self, box: Box, out: np.ndarray | None = None) -> np.ndarray:
        values = self.evaluate([leaf.read(box) for leaf in self.leaves])
        if out is None:
            return values
        out[...] = values
        return out


def window(source: Any, box: Box) -> Any:
    """Return a box of a source; of what follows from others, what follows from a box of each."""
    if isinstance(source, EvaluatedArray):
        return source.cropped(box)
    if isinstance(source, WindowArray):
        return WindowArray(source.base, shift(box, triple(-o for o in source.offset)))
    if isinstance(source, ArraySource):
        return ArraySource(source.read(box))
    return WindowArray(source, box)


def origins(source: Any) -> Iterator[Any]:
    """Yield the stored arrays, and the arrays in memory, that a source is read from."""
    if isinstance(source, EvaluatedArray):
        for leaf in source.leaves:
            yield from origins(leaf)
    elif isinstance(source, WindowArray):
        yield source.base
    else:
        yield source


def stored_origins(source: Any) -> list[AbstractStoredArray]:
    """Return the stored arrays among the origins of a source."""
    return [origin for origin in origins(source) if isinstance(origin, AbstractStoredArray)]


def derivation(source: Any, describe: Callable[[Any], Any]) -> dict[str, Any] | None:
    """Return how a source follows from others, as JSON holds it; None if it is stored itself."""
    if isinstance(source, WindowArray):
        return {"crop": [[s.start, s.stop] for s in source.box], "of": describe(source.base)}
    if isinstance(source, EvaluatedArray):
        return {
            "expression": source.identity,
            "of": [derivation(leaf, describe) or describe(leaf) for leaf in source.leaves],
        }
    return None


def live_bytes(leaves: Sequence[np.dtype], steps: Sequence[tuple[np.dtype, tuple[int, ...]]]) -> int:
    """Return what evaluating holds at most at once per voxel [byte]; steps are of a type, and end
    the life of some values.
    """
    sizes = [d.itemsize for d in leaves]
    alive = set(range(len(sizes)))
    most = sum(sizes)
    for dtype, done in steps:
        sizes.append(dtype.itemsize)
        alive.add(len(sizes) - 1)
        most = max(most, math.fsum(sizes[k] for k in alive))
        alive -= set(done)
    return int(2 * most)  # a step casts its operands first
