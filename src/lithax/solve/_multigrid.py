"""Multigrid by aggregation, as a preconditioner of a `FaceOperator`.

Two neighbouring cells along each axis become one (an odd last one stands alone), piecewise
constant, so every coarse level is again a `FaceOperator` whose weights are sums of weights, and
pore space that is not joined stays apart until a coarse cell holds both. What makes it quick:

- *Along strong couplings only.* An axis is coarsened while its couplings are within a factor of
  four of the strongest, so a level becomes isotropic before it is coarsened along all axes.
- *Weights divided by 1.8 along a coarsened axis.* Coarse cells are twice as far apart, which sums
  of weights do not know: constants make the coarse level too stiff by two (Braess, Computing 55
  (1995); 1.8 keeps the cycle definite).
- *A W-cycle*: a V-cycle of this kind gets worse with every level in tight pore space.
- *Smoothing by the roots of Chebyshev's polynomial*, the same before and after: the cycle is
  symmetric. Coarser levels are cheap and smooth twice as long, and longer from level to level; six
  times as long while cells are stretched (the finest level twice as long): aggregates lump parts of
  the pore space that only weak couplings join, and what they lump only smoothing tells apart.
- *The last few cells* are solved by a pseudo-inverse: parts that nothing holds (one constant for
  each part of a periodic image) are projected out, all at once.

Each step is a stage of its own (`lithax.arrays.stage`); the visits of a level are a loop, so the
compiled program grows with the levels, not with the visits. The cycle is a linear function of its
argument and carries no derivative.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from lithax.arrays import is_traced, stage
from lithax.grid import Index
from lithax.solve._face_operator import FaceOperator, Known, asked, padded_faces, real, relaxed, residual, scaled
from lithax.solve._layout import AbstractLayout

OVER = 1.8
"""What weights along a coarsened axis are divided by."""
FEW_CELLS = 128
"""At how many cells a problem is solved at once."""
MORE = 1.1
"""What each visit of a level finds is taken so many times.

Most eigenvalues λ of BK, with B what a visit makes of a level's operator K, are far below one where
solves are slow, and (1 − 1.1 λ)² is less than (1 − λ)² for all of them below 0.95. None lies beyond
`OVER`: an even number of visits of the level below finds no more than its inverse, which overshoots
by what its weights are divided by at most, and smoothing makes no error larger. 1.1 · 1.8 is below
2; beyond, two visits would leave more than all of an error, and the cycle above was not definite.
"""


class Multigrid(eqx.Module):
    """One W-cycle, z ≈ K⁻¹ r, as a function of r; made by `multigrid`."""

    levels: tuple[FaceOperator, ...]
    inverse: jax.Array
    steps: tuple[tuple[bool, bool, bool], ...] = eqx.field(static=True)
    weights: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    """Steps of the smoother on every level but the last."""
    visits: tuple[int, ...] = eqx.field(static=True)
    """How often each level is visited in a cycle of the one above it; the first by `visited`."""

    def __call__(self, r: jax.Array) -> jax.Array:
        """Return the approximate solution for a right-hand side, both in the padded form of the
        finest level.
        """
        # Constants for a transformation: whoever solves with the cycle owns the derivative of the
        # solution.
        return lax.stop_gradient(self._cycle(lax.stop_gradient(r), 0).values)

    def visited(self, r: jax.Array) -> jax.Array:
        """Return what as many cycles make of a right-hand side as a finer level would ask for."""
        if len(self.levels) == 1:  # solved at once
            return self(r)
        return lax.stop_gradient(self._visited(lax.stop_gradient(r), 0))

    def from_below(self, r: jax.Array) -> jax.Array:
        """Return what the coarser levels alone make of a right-hand side, not smoothed."""
        if len(self.levels) == 1:
            return self(r)
        fine, coarse = self.levels[0].layout, self.levels[1].layout
        return prolonged(self._below(r, 0), fine, coarse, self.steps[0])

    def on_cells(self, r: jax.Array) -> jax.Array:
        """Return the approximate solution for a right-hand side, both in the shape of the cells,
        without ghosts.
        """
        layout = self.levels[0].layout
        return layout.cells(self(layout.pad(r)))

    def _cycle(self, r: jax.Array, level: int) -> Known:
        """Return what a visit makes of a right-hand side, right in all cells computed here."""
        operator = self.levels[level]
        layout = operator.layout
        if level == len(self.levels) - 1:
            return Known(layout.pad((self.inverse @ layout.cells(r).reshape(-1)).reshape(layout.shape)))
        # Exchanged before it is read twice: what `asked` returned would be a copy.
        z = smoothed_from_zero(operator, r, self.weights[level]).exchanged(layout)
        step, coarse = self.steps[level], self.levels[level + 1]
        e = self._below(stage(residual, operator, z.values, r), level)
        better = stage(lambda z, e: z + prolonged(e, layout, coarse.layout, step), z.values, e)
        # Where parts overlap, what comes from below is known of all layers.
        return smoothed(operator, Known(better, z.layers if layout.overlap else 0), r, self.weights[level])

    def _below(self, left: jax.Array, level: int) -> jax.Array:
        """Return what the next level makes of a residual of this one."""
        fine, coarse, step = self.levels[level].layout, self.levels[level + 1].layout, self.steps[level]
        target = stage(lambda v: restricted(v, fine, coarse, step), left)
        last = level + 1 == len(self.levels) - 1
        return self._cycle(target, level + 1).values if last else self._visited(target, level + 1)

    def _visited(self, r: jax.Array, level: int) -> jax.Array:
        operator = self.levels[level]
        r = operator.layout.exchanged(r) if operator.layout.overlap else r

        def visit(k: Any, e: jax.Array) -> jax.Array:
            left = lax.cond(k > 0, lambda e: asked(residual, operator, Known(e), r).values, lambda e: r, e)
            return e + MORE * self._cycle(left, level).values

        return lax.fori_loop(0, self.visits[level], visit, jnp.zeros_like(r))


def smoothed_from_zero(operator: FaceOperator, r: jax.Array, weights: Sequence[float]) -> Known:
    """Return what the steps of the smoother make of a right-hand side."""
    first, *others = weights
    return smoothed(operator, Known(stage(scaled, operator, r, first), operator.layout.overlap), r, others)


def smoothed(operator: FaceOperator, z: Known, r: jax.Array, weights: Sequence[float]) -> Known:
    """Return the same, with `z` as the first guess."""
    if len(weights) <= max(2, 2 * operator.layout.overlap):
        for weight in weights:
            z = asked(relaxed, operator, z, r, weight)
        return z
    steps = jnp.asarray(weights, z.values.dtype)  # a loop, so that the program does not grow with the steps

    def relax(n: Any, z: jax.Array) -> jax.Array:
        return asked(relaxed, operator, Known(z), r, steps[n]).values

    return Known(lax.fori_loop(0, len(weights), relax, z.values), operator.layout.overlap)


def multigrid(
    operator: FaceOperator,
    *,
    strengths: Sequence[float] = (1.0, 1.0, 1.0),
    sweeps: int = 2,
    visits: int = 2,
    few_cells: int = FEW_CELLS,
) -> Multigrid:
    """Build all levels for an operator.

    Parameters
    ----------
    operator
        The finest level.
    strengths
        How strongly neighbours are joined along x, y and z, relative to each other: 1/spacing²
        times the mean conductivity along the axis. Numbers, not traced: they decide the shapes of
        the levels.
    sweeps
        Smoothing steps on the finest level, before and after each visit of the next. The level
        below takes twice as many, each further one √2 times as many as the one above it, up to
        twelve times `sweeps`. Where cells are stretched it is twice as many on the finest level,
        six times on the next; in images one voxel thick three times on all but the finest.
    visits
        Visits of the next level in each cycle, as for `visits_of`: 2 is a W-cycle, 1 a V-cycle.
    few_cells
        At how many cells the problem is solved at once.
    """
    shapes, steps = coarsening(operator.layout.shape, strengths, few_cells)
    levels = coarser_levels(lax.stop_gradient(operator), shapes, steps)
    inverse = pseudo_inverse(lax.stop_gradient((operator, *levels)[-1]))
    return Multigrid((operator, *levels), inverse, steps, smoothing(shapes, steps, sweeps), visits_of(steps, visits))


def visits_of(steps: Sequence[tuple[bool, bool, bool]], most: int = 2) -> tuple[int, ...]:
    """Return how often each level is visited in a cycle of the one above it.

    More than twice only where there are eight times fewer cells: where a level has half of them, or
    a quarter, more visits would cost more with every level.
    """
    return (most, *(most if all(step) else min(most, 2) for step in steps))


def smoothing(
    shapes: Sequence[Index], steps: Sequence[tuple[bool, bool, bool]], sweeps: int = 2
) -> tuple[tuple[float, ...], ...]:
    """Return the steps of the smoother on every level but the last.

    Below the finest they grow by √2 from level to level, from six times `sweeps` where cells are
    stretched or were on a finer level: each costs a quarter to half of the one above it. In images
    one voxel thick, where it is half, growing saves no more steps of the solver than it costs.
    """
    weights, flat, stretched = [], 1 in shapes[0], False
    for level, (shape, step) in enumerate(zip(shapes, steps, strict=False)):
        stretched = stretched or is_stretched(shape, step)
        if level == 0:
            weights.append(chebyshev_weights(2 * sweeps if stretched else sweeps))
        elif flat:
            weights.append(chebyshev_weights((6 if stretched else 3) * sweeps))
        else:
            grown = (6 if stretched else 2) * 2 ** ((level - 1) / 2)
            weights.append(chebyshev_weights(round(min(grown, 12) * sweeps)))
    return tuple(weights)


def is_stretched(shape: Index, step: tuple[bool, bool, bool]) -> bool:
    """Return whether some axis of a level is not halved yet, its couplings being weak."""
    return any(n > 1 and not halved for n, halved in zip(shape, step, strict=True))


@partial(jax.jit, static_argnums=(1, 2))
def coarser_levels(operator: FaceOperator, shapes: Any, steps: Any) -> tuple[FaceOperator, ...]:
    """Return all levels below an operator; `shapes` begins with that of its cells."""
    levels = [operator]
    for shape, step in zip(shapes[1:], steps, strict=True):
        layout = replace(operator.layout, shape=shape)
        levels.append(coarsened(levels[-1], layout, step))
    return tuple(levels[1:])


def coarsening(
    shape: Index, strengths: Sequence[float], few_cells: int = FEW_CELLS
) -> tuple[tuple[Index, ...], tuple[tuple[bool, bool, bool], ...]]:
    """Return the shapes of all levels, and along which axes each is halved to make the next.

    >>> coarsening((40, 40, 5), (1, 1, 0.01), 100)[0]
    ((40, 40, 5), (20, 20, 5), (10, 10, 5), (5, 5, 5), (3, 3, 3))
    """
    shapes, steps, strength = [shape], [], [float(s) for s in strengths]
    while math.prod(shape) > few_cells:
        strongest = max(s for s, n in zip(strength, shape, strict=True) if n > 1)
        # A quarter: one halving of the others makes the axis as strong as they are.
        x, y, z = (n > 1 and s >= 0.25 * strongest for s, n in zip(strength, shape, strict=True))
        step = (x, y, z)
        nx, ny, nz = (-(-n // 2) if halved else n for n, halved in zip(shape, step, strict=True))
        shape = (nx, ny, nz)
        strength = [s / 4 if halved else s for s, halved in zip(strength, step, strict=True)]
        shapes.append(shape)
        steps.append(step)
    return tuple(shapes), tuple(steps)


def chebyshev_weights(sweeps: int) -> tuple[float, ...]:
    """Return the steps of Jacobi's method whose product damps the eigenvalues of D⁻¹K in [2/n², 2]
    most, for n steps; the rest is left to the coarser levels.

    In Leja's order, so that no run of steps amplifies what rounding adds: the others of 24 steps
    multiply it by 250 at most. From the largest eigenvalue to the smallest it would be 2·10¹¹.
    """
    low, high = 2 / sweeps**2, 2.0
    roots = (high + low) / 2 + (high - low) / 2 * np.cos(np.pi * (2 * np.arange(sweeps) + 1) / (2 * sweeps))
    return tuple(float(1 / root) for root in leja(roots))


def leja(points: np.ndarray) -> np.ndarray:
    """Return points in Leja's order: the largest first, then always the one that is farthest from
    those before it, by the product of the distances.

    >>> leja(np.asarray([1.0, 2.0, 3.0, 4.0])).tolist()
    [4.0, 1.0, 2.0, 3.0]
    """
    left, ordered = list(points), []
    while left:
        far = [abs(point) if not ordered else np.prod(np.abs(np.asarray(ordered) - point)) for point in left]
        ordered.append(left.pop(int(np.argmax(far))))
    return np.asarray(ordered)


def restricted(v: jax.Array, fine: AbstractLayout, coarse: AbstractLayout, step: tuple[bool, bool, bool]) -> jax.Array:
    """Sum the cells of each aggregate."""
    return coarse.pad(fine.joined(summed(fine.cells(v), step), coarse))


def prolonged(e: jax.Array, fine: AbstractLayout, coarse: AbstractLayout, step: tuple[bool, bool, bool]) -> jax.Array:
    """Give every cell the value of its aggregate."""
    return fine.from_aggregates(doubled(fine.own(e, coarse, step), step), step)


def doubled(v: jax.Array, step: Sequence[bool]) -> jax.Array:
    """Return every value twice along some axes: the transpose of `summed`."""
    for axis, halved in enumerate(step):
        if halved:
            # A repeat would look up where each value comes from, which takes four times as long.
            before, after = v.shape[:axis], v.shape[axis + 1 :]
            twice = jnp.broadcast_to(jnp.expand_dims(v, axis + 1), (*before, v.shape[axis], 2, *after))
            v = twice.reshape(*before, 2 * v.shape[axis], *after)
    return v


def coarsened(operator: FaceOperator, layout: AbstractLayout, step: tuple[bool, bool, bool]) -> FaceOperator:
    """Return the operator of the aggregates."""
    fine = operator.layout

    def along(axis: int) -> jax.Array:
        def aggregated(c: jax.Array) -> jax.Array:
            ends = None
            if fine.held[axis]:
                above = [slice(g, g + n) for g, n in zip(fine.ghosts, fine.shape, strict=True)]
                above[axis] = slice(fine.shape[axis] + 1, fine.shape[axis] + 2)
                ends = aggregated_faces(real(c[tuple(above)]), axis, step)
            return padded_faces(layout, axis, aggregated_faces(real(fine.cells(c)), axis, step), ends)

        return stage(aggregated, operator.faces[axis])

    x, y, z = (along(axis) for axis in range(3))
    excess = None
    if operator.excess is not None:
        excess = layout.pad(aggregated_excess(fine.cells(operator.excess), fine.shape, step))
    return FaceOperator(layout, (x, y, z), excess)


def aggregated_faces(lower: jax.Array, axis: int, step: tuple[bool, bool, bool]) -> jax.Array:
    """Return the weights of the lower faces of aggregates along an axis, given those of cells."""
    if step[axis]:
        # Faces between aggregates are the lower faces of their first cells; those within vanish.
        lower = lower[tuple(slice(None, None, 2 if a == axis else 1) for a in range(3))] / OVER
    return summed(lower, tuple(halved and other != axis for other, halved in enumerate(step)))


def aggregated_excess(excess: jax.Array, whole: Index, step: tuple[bool, bool, bool]) -> jax.Array:
    """Return what aggregates lose through walls: a coupling, too, too stiff like the others once
    all axes of the `whole` level are halved.
    """
    everywhere = all(halved for halved, n in zip(step, whole, strict=True) if n > 1)
    return summed(excess, step) / (OVER if everywhere else 1.0)


def summed(v: jax.Array, step: Sequence[bool]) -> jax.Array:
    """Sum pairs along some axes; the last of an odd number stands alone."""
    for axis, halved in enumerate(step):
        last = v.shape[axis] - 1
        if halved and last % 2 == 0 and last > 0:
            # Two sums joined, not one padded: a pad writes the whole array once more.
            alone = tuple(other and a != axis for a, other in enumerate(step))
            pairs, single = (lax.slice_in_dim(v, *ends, axis=axis) for ends in ((0, last), (last, last + 1)))
            return jnp.concatenate([summed(pairs, step), summed(single, alone)], axis)
    for axis, halved in enumerate(step):
        if halved and v.shape[axis] > 1:
            even, odd = [slice(None)] * 3, [slice(None)] * 3
            even[axis], odd[axis] = slice(0, None, 2), slice(1, None, 2)
            v = v[tuple(even)] + v[tuple(odd)]
    return v


def pseudo_inverse(operator: FaceOperator) -> jax.Array:
    """Return the inverse of the last level, with constants of parts that nothing holds projected
    out.

    On the host, in double precision: a compiled program that leaves JAX's 32 bits could not be
    transformed. Only a traced operator needs a callback for it; a program that holds one is never
    kept in JAX's cache on disk.
    """
    layout, dtype = operator.layout, operator.dtype
    count = math.prod(layout.shape)
    # A callback's thread knows no scope of 64 bits: float32 goes out, and is enough for a
    # preconditioner.
    shape = jax.ShapeDtypeStruct((count, count), np.float32)
    excess = () if operator.excess is None else (layout.cells(operator.excess),)
    find = partial(_dense_inverse, layout)
    if not any(is_traced(v) for v in (*operator.faces, *excess)):
        return jnp.asarray(find(*map(np.asarray, (*operator.faces, *excess))), dtype)
    return jax.pure_callback(find, shape, *operator.faces, *excess, vmap_method="sequential").astype(dtype)


def _dense_inverse(layout: AbstractLayout, *arrays: Any) -> np.ndarray:
    faces = [np.asarray(c, np.float64) for c in arrays[:3]]
    number = np.arange(math.prod(layout.shape)).reshape(layout.shape)
    dense = np.zeros((number.size, number.size))
    for axis, c in enumerate(faces):
        inner = [slice(g, g + n) for g, n in zip(layout.ghosts, layout.shape, strict=True)]
        lower = c[tuple(inner)]
        before = np.roll(number, 1, axis)
        first = tuple(slice(0, 1) if a == axis else slice(None) for a in range(3))
        joined = np.ones(layout.shape, bool)
        if not layout.periodic[axis]:
            joined[first] = False
        here, there, weight = number[joined], before[joined], lower[joined]
        for row, column, sign in ((here, here, 1), (there, there, 1), (here, there, -1), (there, here, -1)):
            np.add.at(dense, (row, column), sign * weight)
        if layout.held[axis]:
            ends = inner.copy()
            ends[axis] = slice(layout.shape[axis] + 1, layout.shape[axis] + 2)
            low, high = number[first].reshape(-1), np.take(number, [-1], axis).reshape(-1)
            np.add.at(dense, (low, low), lower[first].reshape(-1))
            np.add.at(dense, (high, high), c[tuple(ends)].reshape(-1))
    if len(arrays) > 3:
        dense[number.reshape(-1), number.reshape(-1)] += np.asarray(arrays[3], np.float64).reshape(-1)
    diagonal = dense.diagonal()
    scale = np.where(diagonal > 0, 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1)), 0)
    return (scale[:, None] * _inverse_by_pivots(scale[:, None] * dense * scale[None, :]) * scale[None, :]).astype(
        np.float32
    )


def _inverse_by_pivots(dense: np.ndarray) -> np.ndarray:
    """Return the pseudo-inverse of a symmetric matrix without negative eigenvalues, its diagonal
    ones and zeros.

    Gauss and Jordan's elimination, row by row: threads of a linear algebra library spend most of
    their time waiting for each other over a hundred rows.
    """
    inverse, constants = _eliminated(dense)
    if not constants:
        return inverse
    # With an eigenvalue of one in place of each zero there is an inverse.
    projection = np.asarray(constants).T @ np.asarray(constants)
    return _eliminated(dense + projection)[0] - projection


def _eliminated(dense: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the inverse; where there is none, orthonormal vectors that the matrix makes zero."""
    work, pivoted, constants = dense.copy(), np.zeros(len(dense), bool), []
    left = np.ones(len(dense), bool)
    for _ in range(len(dense)):
        # The largest first: a poor conductor has so little of a constant, the diagonal being ones,
        # that rounding left a pivot where it came last.
        row = int(np.argmax(np.where(left, work.diagonal(), -np.inf)))
        left[row], pivot = False, work[row, row]
        # Rounding: the last cell of a part that nothing holds, after all others of the part.
        if pivot <= 1e-10:
            constant = np.where(pivoted, -work[:, row], 0)
            constant[row] = 1
            constants.append(constant / np.sqrt(np.sum(constant**2)))
            continue
        column = work[:, row] / pivot
        column[row] = 0
        line = work[row].copy()
        work -= column[:, None] * line[None, :]
        work[row] = line / pivot
        work[:, row] = -column
        work[row, row] = 1 / pivot
        pivoted[row] = True
    return work, constants
