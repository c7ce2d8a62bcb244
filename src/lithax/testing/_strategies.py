"""Hypothesis strategies for images, grids and boundary rules; Hypothesis is imported when one is
made.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lithax.arrays import BOUNDARIES


def image_shapes(largest: int = 9) -> Any:
    """Shapes of small images, among them some that are one voxel thin."""
    from hypothesis import strategies as st

    edge = st.one_of(st.just(1), st.integers(2, largest))
    return st.tuples(edge, edge, edge)


def chunk_shapes(largest: int = 5) -> Any:
    """Chunk shapes, which need not divide an image nor fit into it."""
    from hypothesis import strategies as st

    edge = st.integers(1, largest)
    return st.tuples(edge, edge, edge)


def grids(largest_chunk: int = 5, chunks_per_shard: int = 3) -> Any:
    """Pairs of a chunk shape and a shard shape, the latter None half of the time."""
    from hypothesis import strategies as st

    def with_shard(chunk: Sequence[int]) -> Any:
        counts = st.tuples(*[st.integers(1, chunks_per_shard)] * 3)
        shard = counts.map(lambda count: tuple(n * c for n, c in zip(count, chunk, strict=True)))
        return st.tuples(st.just(chunk), st.none() | shard)

    return chunk_shapes(largest_chunk).flatmap(with_shard)


def boundary_rules() -> Any:
    """Names of the five boundary rules."""
    from hypothesis import strategies as st

    return st.sampled_from(BOUNDARIES)


def voxels(shape: Sequence[int], dtype: Any = np.float64) -> Any:
    """Arrays of pleasant random voxels: standard normal numbers, all small integers, or
    booleans.
    """
    from hypothesis import strategies as st

    def make(seed: int) -> np.ndarray:
        generator = np.random.default_rng(seed)
        kind = np.dtype(dtype).kind
        if kind == "b":
            return generator.random(tuple(shape)) < 0.5
        if kind in "iu":
            return generator.integers(0, 100, tuple(shape)).astype(dtype)
        values = generator.standard_normal(tuple(shape))
        if kind == "c":
            values = values + 1j * generator.standard_normal(tuple(shape))
        return values.astype(dtype)

    return st.integers(0, 2**32 - 1).map(make)
