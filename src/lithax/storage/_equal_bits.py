"""Whether a chunk need not be stored."""

import numpy as np


def equal_bits(values: np.ndarray, fill: np.ndarray) -> bool:
    """Tell whether every voxel has exactly the bits of `fill`: NaN equals itself, -0.0 is not
    0.0.
    """
    if values.size == 0:
        return True
    if values[(0,) * values.ndim].tobytes() != fill.tobytes():
        return False  # nearly every chunk that is not empty ends here
    words = np.dtype(f"u{min(values.dtype.itemsize, 8)}")
    target = np.frombuffer(fill.tobytes(), words)
    # Plane by plane: the first difference ends the search.
    return all(
        (np.ascontiguousarray(p).reshape(-1).view(words).reshape(-1, len(target)) == target).all() for p in values
    )
