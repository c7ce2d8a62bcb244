"""Total variation of an image that fits into memory: slabs along x, one for each thread.

Each slab holds its part of the dual field, and so many voxels of its neighbours that it can go
`STEPS` steps before it asks them for new ones. A step of a slab computes what a step of the whole
image computes, so the number of slabs does not show in the result.
"""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from lithax.arrays import as_real
from lithax.chunked import PassBlock, available_cores
from lithax.ops import total_variation_smoothed, total_variation_steps
from lithax.runtime import check_fork

STEPS = 4
"""Between two exchanges. At 128³ in two slabs 2 to 10 take the same time within its spread: more
compute more voxels twice, fewer meet more often."""

THIN = 16
"""Layers of a slab, at least."""


def slab_bytes(itemsize: int) -> int:
    """Return what an image of reals of this size takes here for a voxel, besides grey levels and
    result [byte]: padded grey levels, the voxels that count, and their bonds; the dual field,
    the smoothed grey levels of a step, and what the allocator keeps.
    """
    return 4 + 6 * itemsize


def smooth_in_slabs(block: PassBlock, *, weight: float, iterations: int, workers: int) -> Sequence[np.ndarray]:
    """Smooth a whole image, in up to `workers` threads."""
    check_fork()
    x = as_real(block.arrays[0])
    length = x.shape[0]
    slabs = _Slabs(length, max(1, min(workers, available_cores(), length // THIN)), weight)
    slabs.fill(x, block.valid)
    left = iterations - 1
    with ThreadPoolExecutor(slabs.count, thread_name_prefix="lithax-slab") as pool:
        while left:
            steps = min(STEPS, left)
            slabs.step(pool, steps)
            left -= steps
        out = np.empty_like(x)
        slabs.end(pool, out)
    return [out if block.valid is None else np.where(block.valid, out, x)]


class _Slabs:
    """A padded image in slabs of equal thickness, which overlap by two exchanges at least."""

    def __init__(self, length: int, count: int, weight: float):
        padded = length + 2
        self.count, self.weight = count, weight
        self.thickness = -(-(padded + 2 * STEPS * (count - 1)) // count)
        if count == 1 or self.thickness > padded:
            self.count, self.thickness = 1, max(padded, STEPS)
        span = padded - self.thickness
        self.begins = [k * span // max(self.count - 1, 1) for k in range(self.count)]
        top = self.thickness - STEPS
        # The layers that a slab hands down and up. At the faces of the image it keeps its own.
        self._given = [
            (
                0 if k == 0 else self.begins[k - 1] + top - begin,
                top if k == self.count - 1 else self.begins[k + 1] - begin,
            )
            for k, begin in enumerate(self.begins)
        ]

    def fill(self, x: np.ndarray, valid: np.ndarray | None) -> None:
        """Take the grey levels; all of the dual field is zero."""
        import jax
        from jax import numpy as jnp

        self._grey, self._counted, self._dual = [], [], []
        tail = tuple(n + 2 for n in x.shape[1:])
        with jax.enable_x64(True):
            for begin in self.begins:
                grey, counted = np.zeros((self.thickness, *tail), x.dtype), np.zeros((self.thickness, *tail), bool)
                first, stop = max(begin - 1, 0), min(begin - 1 + self.thickness, x.shape[0])
                there = (slice(first - begin + 1, stop - begin + 1), slice(1, -1), slice(1, -1))
                taken = np.True_ if valid is None else valid[first:stop]
                grey[there], counted[there] = np.where(taken, x[first:stop], 0), taken
                # Handed over once: NumPy's would be copied at every call.
                self._grey.append(jnp.asarray(grey))
                self._counted.append(jnp.asarray(counted))
                self._dual.append(tuple(jnp.zeros(grey.shape, x.dtype) for _ in range(3)))
            zeros = [jnp.zeros((STEPS, *tail), x.dtype) for _ in range(3)]
        self._edges = [(zeros, zeros)] * self.count

    def step(self, pool: ThreadPoolExecutor, steps: int) -> None:
        """Go so many steps, at most `STEPS`, and exchange what lies between the slabs."""
        import jax

        run = _steps()

        def one(k: int) -> Any:
            with jax.enable_x64(True):  # the scope belongs to the thread
                found = run(
                    self._grey[k], self._counted[k], self._dual[k], self._edges[k], self._given[k], steps, self.weight
                )
                return jax.block_until_ready(found)

        found = list(pool.map(one, range(self.count)))
        self._dual = [dual for dual, _, _ in found]
        last = self.count - 1
        self._edges = [
            (found[0][1] if k == 0 else found[k - 1][2], found[last][2] if k == last else found[k + 1][1])
            for k in range(self.count)
        ]

    def end(self, pool: ThreadPoolExecutor, out: np.ndarray) -> None:
        """Write the smoothed image."""
        import jax

        run = _ended()

        def one(k: int) -> None:
            with jax.enable_x64(True):
                smooth = np.asarray(run(self._grey[k], self._dual[k], self._edges[k]))
            begin = self.begins[k]
            stop = self.begins[k + 1] if k < self.count - 1 else out.shape[0]
            out[begin:stop] = smooth[: stop - begin]

        list(pool.map(one, range(self.count)))


@functools.cache
def _steps() -> Any:
    import jax
    from jax import lax

    def run(x: Any, counted: Any, dual: Any, edges: Any, given: Any, steps: Any, weight: Any) -> Any:
        dual = total_variation_steps(x, counted, _exchanged(dual, edges), weight, steps)
        handed = [tuple(lax.dynamic_slice_in_dim(p, at, STEPS) for p in dual) for at in given]
        return dual, *handed

    return jax.jit(run, donate_argnums=2)


@functools.cache
def _ended() -> Any:
    import jax

    return jax.jit(lambda x, dual, edges: total_variation_smoothed(x, _exchanged(dual, edges)))


def _exchanged(dual: Any, edges: Any) -> Any:
    from jax import lax

    def one(p: Any, low: Any, high: Any) -> Any:
        p = lax.dynamic_update_slice_in_dim(p, low, 0, 0)
        return lax.dynamic_update_slice_in_dim(p, high, p.shape[0] - STEPS, 0)

    return tuple(one(*parts) for parts in zip(dual, *edges, strict=True))
