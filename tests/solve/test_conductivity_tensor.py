"""Tensors, linear loading, fields, first guesses, sub-volumes, and the command line: on one shape of voxels."""

import click.testing
import jax
import numpy as np
import pytest

import lithax as lx
from lithax import testing
from lithax.cli import main
from lithax.viz import formation_factor_crossplot

N = 12
TIGHT = {"tolerance": 1e-6}


@pytest.fixture(scope="module")
def field():
    return np.exp(np.random.default_rng(5).standard_normal((N, N, N))).astype("f4")


@pytest.fixture(scope="module")
def insulated(field):
    return lx.solve.conductivity(field, axis="all", fields=True, **TIGHT)


def test_a_periodic_tensor_is_symmetric_definite_and_turns_with_the_image(field):
    settings = {"axis": "all", "ends": "periodic", "sides": "periodic"} | TIGHT
    result = lx.solve.conductivity(field, **settings)
    tensor = np.asarray(result.tensor)
    assert np.allclose(tensor, tensor.T)
    assert np.linalg.eigvalsh(tensor)[0] > 0
    low, high = (float(b) for b in result.bounds.wiener)
    assert low < np.linalg.eigvalsh(tensor)[0] <= np.linalg.eigvalsh(tensor)[-1] < high
    turned = np.asarray(lx.solve.conductivity(field.transpose(1, 2, 0).copy(), **settings).tensor)
    order = [1, 2, 0]
    assert np.allclose(turned, tensor[np.ix_(order, order)], atol=2e-6 * tensor.max())
    assert "anisotropy" in str(result)


def test_a_slanted_laminate():
    """Layers across (1, 1, 0): harmonic mean across, arithmetic mean along; the staircase costs a few per cent."""
    i, j, _ = np.indices((N, N, N))
    voxels = np.where((i + j) % N < N // 2, 1.0, 2.0).astype("f4")
    tensor = np.asarray(lx.solve.conductivity(voxels, axis="all", ends="periodic", sides="periodic", **TIGHT).tensor)
    across, along = 4 / 3, 1.5
    expected = [
        [(across + along) / 2, (across - along) / 2, 0],
        [(across - along) / 2, (across + along) / 2, 0],
        [0, 0, along],
    ]
    assert np.allclose(tensor, expected, atol=0.02)


@pytest.mark.slow
def test_linear_loading_is_at_least_insulating_sides(field, insulated):
    linear = lx.solve.conductivity(field, axis="all", loading="linear", **TIGHT)
    assert np.all(np.asarray(linear.value) > np.asarray(insulated.value))
    assert np.allclose(linear.tensor, np.asarray(linear.tensor).T)
    one = lx.solve.conductivity(np.full((N, N, N), 2.0, "f4"), axis="all", loading="linear", **TIGHT)
    assert np.allclose(one.tensor, 2 * np.eye(3), atol=1e-5)
    assert "off-diagonals not determined" in str(insulated)


def test_conductivities_along_each_axis():
    voxels = np.stack([np.full((4, 4, 4), s, "f4") for s in (1.0, 2.0, 3.0)])
    assert np.allclose(lx.solve.conductivity(voxels, axis="all", **TIGHT).value, (1, 2, 3), rtol=1e-5)


def test_fields(field, insulated):
    """Currents are the same through all slices; the mean current density is the conductivity; potentials fall by one."""
    for n in range(3):
        assert np.allclose(insulated.currents[n], 1, atol=2e-3)  # first order, of a value right to 1e-6
        assert float(np.mean(insulated.flux[n][n])) == pytest.approx(float(insulated.value[n]), rel=1e-4)
    potential = np.asarray(insulated.potential[0])
    assert 0 < potential.min() < potential.max() < 1
    assert potential[0].mean() > potential[-1].mean()


def test_a_first_guess_saves_steps(field, insulated):
    cold = lx.solve.conductivity(field, **TIGHT)
    warm = lx.solve.conductivity(field, x0=insulated.potential[0], **TIGHT)
    assert int(warm.iterations) < int(cold.iterations)
    assert float(warm.value) == pytest.approx(float(cold.value), rel=5e-6)
    with pytest.raises(ValueError, match="no potential"):
        lx.solve.conductivity(field, x0=cold)


def test_the_derivative_for_every_voxel_as_an_image(field, tmp_path):
    image = lx.from_array(field, voxel_length=(1, 1, 2), voxel_unit="um")
    result = lx.solve.conductivity(image, axis="z", gradient=tmp_path / "gradient.zarr", **TIGHT)
    stored = lx.open(tmp_path / "gradient.zarr")
    assert stored.voxel_length == (1, 1, 2)
    # Homogeneous of degree one.
    assert float((np.asarray(stored[...]) * field).sum()) == pytest.approx(float(result.value), rel=1e-4)
    with pytest.raises(ValueError, match="that of one value"):
        lx.solve.conductivity(image, axis="all", gradient=True)


def test_subvolumes(field):
    rock = np.zeros((2 * N, N, N + 3), np.uint8)
    rock[:N][:, :, :N] = field > 2.2
    rock[N:] = 1
    table = lx.solve.subvolumes(rock, edge=N, axis="x", pore=0)
    assert table.value.shape == (2,)
    assert table.value[1] == 0
    assert np.isinf(table.formation_factor[1])
    alone = lx.solve.conductivity(rock[:N, :, :N], pore=0)
    assert float(table.value[0]) == pytest.approx(float(alone.value))
    assert list(table.to_pandas().origin_x) == [0, N]
    assert "not a reservoir m" in str(table)
    labels = formation_factor_crossplot(table, laboratory=(0.2, 15.0)).get_legend_handles_labels()[1]
    assert labels == [f"{N} voxels", "m = 1.5", "m = 2", "m = 2.5", "laboratory"]
    with pytest.raises(ValueError, match="that fit into the image: 12 at most"):
        lx.solve.subvolumes(rock, edge=99, pore=0)


def test_cubes_without_pore_conduct_what_their_phases_do():
    labels = np.ones((8, 4, 4), np.uint8)
    labels[:4, 1:3] = 0
    table = lx.solve.subvolumes(labels, edge=4, axis="x", pore=0, values={0: 5.0, 1: 0.1}, fluid=5.0)
    assert table.value == pytest.approx([2.55, 0.1], rel=1e-5)
    assert table.porosity.tolist() == [0.5, 0.0]
    assert table.formation_factor[1] == pytest.approx(50, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"edge": 9}, ValueError, "edge=9 must be whole numbers"),
        ({"edge": 2.5}, ValueError, "edge=2.5 must be"),
        ({"edge": ()}, ValueError, r"edge=\(\) must be"),
        ({"edge": 4, "stride": 0}, ValueError, "stride=0 must be"),
        ({"edge": 4, "pore": 3}, ValueError, "pore=3 is no value of any"),
        ({"edge": 4, "pore": "0"}, TypeError, "pore='0' must be"),
        ({"edge": 4, "pore": 0, "where": np.ones((8, 8, 8), bool)}, ValueError, "where= belongs to one solve"),
        ({"edge": 4, "pore": 0, "budget": ("grid",)}, ValueError, "budget= belongs to one solve"),
        ({"image": np.ones((8, 8), bool), "edge": 4}, TypeError, r"image is of shape \(8, 8\)"),
    ],
)
def test_cubes_that_cannot_be_solved_for(options, error, words):
    with pytest.raises(error, match=words):
        lx.solve.subvolumes(**({"image": np.ones((8, 8, 8), np.uint8)} | options))


def test_the_command(tmp_path, field):
    lx.from_array((field > 2.2).astype("u1"), store=tmp_path / "rock.zarr")
    run = click.testing.CliRunner().invoke(
        main, ["solve", "conductivity", str(tmp_path / "rock.zarr"), "--pore", "0", "--axis", "x", "--quiet"]
    )
    assert run.exit_code == 0, run.output
    assert run.output.startswith("pore = value 0")
    bare = click.testing.CliRunner().invoke(main, ["solve", "conductivity", str(tmp_path / "rock.zarr"), "--quiet"])
    assert bare.exit_code == 1
    assert "what its numbers mean" in bare.output


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_nothing_joins_the_ends_along_two_of_three_axes(compiled):
    """A rod along y: across it nothing but rounding would flow, and was called a value."""
    x, _, z = np.indices((10, 8, 10))
    rod = (x - 4.5) ** 2 + (z - 4.5) ** 2 < 10

    def solved(rock):
        return lx.solve.conductivity(rock, axis="all", ends="periodic", sides="periodic", fields=True)

    found = jax.jit(solved)(rod) if compiled else solved(rod)
    share = np.count_nonzero(rod) / rod.size
    np.testing.assert_allclose(found.value, [0, share, 0], rtol=1e-6)
    np.testing.assert_allclose(found.tensor, np.diag([0, share, 0]), rtol=1e-6)
    assert np.all(found.converged)
    for nothing in (0, 2):
        assert not np.any(found.flux[nothing])
        assert np.ptp(np.asarray(found.potential[nothing])[rod]) == 0
    if not compiled:
        assert str(found).count("F is infinite; nothing joins") == 2
        assert found.anisotropy == np.inf
        closed = lx.solve.conductivity(rod & (np.arange(8) != 3)[:, None], axis="all", ends="periodic")
        assert closed.anisotropy is None
        assert "anisotropy" not in str(closed)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_plane_that_insulates_along_the_axis_alone(rng, compiled):
    """Its voxels conduct along y and z, and were taken to join the ends: 9e-14, and not converged."""
    field = rng.random((3, 8, 7, 6), "f4") + np.float32(0.1)
    field[0, 3] = 0

    def solved(field, axis="x", **options):
        found = lx.solve.conductivity(field, axis=axis, fluid=1.0, **options)
        return found.value, found.converged, found.porosities.percolating

    solve = jax.jit(solved) if compiled else solved
    assert [float(v) for v in solve(field)] == [0, 1, 0]
    assert [float(v) for v in solved(field, ends="periodic")] == [0, 1, 0]
    assert solved(field, axis="y")[2] == 1
    if not compiled:
        found = lx.solve.conductivity(field, fluid=1.0)
        assert np.isinf(found.formation_factor)
        assert "F is infinite; nothing joins the two ends along x through voxel faces" in str(found)
        assert not found.notes


@pytest.mark.parametrize("seed", [2, 4])
def test_voxels_that_conduct_along_some_axes_as_by_a_dense_matrix(seed):
    """A periodic image, so that every row of its tensor tells what joins the ends along an axis."""
    rng = np.random.default_rng(seed)
    field = ((rng.random((3, 6, 5, 7)) < 0.6) * (rng.random((3, 6, 5, 7)) + 0.2)).astype("f4")
    field[2, :, :, 3] = 0
    number = np.arange(field[0].size)
    steps, weights = [], []
    for axis, along in enumerate(field.astype(float)):
        there = np.roll(number.reshape(along.shape), -1, axis).reshape(-1)
        here, beyond = along.reshape(-1), np.roll(along, -1, axis).reshape(-1)
        steps.append(np.eye(number.size)[there] - np.eye(number.size))
        weights.append(2 * here * beyond / np.where(here + beyond > 0, here + beyond, 1))
    step, weight = np.concatenate(steps), np.concatenate(weights)[:, None]
    ramp = np.repeat(np.eye(3), number.size, axis=0)
    u = np.linalg.lstsq(step.T @ (weight * step), -step.T @ (weight * ramp), rcond=1e-10)[0]
    expected = (step @ u + ramp).T @ (weight * (step @ u + ramp)) / number.size
    found = lx.solve.conductivity(field, axis="all", ends="periodic", sides="periodic", **TIGHT)
    np.testing.assert_allclose(found.tensor, expected, atol=1e-6)
    assert found.value[2] == 0
    assert np.all(found.converged)


@pytest.mark.slow
def test_the_lines_of_the_budget_that_take_further_solves():
    """Insulating spheres: F is too high on few voxels, and comes down as they are split; the trend says the same."""
    rock = testing.conduction_spheres(N, 0.343).voxels
    result = lx.solve.conductivity(rock, budget=("grid", "resolution"), tolerance=1e-4)
    assert 0 < float(result.error_budget.grid) < 0.1  # a finer grid of the same staircase conducts more
    trend = result.error_budget.resolution
    assert abs(float(trend[2])) < 0.3
    assert abs(float(trend[3])) < 0.5
    assert "image coarsened): 2×" in str(result)
    with pytest.raises(ValueError, match="must name some of"):
        lx.solve.conductivity(rock, budget="grid")
