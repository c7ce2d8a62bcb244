"""The multigrid preconditioner: linear, symmetric, definite, and quick on every shape."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from lithax.solve import _multigrid, face_operator, multigrid
from lithax.solve._multigrid import MORE, OVER, chebyshev_weights, visits_of


def weights(rng, shape, periodic, *, open_ends):
    """Random weights, a third of the faces closed."""
    x, y, z = (rng.random(shape).astype("f4") * (rng.random(shape) > 1 / 3) for _ in range(3))
    for axis, c in enumerate((x, y, z)):
        if not periodic[axis] and not (axis == 0 and open_ends):
            c[tuple(0 if a == axis else slice(None) for a in range(3))] = 0
    upper = jnp.asarray(rng.random((1, *shape[1:])), "f4") if open_ends else None
    return face_operator(*(jnp.asarray(c) for c in (x, y, z)), periodic=periodic, upper=upper), (x, y, z), upper


def dense(shape, faces, upper, periodic):
    """The operator as a matrix, written face by face."""
    number = np.arange(np.prod(shape)).reshape(shape)
    matrix = np.zeros((number.size, number.size))
    for axis, c in enumerate(faces):
        for index in np.ndindex(*shape):
            here, weight = number[index], float(c[index])
            before = list(index)
            before[axis] -= 1
            if index[axis] > 0 or periodic[axis]:
                there = number[tuple(before)]
                matrix[here, here] += weight
                matrix[there, there] += weight
                matrix[here, there] -= weight
                matrix[there, here] -= weight
            else:
                matrix[here, here] += weight
    if upper is not None:
        matrix[number[-1].ravel(), number[-1].ravel()] += np.asarray(upper, float).ravel()
    return matrix


CASES = [
    ((5, 4, 3), (False, False, False), True),
    ((5, 4, 6), (True, True, True), False),
    ((1, 5, 4), (False, True, False), True),
]


@pytest.mark.parametrize(("shape", "periodic", "open_ends"), CASES)
def test_the_operator_is_the_matrix_of_its_faces(rng, shape, periodic, open_ends):
    operator, faces, upper = weights(rng, shape, periodic, open_ends=open_ends)
    v = rng.standard_normal(shape).astype("f4")
    layout = operator.layout
    found = layout.cells(operator(layout.pad(jnp.asarray(v))))
    expected = (dense(shape, faces, upper, periodic) @ v.ravel()).reshape(shape)
    assert np.allclose(found, expected, atol=1e-5)  # a dozen float32 operations on numbers of order one


@pytest.mark.parametrize(
    ("shape", "periodic", "open_ends", "visits"),
    [((9, 7, 5), (False, False, False), True, 2), ((7, 6, 9), (True, True, True), False, 4)],
)
def test_the_cycle_is_symmetric_and_positive(rng, shape, periodic, open_ends, visits):
    operator, _, _ = weights(rng, shape, periodic, open_ends=open_ends)
    cycle = multigrid(operator, few_cells=20, visits=visits)
    assert len(cycle.levels) >= 3
    unit = jnp.eye(np.prod(shape), dtype="f4").reshape(-1, *shape)
    matrix = np.asarray(jax.jit(lambda cycle, unit: jax.vmap(cycle.on_cells)(unit))(cycle, unit), float).reshape(
        len(unit), -1
    )
    assert np.allclose(matrix, matrix.T, atol=1e-5 * np.abs(matrix).max())
    # Cells without open faces are left alone, and constants of parts that nothing holds: eigenvalues of 0.
    values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    assert values[0] > -1e-5 * values[-1]


@pytest.mark.parametrize("more", [MORE, 1.3])
def test_visits_taken_longer_keep_the_cycle_definite(monkeypatch, more):
    """Pairs joined more weakly than what is in them, on every level: nothing is too stiff, all of 1.8 is overshot."""
    monkeypatch.setattr(_multigrid, "MORE", more)
    n = 32
    with jax.enable_x64(True):
        twos = [i & -i for i in range(1, n)]  # the largest power of two in each number
        x = jnp.asarray([8.0, *(64.0**-k for k in np.log2(twos))]).reshape(n, 1, 1)
        none = jnp.zeros_like(x)
        operator = face_operator(x, none, none, upper=jnp.zeros((1, 1, 1)))
        cycle = multigrid(operator, few_cells=2)
        matrix = np.asarray(jax.vmap(cycle.on_cells)(jnp.eye(n).reshape(n, n, 1, 1))).reshape(n, n)
    root = np.linalg.cholesky(dense((n, 1, 1), (x, none, none), np.zeros((1, 1)), (False, False, False)))
    values = np.linalg.eigvalsh(root.T @ (matrix + matrix.T) @ root / 2)
    if more * OVER < 2:
        assert 1.7 < values[-1] < OVER * (1 + 1e-5)  # the last cells are inverted in float32
        assert values[0] > 0
    else:  # that the case is one that tells
        assert values[0] < 0


@pytest.mark.parametrize("steps", [2, 12, 24])
def test_steps_of_the_smoother_damp_and_do_not_amplify_rounding(steps):
    weights = np.asarray(chebyshev_weights(steps))
    eigenvalues = np.linspace(0, 2, 2001)[:, None]
    left = 1 - eigenvalues * weights
    low = 2 / steps**2
    # Chebyshev's polynomial: what all steps leave.
    least = 1 / np.cosh(steps * np.arccosh((2 + low) / (2 - low)))
    damped = np.abs(np.prod(left, 1))
    assert damped.max() <= 1 + 1e-6
    assert damped[eigenvalues[:, 0] >= low].max() == pytest.approx(least, rel=1e-3)
    after = [np.abs(np.prod(left[:, k:], 1)).max() for k in range(1, steps)]
    assert max(after) < 0.5 * steps**2  # 250 for 24 steps; 2e11 in the order of the roots


@pytest.mark.parametrize(
    ("shape", "strengths"),
    [
        ((37, 21, 1), (1, 1, 1)),
        ((30, 30, 8), (1, 1, 1 / 100)),
        pytest.param((32, 32, 32), (1, 1, 1), marks=pytest.mark.slow),
        pytest.param((64, 5, 9), (1, 1 / 9, 1), marks=pytest.mark.slow),
    ],
)
def test_a_cycle_reduces_the_error_on_every_shape(rng, shape, strengths):
    """Uniform weights, ends held: the error shrinks at least three times per step, on thin and stretched cells, too."""
    x, y, z = (jnp.full(shape, s, "f4") for s in strengths)
    operator = face_operator(x * 1.0, y, z, upper=x[-1:])
    cycle, layout = multigrid(operator, strengths=strengths, few_cells=30), operator.layout
    truth = layout.pad(jnp.asarray(rng.standard_normal(shape), "f4"))
    b = operator(truth)

    @jax.jit
    def step(cycle, b, v, direction, old):
        # Preconditioned conjugate gradients, as the cycle is used.
        r = cycle.levels[0].residual(v, b)
        z = cycle(r)
        new = jnp.vdot(r, z)
        direction = z + jnp.where(old > 0, new / jnp.where(old > 0, old, 1), 0) * direction
        return v + new / jnp.vdot(direction, cycle.levels[0](direction)) * direction, direction, new

    v, direction = jnp.zeros_like(b), jnp.zeros_like(b)
    old, errors = jnp.zeros((), "f4"), []
    for _ in range(8):
        v, direction, old = step(cycle, b, v, direction, old)
        e = v - truth
        errors.append(float(jnp.vdot(e, operator(e))))
    assert errors[-1] < errors[0] * 9.0**-7 + 1e-9 * float(jnp.vdot(truth, b))  # energy: 3² a step; float32 ends it


def test_only_levels_of_an_eighth_are_visited_more_than_twice():
    whole, plane = (True, True, True), (True, True, False)
    assert visits_of((whole, plane, whole), 4) == (4, 4, 2, 4)
    assert visits_of((whole, plane), 1) == (1, 1, 1)


def test_the_last_cells_are_solved_by_the_pseudo_inverse(rng):
    """Two parts that nothing holds, one that the ends hold, and a cell that nothing joins: constants are projected out."""
    shape = (6, 5, 4)
    x, y, z = (jnp.asarray(rng.random(shape), "f4") for _ in range(3))
    z = z.at[:, :, 2].set(0)  # a lower and an upper part
    x = x.at[3:, :, :2].set(0)  # of the lower one, only the first layers reach the lower end
    x, y, z = (c.at[2, 2, 3].set(0) for c in (x, y, z))
    x, y = x.at[3, 2, 3].set(0).at[0, :, 2:].set(0), y.at[2, 3, 3].set(0)
    operator = face_operator(x, y, z, upper=jnp.zeros((1, *shape[1:]), "f4"))
    cycle = multigrid(operator)
    assert len(cycle.levels) == 1
    layout = operator.layout
    unit = jnp.eye(int(np.prod(shape)), dtype="f4").reshape(-1, *shape)
    matrix = np.asarray(jax.vmap(lambda v: layout.cells(operator(layout.pad(v))))(unit), float).reshape(len(unit), -1)
    # Scaled to a diagonal of one, constants belong to eigenvalues of nothing but rounding (float32).
    scale = 1 / np.sqrt(np.where(matrix.diagonal() > 0, matrix.diagonal(), 1))
    exact = scale[:, None] * np.linalg.pinv(scale[:, None] * matrix * scale, rcond=1e-5, hermitian=True) * scale
    assert np.linalg.matrix_rank(matrix, tol=1e-4) < len(unit) - 3
    assert np.allclose(cycle.inverse, exact, atol=1e-4 * np.abs(exact).max())  # the condition is below 1000


def test_no_derivative_passes_through(rng):
    operator, _, _ = weights(rng, (5, 4, 3), (False, False, False), open_ends=True)
    cycle = multigrid(operator)
    gradient = jax.jit(jax.grad(lambda r: jnp.sum(cycle.on_cells(r))))(jnp.ones((5, 4, 3)))
    assert not np.any(gradient)
