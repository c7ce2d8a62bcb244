"""One reading of all slabs: one is computed while the next is read and the one before written."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from lithax.solve._slab_layout import Slabs, places_of


class Sweeper:
    """A thread that reads and one that writes, for many readings: `malloc` keeps what each thread
    has freed for that thread, so that new ones would take new memory each time.
    """

    def __init__(self) -> None:
        self._reader = ThreadPoolExecutor(1, "lithax-read")
        self._writer = ThreadPoolExecutor(1, "lithax-write")

    def close(self) -> None:
        """End the threads, when they are through with what they are at."""
        self._reader.shutdown()
        self._writer.shutdown()

    def sweep(
        self,
        begins: range,
        read: Callable[[int], Any],
        compute: Callable[[int, Any], Any],
        write: Callable[[int, Any], None],
    ) -> None:
        """Call ``write(begin, compute(begin, read(begin)))`` for slabs that begin at `begins`.

        What is written may be what is read: a slab is written after the next has been read, so that
        a skirt no thicker than a slab holds what was there before the sweep.
        """
        ahead: Future = self._reader.submit(read, begins[0])
        written: Future | None = None
        for begin in begins:
            given = ahead.result()
            after = begin + begins.step
            if after in begins:
                ahead = self._reader.submit(read, after)
            made = compute(begin, given)
            del given
            if after in begins:
                ahead.exception()
            if written is not None:
                written.result()
            written = self._writer.submit(write, begin, made)
            del made
        assert written is not None
        written.result()


def sweep_planes(
    sweeper: Sweeper,
    slabs: Slabs,
    skirt: int,
    read: Callable[[np.ndarray], Any],
    compute: Callable[..., Any],
    write: Callable[..., None],
) -> None:
    """Read, compute and write all slabs of a level.

    Parameters
    ----------
    sweeper
        Whose threads read and write.
    slabs, skirt
        How the level is cut, and how many planes of its neighbours a slab comes with.
    read
        What is read, given the numbers of the planes.
    compute
        What is made, given where the slab begins, and as arrays of JAX the numbers and what was
        read.
    write
        Keeps it, given where the slab begins, and what was made as arrays of NumPy.
    """

    def planes(begin: int) -> np.ndarray:
        return places_of(slabs.layout, begin, slabs.thickness, skirt)

    def made(begin: int, given: Any) -> Any:
        # Done when the next slab begins: what waits would take memory.
        return jax.block_until_ready(compute(begin, *jax.device_put((planes(begin), *given))))

    sweeper.sweep(
        slabs.begins,
        lambda begin: read(planes(begin)),
        made,
        lambda begin, found: write(begin, *jax.tree.map(np.asarray, found)),
    )
