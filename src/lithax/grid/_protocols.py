"""What the combinators ask of storage, of the journal and of the other processes."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

import numpy as np

Box = tuple[slice, slice, slice]


@runtime_checkable
class BlockSource(Protocol):
    """A three-dimensional array that can be read box by box, from several threads at once."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def dtype(self) -> np.dtype: ...

    @property
    def chunks(self) -> tuple[int, int, int]:
        """Shape of the smallest piece that is decoded at once."""
        ...

    @property
    def layered_axis(self) -> int | None:
        """The axis of which a few layers of a chunk are read for much less than the chunk; None if
        there is none.
        """
        ...

    def read(self, box: Box) -> np.ndarray:
        """Return the voxels of a box of non-negative, in-range, unit-step slices."""
        ...

    def read_chunk(self, index: tuple[int, int, int]) -> np.ndarray:
        """Return one whole chunk; at the upper faces it may be cropped to the image."""
        ...


@runtime_checkable
class BlockSink(Protocol):
    """A three-dimensional array that is written in whole units (shards, or chunks without
    shards).
    """

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def dtype(self) -> np.dtype: ...

    @property
    def chunks(self) -> tuple[int, int, int]: ...

    @property
    def unit(self) -> tuple[int, int, int]:
        """Shape of a storage unit, a multiple of `chunks`."""
        ...

    def encode_chunk(self, index: tuple[int, int, int], values: np.ndarray) -> bytes | None:
        """Compress one chunk (values may be cropped at the upper faces); None if it equals the fill
        value.
        """
        ...

    def assemble_unit(
        self, unit: tuple[int, int, int], chunks: Mapping[tuple[int, int, int], bytes | None]
    ) -> bytes | None:
        """Join the encoded chunks of a unit (by global chunk index) into its stored bytes; None:
        nothing to store.
        """
        ...

    def read_unit(self, unit: tuple[int, int, int]) -> bytes | None: ...

    def write_unit(self, unit: tuple[int, int, int], payload: bytes | None, digest: str | None = None) -> None:
        """Store the bytes of a unit under its final name, or remove it; never a half-written
        object.
        """
        ...

    def confirm_unit(self, unit: tuple[int, int, int], payload: bytes | None, digest: str) -> None:
        """Let what is known of the stored units say what was just found to be stored for one."""
        ...

    def digest(self, payload: bytes | None) -> str:
        """Return "empty", or a digest of the stored bytes that tells accidental changes (not
        forgery).
        """
        ...


class World(Protocol):
    """The processes that work together."""

    @property
    def index(self) -> int: ...

    @property
    def count(self) -> int: ...

    @property
    def first(self) -> bool: ...

    @property
    def devices(self) -> tuple[Any, ...]: ...

    def barrier(self) -> None: ...

    def broadcast(self, value: Any) -> Any:
        """Return the first process's value everywhere."""
        ...

    def gather(self, value: Any) -> list[Any]:
        """Return every process's value, in order of `index`, everywhere."""
        ...

    def give(self, values: Mapping[int, Any]) -> dict[int, Any]:
        """Give some processes a value each; return those given to this one, by who gave them."""
        ...

    def reduce(self, value: Any, combine: Callable[[Any, Any], Any]) -> Any:
        """Combine every process's value, from the first to the last, everywhere."""
        ...

    def agree(self, error: BaseException | None = None, *, same_type: bool = False) -> None:
        """Return if no process has an error; otherwise raise on all of them (`same_type`: an error
        of the same type).
        """
        ...

    def announce(self, error: BaseException) -> None:
        """Let the others know that this process failed and will `agree` on it; does not wait."""
        ...

    def patience(self, seconds: float, what: str) -> AbstractContextManager[None]:
        """Within the ``with`` block, raise instead of waiting longer than this for the others."""
        ...

    def check(self) -> None:
        """Raise if another process has announced a failure; does not wait."""
        ...

    @property
    def cores(self) -> tuple[int, ...]:
        """How many cores each process has for itself."""
        ...

    @property
    def neighbours(self) -> tuple[int, ...]:
        """Indices of the processes on this one's machine, itself included."""
        ...
