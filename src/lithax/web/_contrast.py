"""Which grey levels become black and white."""

import numpy as np


def contrast_of(values: np.ndarray) -> tuple[float, float]:
    """Return the percentiles 0.5 and 99.5 of the finite values, apart from each other in any
    case.
    """
    finite = values[np.isfinite(values)]
    low, high = (float(v) for v in np.percentile(finite, [0.5, 99.5])) if finite.size else (0.0, 1.0)
    return (low, high) if low < high else (low - 0.5, high + 0.5)
