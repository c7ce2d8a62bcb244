"""Equal pairs of grey values have equal results: each is worked out once."""

from typing import Any

import numpy as np

from lithax.inverse._monotone_pieces import Curves
from lithax.inverse._statistics import StatisticsRequest, statistics


def distinct_statistics(
    table: Curves, low: np.ndarray, high: np.ndarray, wanted: StatisticsRequest, places: Any = None, workers: int = 1
) -> tuple[np.ndarray, ...]:
    """Return `statistics`, working out each distinct pair of values once.

    A scan is stored in 12 or 16 bits, and a stretch of it holds far fewer pairs of grey values than
    voxels. A pair has the same result wherever it stands, unless voxels have noise of their own.
    """
    if wanted.noise is not None or low.dtype != np.float32 or low.size == 0:
        return statistics(table, low, high, wanted, places, workers)
    pairs = np.stack([low, high], axis=-1).view(np.uint64)[:, 0]
    kept, back = np.unique(pairs, return_inverse=True)
    both = kept.view(np.float32).reshape(-1, 2)
    results = statistics(table, both[:, 0].copy(), both[:, 1].copy(), wanted, workers=workers)
    return tuple(r[back] for r in results)
