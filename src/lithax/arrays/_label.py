"""Connected components of a block in host memory, by compiled libraries."""

import numpy as np


def label_block(phase: np.ndarray, connectivity: int = 6) -> tuple[np.ndarray, int]:
    """Number the components of a boolean array.

    Parameters
    ----------
    phase
        True in the components.
    connectivity
        6: through faces; 18: through edges, too; 26: and through corners.

    Returns
    -------
        Labels (0 where `phase` is False, else 1 to the number of components), and that number.
    """
    import cc3d

    labels, count = cc3d.connected_components(np.ascontiguousarray(phase), connectivity=connectivity, return_N=True)
    return labels, int(count)


def merge_labels(pairs: np.ndarray, count: int) -> tuple[np.ndarray, int]:
    """Join numbers that are the same component: the components of a graph.

    Parameters
    ----------
    pairs
        Shape (n, 2), numbers below `count` that belong together.
    count
        How many numbers there are.

    Returns
    -------
        For every number that of its component, and how many components there are.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), bool)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    components, merged = connected_components(graph, directed=False)
    return merged, int(components)
