"""Classes of voxels by decision trees: a forest, or gradient boosting, trained elsewhere."""

from typing import Any

import equinox as eqx
from jaxtyping import Float, Shaped, UInt

from lithax.arrays import is_jax, lookup, namespace, pick, repeat_times, widest_integer
from lithax.ops._mixture import memberships, smallest
from lithax.ops._slice_levels import xp_table
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array


class Trees(eqx.Module):
    """Decision trees over the features of a voxel, as tables of nodes.

    From node k a voxel goes to ``child[k]``, or to ``child[k] + 1`` if its feature ``feature[k]``
    exceeds ``threshold[k]``; a leaf is its own child, and its threshold infinite. The score of a
    class is the sum of ``score[leaf]`` over the trees, and `start`.
    """

    root: Array
    """First node of each tree, shape (trees,)."""
    feature: Array
    """Shape (nodes,)."""
    threshold: Array
    """Shape (nodes,), float32."""
    child: Array
    """Shape (nodes,)."""
    score: Array
    """Shape (nodes, classes), float32."""
    start: Array
    """Shape (classes,), float32."""
    labels: Array
    """The label of each class, shape (classes,), unsigned integers."""
    depth: int = eqx.field(static=True)
    """Steps from a root to the farthest leaf."""
    features: int = eqx.field(static=True)
    """How many features the trees were trained with."""
    logistic: bool = eqx.field(static=True, default=False)
    """Whether probabilities are the exponentials of the scores, divided by their sum; else the
    scores themselves, which then have the sum 1.
    """


def _scores(blocks: tuple[Array, ...], trees: Trees) -> tuple[list[Array], Array]:
    # One array of all voxels per class; and where a feature is not a number.
    if len(blocks) != trees.features:
        raise ValueError(
            f"{len(blocks)} features were given to trees that were trained with {trees.features}; give one array per feature, in the "
            f"same order."
        )
    xp = namespace(*blocks)
    values = xp.stack([xp.reshape(xp.astype(block, xp.float32), (-1,)) for block in blocks])
    index = xp.int32 if is_jax(values) else widest_integer(xp)
    root, feature, child = (xp_table(t, xp.zeros(0, dtype=index)) for t in (trees.root, trees.feature, trees.child))
    threshold, score, start = (xp_table(t, values) for t in (trees.threshold, trees.score, trees.start))
    classes = range(score.shape[1])
    columns = [score[:, c] for c in classes]

    def step(node: Array) -> Array:
        right = pick(values, lookup(feature, node)) > lookup(threshold, node)
        return lookup(child, node) + xp.astype(right, index)

    def tree(state: tuple[Array, ...]) -> tuple[Array, ...]:
        *total, number = state
        leaf = repeat_times(trees.depth, step, xp.zeros_like(values[0, :], dtype=index) + root[number])
        return (*(t + lookup(column, leaf) for t, column in zip(total, columns, strict=True)), number + 1)

    begin = [xp.zeros_like(values[0, :]) + start[c] for c in classes]
    *total, _ = repeat_times(root.shape[0], tree, (*begin, 0))
    return total, xp.any(xp.isnan(values), axis=0)


@voxel_op
def classify_by_trees(*blocks: Shaped[Any, "x y z"], trees: Trees) -> UInt[Any, "x y z"]:
    """Give each voxel the label of the class on which decision trees agree most;
    `sklearn.ensemble.RandomForestClassifier.predict`.

    `lithax.train_classifier` trains the trees, and binds them and the features that they need. The
    result has no derivative.

    Parameters
    ----------
    *blocks
        One array per feature, in the order of the training.
    trees
        The trees.

    Returns
    -------
        The label, of equal classes the first; 0 where a feature is NaN.

    Raises
    ------
    ValueError
        If the number of arrays is not that of the features.

    References
    ----------
    Breiman, Random forests, Machine Learning 45 (2001) 5-32. doi:10.1023/A:1010933404324
    """
    total, unknown = _scores(blocks, trees)
    xp = namespace(*blocks)
    best = smallest([-t for t in total])
    labels = xp_table(trees.labels, xp.zeros(0, dtype=xp.int32))
    label = xp.where(unknown, xp.zeros_like(best, dtype=xp.int32), lookup(labels, best))
    return xp.reshape(xp.astype(label, getattr(xp, str(trees.labels.dtype))), blocks[0].shape)


@voxel_op
def tree_probabilities(*blocks: Shaped[Any, "x y z"], trees: Trees) -> tuple[Float[Any, "x y z"], ...]:
    """Return the share of each class in what decision trees say: one array per class, of sum 1;
    `sklearn.ensemble.RandomForestClassifier.predict_proba`.

    It is a step function of the voxels, so its derivative is zero wherever it has one.

    Parameters
    ----------
    *blocks, trees
        As in `classify_by_trees`.

    Returns
    -------
        float32, NaN where a feature is.
    """
    total, unknown = _scores(blocks, trees)
    xp = namespace(*blocks)
    shares = memberships([-t for t in total])[0] if trees.logistic else total
    shares = [xp.where(unknown, xp.full_like(share, float("nan")), share) for share in shares]
    return tuple(xp.reshape(share, blocks[0].shape) for share in shares)
